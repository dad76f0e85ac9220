package notification

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Hand hands one message to the outside provider. It fails with Again, AgainIn, OperatorMustAct, Refused or Doubtful, or
// with stage.Later where nothing was tried.
type Hand func(context.Context, *notifyv1.Notification) (Receipt, error)

// Sender is what a sender does in its own way.
type Sender struct {
	Hand Hand
	// Trace looks elsewhere than in the log for word that an earlier attempt handed n over: what the provider told of it, or
	// nil. Nil itself where there is nowhere else to look.
	Trace func(ctx context.Context, n *notifyv1.Notification) (*Receipt, error)
	// WordWithin is how long after an attempt of unknown outcome word of it may come; it is not handed over again sooner. 0
	// where no word ever comes.
	WordWithin time.Duration
}

// Deliver is a sender's Run where nothing but the log knows what was handed over.
func Deliver(ctx context.Context, env service.Env, place flow.Stage, hand Hand) error {
	return Sender{Hand: hand}.Deliver(ctx, env, place)
}

// Deliver is a sender's Run: it works at its stage until ctx ends, and hands each notification over once.
func (s Sender) Deliver(ctx context.Context, env service.Env, place flow.Stage) error {
	bucket, err := env.JS.KeyValue(ctx, flow.Texts)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", flow.Texts, err)
	}
	d := delivery{Sender: s, stage: place.Name, log: event.Log{JS: env.JS, Stream: flow.Signing}, doubts: doubts{bucket}}
	if d.metrics, err = newMetrics(env.Metrics, strings.TrimSuffix(place.Name, "-sender")); err != nil {
		return err
	}
	// An attempt that takes longer than the stage's timeout was ended by it; the rest is for telling the memory so. The
	// claim of a sender that died lapses only when word of what it did would have come.
	lease := place.Timeout + max(10*time.Second, s.WordWithin)
	runner := stage.Runner[*notifyv1.Notification]{
		Stage: place, JS: env.JS, Decode: Decode, Do: d.do, GivenUp: d.givenUp,
		Claims: env.Claims(dedupe.Options{Namespace: flow.MemoryOf(place.Name), Lease: lease, Remember: flow.RememberSent}),
		Log:    env.Log, Metrics: env.Metrics,
	}
	env.Up()
	return runner.Run(ctx)
}

// delivery is what every sender's stage does around the one call that hands a message over.
type delivery struct {
	Sender
	stage   string    // its name
	log     event.Log // SIGNING
	doubts  doubts
	metrics metrics
}

// do hands the notification over and says so in the log. When an earlier attempt may have handed it over already, word of it
// is looked for first, and what is then sent is marked as a possible duplicate.
func (d delivery) do(ctx context.Context, in stage.Event[*notifyv1.Notification]) ([]stage.Out, error) {
	n, now := in.Data, time.Now()
	if in.Unknown || in.Replays > 0 || forgotten(n, now) { // a dead letter outlives the memory of claims by half a month
		outs, found, err := d.earlier(ctx, n)
		if err != nil || found {
			return outs, err
		}
	}
	if forgotten(n, now) {
		outs, settled, err := d.settled(ctx, in, now)
		if err != nil || settled {
			return outs, err
		}
	}
	if in.Unknown {
		if err := d.doubts.again(ctx, doubtKey(in)); err != nil {
			return nil, err
		}
	}
	receipt, err := d.Hand(ctx, n)
	if err != nil {
		d.metrics.troubled(n, err)
		return nil, waitForWord(errors.Join(err, d.note(context.WithoutCancel(ctx), in, doubtful(err))), d.WordWithin)
	}
	if in.Unknown {
		receipt.PossibleDuplicate = true
		d.metrics.unknown.WithLabelValues(ChannelName(n.GetChannel())).Inc()
	}
	d.metrics.sent.WithLabelValues(n.GetSource(), n.GetProvider(), ChannelName(n.GetChannel()), KindName(n.GetKind())).Inc()
	return outs(ctx, Sent(n, d.stage, time.Now(), receipt))
}

// note keeps count of what is not known after a handing over that failed. One that followed such a one was counted before.
func (d delivery) note(ctx context.Context, in stage.Event[*notifyv1.Notification], doubtful bool) error {
	switch {
	case doubtful && !in.Unknown:
		return d.doubts.add(ctx, doubtKey(in), 1)
	case !doubtful && in.Unknown:
		return d.doubts.add(ctx, doubtKey(in), -1)
	default:
		return nil
	}
}

// earlier looks for word that an earlier attempt handed n over, and says what the log has not heard of it yet: nothing where
// it has notification.sent, and that where only a delivery receipt came.
func (d delivery) earlier(ctx context.Context, n *notifyv1.Notification) (missing []stage.Out, found bool, err error) {
	told, err := Earlier(ctx, d.log, n)
	switch {
	case err != nil:
		return nil, false, err
	case told.GetType() == SentType:
		return nil, true, nil
	case told != nil:
		receipt := Receipt{Reference: told.GetNotice().GetReference(), Parts: told.GetNotice().GetParts()}
		missing, err = outs(ctx, Sent(n, d.stage, event.Time(told), receipt))
		return missing, true, err
	case d.Trace == nil:
		return nil, false, nil
	}
	receipt, err := d.Trace(ctx, n)
	if err != nil || receipt == nil {
		return nil, false, err
	}
	missing, err = outs(ctx, Sent(n, d.stage, time.Now(), *receipt))
	return missing, true, err
}

// givenUp says in the log that the notification was given up.
func (d delivery) givenUp(in stage.Event[*notifyv1.Notification], cause error) []stage.Out {
	reason := "gave-up"
	var trouble *HandoverError
	if errors.As(cause, &trouble) {
		reason = trouble.Reason
	}
	n := in.Data
	d.metrics.failed.WithLabelValues(n.GetSource(), n.GetProvider(), ChannelName(n.GetChannel()), reason).Inc()
	e := Failed(n, d.stage, time.Now(), reason)
	if in.Replays > 0 { // a failure of its own: the log has heard of the first
		e.Id = event.DerivedID(e.GetId(), d.stage, "replay/"+strconv.Itoa(in.Replays))
	}
	failed, err := outs(context.Background(), e)
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
