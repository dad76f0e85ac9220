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
	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Send sends one message to the vendor. It fails with an outcome that names the party at fault (outcome.Failure, RetryAfter, Unknown,
// NeedsOperator, Refused), or with outcome.Later if nothing was tried. It calls Left when it has sent the whole request.
type Send func(context.Context, *notifyv1.Notification) (Receipt, error)

// Sender is the part of a sender that differs between channels.
type Sender struct {
	Send Send
	// Compose returns the message that Send sends; nil if it is not known.
	Compose func(*notifyv1.Notification) (Composed, error)
	// Links are the links that a message may contain.
	Links Links
	// Vendor is the vendor's name in metrics and logs: "vonage", "smtp".
	Vendor string
	// Destination fails with NotAllowed if the settings do not allow a message to the person's address; nil allows every address.
	Destination func(*notifyv1.Notification) error
	// Settings returns a comparable value that changes when an operator changes the account; nil if the account never changes.
	Settings func() any
	// FindReceipt returns a receipt of the vendor which shows that an earlier attempt sent n, or nil. The field is nil for a vendor without
	// receipts.
	FindReceipt func(ctx context.Context, n *notifyv1.Notification) (*Receipt, error)
	// ReceiptWithin is the time within which the receipt of an attempt of unknown outcome arrives. The message is not sent again before. 0
	// for a vendor without receipts.
	ReceiptWithin time.Duration
	// Now is the clock for the age of held messages and for the times that people see; nil for that of the environment.
	Now func() time.Time
}

// Deliver runs a sender whose vendor has no receipts.
func Deliver(ctx context.Context, env service.Env, place flow.Stage, links Links, send Send) error {
	channel, _ := event.ChannelOfStage(place.Name)
	return Sender{Send: send, Links: links, Vendor: channel.Name}.Deliver(ctx, env, place)
}

// leaseFor is the lease of a claim before the message is sent, and after it if the vendor has no receipts. It is shorter than the time after
// which the broker redelivers a dead sender's message. An attempt extends its claim while it runs.
const leaseFor = flow.AckWait - time.Second

// Deliver runs a sender: it works at its stage until ctx ends, and sends each notification once.
func (s Sender) Deliver(ctx context.Context, env service.Env, place flow.Stage) error {
	bucket, err := env.JS.KeyValue(ctx, flow.Attempts)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", flow.Attempts, err)
	}
	if s.Now == nil {
		s.Now = env.Now
	}
	channel, ok := event.ChannelOfStage(place.Name)
	if !ok {
		return fmt.Errorf("stage %s sends the messages of no channel", place.Name)
	}
	d := delivery{
		Sender: s, stage: place.Name, channel: channel.Name, js: env.JS, log: event.Log{JS: env.JS, Stream: flow.Signing}, attempts: attempts{bucket}, logger: env.Log, sent: new(sentMessages),
	}
	d.causes = &causes{log: d.log}
	if d.optOuts, err = optout.Open(ctx, env.JS, keyring.New(env.Config.MasterKeys())); err != nil {
		return err
	}
	d.limits = newLimits(env, channel, s.Destination)
	if d.metrics, err = newMetrics(env.Metrics, channel.Name); err != nil {
		return err
	}
	if d.gates, err = newGates(ctx, env, bucket, channel.Name, s.Vendor, s.Settings); err != nil {
		return err
	}
	due := flow.DueStage(channel.Name) // for messages that waited for their time
	due.Policy = place.Policy
	runners := []stage.Runner[*notifyv1.Notification]{d.runner(env, place), d.runner(env, due)}
	env.Up()
	both, ctx := errgroup.WithContext(ctx)
	for _, r := range runners {
		both.Go(func() error { return r.Run(ctx) })
	}
	return both.Wait()
}

func (d delivery) runner(env service.Env, place flow.Stage) stage.Runner[*notifyv1.Notification] {
	claims := dedupe.Options{Namespace: flow.ClaimsOf(place.Name), Lease: leaseFor, Remember: flow.RememberSent, Waits: true}
	r := stage.Runner[*notifyv1.Notification]{
		Stage: place, JS: env.JS, Decode: Decode, Do: d.do, GivenUp: d.givenUp, Keep: d.keep, Rebuild: d.rebuild,
		Claims: env.Claims(claims), Lease: leaseFor, Log: env.Log, Metrics: env.Metrics,
	}
	if d.ReceiptWithin > 0 { // after the message was sent, the claim lapses only when its receipt would have arrived
		claims.Lease = d.ReceiptWithin + 10*time.Second
		r.Left = env.Claims(claims)
	}
	return r
}

