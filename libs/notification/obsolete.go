package notification

import (
	"context"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// freshFor is the time after its event in which a message that asks a person to sign is sent without another look at the log: the enricher has
// just read it. A reminder has no such time, because its event is not an action of a person.
const freshFor = time.Minute

// obsolete returns the reason why a message that asks its person to sign is not sent: the person has signed, or the document has ended, since
// the message was made. It returns "" for any other message.
func (d delivery) obsolete(ctx context.Context, n *notifyv1.Notification, now time.Time) (string, error) {
	kind := event.KindOf(n.GetKind())
	fresh := kind.Kind != notifyv1.Kind_KIND_REMINDER && n.GetEventStoredAt() != nil && now.Sub(n.GetEventStoredAt().AsTime()) < freshFor
	if !kind.Asks || fresh {
		return "", nil
	}
	is, err := d.log.Standing(ctx, event.Signer{
		Source: n.GetSource(), Provider: n.GetProvider(), Document: n.GetDocumentId(), Recipient: n.GetTo().GetRecipientId(),
	})
	return is.Over, err
}

// suppressObsolete returns the event of an obsolete message, and whether the message is obsolete.
func (d delivery) suppressObsolete(ctx context.Context, n *notifyv1.Notification, now time.Time) (report []stage.Out, obsolete bool, err error) {
	reason, err := d.obsolete(ctx, n, now)
	if err != nil || reason == "" {
		return nil, false, err
	}
	report, err = outs(ctx, Suppressed(n, d.stage, now, reason))
	return report, err == nil, err
}
