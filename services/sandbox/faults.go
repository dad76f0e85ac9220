package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The ways in which the outside world fails.
const (
	slow     = "slow"     // done, and answered late
	refuse   = "refuse"   // not done: HTTP 500, SMTP 451
	drop     = "drop"     // done, and the connection closed before the answer
	throttle = "throttle" // not done: Vonage status 1, HTTP 429 with Retry-After, SMTP 421
)

var (
	faultModes   = []string{slow, refuse, drop, throttle}
	faultTargets = []string{"vonage", "smtp", "clickwrap"}
)

const (
	usualDelay = 1000  // ms, where a slow fault names none
	maxDelay   = 60000 // ms
)

// fault is what happens to the next Count calls of a target.
type fault struct {
	Target  string `json:"target"`
	Mode    string `json:"mode"`
	Count   int    `json:"count"`    // default 1
	DelayMS int    `json:"delay_ms"` // of a slow answer; default 1000
}

func (f *fault) complete() error {
	if !slices.Contains(faultTargets, f.Target) {
		return fmt.Errorf("target is one of %s", strings.Join(faultTargets, ", "))
	}
	if !slices.Contains(faultModes, f.Mode) {
		return fmt.Errorf("mode is one of %s", strings.Join(faultModes, ", "))
	}
	if f.Count == 0 {
		f.Count = 1
	}
	if f.DelayMS == 0 {
		f.DelayMS = usualDelay
	}
	if f.Count < 0 {
		return errors.New("count is the number of calls, 1 or more")
	}
	if f.DelayMS < 0 || f.DelayMS > maxDelay {
		return fmt.Errorf("delay_ms is between 1 and %d", maxDelay)
	}
	return nil
}

func (f fault) delay() time.Duration { return time.Duration(f.DelayMS) * time.Millisecond }

// faults are ordered one behind the other for each target, so that a test can say: refuse twice, then drop once.
type faults struct {
	mu     sync.Mutex
	queues map[string][]fault
}

func newFaults() *faults { return &faults{queues: map[string][]fault{}} }

func (q *faults) add(f fault) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queues[f.Target] = append(q.queues[f.Target], f)
}

// take is what happens to this call of target; its Mode is empty when nothing does.
func (q *faults) take(target string) fault {
	q.mu.Lock()
	defer q.mu.Unlock()
	queue := q.queues[target]
	if len(queue) == 0 {
		return fault{}
	}
	first := queue[0]
	if queue[0].Count--; queue[0].Count == 0 {
		q.queues[target] = queue[1:]
	}
	return first
}

func (q *faults) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.queues)
}

// faulty answers calls of target as the faults ordered for it say.
func (s *Server) faulty(target string, throttled, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch f := s.faults.take(target); f.Mode {
		case slow:
			next(&beforeAnswer{ResponseWriter: w, do: func() { s.linger(f.delay()) }}, r)
		case drop:
			next(&beforeAnswer{ResponseWriter: w, do: func() { panic(http.ErrAbortHandler) }}, r)
		case refuse:
			http.Error(w, "the sandbox was told to refuse this call", http.StatusInternalServerError)
		case throttle:
			throttled(w, r)
		default:
			next(w, r)
		}
	}
}

// beforeAnswer does something once between a call's effect and the first byte of its answer.
type beforeAnswer struct {
	http.ResponseWriter
	do   func()
	done bool
}

func (b *beforeAnswer) WriteHeader(status int) {
	if !b.done {
		b.done = true
		b.do()
	}
	b.ResponseWriter.WriteHeader(status)
}

func (b *beforeAnswer) Write(p []byte) (int, error) {
	if !b.done {
		b.WriteHeader(http.StatusOK)
	}
	return b.ResponseWriter.Write(p)
}
