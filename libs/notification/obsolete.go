package notification

import (
	"context"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// freshFor is the time after its event in which a message is sent without another look at the log: the enricher has just read it.
const freshFor = time.Minute

// fresh reports whether no time has passed in which the message could have become obsolete. A reminder is never fresh, because its event is not
// an action of a person.
func fresh(n *notifyv1.Notification, now time.Time) bool {
	return n.GetKind() != notifyv1.Kind_KIND_REMINDER && n.GetEventStoredAt() != nil && now.Sub(n.GetEventStoredAt().AsTime()) < freshFor
}

// suppressObsolete returns notification.suppressed for a message that asks its person to sign, if the person has signed, or the document has
// ended, since the message was made; and for a progress message whose document has ended. It reports whether that is so.
func (d delivery) suppressObsolete(ctx context.Context, n *notifyv1.Notification, fresh bool) (report []stage.Out, obsolete bool, err error) {
	kind := event.KindOf(n.GetKind())
	if !kind.Asks && !kind.Open || fresh {
		return nil, false, nil
	}
	who := event.Signer{Source: n.GetSource(), Provider: n.GetProvider(), Document: n.GetDocumentId()}
	if kind.Asks { // otherwise only the document counts
		who.Recipient = n.GetTo().GetRecipientId()
	}
	is, err := d.log.Standing(ctx, who)
	if err != nil || is.Over == "" {
		return nil, false, err
	}
	report, err = outs(ctx, Suppressed(n, d.stage, d.Now(), is.Over))
	return report, err == nil, err
}
