package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// record is an input of an ordered stage. Its data is "lane/number/fate".
type record struct {
	lane, number int
	fate         string
}

// The fates of a record: the result that Write reports for it.
const (
	passes = "passes"
	fails  = "fails"  // three times, then it passes
	named  = "named"  // as fails, and the other side names a delay
	away   = "away"   // as fails, because one of our own parts is unavailable
	panics = "panics" // as fails, with a panic
	never  = "never"  // it is refused permanently
	skips  = "skips"
	barred = "barred" // it cannot be decoded
	breaks = "breaks" // Decode panics
)

var fates = []string{passes, fails, named, away, panics, never, skips, barred, breaks}

// decodeRecord is the Decode function of the ordered stages in this file.
func decodeRecord(in Input) (r record, err error) {
	part := strings.Split(string(in.Data), "/")
	r.lane, _ = strconv.Atoi(part[0])
	r.number, _ = strconv.Atoi(part[1])
	switch r.fate = part[2]; r.fate {
	case barred:
		return r, errors.New("cannot be read")
	case breaks:
		panic("cannot be read")
	}
	return r, nil
}

// otherSide stores the records of each lane. Its stop is called in the middle of a write.
type otherSide struct {
	mu      sync.Mutex
	stored  map[int][]int // the numbers, by lane
	tries   map[int]int   // of a number
	writes  int           // records until stop is called; 0 for never
	stop    func()
	partial func() bool // a write ends early, and no record is at fault
}

func (s *otherSide) write(_ context.Context, lane int, records []record) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, r := range records {
		s.tries[r.number]++
		if s.partial() {
			return n, errors.New("the connection broke")
		}
		first := s.tries[r.number] <= 3
		switch {
		case first && r.fate == fails:
			return n, errors.New("it failed")
		case first && r.fate == named:
			return n, outcome.RetryAfter(time.Millisecond, errors.New("it failed"))
		case first && r.fate == away:
			return n, outcome.Away("memory-away", errors.New("it failed"))
		case first && r.fate == panics && n == 0: // a panic in the middle of a write leaves its progress unknown
			panic("it failed")
		case first && r.fate == panics:
			return n, errors.New("the next one is written alone")
		case r.fate == never:
			return n, outcome.PermanentFor("refused", errors.New("it is too large"))
		case r.fate == skips:
			return n, outcome.Skip("not-wanted")
		}
		s.stored[lane] = append(s.stored[lane], r.number)
		if s.writes--; s.writes == 0 {
			s.stop()
		}
	}
	return len(records), nil
}

// quiet is an Observer that counts.
type quiet struct {
	mu      sync.Mutex
	dropped map[string]int
	failed  []error
	settled int
}

func (q *quiet) Failed(_ context.Context, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failed = append(q.failed, err)
}
func (q *quiet) Passed(context.Context) {}
func (q *quiet) Active(bool)            {}
func (q *quiet) Waiting(int)            {}
func (q *quiet) Dropped(reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dropped == nil {
		q.dropped = map[string]int{}
	}
	q.dropped[reason]++
}
func (q *quiet) Window(_ context.Context, settled int, _ time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settled += settled
}

// ordered returns an ordered stage on inputs of a subject, with its own consumer.
func (h *harness) ordered(name string, window int) Ordered[record] {
	h.Helper()
	_, err := h.outside.CreateConsumer(context.Background(), "IN", jetstream.ConsumerConfig{
		Durable: name, FilterSubject: "in." + name, AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1, MaxAckPending: window,
		AckWait: 10 * time.Second, PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{flow.Active}, PinnedTTL: 1500 * time.Millisecond,
	})
	h.must(err)
	return Ordered[record]{
		Stage: flow.Stage{Name: name, Stream: "IN", Workers: window, Ordered: true}, JS: h.js,
		Backoff: flow.Policy{FirstDelay: time.Millisecond, MaxDelay: 5 * time.Millisecond},
		Decode:  decodeRecord, Observer: &quiet{}, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		Reach: func(context.Context) error { return nil },
		Lanes: func(context.Context) (func(record) int, error) { return func(r record) int { return r.lane }, nil },
	}
}

// settlements records the acks and terminations of a stage's messages: their sequences, in the order in which they were sent.
func (h *harness) settlements(name string) (settled func() []uint64) {
	h.Helper()
	wire := make(chan *nats.Msg, 10_000)
	conn, _ := h.connect()
	_, err := conn.ChanSubscribe("$JS.ACK.IN."+name+".>", wire)
	h.must(err)
	h.must(conn.Flush())
	var all []uint64
	return func() []uint64 {
		h.must(h.nc.Flush()) // the runner's, then ours: afterwards the channel has everything that the runner sent
		h.must(conn.Flush())
		for len(wire) > 0 {
			m := <-wire
			if data := string(m.Data); data == "+ACK" || strings.HasPrefix(data, "+TERM ") {
				sequence, _ := strconv.ParseUint(strings.Split(m.Subject, ".")[5], 10, 64)
				all = append(all, sequence)
			}
		}
		return slices.Clone(all)
	}
}

