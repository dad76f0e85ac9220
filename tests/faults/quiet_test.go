package faults

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// quietZone is the time zone of the number in the world, +1 317.
const quietZone = "America/Indiana/Indianapolis"

// morning returns the end of quiet hours that last for at least 30 s more, in which all services start and get their callbacks. Settings have no
// seconds, so it is a whole minute. It builds the programs first, which may take longer than that.
func morning(t *testing.T, as testenv.Variant) time.Time {
	t.Helper()
	for _, name := range services {
		testenv.ProgramAs(t, name, as)
	}
	zone, err := time.LoadLocation(quietZone)
	if err != nil {
		t.Fatal(err)
	}
	return time.Now().In(zone).Add(90 * time.Second).Truncate(time.Minute)
}

// All messages wait for the end of the quiet hours while the services die: a sender between the schedule of a message and its ack, both senders at
// random, and NATS. In the morning each message is sent once, and none is sent before.
func TestMessagesWaitForTheMorning(t *testing.T) {
	t.Parallel()
	if !all() {
		t.Skip("make faults-all runs it, because it waits for a whole minute")
	}
	for name, crash := range map[string]map[string]string{
		"a sender dies before its schedules":         {"sms-sender": "made@5", "email-sender": "made@5"},
		"a sender dies between a schedule and ack":   {"sms-sender": "published@5", "email-sender": "published@5"},
		"senders and NATS die at night":              nil,
		"a sender dies when it sends in the morning": {"sms-sender": "sent@20"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := testenv.Variant{}
			if crash != nil {
				as = crashing
			}
			end := morning(t, as)
			s := newStand(t, "night", behaviour{quietUntil: end}, 1, crash, as)
			s.driver.pace = 2 * time.Second
			dice := rand.New(rand.NewPCG(seed(), 4))
			restart := func(name string) {
				s.Processes[name].Kill()
				s.Processes[name].Start()
			}
			s.prove(t, name, func() {
				switch {
				case crash == nil:
					for _, name := range []string{"sms-sender", "email-sender", "nats", "sms-sender", "email-sender", "enricher"} {
						time.Sleep(time.Duration(200+dice.IntN(300)) * time.Millisecond)
						restart(name)
					}
				case crash["sms-sender"] != "sent@20":
					for service := range crash {
						s.diesOnce(t, service)
					}
				}
				s.Until(t, "the messages wait", func() bool { return s.Count(t, flow.Signing, event.TypeFilter(event.NotificationDeferred)) >= least })
				for message := range s.world.sent() {
					t.Errorf("%v was sent in the quiet hours", message)
				}
				time.Sleep(time.Until(end)) // new messages are sent at once from then on
				if crash["sms-sender"] == "sent@20" {
					s.diesOnce(t, "sms-sender")
				}
			})
		})
	}
}

// waitForMorning waits until no message waits for the end of the quiet hours.
func (s *stand) waitForMorning(t *testing.T) {
	t.Helper()
	if s.world.behaves.quietUntil.IsZero() {
		return
	}
	for _, c := range event.Channels {
		s.Until(t, "no message waits for the morning", func() bool {
			return s.Count(t, flow.DueStage(c.Name).Stream, flow.LaterFilter(c.Name)) == 0
		})
	}
	s.WaitIdle(t)
}
