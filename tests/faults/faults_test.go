// Package faults proves that nothing is lost and nothing is sent twice if any process dies at any time: with the real services, a real
// NATS server and a real Redis, which the tests kill while a provider calls and the outside parties count messages.
package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/stage"
	"github.com/signrelay/signrelay/tests/testenv"
)

var results table

func TestMain(m *testing.M) {
	status := m.Run()
	if err := results.print(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	testenv.Cleanup()
	os.Exit(status)
}

// all reports whether the test runs every row (make faults-all), or only the rows of CI.
func all() bool { return os.Getenv("SIGNRELAY_TEST_FAULTS") == "all" }

// crashing is the build variant with the points of package crash.
var crashing = testenv.Variant{Name: "faults", Args: []string{"-tags", "faults"}}

// stand is the environment of one row.
type stand struct {
	*testenv.Env
	world    *world
	driver   *driver
	variants map[string]testenv.Variant // of each service
}

// newStand starts all services with the given number of replicas. A service named in crash is built as the variant and dies at that point; with
// an empty point it does not die. The other services are built as they are released: linking one takes 3 s of CPU. If crash is nil, all
// services are built as the variant.
func newStand(t *testing.T, row string, b behaviour, replicas int, crash map[string]string, as testenv.Variant) *stand {
	t.Helper()
	w := newWorld(t, b)
	h := testenv.Infrastructure(t, func(h *testenv.Env) string { return settings(h, w) })
	return furnish(t, h, w, row, replicas, crash, as)
}

// newClusterStand is a stand with three NATS servers and two replicas of each service.
func newClusterStand(t *testing.T, row string) *stand {
	t.Helper()
	w := newWorld(t, behaviour{})
	h := testenv.Cluster(t, func(h *testenv.Env) string { return settings(h, w) })
	return furnish(t, h, w, row, 2, nil, testenv.Variant{})
}

func furnish(t *testing.T, h *testenv.Env, w *world, row string, replicas int, crash map[string]string, as testenv.Variant) *stand {
	t.Helper()
	h.Timeout = 100 * time.Second
	s := &stand{Env: h, world: w, variants: map[string]testenv.Variant{}}
	for _, name := range services {
		var env []string
		point, named := crash[name]
		if point != "" {
			env = []string{"SIGNRELAY_TEST_CRASH=" + point}
		}
		if crash == nil || named {
			s.variants[name] = as
		}
		h.Variant = s.variants[name]
		h.StartService(t, name, name, env...)
		for n := 2; n <= replicas; n++ {
			h.StartReplica(t, name, n)
		}
	}
	s.driver = newDriver(h, row)
	return s
}

// services are those that a document passes before it is completed: without the sandbox and the archiver.
var services = slices.DeleteFunc(slices.Clone(testenv.Services), func(name string) bool { return name == "sandbox" || name == flow.Archiver })

func settings(h *testenv.Env, w *world) string {
	receipts := ""
	if w.behaves.receipts {
		receipts = "http://" + h.Address("SIGNRELAY_RECEIPTS_ADDR")
	}
	reminders := "[72h, 168h, 336h]"
	if w.behaves.remindAfter > 0 {
		reminders = fmt.Sprintf("[%v]", w.behaves.remindAfter)
	}
	other := "{}"
	if after := w.behaves.fallbackAfter; after > 0 {
		other = fmt.Sprintf("{after: %v}, notify: {channels: [sms]}", after)
	}
	quiet := `{from: "00:00", to: "00:00"}`
	if end := w.behaves.quietUntil; !end.IsZero() {
		quiet = fmt.Sprintf("{from: %q, to: %q, kinds: [invitation], zone: %s}", end.Add(-time.Hour).Format("15:04"), end.Format("15:04"), quietZone)
	}
	host, port, _ := strings.Cut(w.SMTP.Addr().String(), ":")
	return fmt.Sprintf(`
sources:
  - {name: demo, provider: clickwrap, sender_name: PactSafe, webhook: {secrets: ["12345"]}, api: {base_url: %[1]q, token: t, per_minute: 60000},
     reminders: {after: %[8]s, per_minute: 60000}, quiet_hours: %[10]s, fallback: %[9]s}
sms: {vonage: {api_key: faults00, api_secret: s, from: "13175550100", base_url: %[1]q, per_second: 1000, timeout: 3s,
      receipts_url: %[2]q, signature_secret: %[3]q, signature_method: sha256, receipt_within: 5s}}
email: {from: no-reply@signrelay.example, smtp: {host: %[4]q, port: %[5]s, tls: none, timeout: %[7]s, end_timeout: %[7]s}}
shortener: {public_url: "http://%[6]s"}
limits: {person_per_day: 0, number_per_hour: 0, texts_per_day: 0, document: 0, source_per_day: 0}
`, w.HTTP.URL, receipts, receiptSecret, host, port, h.Address("SIGNRELAY_LINKS_ADDR"), w.smtpTimeout(), reminders, other, quiet)
}

// prove sends callbacks during the fault, waits until all work is done, sends every callback once more, and requires that nothing is lost or duplicated.
func (s *stand) prove(t *testing.T, fault string, happens func()) result {
	t.Helper()
	r := s.measure(t, fault, happens)
	messages := 2
	if s.world.behaves.remindAfter > 0 {
		messages = 4
	}
	if r.Lost != 0 || r.Doubled != 0 || r.Given != 0 || r.Stored != r.Accepted || r.Sent != messages*r.Accepted {
		t.Errorf("%+v", r)
		for dead, err := range (stage.DeadLetters{JS: s.JetStream(t)}).All(t.Context()) {
			t.Errorf("%v: dead letter: %s gave up %s after %d attempts: %s, %s", err, dead.Stage, dead.Subject, dead.Attempts, dead.Reason, dead.Error)
		}
	}
	return r
}

func (s *stand) measure(t *testing.T, fault string, happens func()) result {
	t.Helper()
	began := time.Now()
	over, called := make(chan struct{}), make(chan int64)
	go func() { called <- s.driver.load(t.Context(), over) }()
	happens()
	close(over)
	if refused := <-called; refused > 0 && s.driver.tries == callsFor {
		t.Errorf("%d callbacks were not accepted within %v", refused, callsFor)
	}
	s.driver.tries = callsFor
	s.waitForReminders(t)
	s.driver.again(t)
	s.waitForReminders(t)
	r := audit(t, s.Env, s.driver, s.world, fault, began)
	results.add(r)
	return r
}

// waitForReminders waits until all work is done, including reminders that are due within seconds.
func (s *stand) waitForReminders(t *testing.T) {
	t.Helper()
	s.WaitIdle(t)
	s.waitForMorning(t)
	if s.world.behaves.remindAfter == 0 {
		return
	}
	s.Until(t, "no reminder is scheduled", func() bool { return s.Count(t, flow.Remind, flow.RemindersOf("*", "*", "")) == 0 })
	s.WaitIdle(t)
}

// diesOnce waits until a service has died at its point, and starts it again without one.
func (s *stand) diesOnce(t *testing.T, service string) {
	t.Helper()
	select {
	case <-s.Processes[service].Ended():
	case <-time.After(time.Minute):
		t.Errorf("%s did not reach its point", service)
		return
	}
	s.Variant = s.variants[service]
	s.StartService(t, service, service)
}

func TestNothingIsLostOrDoubled(t *testing.T) {
	t.Parallel()

	t.Run("no fault", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, "none", behaviour{}, 1, nil, testenv.Variant{})
		if r := s.prove(t, "none", func() {}); r.Unknown != 0 {
			t.Errorf("%d unknown outcomes without a fault", r.Unknown)
		}
	})

	// kill -9 between any two steps of any service.
	for _, at := range []struct {
		service, point string
		often          bool // also in CI
		unknown        bool // it is unknown whether the message was sent
	}{
		{"ingest", "claimed", false, false},
		{"ingest", "published", true, false},
		{"ingest", "responded", true, false},
		{"ingest", "confirmed", false, false},
		{"enricher", "made", true, false},
		{"enricher", "published", false, false},
		{"shortener", "made", false, false},
		{"shortener", "published", false, false},
		{"reminder", "made", false, false},
		{"reminder", "published", false, false},
		{"sms-sender", "claimed", false, false},
		{"sms-sender", "sent", true, true},
		{"sms-sender", "confirmed", true, false},
		{"sms-sender", "published", false, false},
		{"email-sender", "claimed", false, false},
		{"email-sender", "sent", false, true},
		{"email-sender", "confirmed", false, false},
		{"email-sender", "published", false, false},
	} {
		if !at.often && !all() {
			continue
		}
		t.Run(at.service+" dies after: "+at.point, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, at.service+"-"+at.point, behaviour{}, 1, map[string]string{at.service: at.point + "@20"}, crashing)
			s.prove(t, fmt.Sprintf("kill -9 of %s after %q", at.service, at.point), func() { s.diesOnce(t, at.service) })
		})
	}

	t.Run("services die at random", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, "random", behaviour{receipts: true}, 2, nil, testenv.Variant{})
		dice := rand.New(rand.NewPCG(seed(), 1))
		s.prove(t, fmt.Sprintf("kill -9 of services at random times, two replicas (seed %d)", seed()), func() {
			for range 8 {
				time.Sleep(time.Duration(dice.IntN(150)) * time.Millisecond)
				name := services[dice.IntN(len(services))]
				s.Processes[name].Kill()
				s.Processes[name].Start()
			}
		})
	})

	t.Run("reminders fall due while services die", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, "remind", behaviour{remindAfter: 2 * time.Second}, 2, nil, testenv.Variant{})
		dice := rand.New(rand.NewPCG(seed(), 2))
		restart := func(name string) {
			s.Processes[name].Kill()
			s.Processes[name].Start()
		}
		s.prove(t, fmt.Sprintf("kill -9 of the reminder, the enricher, the senders, NATS and Redis while reminders fall due (seed %d)", seed()), func() {
			for round := range 6 {
				time.Sleep(time.Duration(300+dice.IntN(300)) * time.Millisecond)
				restart([]string{"reminder", "reminder-2", "enricher", "sms-sender", "email-sender"}[dice.IntN(5)])
				switch round {
				case 2:
					restart("nats")
				case 4:
					s.Redis.Kill()
					s.Redis.Start()
				}
			}
			for n := 3; n <= 4; n++ {
				s.StartReplica(t, "reminder", n)
			}
			s.Processes["reminder-3"].Kill()
			if status := s.Processes["reminder-4"].Stop(); status != 0 {
				t.Errorf("exit status %d", status)
			}
		})
	})

	for _, replicas := range []int{1, 2} {
		t.Run(fmt.Sprintf("rolling restart under load, replicas: %d", replicas), func(t *testing.T) {
			t.Parallel()
			s := newStand(t, fmt.Sprintf("rolling-%d", replicas), behaviour{}, replicas, nil, testenv.Variant{})
			r := s.prove(t, fmt.Sprintf("SIGTERM of each service in turn under load, three times (replicas: %d)", replicas), func() {
				for _, name := range slices.Concat(services, services, services) {
					if status := s.Processes[name].Stop(); status != 0 {
						t.Errorf("%s: exit status %d", name, status)
					}
					s.Processes[name].Start()
				}
			})
			if r.Unknown != 0 {
				t.Errorf("a shutdown left %d unknown outcomes", r.Unknown)
			}
		})
	}

	t.Run("replicas come and go under load", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, "scaled", behaviour{receipts: true}, 1, nil, testenv.Variant{})
		s.prove(t, "each service from one replica to four and back to one, under load; every second one ends by kill -9", func() {
			for _, name := range services {
				for n := 2; n <= 4; n++ {
					s.StartReplica(t, name, n)
				}
			}
			for i, name := range services {
				for n := 2; n <= 4; n++ {
					p := s.Processes[fmt.Sprintf("%s-%d", name, n)]
					if (i+n)%2 == 0 {
						p.Kill()
					} else if status := p.Stop(); status != 0 {
						t.Errorf("%s: exit status %d", p.Name, status)
					}
				}
			}
		})
	})

	t.Run("NATS is away for longer than the provider retries", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, "long", behaviour{}, 1, nil, testenv.Variant{})
		s.driver.tries = 2 * time.Second
		s.prove(t, "NATS away for longer than the provider retries; the provider sends all callbacks again later", func() {
			s.Processes["nats"].Kill()
			time.Sleep(6 * time.Second)
			s.Processes["nats"].Start()
		})
	})

	t.Run("the disk is full", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, "full", behaviour{}, 1, nil, testenv.Variant{})
		s.prove(t, "NATS has no space on its disk for some time", func() {
			s.RestartNATS(t, "120KB")
			before := s.driver.failed.Load()
			s.Until(t, "the log is full", func() bool { return s.driver.failed.Load() > before+50 })
			s.RestartNATS(t, "")
		})
	})

	t.Run("a cluster of three loses nodes", func(t *testing.T) {
		t.Parallel()
		if !all() {
			t.Skip("make faults-all runs it: it needs three more processes")
		}
		s := newClusterStand(t, "cluster")
		s.prove(t, "kill -9 of each node of a NATS cluster of three, in turn", func() {
			for _, node := range []string{"nats-1", "nats-2", "nats-3"} {
				time.Sleep(time.Second)
				s.Processes[node].Kill()
				time.Sleep(2 * time.Second)
				s.Processes[node].Start()
				s.Until(t, node+" has caught up", func() bool { return s.Healthy(node) })
			}
		})
	})

	t.Run("NATS dies", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, "nats", behaviour{}, 1, nil, testenv.Variant{})
		s.prove(t, "kill -9 of NATS under load, three times", func() {
			for range 3 {
				time.Sleep(100 * time.Millisecond)
				s.Processes["nats"].Kill()
				time.Sleep(300 * time.Millisecond)
				s.Processes["nats"].Start()
			}
		})
	})

	t.Run("Redis dies", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, "redis", behaviour{}, 1, nil, testenv.Variant{})
		s.prove(t, "kill -9 of Redis under load, three times", func() {
			for range 3 {
				time.Sleep(100 * time.Millisecond)
				s.Redis.Kill()
				time.Sleep(300 * time.Millisecond)
				s.Redis.Start()
			}
		})
	})

	for name, start := range map[string]func(testing.TB, map[string]string) *realtest.RedisServer{
		"a Redis with Sentinels": realtest.RedisSentinel, "a Redis Cluster": realtest.RedisCluster,
	} {
		t.Run(name+" loses its primaries", func(t *testing.T) {
			t.Parallel()
			if !all() {
				t.Skip("make faults-all has it: six more processes")
			}
			w := newWorld(t, behaviour{})
			h := testenv.InfrastructureWith(t, start, func(h *testenv.Env) string { return settings(h, w) })
			s := furnish(t, h, w, strings.ToLower(strings.ReplaceAll(name, " ", "-")), 2, nil, testenv.Variant{})
			s.prove(t, "kill -9 of each primary of "+name+" under load, two replicas", func() {
				s.Until(t, "messages were sent", func() bool { return s.Count(t, "SIGNING", "signing.v1.*.*.notification.sent.>") >= least })
				for _, url := range s.Redis.Primaries() {
					s.Redis.Failover(t, url)
				}
			})
		})
	}

	t.Run("Redis responds and refuses claims", func(t *testing.T) {
		t.Parallel()
		if !all() || os.Getenv("SIGNRELAY_TEST_REDIS_URL") != "" {
			t.Skip("make faults-all runs it, with its own Redis")
		}
		s := newStand(t, "refuses", behaviour{}, 2, nil, testenv.Variant{})
		s.prove(t, "Redis refuses claims while it responds to PING: full, then a replica, then without a command; two replicas", func() {
			without, with := []string{}, []string{}
			for _, user := range flow.RedisUsers() {
				without, with = append(without, "ACL SETUSER "+user.Name+" -set"), append(with, "ACL SETUSER "+user.Name+" +set")
			}
			for _, c := range []struct{ spoil, restore []string }{
				{[]string{"CONFIG SET maxmemory 1"}, []string{"CONFIG SET maxmemory 0"}},
				{[]string{"REPLICAOF 127.0.0.1 1"}, []string{"REPLICAOF NO ONE"}},
				{without, with},
			} {
				redisCommands(t, s.Redis.URL, c.spoil...)
				s.Until(t, "the senders are not ready, and ingest is", func() bool {
					return !s.ready("sms-sender") && !s.ready("email-sender-2") && s.ready("ingest")
				})
				redisCommands(t, s.Redis.URL, c.restore...)
				s.Until(t, "all are ready", func() bool { return s.ready("sms-sender") && s.ready("email-sender-2") })
			}
		})
	})

	t.Run("Redis forgets everything", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, "forgets", behaviour{}, 1, nil, testenv.Variant{})
		s.prove(t, "Redis emptied between a callback and its retry", func() {
			// The load continues, so on a busy machine no stage is ever idle.
			s.Until(t, "Redis has entries to forget", func() bool { return s.Count(t, "SIGNING", "signing.v1.*.*.notification.sent.>") >= least })
			forgetWindow(t, s)
			flush(t, s.Redis.URL)
		})
	})

	t.Run("the clock jumps", func(t *testing.T) {
		t.Parallel()
		if !all() {
			t.Skip("make faults-all runs it: it needs a build of Go's standard library")
		}
		clock, as, variable := newClock(t)
		w := newWorld(t, behaviour{})
		h := testenv.Infrastructure(t, func(h *testenv.Env) string { return settings(h, w) })
		h.Vars = []string{variable}
		s := furnish(t, h, w, "clock", 2, nil, as)
		began := time.Now()
		r := s.prove(t, "the services' clock jumps: an hour forward, a day back, and to the right time, three times", func() {
			for range 3 {
				for _, to := range []time.Duration{time.Hour, -24 * time.Hour, 0} {
					time.Sleep(150 * time.Millisecond)
					clock.jump(to)
				}
			}
			clock.jump(-24 * time.Hour)
			s.Until(t, "the log has a time of yesterday", func() bool { return sentBefore(t, s, began.Add(-time.Hour)) })
			clock.jump(0)
		})
		if r.Unknown != 0 {
			t.Errorf("a wrong clock left %d unknown outcomes", r.Unknown)
		}
	})

	for _, point := range []string{"published", "responded"} {
		t.Run("the retry comes an hour after a crash before the confirmation: "+point, func(t *testing.T) {
			t.Parallel()
			if point != "published" && !all() {
				t.Skip("make faults-all has it")
			}
			// The retry finds an expired claim, after the stream's duplicate window.
			s := newStand(t, "hour-"+point, behaviour{}, 1, map[string]string{"ingest": point + "@1"}, crashing)
			forgetWindow(t, s)
			s.prove(t, fmt.Sprintf("kill -9 of ingest after %q and before the confirmation, retried after the stream's window", point), func() { s.diesOnce(t, "ingest") })
		})
	}

	for name, tt := range map[string]struct {
		behaves behaviour
		often   bool
	}{
		"the provider's API fails, drops and hangs":                         {behaviour{rest: firstCalls(30, refuse, drop, slow, hang)}, true},
		"Vonage throttles and refuses":                                      {behaviour{vonage: firstCalls(30, refuse)}, true},
		"Vonage drops the connection before and after it accepts":           {behaviour{vonage: everyThird(20, drop, takeDrop)}, true},
		"Vonage drops the connection after it accepts, and receipts arrive": {behaviour{vonage: everyThird(20, takeDrop), receipts: true}, true},
		"Vonage hangs":                {behaviour{vonage: firstCalls(8, hang)}, false},
		"SMTP refuses temporarily":    {behaviour{mail: firstCalls(20, refuse)}, false},
		"SMTP drops at the final dot": {behaviour{mail: everyThird(10, drop, takeDrop)}, true},
		"SMTP hangs at the final dot": {behaviour{mail: firstCalls(4, hang)}, false},
		"the provider's API is slow":  {behaviour{rest: firstCalls(40, slow)}, false},
	} {
		if !tt.often && !all() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, "world", tt.behaves, 1, nil, testenv.Variant{})
			r := s.prove(t, name, func() {})
			if tt.behaves.receipts && r.Unknown != 0 {
				t.Errorf("%d texts were sent again although their receipts arrived", r.Unknown)
			}
		})
	}
}