// left returns the number of a stage's inputs that are not settled.
func (h *harness) left(name string) int {
	h.Helper()
	c, err := h.outside.Consumer(context.Background(), "IN", name)
	h.must(err)
	return int(c.CachedInfo().NumPending) + c.CachedInfo().NumAckPending
}

// The invariants of an ordered stage, for random windows, lanes, failures and stops:
//   - The other side gets each record of a lane once, in order; never one whose fate is to be given up or skipped.
//   - After each stop, exactly the inputs are settled that the other side confirmed, that were skipped, or whose dead letter is stored.
//   - In a lane, no input is settled before an earlier one.
func TestInvariantsOfAnOrderedStage(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for seed := range uint64(24) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			part := *h
			part.T = t
			part.law(fmt.Sprintf("law%d", seed), rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func (h *harness) law(name string, random *rand.Rand) {
	lanes, inputs := 1+random.IntN(4), 1+random.IntN(60)
	r := h.ordered(name, 1+random.IntN(16))
	settled := h.settlements(name)
	records := map[uint64]record{} // by sequence
	numbered := map[int]uint64{}
	for n := range inputs {
		at := record{lane: random.IntN(lanes), number: n, fate: passes}
		if random.IntN(4) == 0 {
			at.fate = fates[random.IntN(len(fates))]
		}
		ack, err := h.outside.Publish(context.Background(), "in."+name, fmt.Appendf(nil, "%d/%d/%s", at.lane, n, at.fate))
		h.must(err)
		records[ack.Sequence], numbered[n] = at, ack.Sequence
	}
	broken := random.IntN(3) == 0
	other := &otherSide{stored: map[int][]int{}, tries: map[int]int{}, partial: func() bool { return broken && random.IntN(10) == 0 }}
	r.Write = other.write

	for stops := random.IntN(4); ; stops-- {
		ctx, cancel := context.WithCancel(context.Background())
		other.writes, other.stop = 0, cancel
		if stops > 0 {
			other.writes = 1 + random.IntN(inputs)
		}
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		h.until("all inputs are settled, or the stage was stopped", func() bool { return ctx.Err() != nil || len(settled()) >= inputs })
		cancel()
		h.must(await(h.T, ended, "the end"))
		h.exactly(name, records, numbered, other, settled())
		if len(settled()) >= inputs {
			break
		}
	}
	for lane := range lanes {
		var want []int
		for _, sequence := range slices.Sorted(maps.Keys(records)) {
			if at := records[sequence]; at.lane == lane && at.passes() {
				want = append(want, at.number)
			}
		}
		if !slices.Equal(other.stored[lane], want) {
			h.Errorf("lane %d has %v, want %v", lane, other.stored[lane], want)
		}
	}
	if got := len(settled()); got != inputs {
		h.Errorf("%d inputs settled, want %d, each once", got, inputs)
	}
}

// passes reports whether the record is eventually written.
func (r record) passes() bool {
	return !slices.Contains([]string{never, skips, barred, breaks}, r.fate)
}

// exactly compares the settled inputs with those that the other side confirmed and those in the DLQ.
func (h *harness) exactly(name string, records map[uint64]record, numbered map[int]uint64, other *otherSide, settled []uint64) {
	h.Helper()
	confirmed := map[uint64]bool{}
	for _, lane := range other.stored {
		for _, number := range lane {
			confirmed[numbered[number]] = true
		}
	}
	dead := map[uint64]string{}
	for _, m := range h.stored("DLQ") {
		if l, ok := readDeadLetter(m.Header, m.Data); ok && l.Stage == name {
			dead[l.Sequence] = l.Reason
		}
	}
	next := map[int][]uint64{} // the inputs of a lane that are to be settled, in order
	for _, sequence := range slices.Sorted(maps.Keys(records)) {
		if at := records[sequence]; at.fate != barred && at.fate != breaks {
			next[at.lane] = append(next[at.lane], sequence)
		}
	}
	for _, sequence := range settled {
		at := records[sequence]
		want := map[string]string{never: "refused", barred: "undecodable", breaks: "undecodable"}[at.fate]
		if dead[sequence] != want || at.passes() && !confirmed[sequence] {
			h.Errorf("%+v is settled: confirmed %v, dead letter %q", at, confirmed[sequence], dead[sequence])
		}
		delete(confirmed, sequence)
		if at.fate == barred || at.fate == breaks {
			continue // it has no lane
		}
		if next[at.lane][0] != sequence {
			h.Errorf("%+v is settled before %+v", at, records[next[at.lane][0]])
		}
		next[at.lane] = slices.DeleteFunc(next[at.lane], func(s uint64) bool { return s == sequence })
	}
	for sequence := range confirmed {
		h.Errorf("%+v is confirmed and not settled", records[sequence])
	}
}
