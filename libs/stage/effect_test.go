package stage

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"

	"github.com/signrelay/signrelay/libs/outcome"
)

func withID(id string) nats.Header { return nats.Header{"Nats-Msg-Id": {id}} }

func TestAnEffectInOrder(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.effect(h.memory())
	r.Do = func(context.Context, Event[string]) ([]Out, error) {
		h.record("send")
		return []Out{out("out.sent", "sent", "it was sent")}, nil
	}
	h.run(r)
	h.publish("input", withID("a"))
	h.expect("claim: claimed", "send", "confirm", "out.sent", "+ACK")
}

func TestAnEffectIsNotRedoneWhenItsOutputCannotBePublished(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.refuse("OUT", "out.>", true)
	r := h.effect(h.memory())
	r.Do = func(_ context.Context, _ Event[string]) ([]Out, error) {
		h.record("send")
		sent := out("out.sent", "sent", "it was sent")
		sent.Header.Set("ce-type", "signrelay.notification.sent.v1")
		return []Out{sent}, nil
	}
	h.run(r)
	h.publish("input", withID("a"))
	h.expect("claim: claimed", "send", "confirm", "out.sent", "-NAK after")
	for range 4 { // more often than MaxAttempts
		h.expect("claim: confirmed", "out.sent", "-NAK after")
	}
	h.refuse("OUT", "out.>", false)
	for line := h.next(); line != "+ACK"; line = h.next() {
		if line == "send" || line == "dlq.v1.tester" {
			t.Fatal(line)
		}
	}
	stored := h.stored("OUT")
	if len(stored) != 1 || string(stored[0].Data) != "it was sent" || stored[0].Subject != "out.sent" ||
		stored[0].Header.Get("Nats-Msg-Id") != "sent" || stored[0].Header.Get("ce-type") != "signrelay.notification.sent.v1" {
		t.Errorf("stored %+v, want the output as it was made", stored)
	}
}

func TestAFailedEffectReleasesItsClaim(t *testing.T) {
	t.Parallel()
	h := setup(t)
	m := h.memory()
	r := h.effect(m)
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.record("send, unknown %v", in.Unknown)
		if in.Attempt == 1 {
			return nil, errPlain
		}
		return nil, nil
	}
	h.run(r)
	h.publish("input", withID("a"))
	h.expect("claim: claimed", "send, unknown false", "release: undone", "-NAK after",
		"claim: claimed", "send, unknown false", "confirm", "+ACK")
}

func TestAnUnknownOutcomeStaysUnknown(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.effect(h.memory())
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.record("send, unknown %v", in.Unknown)
		switch in.Attempt {
		case 1:
			return nil, outcome.Unknown(errPlain)
		case 2:
			return nil, errPlain // this says nothing about the first attempt
		default:
			return nil, nil
		}
	}
	h.run(r)
	h.publish("input", withID("a"))
	h.expect("claim: claimed", "send, unknown false", "release: unknown", "-NAK after",
		"claim: pending", "send, unknown true", "release: unknown", "-NAK after",
		"claim: pending", "send, unknown true", "confirm", "+ACK")
}

func TestAPanicLeavesTheOutcomeUnknown(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.effect(h.memory())
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		if in.Attempt == 1 {
			panic("in the middle")
		}
		h.record("send, unknown %v", in.Unknown)
		return nil, nil
	}
	h.run(r)
	h.publish("input", withID("a"))
	h.expect("claim: claimed", "release: unknown", "-NAK after", "claim: pending", "send, unknown true", "confirm", "+ACK")
}

func TestAClaimLeftBehindIsUnknown(t *testing.T) {
	t.Parallel()
	h := setup(t)
	m := h.memory()
	m.hold("a")
	m.lapse()
	r := h.effect(m)
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.record("send, unknown %v", in.Unknown)
		return nil, nil
	}
	h.run(r)
	h.publish("input", withID("a"))
	h.expect("claim: pending", "send, unknown true", "confirm", "+ACK")
}

func TestAnInputThatAnotherWorkerClaimedIsRetried(t *testing.T) {
	t.Parallel()
	h := setup(t)
	m := h.memory()
	m.hold("a")
	h.run(h.effect(m))
	h.publish("input", withID("a"))
	for range 5 { // more often than MaxAttempts: it is no failure
		h.expect("claim: held", "-NAK after")
		if h.delay < 10*time.Millisecond || h.delay > 20*time.Millisecond {
			t.Errorf("delivered again after %v, want about the first delay each time", h.delay)
		}
	}
	m.put("a", entry{})
	for line := h.next(); line != "claim: claimed"; line = h.next() {
	}
	h.expect("do", "confirm", "+ACK")
}

func TestWithoutADedupeStoreNoEffectHappens(t *testing.T) {
	t.Parallel()
	h := setup(t)
	m := h.memory()
	m.failClaims = 5 // more often than MaxAttempts
	h.run(h.effect(m))
	h.publish("input", withID("a"))
	for range 5 {
		h.expect("dedupe store unavailable", "-NAK after")
	}
	h.expect("claim: claimed", "do", "confirm", "+ACK")
}

func TestConfirmIsTriedAgain(t *testing.T) {
	t.Parallel()
	h := setup(t)
	m := h.memory()
	m.failConfirms = 2
	h.run(h.effect(m))
	h.publish("input", withID("a"))
	h.expect("claim: claimed", "do", "confirm: unavailable", "confirm: unavailable", "confirm", "+ACK")
}

