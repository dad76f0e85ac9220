package notification

import (
	"context"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// suppressOptedOut returns notification.suppressed for a message that its person does not want, and reports whether that is so: a text to a
// number that opted out, or a message about a document to a person who does not want any about it. The completed document is still sent to
// that person, because each person who signed must get a copy. A reply to a person's own text is always sent.
//
// It reads the store for each attempt, so that an opt-out also counts for messages that wait.
func (d delivery) suppressOptedOut(ctx context.Context, n *notifyv1.Notification, now time.Time) (report []stage.Out, optedOut bool, err error) {
	groups := d.mayOptOut(n)
	if len(groups) == 0 {
		return nil, false, nil
	}
	optedOut, err = d.optOuts.Out(ctx, groups...)
	if err != nil {
		return nil, false, outcome.PutOff(bucketRetry, "optouts-away", err)
	}
	if !optedOut {
		return nil, false, nil
	}
	report, err = outs(ctx, Suppressed(n, d.stage, now, event.OptedOut))
	return report, err == nil, err
}

// mayOptOut returns those whose wishes count for n.
func (d delivery) mayOptOut(n *notifyv1.Notification) (groups [][]optout.Who) {
	if event.KindOf(n.GetKind()).Replies {
		return nil
	}
	if event.ChannelOf(n.GetChannel()).Address == event.MobileNumber {
		number := n.GetTo().GetMobile()
		groups = append(groups, []optout.Who{optout.Number(number, n.GetSource()), optout.Number(number, "")})
	}
	if n.GetKind() != notifyv1.Kind_KIND_COMPLETED && n.GetDocumentId() != "" && n.GetTo().GetRecipientId() != "" {
		groups = append(groups, []optout.Who{optout.Person(event.Signer{
			Source: n.GetSource(), Provider: n.GetProvider(), Document: n.GetDocumentId(), Recipient: n.GetTo().GetRecipientId(),
		})})
	}
	return groups
}
