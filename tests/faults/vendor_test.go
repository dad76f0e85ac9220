package faults

import (
	"sync"
	"testing"
	"time"

	"github.com/signrelay/signrelay/tests/testenv"
)

// outage makes a party fail for this time, from its second call on. The first call may precede all messages.
func outage(d time.Duration, how response) func(int) response {
	var end time.Time
	begin := sync.OnceFunc(func() { end = time.Now().Add(d) })
	return func(n int) response {
		if n == 1 {
			return how
		}
		if begin(); time.Now().Before(end) {
			return how
		}
		return well
	}
}

// A vendor that returns only errors accepts nothing. After an outage of any length, no message is a dead letter, all messages are sent,
// and only messages with more than one call to the vendor are marked. The test moves the services' clock, so 10 minutes, 2 hours and 2
// days of attempts take seconds.
func TestVendorOutageCausesNoDeadLetters(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		vonage, mail func(int) response
		lasts, jump  time.Duration
	}{
		"Vonage responds 500 for 15 s":         {vonage: outage(15*time.Second, broken), lasts: 15 * time.Second},
		"the mail server replies 421 for 15 s": {mail: outage(15*time.Second, broken), lasts: 15 * time.Second},
		"both fail for 10 minutes": {
			vonage: outage(15*time.Second, broken), mail: outage(15*time.Second, broken), lasts: 15 * time.Second, jump: 10 * time.Minute,
		},
		"both fail for 2 hours": {
			vonage: outage(15*time.Second, broken), mail: outage(15*time.Second, broken), lasts: 15 * time.Second, jump: 2 * time.Hour,
		},
		"Vonage does not respond for 2 days": {vonage: outage(15*time.Second, drop), lasts: 15 * time.Second, jump: 48 * time.Hour},
	} {
		if tt.jump == 0 && tt.mail != nil && !all() || tt.jump != 0 && !all() {
			continue // it needs a build of Go's standard library, so only make faults-all runs it
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			behaves := behaviour{vonage: tt.vonage, mail: tt.mail}
			w := newWorld(t, behaves)
			h := testenv.Infrastructure(t, func(h *testenv.Env) string { return settings(h, w) })
			as, move := testenv.Variant{}, func(time.Duration) {}
			if tt.jump != 0 {
				c, clocked, variable := newClock(t)
				h.Vars, as, move = []string{variable}, clocked, c.jump
			}
			s := furnish(t, h, w, "vendor", 2, nil, as)
			r := s.prove(t, name, func() {
				time.Sleep(tt.lasts / 2)
				move(tt.jump)
				time.Sleep(tt.lasts / 2)
			})
			move(0)
			s.onlyMarked(t)
			if r.Given != 0 {
				t.Errorf("%d messages became dead letters, although the vendor only returned errors", r.Given)
			}
		})
	}
}

// onlyMarked requires that a message is marked as a possible duplicate only if the vendor was called for it more than once.
func (s *stand) onlyMarked(t *testing.T) {
	t.Helper()
	_, marked, _ := readLog(t, s.Env)
	for message := range marked {
		if n := s.world.attempts(message); n < 2 {
			t.Errorf("%v is marked, and the vendor was called for it %d times", message, n)
		}
	}
}
