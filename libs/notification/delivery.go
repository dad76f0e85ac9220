package notification

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Hand hands one message to the outside provider. It fails with an outcome that says whose fault it is (outcome.Failure, RetryAfter,
// Unknown, NeedsOperator, Refused), or with outcome.Later where nothing was tried. It calls Left when its whole request has left.
type Hand func(context.Context, *notifyv1.Notification) (Receipt, error)

// Sender is what a sender does in its own way.
type Sender struct {
	Hand Hand
	// Links are the links that a message may contain.
	Links Links
	// Vendor is the name of the other side in metrics and logs: "vonage", "smtp".
	Vendor string
	// Destination fails with NotAllowed where the settings do not allow a message to where it goes; nil where any will do.
	Destination func(*notifyv1.Notification) error
	// Settings returns a comparable value that changes when an operator changes the account; nil where nothing does.
	Settings func() any
	// Trace looks elsewhere than in the log for word that an earlier attempt handed n over: what the provider told of it, or
	// nil. Nil itself where there is nowhere else to look.
	Trace func(ctx context.Context, n *notifyv1.Notification) (*Receipt, error)
	// WordWithin is how long after an attempt of unknown outcome word of it may come; it is not handed over again sooner. 0
	// where no word ever comes.
	WordWithin time.Duration
	// Now is the clock by which a message has waited too long; nil for time.Now.
	Now func() time.Time
}

// Deliver is a sender's Run where nothing but the log knows what was handed over.
func Deliver(ctx context.Context, env service.Env, place flow.Stage, links Links, hand Hand) error {
	channel, _ := event.ChannelOfSender(place.Name)
	return Sender{Hand: hand, Links: links, Vendor: channel.Name}.Deliver(ctx, env, place)
}

// leaseFor is how long the claim of a sender that died stays its own where its message had not left, or where no word of it can
// come: less than the broker takes to give the message to another. An attempt extends its claim for as long as it takes.
const leaseFor = flow.AckWait - time.Second

// Deliver is a sender's Run: it works at its stage until ctx ends, and hands each notification over once.
func (s Sender) Deliver(ctx context.Context, env service.Env, place flow.Stage) error {
	bucket, err := env.JS.KeyValue(ctx, flow.Attempts)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", flow.Attempts, err)
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	channel, ok := event.ChannelOfSender(place.Name)
	if !ok {
		return fmt.Errorf("stage %s sends the messages of no channel", place.Name)
	}
	d := delivery{
		Sender: s, stage: place.Name, channel: channel.Name, js: env.JS, log: event.Log{JS: env.JS, Stream: flow.Signing}, attempts: attempts{bucket}, said: env.Log,
	}
	d.causes = &causes{log: d.log}
	d.limits = newLimits(env, channel, s.Destination)
	if d.metrics, err = newMetrics(env.Metrics, channel.Name); err != nil {
		return err
	}
	if d.gates, err = newGates(ctx, env, bucket, channel.Name, s.Vendor, s.Settings); err != nil {
		return err
	}
	claims := dedupe.Options{Namespace: flow.MemoryOf(place.Name), Lease: leaseFor, Remember: flow.RememberSent, Waits: true}
	runner := stage.Runner[*notifyv1.Notification]{
		Stage: place, JS: env.JS, Decode: Decode, Do: d.do, GivenUp: d.givenUp,
		Claims: env.Claims(claims), Lease: leaseFor, Log: env.Log, Metrics: env.Metrics,
	}
	if s.WordWithin > 0 { // where the message had left, the claim lapses only when word of it would have come
		claims.Lease = s.WordWithin + 10*time.Second
		runner.Left = env.Claims(claims)
	}
	env.Up()
	return runner.Run(ctx)
}

// delivery is what every sender's stage does around the one call that hands a message over.
type delivery struct {
	Sender
	stage    string // its name
	channel  string // its name
	js       jetstream.JetStream
	log      event.Log // SIGNING
	attempts attempts
	causes   *causes
	limits   limits
	gates    *gates
	metrics  metrics
	said     *slog.Logger
}

// awayPause is when a bucket that is away is tried again.
const awayPause = time.Second

// do hands the notification over and says so in the log. When an earlier attempt may have handed it over already, word of it
// is looked for first, and what is then sent is marked as a possible duplicate.
func (d delivery) do(ctx context.Context, in stage.Event[*notifyv1.Notification]) ([]stage.Out, error) {
	n, now := in.Data, time.Now()
	if !named(n) {
		return nil, outcome.Refused(outcome.Ours, causeUnknown, errors.New("the message's source or provider is no name that one can have"))
	}
	var r record
	if in.Attempt > 1 || in.Unknown || in.Replays > 0 {
		var err error
		if r, err = d.attempts.read(ctx, keyOf(in)); err != nil {
			return nil, outcome.PutOff(awayPause, "attempts-away", err)
		}
	}
	if in.Unknown || in.Replays > 0 || forgotten(n, now) { // a dead letter outlives the memory of claims by half a month
		outs, found, err := d.earlier(ctx, n, r.Again)
		if err != nil || found {
			d.over(ctx, in, &r)
			return outs, err
		}
	}
	if forgotten(n, now) {
		outs, settled, err := d.settled(ctx, in, now)
		if err != nil || settled {
			return outs, err
		}
	}
	if r.Unknown >= mostUnknown {
		return nil, outcome.Refused(outcome.Provider, "outcome-unknown", fmt.Errorf("handed over %d times, each with unknown outcome", r.Tries))
	}
	if err := d.verify(ctx, in); err != nil {
		return nil, err
	}
	if err := d.limited(ctx, in, &r); err != nil {
		return nil, err
	}
	pass, refused := d.gates.begin(ctx, r)
	if refused != nil {
		return nil, d.wait(ctx, in, &r, refused)
	}
	again := in.Unknown && !r.Again
	if again {
		r.Again = true
		if err := d.attempts.write(ctx, keyOf(in), &r); err != nil {
			pass.end(outcome.Outcome{}, false)
			return nil, outcome.PutOff(awayPause, "attempts-away", err)
		}
	}
	receipt, err := d.hand(ctx, in, &r, pass)
	if err != nil {
		return nil, d.failed(context.WithoutCancel(ctx), in, &r, again, err)
	}
	d.over(ctx, in, &r)
	if receipt.PossibleDuplicate = in.Unknown || r.Again; receipt.PossibleDuplicate {
		d.metrics.unknown.WithLabelValues(event.ChannelName(n.GetChannel())).Inc()
	}
	d.metrics.sent.WithLabelValues(n.GetSource(), n.GetProvider(), event.ChannelName(n.GetChannel()), event.KindName(n.GetKind())).Inc()
	told, err := outs(ctx, Sent(n, d.stage, time.Now(), receipt))
	if err != nil || receipt.PartsRefused == "" {
		return told, err
	}
	d.metrics.failed.WithLabelValues(n.GetSource(), n.GetProvider(), event.ChannelName(n.GetChannel()), receipt.Reason, string(receipt.Fault)).Inc()
	lacks, err := outs(ctx, Undelivered(n, d.stage, time.Now(), receipt))
	return append(told, lacks...), err
}

// hand makes the one call, and says at the gates how it went. A panic after the request left counts as an unknown outcome.
func (d delivery) hand(ctx context.Context, in stage.Event[*notifyv1.Notification], r *record, p pass) (receipt Receipt, err error) {
	var left atomic.Bool
	returned := false
	defer func() {
		if returned {
			return
		}
		p.end(outcome.Outcome{}, false)
		if left.Load() {
			r.Unknown++ // whatever the other side does: it is this program that fails
			r.Tries, r.Last = r.Tries+1, time.Now()
			_ = d.attempts.write(context.WithoutCancel(ctx), keyOf(in), r) // else one attempt is not counted
		}
	}()
	receipt, err = d.Hand(OnLeft(ctx, func() { left.Store(true) }), in.Data)
	returned = true
	o := outcome.Of(err)
	p.end(o, (tried(o) || err == nil) && ctx.Err() == nil)
	return receipt, err
}

// unknown notes an attempt of unknown outcome.
func (d delivery) unknown(r *record) {
	failing, worked, _ := d.gates.circuit.State()
	if r.counts(failing != "", worked) {
		r.Unknown++
	}
	r.Tries++
	r.Last = time.Now()
}

// failed handles a failed attempt and returns the error for the stage.
func (d delivery) failed(ctx context.Context, in stage.Event[*notifyv1.Notification], r *record, again bool, err error) error {
	o := outcome.Of(err)
	tried := tried(o)
	if tried {
		d.metrics.failedAttempt(in.Data, o)
	}
	before := *r
	switch {
	case tried && o.Unknown():
		d.unknown(r)
	case again:
		r.Again = false
	}
	if o.Kind() == outcome.Held {
		d.gates.hold(o)
		return d.hold(ctx, in, r, before, outcome.PutOff(mostWait, "operator", err))
	}
	if tried && r.Held != nil {
		r.Held, r.Resumed = nil, time.Now()
		d.metrics.held.remove(in.Data.GetId())
	}
	var unwritten error
	if *r != before {
		unwritten = d.attempts.write(ctx, keyOf(in), r)
	}
	failing, _, since := d.gates.circuit.State()
	if r.Resumed.After(since) {
		since = r.Resumed
	}
	err = outcome.Since(since, errors.Join(waitForReceipt(err, d.WordWithin), unwritten))
	if o.Scope() == outcome.Service && failing != "" {
		return d.orExpired(in.Stored, in.Replays, outcome.PutOff(max(r.tooSoon(time.Now()), circuitPauses.First), "circuit-open", err))
	}
	return err
}

// wait puts off a message that finds a gate closed. Nothing was tried.
func (d delivery) wait(ctx context.Context, in stage.Event[*notifyv1.Notification], r *record, closed *refusal) error {
	if !operatorMustAct(closed.why) {
		return d.orExpired(in.Stored, in.Replays, errors.Join(outcome.Later(closed.wait, "circuit-open"), closed.why))
	}
	return d.hold(ctx, in, r, *r, errors.Join(outcome.Later(closed.wait, "operator"), closed.why))
}

// hold records a message as held, if it is not yet, and publishes notification.deferred once. err is the error for the stage.
func (d delivery) hold(ctx context.Context, in stage.Event[*notifyv1.Notification], r *record, before record, err error) error {
	n, now, o := in.Data, time.Now(), outcome.Of(err)
	country := ""
	if forbidden := new(notAllowedError); errors.As(err, &forbidden) {
		country = forbidden.country
	}
	if r.Held == nil || r.Held.Reason != o.Cause() || o.Scope() == outcome.Input && r.Held.Limits != d.limits.fingerprint {
		held := &heldRecord{ByReason: o.Scope() == outcome.Reason, Held: Held{
			Since: now, Reason: o.Cause(), Fault: o.Fault(), Channel: event.ChannelName(n.GetChannel()), ID: n.GetId(),
			Source: n.GetSource(), Provider: n.GetProvider(), Document: n.GetDocumentId(), Kind: event.KindName(n.GetKind()), Country: country,
		}}
		if o.Scope() == outcome.Input {
			held.Limits, held.Input = d.limits.fingerprint, in.ID
		}
		switch {
		case r.Held != nil:
			held.Since = r.Held.Since
		case r.Resumed.IsZero():
			if untold := d.tell(ctx, Deferred(n, d.stage, now, o.Cause(), o.Fault(), country)); untold != nil {
				return errors.Join(err, untold)
			}
		}
		r.Held = held
	}
	if *r != before {
		if unwritten := d.attempts.write(ctx, keyOf(in), r); unwritten != nil {
			err = errors.Join(err, unwritten)
		}
	}
	d.metrics.held.add(n.GetId(), o.Cause())
	since := in.Stored
	if in.Replays > 0 { // it was stored in its first life
		since = r.Held.Since
	}
	return d.orExpired(since, 0, err)
}

// orExpired is err, or the end of a message that has waited for as long as NOTIFY keeps it. A replay is in another stream, which
// keeps it for longer.
func (d delivery) orExpired(since time.Time, replays int, err error) error {
	if replays == 0 && d.Now().Sub(since) > heldFor {
		return outcome.Permanent(err)
	}
	return err
}

// tell publishes an event of a message that is not done yet.
func (d delivery) tell(ctx context.Context, e *signingv1.SigningEvent) error {
	m, err := event.Message(ctx, e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := d.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("tell the log: %w", err)
	}
	return nil
}

// over ends the holding of a message that is settled: it is listed and counted no more.
func (d delivery) over(ctx context.Context, in stage.Event[*notifyv1.Notification], r *record) {
	d.metrics.held.remove(in.Data.GetId())
	if r.Held == nil {
		return
	}
	r.Held, r.Resumed = nil, time.Now()
	if err := d.attempts.write(context.WithoutCancel(ctx), keyOf(in), r); err != nil {
		d.said.WarnContext(ctx, "a message that is settled is still listed as held", "id", in.Data.GetId(), "error", err)
	}
}

// earlier looks for word that an earlier attempt handed n over, and says what the log has not heard of it yet: nothing where
// it has notification.sent, and that where only a delivery receipt came. twice is whether n was handed over more than once,
// the earlier times with unknown outcome.
func (d delivery) earlier(ctx context.Context, n *notifyv1.Notification, twice bool) (missing []stage.Out, found bool, err error) {
	told, err := Earlier(ctx, d.log, n)
	switch {
	case err != nil:
		return nil, false, err
	case told.GetType() == event.NotificationSent:
		return nil, true, nil
	case told != nil:
		receipt := Receipt{Reference: told.GetNotice().GetReference(), Parts: told.GetNotice().GetParts(), PossibleDuplicate: twice}
		missing, err = outs(ctx, Sent(n, d.stage, event.Time(told), receipt))
		return missing, true, err
	case d.Trace == nil:
		return nil, false, nil
	}
	receipt, err := d.Trace(ctx, n)
	if err != nil || receipt == nil {
		return nil, false, err
	}
	receipt.PossibleDuplicate = twice
	missing, err = outs(ctx, Sent(n, d.stage, time.Now(), *receipt))
	return missing, true, err
}

// givenUp says in the log that the notification was given up.
func (d delivery) givenUp(in stage.Event[*notifyv1.Notification], cause error) []stage.Out {
	reason, fault := "gave-up", outcome.Ours
	if o := outcome.Of(cause); o.Cause() != "" {
		reason, fault = o.Cause(), o.Fault()
	}
	n := in.Data
	source, provider := n.GetSource(), n.GetProvider()
	if forged(reason) { // they may be anything, and labels are bounded
		source, provider = "", ""
	}
	d.metrics.failed.WithLabelValues(source, provider, d.channel, reason, string(fault)).Inc()
	if !named(n) {
		return nil // its events have no subject
	}
	e := Failed(n, d.stage, time.Now(), reason, fault)
	e.Notice.PossibleDuplicate = d.twice(in)
	if in.Replays > 0 { // a failure of its own: the log has heard of the first
		e.Id = event.DerivedID(e.GetId(), d.stage, "replay/"+strconv.Itoa(in.Replays))
	}
	failed, err := outs(context.Background(), e)
	if err != nil {
		return nil // only an event without an id fails, and this one has its id from DerivedID
	}
	return failed
}

// twice reports whether a message that is given up was sent more than once, and ends its hold. If the record cannot be read,
// one attempt of unknown outcome is enough.
func (d delivery) twice(in stage.Event[*notifyv1.Notification]) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := d.attempts.read(ctx, keyOf(in))
	if err != nil {
		return in.Unknown
	}
	d.over(ctx, in, &r)
	return r.Again
}

func outs(ctx context.Context, e *signingv1.SigningEvent) ([]stage.Out, error) {
	m, err := event.Message(ctx, e)
	if err != nil {
		return nil, outcome.Permanent(fmt.Errorf("tell the log: %w", err))
	}
	return []stage.Out{m}, nil
}
