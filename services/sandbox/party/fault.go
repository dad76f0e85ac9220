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

// The modes of faults. A mode may also be a number: an HTTP status, an SMTP reply code, a Vonage status (1 to 99), or a receipt's err-code.
const (
	Slow     = "slow"     // done, with a late response; a receipt arrives late
	Refuse   = "refuse"   // not done: HTTP 500, SMTP 451
	Drop     = "drop"     // done, and the connection closes before the response; a receipt never arrives
	Cut      = "cut"      // done, and the connection closes in the middle of the response; SMTP: in the middle of the e-mail, and not done
	Throttle = "throttle" // not done: Vonage status 1, HTTP 429 with Retry-After, SMTP 421
	Garbage  = "garbage"  // done; the response has status 200 and half a JSON object
	Page     = "page"     // a file: the response has status 200 and a page in HTML
	Large    = "large"    // a file: the response is a PDF of 500 MB
)

// Target is a part of a party that can fail on request.
type Target struct {
	Name     string
	Modes    []string
	Numbers  string           // the meaning of a number as mode
	Numbered func(n int) bool // accepts a number as mode

	// Passing lists the documented statuses of a temporary refusal. It is empty if the party documents none.
	Passing    []int
	RetryAfter bool // these statuses come with Retry-After
}

// HTTPTarget returns the target of a REST API.
func HTTPTarget(name string, passing ...int) Target {
	return Target{
		Passing: passing,
		Name:    name, Modes: []string{Slow, Refuse, Drop, Cut, Throttle, Garbage}, Numbers: "an HTTP status, 201 to 599", Numbered: IsHTTPStatus,
	}
}

// IsHTTPStatus reports whether a fault can make a REST API respond with this status.
func IsHTTPStatus(n int) bool { return n >= 201 && n <= 599 }

const (
	usualDelay = 1000  // ms, the default of a slow fault
	maxDelay   = 60000 // ms
)

// Fault is the failure of the next Count calls of a target.
type Fault struct {
	Target  string `json:"target"`
	Mode    string `json:"mode"`
	Count   int    `json:"count"`    // default 1
	DelayMS int    `json:"delay_ms"` // of a slow response; default 1000
}

// Number returns the mode as a number, or 0 if it is a name.
func (f Fault) Number() int {
	n, err := strconv.Atoi(f.Mode)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// complete checks the fault and sets missing fields to their defaults.
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

// Delay returns the delay of a slow response.
func (f Fault) Delay() time.Duration { return time.Duration(f.DelayMS) * time.Millisecond }

// Faults queues the faults of each target, so that a test can request, for example, two refusals and then one drop.
type Faults struct {
	targets []Target // in the order of the flow
	mu      sync.Mutex
	queues  map[string][]Fault
}

// NewFaults returns empty queues for these targets.
func NewFaults(targets []Target) *Faults {
	return &Faults{targets: targets, queues: map[string][]Fault{}}
}

// target returns the target with that name.
func (q *Faults) target(name string) Target {
	i := slices.IndexFunc(q.targets, func(t Target) bool { return t.Name == name })
	return q.targets[i]
}

// Targets returns the names of the targets, in the order of the flow.
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

// Take returns the fault of this call of the target. Its Mode is empty if there is none.
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

// List returns the queued faults, by target in the order of the flow.
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
