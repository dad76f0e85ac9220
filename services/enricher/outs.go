package enricher

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// outs is the plan as it leaves: each message on its way (one with a link goes to the shortener first), and word of it in
// the log, as of those that could not be made. All of it bears the time at which the log stored the event that it follows from:
// made again from the same event, it is the same. in is that event as the log holds it.
//
// A message that the log has as requested, of another event or an earlier attempt, is not requested again, and bears no time: its
// sender asks the log whether it was sent.
func outs(ctx context.Context, in *signingv1.SigningEvent, p planned, stored time.Time, requested map[string]bool) ([]stage.Out, error) {
	var all []stage.Out
	var words []*signingv1.SigningEvent
	for _, n := range p.told {
		if !requested[n.GetId()] {
			n.RecordedAt = timestamppb.New(stored)
		}
		n.EventSubject, n.EventStoredAt = event.Subject(in), timestamppb.New(stored)
		subject := notification.SendSubject(n)
		if n.GetLink() != nil {
			subject = notification.LinkSubject(n)
		}
		m, err := notification.Message(ctx, subject, n.GetId(), n)
		if err != nil {
			return nil, outcome.Permanent(err)
		}
		all = append(all, m)
		if !requested[n.GetId()] {
			words = append(words, notification.Requested(n, flow.Enricher, stored))
		}
	}
	for _, u := range p.untold {
		words = append(words, notification.Suppressed(u.message, flow.Enricher, stored, u.reason))
	}
	for _, word := range words {
		m, err := event.Message(ctx, word)
		if err != nil {
			return nil, outcome.Permanent(fmt.Errorf("tell the log: %w", err))
		}
		all = append(all, m)
	}
	return all, nil
}
