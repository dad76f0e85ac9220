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
)

// delivery is the n-th of one message that was stored so long ago.
func delivery(n int, age time.Duration) *attempt {
	return &attempt{number: n, meta: &jetstream.MsgMetadata{
		Stream: "IN", Sequence: jetstream.SequencePair{Stream: 7}, NumDelivered: uint64(n), Timestamp: time.Now().Add(-age),
	}}
}

// An input that we put off ourselves neither raises the back-off nor uses up the retry budget, whatever the reason.
func TestWhatWePutOffDoesNotCount(t *testing.T) {
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
		puts   []error // taking turns, 300 times
		before []error // failures that count, before those
		age    time.Duration
		want   time.Duration // the mean delay after the next failure; 0 for given up
	}{
		"nothing":                         {1, nil, nil, 0, time.Second},
		"the memory away":                 {1, []error{ours("memory-away", dedupe.ErrAway)}, nil, day, time.Second},
		"the broker away":                 {1, []error{ours("publish", errPlain), ours("dlq", errPlain)}, nil, day, time.Second},
		"a rate limit, and others' claim": {1, []error{Later(time.Second, "rate-limit"), ours("held", errHeld)}, nil, day, time.Second},
		"a circuit that is open":          {1, []error{PutOff(time.Minute, "circuit-open", errPlain)}, nil, day, time.Second},
		"the end of a program":            {1, []error{ours("shutdown", context.Canceled)}, nil, day, time.Second},
		"two failures, then the memory":   {1, []error{ours("memory-away", dedupe.ErrAway)}, failures(2), day, 4 * time.Second},
		"for two days":                    {1, []error{ours("memory-away", dedupe.ErrAway)}, nil, 2 * day, time.Second},
		"by another process, before":      {400, []error{ours("memory-away", dedupe.ErrAway)}, nil, 2 * day, time.Second},
		"another process's attempts":      {400, nil, nil, 2 * day, 10 * time.Minute}, // not given up at the first failure seen
		"another's, and one here":         {400, nil, failures(1), 2 * day, 0},
	} {
		j := judge{p, newPutOffs()}
		n := c.first
		ends := func(err error) Verdict {
			a := delivery(n, c.age)
			j.putOffs.count(a)
			n++
			return j.of(a, err)
		}
		for _, err := range c.before {
			ends(err)
		}
		if len(c.puts) > 0 {
			for i := range 300 {
				v := ends(c.puts[i%len(c.puts)])
				if v.Kind != retry || v.Delay > time.Minute {
					t.Fatalf("%s: put off with %+v", name, v)
				}
			}
		}
		v := ends(errPlain)
		if mean := v.Delay + v.Spread/2; mean != c.want || (v.Kind == giveUp) != (c.want == 0) {
			t.Errorf("%s: %s, %v on average, want %v", name, v.Kind, mean, c.want)
		}
	}
}

// A long outage leaves no more entries than the limit, and inputs at work are not forgotten.
func TestPutOffsAreBounded(t *testing.T) {
	t.Parallel()
	p := newPutOffs()
	for n := range 3 * most {
		a := delivery(1, 0)
		a.meta.Sequence.Stream = uint64(n + 1)
		p.note(a, retry, ours("memory-away", errPlain))
	}
	if held := len(p.now) + len(p.before); held > 2*most {
		t.Errorf("%d are held", held)
	}
	last := delivery(2, 0)
	last.meta.Sequence.Stream = 3 * most
	if p.count(last); last.counts != 1 {
		t.Errorf("the last one's second delivery is attempt %d", last.counts)
	}
	p.note(last, done, nil)
	if p.count(last); last.counts != 2 {
		t.Error("what is done is still held")
	}
}

// settling is a message that tells its answer.
type settling struct {
	jetstream.Msg
	answer string
}

func (s *settling) NakWithDelay(time.Duration) error          { s.answer = "nak"; return nil }
func (s *settling) TermWithReason(string) error               { s.answer = "term"; return nil }
func (s *settling) DoubleAck(context.Context) error           { s.answer = "ack"; return nil }
func (s *settling) Metadata() (*jetstream.MsgMetadata, error) { return nil, nil }

// The verdict is made once a delivery: time that passes before the answer makes no last attempt of one that was not buried.
func TestTheVerdictIsMadeOnce(t *testing.T) {
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
		j := judge{p, newPutOffs()}
		first := delivery(1, 0)
		j.putOffs.count(first)
		j.of(first, errPlain)
		_, _ = chain(func(context.Context, *attempt) ([]Out, error) { return nil, errPlain },
			settled(new(nats.Conn), new(Floors), nil), slowly, buried(s, j, publisher{}))(t.Context(), a)
		if msg.answer != "nak" || a.verdict.Kind != retry {
			t.Errorf("answered %q after the verdict %+v", msg.answer, a.verdict)
		}
	})
}

// restoring refuses its first acks, as a server does that has not restored the consumer yet.
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

// A server takes connections before it has restored its consumers: an ack that no consumer hears is given again, unless the program ends.
func TestAnAckIsGivenAgainWhileTheConsumerIsRestored(t *testing.T) {
	t.Parallel()
	conn := setup(t).outside.Conn()
	for name, c := range map[string]struct {
		ends    chan struct{}
		refused int
		want    string
	}{"heard at the fourth": {nil, 3, "ack"}, "the program ends": {closed(), 1_000_000, ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			msg := &restoring{refusals: c.refused}
			a := delivery(1, 0)
			a.msg = msg
			_, _ = settled(conn, new(Floors), c.ends)(func(context.Context, *attempt) ([]Out, error) { return nil, nil })(t.Context(), a)
			if msg.answer != c.want || (a.unanswered == nil) != (c.want != "") {
				t.Errorf("answered %q, and %v", msg.answer, a.unanswered)
			}
		})
	}
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