func TestUnconfirmedWorkKeepsItsClaim(t *testing.T) {
	t.Parallel()
	h := setup(t)
	m := h.memory()
	m.failConfirms = 1
	r := h.effect(m)
	r.Stage.Timeout, r.Stage.Policy.FirstDelay = 100*time.Millisecond, 500*time.Millisecond // no second try in time
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		h.record("send, unknown %v", in.Unknown)
		return []Out{out("out.sent", "sent", "")}, nil
	}
	h.run(r)
	h.publish("input", withID("a"))
	// The outputs are in the log, so the next attempt finds that the work was done.
	h.expect("claim: claimed", "send, unknown false", "confirm: unavailable", "out.sent", "-NAK after")
	m.lapse()
	h.expect("claim: pending", "send, unknown true", "confirm", "out.sent", "+ACK")
}

func TestASkippedEffectReleasesItsClaim(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.effect(h.memory())
	r.Do = func(context.Context, Event[string]) ([]Out, error) { return nil, outcome.Skip("not-ours") }
	h.run(r)
	h.publish("input", withID("a"))
	h.expect("claim: claimed", "release: undone", "+ACK")
}

// A slow effect keeps its claim until it ends, and then releases it.
func TestAClaimIsExtendedDuringASlowEffect(t *testing.T) {
	t.Parallel()
	h := setup(t)
	m := h.memory()
	r := h.effect(m)
	r.Lease = 60 * time.Millisecond
	extended := make(chan struct{})
	m.claimed = func(n int) {
		if n == 4 { // the claim itself and three extensions
			close(extended)
		}
	}
	r.Do = func(ctx context.Context, _ Event[string]) ([]Out, error) {
		select {
		case <-extended:
		case <-ctx.Done():
			t.Error("the attempt was cancelled")
		}
		return nil, nil
	}
	h.run(r)
	h.publish("input", withID("a"))
	for line := h.next(); line != "confirm"; line = h.next() {
		if line != "claim: claimed" {
			t.Fatalf("got %q", line)
		}
	}
	h.expect("+ACK")
}

// A worker that lost its claim to another worker stops, because both would do the same work.
func TestAnEffectEndsWhenItsClaimIsLost(t *testing.T) {
	t.Parallel()
	h := setup(t)
	m := h.memory()
	r := h.effect(m)
	r.Lease = 30 * time.Millisecond
	r.Do = func(ctx context.Context, _ Event[string]) ([]Out, error) {
		m.hold("a")
		<-ctx.Done()
		return nil, outcome.Unknown(context.Cause(ctx))
	}
	h.run(r)
	h.publish("input", withID("a"))
	h.expect("claim: claimed", "claim: held", "release: unknown", "-NAK after", "claim: held")
}

// If the dedupe store has a gap, the outcome of an input is unknown only if it was stored before the end of the gap. The number of deliveries does
// not matter: a NATS that was restored from a backup counts from 1 again.
func TestOnlyAnInputFromBeforeTheEndOfTheGapIsUnknown(t *testing.T) {
	t.Parallel()
	stored := time.Now()
	before, after := event.Span{Until: stored.Add(-time.Second)}, event.Span{Until: stored.Add(time.Second)}
	for name, c := range map[string]struct {
		found   dedupe.Claim
		number  int
		unknown bool
	}{
		"a lapsed claim":                          {dedupe.Claim{}, 1, true},
		"stored after the gap":                    {dedupe.Claim{Gap: true, Span: before}, 1, false},
		"stored after the gap, delivered before":  {dedupe.Claim{Gap: true, Span: before}, 3, false},
		"stored before its end":                   {dedupe.Claim{Gap: true, Span: after}, 1, true},
		"stored before its end, delivered before": {dedupe.Claim{Gap: true, Span: after}, 2, true},
		"a gap whose end is not known":            {dedupe.Claim{Gap: true}, 1, true},
	} {
		a := &attempt{number: c.number, input: Input{FirstSeen: stored}}
		if a.markUnknown(c.found); a.unknown != c.unknown {
			t.Errorf("%s: unknown %v, want %v", name, a.unknown, c.unknown)
		}
	}
}

// A claim has a short lease until its effect may have happened. From then on it has the lease of Runner.Left.
func TestAClaimHasALongLeaseOnceItsEffectMayHaveHappened(t *testing.T) {
	t.Parallel()
	h := setup(t)
	extended := make(chan string, 100)
	m := h.memory()
	r := h.effect(m)
	r.Claims, r.Left = leasing{m, "short", extended}, leasing{m, "long", extended}
	r.Lease = 30 * time.Millisecond
	r.Do = func(ctx context.Context, _ Event[string]) ([]Out, error) {
		for range 3 { // the claim and two extensions
			if lease := await(t, extended, "an extension"); lease != "short" {
				t.Errorf("a %s lease before the effect", lease)
			}
		}
		Left(ctx)
		for await(t, extended, "the longer lease") == "short" { // an extension that was already in progress
		}
		for range 2 {
			if lease := await(t, extended, "another extension"); lease != "long" {
				t.Errorf("a %s lease after the effect", lease)
			}
		}
		return nil, nil
	}
	h.run(r)
	h.publish("input", withID("a"))
	for line := h.next(); line != "+ACK"; line = h.next() {
	}
}

// leasing is a dedupe store that reports the lease of each claim.
type leasing struct {
	*memory
	lease  string
	leases chan<- string
}

func (l leasing) Claim(ctx context.Context, owner string, ids ...string) ([]dedupe.Claim, error) {
	defer func() { l.leases <- l.lease }()
	return l.memory.Claim(ctx, owner, ids...)
}
