package stage

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// delivery returns the n-th delivery of a message of the given age.
func delivery(n int, age time.Duration) *attempt {
	return &attempt{number: n, meta: &jetstream.MsgMetadata{
		Stream: "IN", Sequence: jetstream.SequencePair{Stream: 7}, NumDelivered: uint64(n), Timestamp: time.Now().Add(-age),
	}}
}

// A delivery that we postpone ourselves neither raises the backoff nor uses up attempts, whatever the reason.
func TestPostponedDeliveriesDoNotCount(t *testing.T) {
	t.Parallel()
	p := flow.StageNamed(flow.SMSSender).Policy
	const day = 24 * time.Hour
	failures := func(n int) (all []error) {
		for range n {
			all = append(all, errPlain)
		}
		return all
	}
	for name, c := range map[string]struct {
		first  int     // the number of the first delivery that this process sees
		puts   []error // 300 times, each in turn
		before []error // failures that count, before those
		age    time.Duration
		want   time.Duration // the mean delay after the next failure; 0 for given up
	}{
		"nothing":                                            {1, nil, nil, 0, time.Second},
		"the dedupe store is unavailable":                    {1, []error{outcome.Away("memory-away", dedupe.ErrUnavailable)}, nil, day, time.Second},
		"the broker is unavailable":                          {1, []error{outcome.Away("publish", errPlain), outcome.Away("dlq", errPlain)}, nil, day, time.Second},
		"a rate limit, and another's claim":                  {1, []error{outcome.Later(time.Second, "rate-limit"), outcome.Away("held", errHeld)}, nil, day, time.Second},
		"a circuit that is open":                             {1, []error{outcome.PutOff(time.Minute, "circuit-open", errPlain)}, nil, day, time.Second},
		"the end of a program":                               {1, []error{outcome.Away("shutdown", context.Canceled)}, nil, day, time.Second},
		"two failures, then the dedupe store is unavailable": {1, []error{outcome.Away("memory-away", dedupe.ErrUnavailable)}, failures(2), day, 4 * time.Second},
		"for two days":                                       {1, []error{outcome.Away("memory-away", dedupe.ErrUnavailable)}, nil, 2 * day, time.Second},
		"by another process, before":                         {400, []error{outcome.Away("memory-away", dedupe.ErrUnavailable)}, nil, 2 * day, time.Second},
		"another process's attempts":                         {400, nil, nil, 2 * day, 10 * time.Minute}, // not given up at the first failure seen
		"another's, and one here":                            {400, nil, failures(1), 2 * day, 0},
	} {
		d := decider{p, newPostponed(), time.Now}
		n := c.first
		ends := func(err error) Decision {
			a := delivery(n, c.age)
			n++
			d.begin(a)
			d.decide(a, err)
			d.end(a)
			return a.decision
		}
		for _, err := range c.before {
			ends(err)
		}
		if len(c.puts) > 0 {
			for i := range 300 {
				v := ends(c.puts[i%len(c.puts)])
				if v.Kind != retry || v.Delay > time.Minute {
					t.Fatalf("%s: postponed with %+v", name, v)
				}
			}
		}
		v := ends(errPlain)
		if mean := v.Delay + v.Spread/2; mean != c.want || (v.Kind == giveUp) != (c.want == 0) {
			t.Errorf("%s: %s, %v on average, want %v", name, v.Kind, mean, c.want)
		}
	}
}

// A long outage leaves at most the limit of entries, and inputs in flight are not forgotten.
func TestPostponedIsBounded(t *testing.T) {
	t.Parallel()
	p := newPostponed()
	for n := range 3 * most {
		a := delivery(1, 0)
		a.meta.Sequence.Stream = uint64(n + 1)
		a.outcome, a.decision.Kind = outcome.Of(outcome.Away("memory-away", errPlain)), retry
		p.note(a)
	}
	if held := len(p.now) + len(p.before); held > 2*most {
		t.Errorf("%d entries are stored", held)
	}
	last := delivery(2, 0)
	last.meta.Sequence.Stream = 3 * most
	if p.count(last); last.counts != 1 {
		t.Errorf("the last one's second delivery is attempt %d", last.counts)
	}
	last.decision.Kind = done
	p.note(last)
	if p.count(last); last.counts != 2 {
		t.Error("a completed input is still remembered")
	}
}

