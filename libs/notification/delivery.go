package notification

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Hand hands one message to the outside provider. It fails with Again, AgainIn, OperatorMustAct, Refused or Doubtful.
type Hand func(context.Context, *notifyv1.Notification) (Receipt, error)

// Deliver is a sender's Run: it works at its stage until ctx ends, and hands each notification over once.
func Deliver(ctx context.Context, env service.Env, place flow.Stage, hand Hand) error {
	d := delivery{stage: place.Name, log: event.Log{JS: env.JS, Stream: flow.Signing}, hand: hand}
	// An attempt that takes longer than the stage's timeout was ended by it; the rest is for telling the memory so.
	lease := place.Timeout + 10*time.Second
	runner := stage.Runner[*notifyv1.Notification]{
		Stage: place, JS: env.JS, Decode: Decode, Do: d.do, GivenUp: d.givenUp,
		Claims: env.Claims(dedupe.Options{Namespace: place.Name, Lease: lease, Remember: flow.RememberSent}),
		Log:    env.Log, Metrics: env.Metrics,
	}
	env.Up()
	return runner.Run(ctx)
}

// delivery is what every sender's stage does around the one call that hands a message over.
type delivery struct {
	stage string    // its name
	log   event.Log // SIGNING
	hand  Hand
}

// do hands the notification over and says so in the log. When an earlier attempt may have handed it over already, the log
// is asked first, and what is then sent is marked as a possible duplicate.
func (d delivery) do(ctx context.Context, in stage.Event[*notifyv1.Notification]) ([]stage.Out, error) {
	n := in.Data
	if in.Unknown {
		earlier, err := Earlier(ctx, d.log, n)
		if err != nil {
			return nil, err
		}
		if earlier != nil {
			return d.repeat(ctx, n, earlier)
		}
	}
	receipt, err := d.hand(ctx, n)
	if err != nil {
		return nil, err
	}
	receipt.PossibleDuplicate = in.Unknown
	return outs(ctx, Sent(n, d.stage, time.Now(), receipt))
}

// repeat says what the log has not heard yet: nothing where it has notification.sent, and that where only the delivery
// receipt arrived.
func (d delivery) repeat(ctx context.Context, n *notifyv1.Notification, earlier *signingv1.SigningEvent) ([]stage.Out, error) {
	if earlier.GetType() == SentType {
		return nil, nil
	}
	receipt := Receipt{Reference: earlier.GetNotice().GetReference(), Parts: earlier.GetNotice().GetParts()}
	return outs(ctx, Sent(n, d.stage, event.Time(earlier), receipt))
}

// givenUp says in the log that the notification was given up.
func (d delivery) givenUp(in stage.Event[*notifyv1.Notification], cause error) []stage.Out {
	reason := "gave-up"
	var trouble *HandoverError
	if errors.As(cause, &trouble) {
		reason = trouble.Reason
	}
	failed, err := outs(context.Background(), Failed(in.Data, d.stage, time.Now(), reason))
	if err != nil {
		return nil // only an event without an id fails, and this one has its id from DerivedID
	}
	return failed
}

func outs(ctx context.Context, e *signingv1.SigningEvent) ([]stage.Out, error) {
	m, err := event.Message(ctx, e)
	if err != nil {
		return nil, stage.Permanent(fmt.Errorf("tell the log: %w", err))
	}
	return []stage.Out{m}, nil
}