// delivery is the common part of all senders: the work around the one call that sends a message.
type delivery struct {
	Sender
	stage    string // the stage's name
	channel  string // the channel's name
	js       jetstream.JetStream
	log      event.Log // SIGNING
	attempts attempts
	causes   *causes
	optOuts  optout.Store
	limits   limits
	gates    *gates
	metrics  metrics
	logger   *slog.Logger
	sent     *sentMessages
}

// bucketRetry is the delay of a message while the bucket is unavailable.
const bucketRetry = time.Second

// do sends the notification and publishes the result. If an earlier attempt may have sent it, do first searches for proof. If it finds none,
// it sends the message and marks it as a possible duplicate.
func (d delivery) do(ctx context.Context, in stage.Event[*notifyv1.Notification]) ([]stage.Out, error) {
	in, deferrals := resumed(in)
	n, now := in.Data, time.Now()
	if !named(n) {
		return nil, outcome.Refused(outcome.Ours, causeUnknown, errors.New("the message's source or provider is not a valid name"))
	}
	var r record
	if in.Attempt > 1 || in.Unknown || in.Replays > 0 || deferrals > 0 {
		var err error
		if r, err = d.attempts.read(ctx, keyOf(in)); err != nil {
			return nil, outcome.PutOff(bucketRetry, "attempts-away", err)
		}
	}
	if in.Unknown || in.Replays > 0 || forgotten(n, now) { // a dead letter is kept 15 days longer than the claims
		outs, found, err := d.earlier(ctx, n, r.Again)
		if err != nil {
			return nil, err
		}
		if found {
			d.endHold(ctx, in, &r)
			return outs, nil
		}
	}
	if forgotten(n, now) {
		outs, settled, err := d.settled(ctx, in, now)
		if err != nil {
			return nil, err
		}
		if settled {
			d.endHold(ctx, in, &r)
			return outs, nil
		}
	}
	if r.Unknown >= mostUnknown {
		return nil, outcome.Refused(outcome.Provider, "outcome-unknown", fmt.Errorf("sent %d times, each with unknown outcome", r.Tries))
	}
	if err := d.verify(ctx, in); err != nil {
		return nil, err
	}
	if outs, obsolete, err := d.suppressObsolete(ctx, n, deferrals == 0 && fresh(n, now)); err != nil {
		return nil, err
	} else if obsolete {
		d.endHold(ctx, in, &r)
		return outs, nil
	}
	if outs, unwanted, err := d.suppressUnwanted(ctx, n, now); err != nil {
		return nil, err
	} else if unwanted {
		d.endHold(ctx, in, &r)
		return outs, nil
	}
	if until, waits := quietUntil(n, d.Now()); waits {
		return d.deferred(ctx, in, deferrals, &r, d.until(QuietHours, until))
	}
	if room, err := d.limited(ctx, in, &r); err != nil {
		return nil, err
	} else if room > 0 {
		return d.overDaily(ctx, in, deferrals, &r, room)
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
			return nil, outcome.PutOff(bucketRetry, "attempts-away", err)
		}
	}
	receipt, err := d.send(ctx, in, &r, pass)
	if err != nil {
		return nil, d.failed(context.WithoutCancel(ctx), in, &r, again, err)
	}
	d.endHold(ctx, in, &r)
	d.sent.put(in.ID, receipt.Composed)
	receipt.Expected = d.ReceiptWithin > 0
	if receipt.PossibleDuplicate = in.Unknown || r.Again; receipt.PossibleDuplicate {
		d.metrics.unknown.WithLabelValues(event.ChannelName(n.GetChannel())).Inc()
	}
	d.metrics.sent.WithLabelValues(n.GetSource(), n.GetProvider(), event.ChannelName(n.GetChannel()), event.KindName(n.GetKind())).Inc()
	published, err := outs(ctx, Sent(n, d.stage, d.Now(), receipt))
	if err != nil || receipt.PartsRefused == "" {
		return published, err
	}
	d.metrics.failed.WithLabelValues(n.GetSource(), n.GetProvider(), event.ChannelName(n.GetChannel()), receipt.Reason, string(receipt.Fault)).Inc()
	undelivered, err := outs(ctx, Undelivered(n, d.stage, d.Now(), receipt))
	return append(published, undelivered...), err
}