// settling is a message that records how it was settled.
type settling struct {
	jetstream.Msg
	settlement string
}

func (s *settling) NakWithDelay(time.Duration) error          { s.settlement = "nak"; return nil }
func (s *settling) TermWithReason(string) error               { s.settlement = "term"; return nil }
func (s *settling) DoubleAck(context.Context) error           { s.settlement = "ack"; return nil }
func (s *settling) Metadata() (*jetstream.MsgMetadata, error) { return nil, nil }

// The decision is made once for each delivery: time that passes before the settlement does not turn a retry into a give-up.
func TestTheDecisionIsMadeOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := flow.Policy{MaxAttempts: 2, FirstDelay: time.Second, MaxDelay: time.Second}
		s := flow.Stage{Name: "tester", Policy: p}
		msg := new(settling)
		a := delivery(2, 700*time.Millisecond) // 50 ms before the second attempt counts, and so is the last
		a.msg = msg
		slowly := func(next handler) handler {
			return func(ctx context.Context, a *attempt) ([]Out, error) {
				outs, err := next(ctx, a)
				time.Sleep(time.Second)
				return outs, err
			}
		}
		d := decider{p, newPostponed(), time.Now}
		first := delivery(1, 0)
		d.begin(first)
		d.decide(first, errPlain)
		d.end(first)
		_, _ = chain(func(context.Context, *attempt) ([]Out, error) { return nil, errPlain },
			settled(new(nats.Conn), new(Floors), new(acks), nil), slowly, decided(s, d, publisher{}))(t.Context(), a)
		if msg.settlement != "nak" || a.decision.Kind != retry {
			t.Errorf("%q after the decision %+v", msg.settlement, a.decision)
		}
	})
}

// restoring refuses the first acks that it must confirm, like a server that has not restored the consumer yet.
type restoring struct {
	settling
	refusals int
}

func (r *restoring) DoubleAck(ctx context.Context) error {
	if r.refusals--; r.refusals >= 0 {
		return nats.ErrNoResponders
	}
	return r.settling.DoubleAck(ctx)
}

// A server accepts connections before it has restored its consumers: an ack that no consumer receives is sent again, unless the program ends.
func TestAnAckIsSentAgainWhileTheConsumerIsRestored(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for name, c := range map[string]struct {
		ends    chan struct{}
		refused int
		want    string
	}{"received at the fourth": {nil, 3, "ack"}, "the program ends": {closed(), 1_000_000, ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, _ := h.connect()
			msg := &restoring{refusals: c.refused}
			a := delivery(1, 0)
			a.msg = msg
			_, _ = settled(conn, new(Floors), new(acks), c.ends)(func(context.Context, *attempt) ([]Out, error) {
				before := conn.Stats().Reconnects
				h.must(conn.ForceReconnect())
				for conn.Stats().Reconnects == before || !conn.IsConnected() {
					time.Sleep(time.Millisecond)
				}
				return nil, nil
			})(t.Context(), a)
			if msg.settlement != c.want || (a.unsettled == nil) != (c.want != "") {
				t.Errorf("settled with %q, and %v", msg.settlement, a.unsettled)
			}
		})
	}
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// An input whose dead letter could not be stored is given up at its next delivery: after the stream's outage, this process still
// remembers its attempt.
func TestAnInputWhoseDeadLetterIsNotStoredIsGivenUpNextTime(t *testing.T) {
	t.Parallel()
	p := flow.Policy{MaxAttempts: 2, FirstDelay: time.Second, MaxDelay: time.Second}
	d := decider{p, newPostponed(), time.Now}
	for n, want := range []struct {
		decided, settled Kind
		away             error
	}{
		{retry, retry, nil},
		{giveUp, retry, outcome.Away("dlq", errPlain)},
		{giveUp, retry, errPlain}, // any part was unavailable
		{giveUp, retry, outcome.Permanent(errPlain)},
		{giveUp, giveUp, nil},
	} {
		a := delivery(n+1, time.Hour)
		d.begin(a)
		d.decide(a, errPlain)
		if a.decision.Kind != want.decided {
			t.Errorf("delivery %d: decided %+v", n+1, a.decision)
		}
		if want.away != nil {
			d.retryInstead(a, want.away)
		}
		d.end(a)
		if a.decision.Kind != want.settled {
			t.Errorf("delivery %d: settled %+v", n+1, a.decision)
		}
	}
}
