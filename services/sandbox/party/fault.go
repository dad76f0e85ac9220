package party

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The ways in which the outside world fails. A mode may also be a number: an HTTP status, a reply code of SMTP, a status
// of Vonage's (1 to 99), a receipt's err-code.
const (
	Slow     = "slow"     // done, and answered late; a receipt that comes late
	Refuse   = "refuse"   // not done: HTTP 500, SMTP 451
	Drop     = "drop"     // done, and the connection closed before the answer; a receipt that never comes
	Cut      = "cut"      // done, and the connection closed in the middle of the answer; SMTP: in the middle of the letter, and not done
	Throttle = "throttle" // not done: Vonage status 1, HTTP 429 with Retry-After, SMTP 421
	Garbage  = "garbage"  // done, and answered with half a JSON object and status 200
)

// Target is what of a party can be told to fail.
type Target struct {
	Name     string
	Modes    []string
	Numbers  string           // what a number as mode means to it
	Numbered func(n int) bool // which numbers it takes

	// Passing are statuses with which it may refuse a call for a moment, as its own documents say; none where they say nothing.
	Passing    []int
	RetryAfter bool // those come with Retry-After
}

// HTTPTarget is a REST API that can be told to fail.
func HTTPTarget(name string, passing ...int) Target {
	return Target{
		Passing: passing,
		Name:    name, Modes: []string{Slow, Refuse, Drop, Cut, Throttle, Garbage}, Numbers: "an HTTP status, 201 to 599", Numbered: IsHTTPStatus,
	}
}

// IsHTTPStatus tells whether a REST API can be told to respond with this status.
func IsHTTPStatus(n int) bool { return n >= 201 && n <= 599 }

const (
	usualDelay = 1000  // ms, where a slow fault names none
	maxDelay   = 60000 // ms
)

// Fault is what happens to the next Count calls of a target.
type Fault struct {
	Target  string `json:"target"`
	Mode    string `json:"mode"`
	Count   int    `json:"count"`    // default 1
	DelayMS int    `json:"delay_ms"` // of a slow answer; default 1000
}

// Number is the mode as a number; 0 where it is a word.
func (f Fault) Number() int {
	n, err := strconv.Atoi(f.Mode)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// complete checks the fault and fills in what it leaves out.
func (f *Fault) complete(targets []Target) error {
	i := slices.IndexFunc(targets, func(t Target) bool { return t.Name == f.Target })
	if i < 0 {
		return fmt.Errorf("target is one of %s", strings.Join(names(targets), ", "))
	}
	if t := targets[i]; !slices.Contains(t.Modes, f.Mode) && !t.Numbered(f.Number()) {
		return fmt.Errorf("mode is one of %s, or a number: %s", strings.Join(t.Modes, ", "), t.Numbers)
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

func names(targets []Target) []string {
	var all []string
	for _, t := range targets {
		all = append(all, t.Name)
	}
	return all
}

// Delay is how late a slow response is.
func (f Fault) Delay() time.Duration { return time.Duration(f.DelayMS) * time.Millisecond }

// Faults are queued one behind the other for each target, so that a test can say: refuse twice, then drop once.
type Faults struct {
	targets []Target // in the order of the flow
	mu      sync.Mutex
	queues  map[string][]Fault
}

// NewFaults returns empty queues for these targets.
func NewFaults(targets []Target) *Faults {
	return &Faults{targets: targets, queues: map[string][]Fault{}}
}

// target is the target of that name.
func (q *Faults) target(name string) Target {
	i := slices.IndexFunc(q.targets, func(t Target) bool { return t.Name == name })
	return q.targets[i]
}

// Targets are the names of what can fail, in the order of the flow.
func (q *Faults) Targets() []string { return names(q.targets) }

// Add queues a fault.
func (q *Faults) Add(f Fault) error {
	if err := f.complete(q.targets); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queues[f.Target] = append(q.queues[f.Target], f)
	return nil
}

// Take is what happens to this call of target; its Mode is empty when nothing does.
func (q *Faults) Take(target string) Fault {
	q.mu.Lock()
	defer q.mu.Unlock()
	queue := q.queues[target]
	if len(queue) == 0 {
		return Fault{}
	}
	first := queue[0]
	if queue[0].Count--; queue[0].Count == 0 {
		q.queues[target] = queue[1:]
	}
	return first
}

// List is what is still queued, by target in the order of the flow.
func (q *Faults) List() []Fault {
	q.mu.Lock()
	defer q.mu.Unlock()
	queued := []Fault{}
	for _, t := range q.targets {
		queued = append(queued, q.queues[t.Name]...)
	}
	return queued
}

// Clear empties all queues.
func (q *Faults) Clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.queues)
}