// send makes the one call, and reports its result to the gates. A panic after the request left is an unknown outcome.
func (d delivery) send(ctx context.Context, in stage.Event[*notifyv1.Notification], r *record, p pass) (receipt Receipt, err error) {
	var left atomic.Bool
	returned := false
	defer func() {
		if returned {
			return
		}
		p.end(outcome.Outcome{}, false)
		if left.Load() {
			r.Unknown++ // it always counts, because this program is at fault
			r.Tries, r.Last = r.Tries+1, time.Now()
			_ = d.attempts.write(context.WithoutCancel(ctx), keyOf(in), r) // if it fails, one attempt is not counted
		}
	}()
	receipt, err = d.Send(OnLeft(ctx, func() { left.Store(true) }), in.Data)
	returned = true
	o := outcome.Of(err)
	p.end(o, (tried(o) || err == nil) && ctx.Err() == nil)
	return receipt, err
}

// unknown records an attempt with an unknown outcome.
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
		d.gates.hold(ctx, o)
		return d.hold(ctx, in, r, before, 1, outcome.PutOff(recheckAfter, "operator", err))
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
	err = outcome.Since(since, errors.Join(waitForReceipt(err, d.ReceiptWithin), unwritten))
	if o.Scope() == outcome.Service && failing != "" {
		return d.orExpired(in.Stored, in.Replays, outcome.PutOff(max(r.tooSoon(time.Now()), circuitPauses.First), "circuit-open", err))
	}
	return err
}

// wait postpones a message at a closed gate. Nothing was tried.
func (d delivery) wait(ctx context.Context, in stage.Event[*notifyv1.Notification], r *record, closed *refusal) error {
	if !operatorMustAct(closed.why) {
		return d.orExpired(in.Stored, in.Replays, errors.Join(outcome.Later(closed.wait, "circuit-open"), closed.why))
	}
	return d.hold(ctx, in, r, *r, 0, errors.Join(outcome.Later(closed.wait, "operator"), closed.why))
}

// hold records a message as held, unless it is held already, and publishes notification.deferred once. tries is 1 if the message was just tried. err is
// the error for the stage.
func (d delivery) hold(ctx context.Context, in stage.Event[*notifyv1.Notification], r *record, before record, tries int, err error) error {
	n, now, o := in.Data, time.Now(), outcome.Of(err)
	country := ""
	if forbidden := new(notAllowedError); errors.As(err, &forbidden) {
		country = forbidden.country
	}
	if r.Held == nil || r.Held.Reason != o.Cause() || o.Scope() == outcome.Input && r.Held.Limits != d.limits.fingerprint {
		held := &heldRecord{ByReason: o.Scope() == outcome.Reason, Person: event.Public(n.GetTo().GetRecipientId()), Held: Held{
			Since: now, Reason: o.Cause(), Fault: o.Fault(), Channel: event.ChannelName(n.GetChannel()), ID: n.GetId(),
			Source: n.GetSource(), Provider: n.GetProvider(), Document: n.GetDocumentId(), Kind: event.KindName(n.GetKind()), Country: country,
		}}
		if o.Scope() == outcome.Input {
			held.Limits, held.Input = d.limits.fingerprint, in.ID
		}
		switch {
		case r.Held != nil:
			held.Since, held.Tries = r.Held.Since, r.Held.Tries
		case r.Resumed.IsZero():
			if unpublished := d.publish(ctx, Deferred(n, d.stage, now, o.Cause(), o.Fault(), country)); unpublished != nil {
				return errors.Join(err, unpublished)
			}
		}
		r.Held = held
	}
	if tries > 0 {
		tried := *r.Held
		tried.Tries += tries
		r.Held = &tried
	}
	if *r != before {
		if unwritten := d.attempts.write(ctx, keyOf(in), r); unwritten != nil {
			err = errors.Join(err, unwritten)
		}
	}
	d.metrics.held.add(n.GetId(), o.Cause())
	since := in.Stored
	if in.Replays > 0 { // it was stored before the replay
		since = r.Held.Since
	}
	return d.orExpired(since, 0, err)
}

