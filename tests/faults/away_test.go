package faults

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// awayFor is long enough for the delays of retries to grow.
const awayFor = 20 * time.Second

// isBack records the time when the last outage ended.
func (s *stand) isBack() {
	s.driver.mutex.Lock()
	defer s.driver.mutex.Unlock()
	s.driver.back = time.Now()
}

// After an outage, or after a replica dies, all services resume. The column "late p95" of the table shows how soon.
func TestServicesResumeAfterOutages(t *testing.T) {
	t.Parallel()
	if !all() {
		t.Skip("make faults-all runs it: two replicas of everything, for a minute")
	}
	for name, c := range map[string]struct{ gone, back func(*stand) }{
		"Redis away for 20 s, two replicas of everything": {
			func(s *stand) { s.Redis.Kill() }, func(s *stand) { s.Redis.Start() },
		},
		"NATS away for 20 s, two replicas of everything": {
			func(s *stand) { s.Processes["nats"].Kill() }, func(s *stand) { s.Processes["nats"].Start() },
		},
		"NATS stalled for 20 s, two replicas of everything": {
			func(s *stand) { _ = syscall.Kill(s.Processes["nats"].PID(), syscall.SIGSTOP) },
			func(s *stand) { _ = syscall.Kill(s.Processes["nats"].PID(), syscall.SIGCONT) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, strings.ToLower(strings.Fields(name)[0]+"-"+strings.Fields(name)[1]), behaviour{}, 2, nil, testenv.Variant{})
			s.prove(t, name, func() {
				time.Sleep(2 * time.Second)
				c.gone(s)
				time.Sleep(awayFor)
				c.back(s)
				s.isBack()
				time.Sleep(5 * time.Second)
			})
		})
	}

	for row, c := range map[string]struct {
		name   string
		vonage behaviour
	}{
		"five":      {"senders die five times in a row", behaviour{vonage: always(slow)}},
		"five-fast": {"senders die five times in a row, Vonage fast", behaviour{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, row, c.vonage, 2, nil, testenv.Variant{})
			var kills []time.Time
			s.prove(t, "kill -9 of an SMS sender five times, two replicas: "+c.name, func() {
				for n := range 5 {
					time.Sleep(time.Second)
					p := s.Processes[[]string{"sms-sender", "sms-sender-2"}[n%2]]
					kills = append(kills, time.Now())
					p.Kill()
					p.Start()
				}
			})
			if row != "five-fast" { // behind a slow Vonage, texts wait for each other
				return
			}
			texts, p95 := s.takenOver(t, kills)
			fmt.Printf("%s: at a kill, %d texts were not sent yet; the p95 of their delay from the kill is %.1f s\n", c.name, texts, p95)
		})
	}
}

// takenOver counts the texts that were accepted before a kill and sent after it, and returns the 95th percentile of the seconds from the
// first such kill to their sending. A text that Vonage may have received before the kill is marked and not counted.
func (s *stand) takenOver(t *testing.T, kills []time.Time) (texts int, p95 float64) {
	t.Helper()
	_, marked, _ := readLog(t, s.Env)
	s.world.mutex.Lock()
	defer s.world.mutex.Unlock()
	s.driver.mutex.Lock()
	defer s.driver.mutex.Unlock()
	var all []float64
	for key, at := range s.world.first {
		accepted := s.driver.accepted[key.document]
		n := slices.IndexFunc(kills, func(kill time.Time) bool { return accepted.Before(kill) && at.After(kill) })
		if key.channel == "sms" && n >= 0 && !marked[key] {
			all = append(all, at.Sub(kills[n]).Seconds())
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return len(all), all[len(all)*95/100]
}

func always(how response) func(int) response { return func(int) response { return how } }

// A lost consumer is created again at the position of its stage. If an operator lets it read all events again, no person gets a message
// twice, and the log holds no event twice.
func TestLostConsumerSendsNothingTwice(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"the enricher's consumer is lost and created again":                               {"provision"},
		"the enricher's consumer is lost, and the operator lets it read everything again": {"provision", "--start", "enricher=all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row := map[bool]string{true: "lost-all", false: "lost"}[len(args) > 1]
			s := newStand(t, row, behaviour{}, 1, nil, testenv.Variant{})
			s.prove(t, name, func() {
				// The load continues, so on a busy machine no stage is ever idle.
				s.Until(t, "messages were sent", func() bool { return s.Count(t, "SIGNING", "signing.v1.*.*.notification.sent.>") >= least })
				s.Processes["enricher"].Stop()
				forgetWindow(t, s)
				js := s.JetStream(t)
				if err := js.DeleteConsumer(t.Context(), flow.Signing, flow.Enricher); err != nil {
					t.Error(err)
				}
				if len(args) > 1 { // and its floor
					state, err := js.KeyValue(t.Context(), flow.State)
					if err != nil {
						t.Error(err)
						return
					}
					if err := state.Delete(t.Context(), "floor.enricher.SIGNING"); err != nil {
						t.Error(err)
					}
					if _, err := s.Command(t, "provision"); err == nil || !strings.Contains(err.Error(), "--start enricher=new") {
						t.Errorf("provision did not require a start position: %v", err)
					}
				}
				if out, err := s.Command(t, args...); err != nil {
					t.Errorf("provision: %v\n%s", err, out)
				}
				if _, err := js.Consumer(t.Context(), flow.Signing, flow.Enricher); errors.Is(err, jetstream.ErrConsumerNotFound) {
					t.Error("it was not created")
				}
				forgetWindow(t, s) // provisioning reset it
				s.Processes["enricher"].Start()
			})
		})
	}
}

// The enricher publishes on both streams at once. While NOTIFY refuses, each attempt also publishes on SIGNING, finally after SIGNING
// has forgotten the ids.
func TestNotifyRefusesForLongerThanTheDuplicateWindow(t *testing.T) {
	t.Parallel()
	if !all() {
		t.Skip("make faults-all runs it: it lasts longer than the streams' duplicate window, 2 minutes")
	}
	s := newStand(t, "notify", behaviour{}, 1, nil, testenv.Variant{})
	s.driver.pace = 5 * time.Second // about 250 documents in all
	s.ChangeStream(t, flow.Notify, func(c *jetstream.StreamConfig) { c.MaxBytes, c.Discard = 1, jetstream.DiscardNew })
	r := s.prove(t, "NOTIFY is full for longer than the streams' duplicate window, SIGNING is not", func() {
		const requested = "signing.v1.*.*.notification.requested.>"
		s.Until(t, "SIGNING has accepted what NOTIFY refuses", func() bool { return s.Count(t, flow.Signing, requested) > 0 })
		time.Sleep(flow.DuplicateWindow + 10*time.Second)
		if n := s.Count(t, flow.Notify, "notify.v1.>"); n != 0 {
			t.Errorf("NOTIFY accepted %d messages while it was full", n)
		}
		if out, err := s.Command(t, "provision"); err != nil { // removes the limit
			t.Errorf("provision: %v\n%s", err, out)
		}
		s.isBack()
	})
	if r.Unknown != 0 {
		t.Errorf("%d messages were sent twice", r.Unknown)
	}
}
