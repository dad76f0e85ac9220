package recipient

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Outs returns a stage's outputs for messages: each message, to its sender or, with a link, to the shortener; and an event in the log for each
// message, also for suppressed ones. The shortener gets one message for all channels of a person (docs/adr/0030). All have the time at which the log stored their event, so that a second attempt makes the same outputs.
// in is that event in the log's form.
//
// If the log already has notification.requested for a message, by another event or an earlier attempt, the message gets no second event and
// no time. Its sender then checks in the log whether it was sent.
func Outs(
	ctx context.Context, stageName string, in *signingv1.SigningEvent, made Messages, stored time.Time, requested map[string]bool,
) ([]stage.Out, error) {
	var all []stage.Out
	var reports []*signingv1.SigningEvent
	for _, n := range made.Made {
		n.EventSubject, n.EventStoredAt = event.Subject(in), timestamppb.New(stored)
		if !requested[n.GetId()] {
			n.RecordedAt = timestamppb.New(stored)
			reports = append(reports, notification.Requested(n, stageName, stored))
		}
	}
	for _, together := range byLink(made.Made) {
		n, subject := together[0], notification.SendSubject(together[0])
		if n.GetLink() != nil {
			n, subject = notification.ForShortener(stageName, together), notification.LinkSubject(together[0])
		}
		m, err := notification.Message(ctx, subject, n.GetId(), n)
		if err != nil {
			return nil, outcome.Permanent(err)
		}
		all = append(all, m)
	}
	for _, u := range made.Suppressed {
		reports = append(reports, notification.Suppressed(u.Message, stageName, stored, u.Reason))
	}
	for _, report := range reports {
		m, err := event.Message(ctx, report)
		if err != nil {
			return nil, outcome.Permanent(fmt.Errorf("encode an event: %w", err))
		}
		all = append(all, m)
	}
	return all, nil
}

// byLink divides messages into those of one person with one link. A message without a link stays alone.
func byLink(made []*notifyv1.Notification) [][]*notifyv1.Notification {
	var all [][]*notifyv1.Notification
	for i, n := range made {
		if link := n.GetLink(); i > 0 && link != nil && link == made[i-1].GetLink() {
			all[len(all)-1] = append(all[len(all)-1], n)
			continue
		}
		all = append(all, []*notifyv1.Notification{n})
	}
	return all
}