// orExpired returns err, or gives up a message that has waited for as long as NOTIFY keeps it. A replay is in another stream, which
// keeps it longer.
func (d delivery) orExpired(since time.Time, replays int, err error) error {
	if replays == 0 && d.Now().Sub(since) > heldFor {
		return outcome.Permanent(err)
	}
	return err
}

// publish publishes an event of a message that is not done yet.
func (d delivery) publish(ctx context.Context, e *signingv1.SigningEvent) error {
	m, err := event.Message(ctx, e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := d.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("publish a notification's event: %w", err)
	}
	return nil
}

// endHold ends the hold of a message that is done, so that it is no longer listed or counted.
func (d delivery) endHold(ctx context.Context, in stage.Event[*notifyv1.Notification], r *record) {
	d.metrics.held.remove(in.Data.GetId())
	if r.Held == nil {
		return
	}
	r.Held, r.Resumed = nil, time.Now()
	if err := d.attempts.write(context.WithoutCancel(ctx), keyOf(in), r); err != nil {
		d.logger.WarnContext(ctx, "a message that is done is still listed as held", "id", in.Data.GetId(), "error", err)
	}
}

// earlier searches for proof that an earlier attempt sent n. It returns the events that the log lacks: none if the log has notification.sent,
// and that event if there is only a delivery receipt. twice is true if n was sent more than once, before with an unknown outcome.
func (d delivery) earlier(ctx context.Context, n *notifyv1.Notification, twice bool) (missing []stage.Out, found bool, err error) {
	logged, err := Earlier(ctx, d.log, n)
	switch {
	case err != nil:
		return nil, false, err
	case logged.GetType() == event.NotificationSent:
		return nil, true, nil
	case logged != nil:
		receipt := Receipt{Reference: logged.GetNotice().GetReference(), Parts: logged.GetNotice().GetParts(), PossibleDuplicate: twice, Expected: d.ReceiptWithin > 0}
		missing, err = outs(ctx, Sent(n, d.stage, event.Time(logged), receipt))
		return missing, true, err
	case d.FindReceipt == nil:
		return nil, false, nil
	}
	receipt, err := d.FindReceipt(ctx, n)
	if err != nil || receipt == nil {
		return nil, false, err
	}
	receipt.PossibleDuplicate, receipt.Expected = twice, d.ReceiptWithin > 0
	missing, err = outs(ctx, Sent(n, d.stage, d.Now(), *receipt))
	return missing, true, err
}

// givenUp returns the event that the notification was given up.
func (d delivery) givenUp(in stage.Event[*notifyv1.Notification], cause error) []stage.Out {
	in, _ = resumed(in)
	reason, fault := "gave-up", outcome.Ours
	if o := outcome.Of(cause); o.Cause() != "" {
		reason, fault = o.Cause(), o.Fault()
	}
	n := in.Data
	source, provider := n.GetSource(), n.GetProvider()
	if forged(reason) { // they may contain any text, and labels are bounded
		source, provider = "", ""
	}
	d.metrics.failed.WithLabelValues(source, provider, d.channel, reason, string(fault)).Inc()
	if !named(n) {
		return nil // its events have no subject
	}
	e := Failed(n, d.stage, d.Now(), reason, fault)
	e.Notice.PossibleDuplicate = d.twice(in)
	if in.Replays > 0 { // not the same failure as the first one, which the log has
		e.Id = event.DerivedID(e.GetId(), d.stage, "replay/"+strconv.Itoa(in.Replays))
	}
	failed, err := outs(context.Background(), e)
	if err != nil {
		return nil // it fails only for an event without an id, and this one has an id from DerivedID
	}
	return failed
}

// twice ends the hold of a message that is given up, and reports whether it was sent more than once. If the record cannot be read, it reports
// whether there was an attempt with an unknown outcome.
func (d delivery) twice(in stage.Event[*notifyv1.Notification]) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := d.attempts.read(ctx, keyOf(in))
	if err != nil {
		return in.Unknown
	}
	d.endHold(ctx, in, &r)
	return r.Again
}

func outs(ctx context.Context, e *signingv1.SigningEvent) ([]stage.Out, error) {
	m, err := event.Message(ctx, e)
	if err != nil {
		return nil, outcome.Permanent(fmt.Errorf("publish a notification's event: %w", err))
	}
	return []stage.Out{m}, nil
}
