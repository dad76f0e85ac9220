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

// suppressUnwanted returns notification.suppressed for a message that its person does not want, and reports whether that is so: a text to a
// number that opted out, or a message about a document to a person who does not want any about it. The completed document is still sent to
// that person, because each person who signed must get a copy. A reply to a person's own text is always sent.
//
// It does the same for a message that was made before the latest correction of its person: its address may be another person's.
//
// It reads the store for each attempt, so that an opt-out and a correction also count for messages that wait.
func (d delivery) suppressUnwanted(ctx context.Context, n *notifyv1.Notification, now time.Time) (report []stage.Out, unwanted bool, err error) {
	reason, err := d.optOuts.Stops(ctx, d.wishes(n))
	if err != nil {
		return nil, false, outcome.PutOff(bucketRetry, "optouts-away", err)
	}
	if reason == "" {
		return nil, false, nil
	}
	report, err = outs(ctx, Suppressed(n, d.stage, now, reason))
	return report, err == nil, err
}

// wishes returns those whose wishes and corrections count for n.
func (d delivery) wishes(n *notifyv1.Notification) optout.To {
	to := optout.To{Correction: n.GetTo().GetCorrection(), Groups: d.mayOptOut(n)}
	if !event.KindOf(n.GetKind()).Replies { // a reply goes to the number that wrote
		to.Person = signerOf(n)
	}
	return to
}

// signerOf returns the person of a message.
func signerOf(n *notifyv1.Notification) event.Signer {
	return event.Signer{Source: n.GetSource(), Provider: n.GetProvider(), Document: n.GetDocumentId(), Recipient: n.GetTo().GetRecipientId()}
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
		groups = append(groups, []optout.Who{optout.Person(signerOf(n))})
	}
	return groups
}
