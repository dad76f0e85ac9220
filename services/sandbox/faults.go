package sandbox

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
	slow     = "slow"     // done, and answered late; a receipt that comes late
	refuse   = "refuse"   // not done: HTTP 500, SMTP 451
	drop     = "drop"     // done, and the connection closed before the answer; a receipt that never comes
	cut      = "cut"      // done, and the connection closed in the middle of the answer; SMTP: in the middle of the letter, and not done
	throttle = "throttle" // not done: Vonage status 1, HTTP 429 with Retry-After, SMTP 421
	garbage  = "garbage"  // done, and answered with half a JSON object and status 200
	fail     = "fail"     // a text that does not arrive, and whose receipt says so
	early    = "early"    // a receipt that comes before its message was answered
)

// faultModes is how each party can fail, in words.
var faultModes = map[string][]string{
	"vonage":       {slow, refuse, drop, cut, throttle, garbage},
	"receipts":     {slow, drop, fail, early},
	"smtp":         {slow, refuse, drop, cut, throttle},
	clickwrapName:  {slow, refuse, drop, cut, throttle, garbage},
	pleasesignName: {slow, refuse, drop, cut, throttle, garbage},
	esignName:      {slow, refuse, drop, cut, throttle, garbage},
	"bitly":        {slow, refuse, drop, cut, throttle, garbage},
	"rebrandly":    {slow, refuse, drop, cut, throttle, garbage},
}

// faultTargets is every party that can fail, in the order of the flow.
var faultTargets = []string{clickwrapName, pleasesignName, esignName, "bitly", "rebrandly", "vonage", "receipts", "smtp"}

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

// number is the mode as a number; 0 where it is a word.
func (f fault) number() int {
	n, err := strconv.Atoi(f.Mode)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (f *fault) complete() error {
	if !slices.Contains(faultTargets, f.Target) {
		return fmt.Errorf("target is one of %s", strings.Join(faultTargets, ", "))
	}
	if modes := faultModes[f.Target]; !slices.Contains(modes, f.Mode) && !f.numbered() {
		return fmt.Errorf("mode is one of %s, or a number: %s", strings.Join(modes, ", "), numbers[f.Target])
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

// numbers says what a number means to each party.
var numbers = map[string]string{
	"vonage": "its own status, 1 to 99, or an HTTP status, 201 to 599", "receipts": "an err-code, 1 to 99", "smtp": "a reply code, 400 to 599",
	clickwrapName: anHTTPStatus, pleasesignName: anHTTPStatus, esignName: anHTTPStatus, "bitly": anHTTPStatus, "rebrandly": anHTTPStatus,
}

const anHTTPStatus = "an HTTP status, 201 to 599"

func (f fault) numbered() bool {
	n := f.number()
	http, own := n >= 201 && n <= 599, n >= 1 && n <= 99
	switch f.Target {
	case "vonage":
		return http || own
	case "receipts":
		return own
	case "smtp":
		return n >= 400 && n <= 599
	default:
		return http
	}
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

// list is what is still ordered, by party in the order of the flow.
func (q *faults) list() []fault {
	q.mu.Lock()
	defer q.mu.Unlock()
	ordered := []fault{}
	for _, target := range faultTargets {
		ordered = append(ordered, q.queues[target]...)
	}
	return ordered
}

func (q *faults) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.queues)
}