// firstCalls returns a behaviour with the given results for the first n calls, in turn. All other calls succeed.
func firstCalls(n int, how ...response) func(int) response {
	return func(call int) response {
		if call > n {
			return well
		}
		return how[(call-1)%len(how)]
	}
}

// everyThird fails every third call, in total n times. The calls between them succeed, so the vendor is not down and its breaker stays
// closed; tests/faults/vendor_test.go has the outages.
func everyThird(n int, how ...response) func(int) response {
	return func(call int) response {
		if call%3 != 0 || call > 3*n {
			return well
		}
		return how[(call/3-1)%len(how)]
	}
}

// forgetWindow makes the duplicate window of SIGNING as short as possible, to save an hour. NOTIFY keeps its window: the senders remember
// its ids.
func forgetWindow(t *testing.T, s *stand) {
	t.Helper()
	s.ShortDuplicateWindow(t, flow.Signing)
	s.world.forgets = true
}

// sentBefore reports whether a sender recorded a message as sent before this time, by its own clock.
func sentBefore(t *testing.T, s *stand, then time.Time) bool {
	t.Helper()
	log := event.Log{JS: s.JetStream(t), Stream: flow.Signing}
	for m, err := range log.Messages(t.Context(), "signing.v1.*.*.notification.sent.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e, err := event.Decode(m.Data); err == nil && event.Time(e).Before(then) {
			return true
		}
	}
	return false
}

func flush(t *testing.T, redisURL string) {
	t.Helper()
	client := realtest.RedisClient(t, redisURL)
	if err := client.FlushDB(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
}

// redisCommands sends commands to Redis.
func redisCommands(t *testing.T, redisURL string, commands ...string) {
	t.Helper()
	client := realtest.RedisClient(t, redisURL)
	for _, command := range commands {
		var args []any
		for argument := range strings.FieldsSeq(command) {
			args = append(args, argument)
		}
		if err := client.Do(context.Background(), args...).Err(); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}

func (s *stand) ready(process string) bool {
	response, err := http.Get(s.Processes[process].AdminURL() + "/readyz")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// seed makes a run repeatable: SIGNRELAY_TEST_FAULTS_SEED, or 1.
func seed() uint64 {
	var n uint64 = 1
	_, _ = fmt.Sscan(os.Getenv("SIGNRELAY_TEST_FAULTS_SEED"), &n)
	return n
}
