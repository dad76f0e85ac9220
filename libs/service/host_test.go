package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/telemetry"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// house is a host under test.
type house struct {
	t     *testing.T
	cfg   config.Config
	doors chan Addresses
	admin string
	stop  context.CancelFunc
	ended chan error
	log   *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func settings(t *testing.T, change ...func(*config.Config)) config.Config {
	t.Helper()
	cfg := config.Default()
	cfg.Admin.Addr, ingestsettings.Section.In(&cfg).Addr, shortenersettings.Links.In(&cfg).Addr = freeAddr(t), "127.0.0.1:0", "localhost:0"
	for _, c := range change {
		c(&cfg)
	}
	return cfg
}

// freeAddr is known before the host opens it, so that a host that is still starting can be asked.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func provisioned(t *testing.T) *realtest.Broker {
	t.Helper()
	broker := realtest.NATS(t)
	_, js := broker.Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	return broker
}

// open runs a host until the test ends.
func open(t *testing.T, cfg config.Config, services ...Service) *house {
	t.Helper()
	return openHost(t, Host{Config: cfg, Services: services})
}

// openHost runs a host, and ends it with the test.
func openHost(t *testing.T, host Host) *house {
	t.Helper()
	cfg := host.Config
	ctx, stop := context.WithCancel(context.Background())
	h := &house{
		t: t, cfg: cfg, stop: stop, log: &lockedBuffer{}, admin: "http://" + cfg.Admin.Addr,
		doors: make(chan Addresses, 1), ended: make(chan error, 1),
	}
	host.Log, host.Opened = telemetry.Logger(h.log, "debug", "test"), func(d Addresses) { h.doors <- d }
	gone := make(chan struct{})
	go func() {
		h.ended <- host.Run(ctx)
		close(gone)
	}()
	t.Cleanup(func() {
		stop()
		select {
		case <-gone:
		case <-time.After(leaveWithin + patience):
			t.Error("the host did not end")
		}
		if t.Failed() {
			t.Log(h.log)
		}
	})
	return h
}

func (h *house) opened() Addresses {
	h.t.Helper()
	select {
	case d := <-h.doors:
		return d
	case err := <-h.ended:
		h.t.Fatalf("the host ended before it was open: %v", err)
	case <-time.After(patience):
		h.t.Fatal("the host did not open")
	}
	panic("unreachable")
}

func (h *house) end() error {
	h.t.Helper()
	select {
	case err := <-h.ended:
		return err
	case <-time.After(leaveWithin + patience):
		h.t.Fatal("the host did not end")
		return nil
	}
}

func get(url string) (int, string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// readyWithin asks until the answer is as wanted, and fails when it is not so in time.
func (h *house) readyWithin(limit time.Duration, code int, is func(answer) bool) {
	h.t.Helper()
	deadline := time.Now().Add(limit)
	var last string
	for time.Now().Before(deadline) {
		got, body, err := get(h.admin + "/readyz?verbose")
		var a answer
		if err == nil && json.Unmarshal([]byte(body), &a) == nil && got == code && is(a) {
			return
		}
		last = body
		<-time.After(20 * time.Millisecond)
	}
	h.t.Fatalf("not %d within %s; last: %s", code, limit, last)
}

// idle is a service that waits for its end.
// both are the parties that a service's connections lead to.
var both = []Party{NATS, Redis}

// at is a public listener at the address that a setting has.
func at(key string) []Listener { return []Listener{{Name: "http", Key: key, Path: "/"}} }

func idle(name string, change ...func(*Service)) Service {
	s := Service{Name: name, Calls: both, Run: func(ctx context.Context, env Env) error {
		env.Up()
		<-ctx.Done()
		return ctx.Err()
	}}
	for _, c := range change {
		c(&s)
	}
	return s
}

func failing(part string) func(answer) bool {
	return func(a answer) bool { return a.Status == "failing" && !a.Checks[part].OK && a.Checks[part].Error != "" }
}

func allWell(a answer) bool {
	return a.Status == "ready" && a.Checks["nats"].OK && a.Checks["redis"].OK
}

// The figure is the operator's contract: a probe notices within five seconds.
func TestReadinessFollowsNATSAndRedis(t *testing.T) {
	t.Parallel()
	broker, redis := provisioned(t), realtest.Redis(t)
	h := open(t, settings(t, func(c *config.Config) { c.NATS.URL, c.Redis.URL = broker.URL, redis.URL }), idle("sms-sender"))
	h.opened()
	h.readyWithin(5*time.Second, 200, allWell)

	broker.Stop()
	h.readyWithin(5*time.Second, 503, failing("nats"))
	if code, _, err := get(h.admin + "/livez"); err != nil || code != 200 {
		t.Errorf("/livez while NATS is away: %d, %v", code, err)
	}
	broker.Start()
	h.readyWithin(5*time.Second, 200, allWell)

	redis.Stop()
	h.readyWithin(5*time.Second, 503, failing("redis"))
	redis.Start()
	h.readyWithin(5*time.Second, 200, allWell)

	h.stop()
	if err := h.end(); err != nil {
		t.Error(err)
	}
}

func TestAServiceThatOutlivesRedisStaysReady(t *testing.T) {
	t.Parallel()
	broker, redis := provisioned(t), realtest.Redis(t)
	cfg := settings(t, func(c *config.Config) { c.NATS.URL, c.Redis.URL = broker.URL, redis.URL })
	h := open(t, cfg, idle("sms-sender"), idle("ingest", func(s *Service) { s.WorksWithoutRedis = true }))
	h.opened()
	redis.Stop()
	h.readyWithin(5*time.Second, 200, func(a answer) bool {
		return a.Status == "ready" && !a.Checks["redis"].OK && a.Checks["redis"].Degrades
	})
}

func TestItWaitsForNATSAndForProvisioning(t *testing.T) {
	t.Parallel()
	broker := realtest.NATS(t)
	broker.Stop()
	h := open(t, settings(t, func(c *config.Config) { c.NATS.URL = broker.URL }), idle("enricher"))
	h.readyWithin(patience, 503, func(a answer) bool { return a.Status == "starting" && a.Checks["nats"].Error == errNoNATS.Error() })

	broker.Start()
	h.readyWithin(patience, 503, func(a answer) bool {
		return a.Status == "starting" && strings.Contains(a.Checks["nats"].Error, "stream not found")
	})
	_, js := broker.Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	h.opened()
	h.readyWithin(5*time.Second, 200, func(a answer) bool { return a.Status == "ready" })
	if !strings.Contains(h.log.String(), "waiting for a provisioned NATS") {
		t.Error("nobody was told what it waits for")
	}
}

func TestItCanBeEndedWhileItWaits(t *testing.T) {
	t.Parallel()
	h := open(t, settings(t, func(c *config.Config) { c.NATS.URL = "nats://" + freeAddr(t) }), idle("enricher"))
	h.readyWithin(patience, 503, func(a answer) bool { return a.Status == "starting" })
	h.stop()
	if err := h.end(); err != nil {
		t.Error(err)
	}
}

func TestPublicDoorsOpenWhenAllServicesAreUp(t *testing.T) {
	t.Parallel()
	broker := provisioned(t)
	addr := freeAddr(t)
	first, release := make(chan struct{}), make(chan struct{})
	ingest := Service{Name: "ingest", Calls: both, Listeners: at("ingest.addr"), Run: func(ctx context.Context, env Env) error {
		env.Public.HandleFunc("/webhooks/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) })
		env.Up()
		close(first)
		<-ctx.Done()
		return nil
	}}
	shortener := Service{Name: "shortener", Calls: both, Listeners: at("ingest.addr"), Run: func(ctx context.Context, env Env) error {
		<-release
		env.Public.HandleFunc("/l/{code}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) })
		env.Up()
		<-ctx.Done()
		return nil
	}}
	h := open(t, settings(t, func(c *config.Config) { c.NATS.URL, ingestsettings.Section.In(c).Addr = broker.URL, addr }), ingest, shortener, idle("enricher"))

	<-first
	if _, _, err := get("http://" + addr + "/webhooks/x"); err == nil {
		t.Error("the door was open before all services were up")
	}
	if code, _, _ := get(h.admin + "/readyz"); code != 503 {
		t.Errorf("ready before all services are up: %d", code)
	}
	close(release)
	doors := h.opened()
	if doors.Public["ingest"].String() != addr || doors.Public["shortener"].String() != addr || len(doors.Public) != 2 {
		t.Errorf("%+v", doors)
	}
	if code, _, err := get("http://" + addr + "/webhooks/x"); code != 202 {
		t.Errorf("ingest: %d, %v", code, err)
	}
	// Not followed, because it has no Location.
	if code, _, _ := get("http://" + addr + "/l/x"); code != 302 {
		t.Errorf("shortener: %d", code)
	}
}

func TestServicesWithAddressesOfTheirOwnShareNoDoor(t *testing.T) {
	t.Parallel()
	broker := provisioned(t)
	serve := func(name, key string) Service {
		return Service{Name: name, Calls: both, Listeners: at(key), Run: func(ctx context.Context, env Env) error {
			env.Public.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
			env.Up()
			<-ctx.Done()
			return nil
		}}
	}
	h := open(t, settings(t, func(c *config.Config) { c.NATS.URL = broker.URL }),
		serve("ingest", "ingest.addr"),
		serve("shortener", "links.addr"))
	for name, addr := range h.opened().Public {
		if _, body, err := get("http://" + addr.String()); body != name {
			t.Errorf("%s answered as %q, %v", name, body, err)
		}
	}
}

// The order of the end: not ready, requests in hand, services, connections.
func TestTheOrderOfTheEnd(t *testing.T) {
	t.Parallel()
	broker := provisioned(t)
	inHand, answerNow, told := make(chan struct{}), make(chan struct{}), make(chan struct{})
	finish := make(chan struct{})
	ingest := Service{Name: "ingest", Calls: both, Listeners: at("ingest.addr"), Run: func(ctx context.Context, env Env) error {
		env.Public.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			close(inHand)
			<-answerNow
			if r.Context().Err() != nil || ctx.Err() != nil {
				w.WriteHeader(500)
				return
			}
			w.WriteHeader(202)
		})
		env.Up()
		<-ctx.Done()
		close(told)
		<-finish
		return env.NATS.FlushTimeout(patience) // still connected
	}}
	h := open(t, settings(t, func(c *config.Config) { c.NATS.URL = broker.URL }), ingest)
	url := "http://" + h.opened().Public["ingest"].String()

	code := make(chan int, 1)
	go func() {
		c, _, _ := get(url)
		code <- c
	}()
	<-inHand
	h.stop()
	h.readyWithin(5*time.Second, 503, func(a answer) bool { return a.Status == "draining" })
	select {
	case <-told:
		t.Error("the service was told to end before the request in hand was answered")
	default:
	}
	close(answerNow)
	if c := <-code; c != 202 {
		t.Errorf("the request in hand got %d", c)
	}
	<-told
	if _, _, err := get(url); err == nil {
		t.Error("a new request was taken while leaving")
	}
	h.readyWithin(5*time.Second, 503, func(a answer) bool { return a.Status == "draining" })
	close(finish)
	if err := h.end(); err != nil {
		t.Error(err)
	}
	if _, _, err := get(h.admin + "/livez"); err == nil {
		t.Error("the admin door is open after the end")
	}
}

// Only SIGTERM is worth a drain delay, and only if requests may still arrive. Otherwise a person would wait for nothing.
func TestTheDrainDelay(t *testing.T) {
	t.Parallel()
	broker := provisioned(t)
	public := func(s *Service) {
		s.Listeners = at("ingest.addr")
	}
	for name, c := range map[string]struct {
		cause   error
		service Service
		delay   time.Duration
		drains  bool
	}{
		"SIGTERM":                    {ErrTerminated, idle("ingest", public), time.Hour, true},
		"SIGINT":                     {context.Canceled, idle("ingest", public), time.Hour, false},
		"SIGTERM, without listeners": {ErrTerminated, idle("enricher"), time.Hour, false},
		"SIGTERM, without a delay":   {ErrTerminated, idle("ingest", public), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := settings(t, func(c *config.Config) { c.NATS.URL = broker.URL })
			cfg.DrainDelay = c.delay
			ctx, stop := context.WithCancelCause(context.Background())
			opened, ended, fail := make(chan Addresses, 1), make(chan error, 1), make(chan struct{})
			ends := c.service
			if c.drains { // the delay is an hour, so it is cut short by the service's own end
				ends.Run = func(_ context.Context, env Env) error {
					env.Public.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) })
					env.Up()
					<-fail
					return errors.New("failed while it drained")
				}
			}
			h := Host{Config: cfg, Log: telemetry.Logger(io.Discard, "info", "test"), Services: []Service{ends}, Opened: func(d Addresses) { opened <- d }}
			go func() { ended <- h.Run(ctx) }()
			doors := <-opened
			stop(c.cause)
			if !c.drains {
				if err := <-ended; err != nil {
					t.Error(err)
				}
				return
			}
			for code := 0; code != 503; {
				var said string
				if code, said, _ = get("http://" + doors.Admin.String() + "/readyz"); code == 503 && said != "draining\n" {
					t.Errorf("not ready because of %q", said)
				}
			}
			resp, err := http.Get("http://" + doors.Public["ingest"].String())
			if err != nil {
				t.Fatal(err)
			}
			if _ = resp.Body.Close(); resp.StatusCode != 202 || !resp.Close {
				t.Errorf("while it drains: %s, and the connection is kept: %t", resp.Status, !resp.Close)
			}
			close(fail)
			if err := <-ended; err == nil {
				t.Error("the failure was not told")
			}
		})
	}
}

func TestAServiceThatFailsEndsTheHost(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		run  func(context.Context, Env) error
		want string
	}{
		"before it is up": {func(context.Context, Env) error { return broken }, "sms-sender: broken"},
		"at work": {func(_ context.Context, env Env) error {
			env.Up()
			return broken
		}, "sms-sender: broken"},
		"without a reason": {func(_ context.Context, env Env) error {
			env.Up()
			return nil
		}, "sms-sender ended before it was told to"},
		"at its end": {func(ctx context.Context, env Env) error {
			env.Up()
			<-ctx.Done()
			return broken
		}, "sms-sender: broken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			others := make(chan struct{})
			other := Service{Name: "sandbox", Run: func(ctx context.Context, env Env) error {
				env.Up()
				<-ctx.Done()
				close(others)
				return nil
			}}
			h := open(t, settings(t), Service{Name: "sms-sender", Run: c.run}, other)
			if name == "at its end" {
				h.opened()
				h.stop()
			}
			err := h.end()
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
			<-others // the other service was ended in order
		})
	}
}

// Kubernetes kills after 30 s, and says nobody's name. This takes the whole 25 s: the doors are real, so no bubble of
// synctest can make its clock run ahead.
func TestAServiceThatNeverEndsDoesNotHoldTheHost(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	const within = 500 * time.Millisecond
	h := openHost(t, Host{Config: settings(t), leaveWithin: within, Services: []Service{
		idle("ingest", func(s *Service) { s.Calls = nil }),
		{Name: "sms-sender", Run: func(_ context.Context, env Env) error {
			env.Up()
			<-release
			return nil
		}},
	}})
	h.opened()
	h.stop()
	select {
	case err := <-h.ended:
		if want := "sms-sender is still at work 500ms after it was told to end"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	case <-time.After(patience):
		t.Errorf("the host is still there %s after it was told to end within %s", patience, within)
	}
}

// Kubernetes gives 30 s, and a long drain delay more.
func TestAHostLeavesWithinWhatKubernetesGives(t *testing.T) {
	t.Parallel()
	for delay, want := range map[time.Duration]time.Duration{0: 25 * time.Second, 5 * time.Second: 25 * time.Second, 15 * time.Second: 35 * time.Second} {
		if got := (Host{}).endsWithin(delay); got != want {
			t.Errorf("after a drain delay of %s: %s, want %s", delay, got, want)
		}
	}
}

func TestADoorThatIsTakenEndsTheHost(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	atTaken := func(c *config.Config) { ingestsettings.Section.In(c).Addr = taken.Addr().String() }
	door := idle("ingest", func(s *Service) {
		s.Calls, s.Listeners = nil, at("ingest.addr")
	})
	h := open(t, settings(t, atTaken), door)
	if err := h.end(); err == nil || !strings.HasPrefix(err.Error(), "public door of ingest: listen: ") {
		t.Error(err)
	}
	h = open(t, settings(t, func(c *config.Config) { c.Admin.Addr = taken.Addr().String() }), door)
	if err := h.end(); err == nil || !strings.HasPrefix(err.Error(), "admin door: listen: ") {
		t.Error(err)
	}
}

func TestAServiceWithoutPartsRunsWithoutNATS(t *testing.T) {
	t.Parallel()
	h := open(t, settings(t), Service{Name: "sandbox", Run: func(ctx context.Context, env Env) error {
		if env.NATS != nil || env.JS != nil || env.Claims != nil || env.Gaps != nil {
			return errors.New("it was given connections")
		}
		env.Up()
		<-ctx.Done()
		return nil
	}})
	h.opened()
	h.readyWithin(patience, 200, func(a answer) bool { return a.Status == "ready" && len(a.Checks) == 0 })
}

// withEachMemory runs a test with the memory of claims in Redis, and with the memory in a bucket.
func withEachMemory(t *testing.T, test func(*testing.T, *realtest.Broker, config.Config)) {
	t.Helper()
	for name, withRedis := range map[string]bool{"redis": true, "bucket": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := provisioned(t)
			cfg := settings(t, func(c *config.Config) { c.NATS.URL = broker.URL })
			if withRedis {
				cfg.Redis.URL = realtest.Redis(t).URL
			}
			test(t, broker, cfg)
		})
	}
}

// A command may do any service's work: a quarantined callback that is replayed is claimed as ingest claims it.
func TestACommandSharesTheMemoryOfTheServices(t *testing.T) {
	t.Parallel()
	withEachMemory(t, func(t *testing.T, _ *realtest.Broker, cfg config.Config) {
		for _, want := range []dedupe.State{dedupe.Claimed, dedupe.Held} {
			env, done, err := Open(t.Context(), cfg, "a-command", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(done)
			memory := env.Claims(dedupe.Options{Namespace: flow.IngestMemory, Lease: time.Minute, Remember: time.Hour})
			claims, err := memory.Claim(t.Context(), dedupe.NewOwner(), "a")
			if err != nil || claims[0].State != want {
				t.Errorf("%+v %v, want state %d", claims, err, want)
			}
		}
	})
}

func TestTheMemoryIsInRedisOrInABucket(t *testing.T) {
	t.Parallel()
	withEachMemory(t, func(t *testing.T, broker *realtest.Broker, cfg config.Config) {
		states := make(chan dedupe.State, 3)
		h := open(t, cfg, Service{Name: "ingest", Calls: both, Run: func(ctx context.Context, env Env) error {
			env.Up()
			memory := env.Claims(dedupe.Options{Namespace: "i", Lease: time.Minute, Remember: time.Hour})
			for _, step := range []func() error{
				func() error { return nil },
				func() error { return nil },
				func() error { return memory.Confirm(ctx, dedupe.Done{ID: "a"}) },
			} {
				if err := step(); err != nil {
					return err
				}
				claims, err := memory.Claim(ctx, dedupe.NewOwner(), "a")
				if err != nil {
					return err
				}
				states <- claims[0].State
			}
			<-ctx.Done()
			return nil
		}})
		h.opened()
		for _, want := range []dedupe.State{dedupe.Claimed, dedupe.Held, dedupe.Confirmed} {
			select {
			case got := <-states:
				if got != want {
					t.Errorf("state %d, want %d", got, want)
				}
			case err := <-h.ended:
				t.Fatal(err)
			}
		}
		_, js := broker.Connect()
		kv, err := js.KeyValue(t.Context(), flow.Memory)
		if err != nil {
			t.Fatal(err)
		}
		status, err := kv.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if inBucket := status.Values() > 0; inBucket == (cfg.Redis.URL != "") {
			t.Errorf("the bucket holds %d entries", status.Values())
		}
	})
}

func TestMetricsOfServicesDoNotClash(t *testing.T) {
	t.Parallel()
	counts := func(name string) Service {
		return Service{Name: name, Run: func(ctx context.Context, env Env) error {
			c := prometheus.NewCounter(prometheus.CounterOpts{Name: "signrelay_tests_total", Help: "Tests."})
			env.Metrics.MustRegister(c)
			c.Inc()
			env.Up()
			<-ctx.Done()
			return nil
		}}
	}
	h := open(t, settings(t), counts("ingest"), counts("shortener"))
	h.opened()
	code, body, err := get(h.admin + "/metrics")
	if err != nil || code != 200 {
		t.Fatal(code, err)
	}
	for _, want := range []string{
		`signrelay_tests_total{component="ingest"} 1`, `signrelay_tests_total{component="shortener"} 1`,
		"go_goroutines ", "process_start_time_seconds ", "go_build_info{",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if code, _, _ := get(h.admin + "/debug/pprof/"); code != 404 {
		t.Errorf("profiles are served without the setting: %d", code)
	}
}

func TestProfilesWhereTheSettingsAskForThem(t *testing.T) {
	t.Parallel()
	h := open(t, settings(t, func(c *config.Config) { c.Admin.Pprof = true }), idle("sandbox", func(s *Service) { s.Calls = nil }))
	h.opened()
	for path, want := range map[string]int{
		"/debug/pprof/": 200, "/debug/pprof/heap": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/symbol": 200,
		"/debug/pprof/cmdline": 404, "/debug/vars": 404, "//metrics": 404, "/m%65trics": 404, "/metrics": 200,
	} {
		if code, _, _ := get(h.admin + path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

func TestARequestThatHangsIsCutOff(t *testing.T) {
	t.Parallel()
	stuck, inHand := make(chan struct{}), make(chan struct{})
	failed := make(chan error, 1)
	d, err := openPublic("127.0.0.1:0", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(inHand)
		<-stuck
	}), func() {}, slog.New(slog.DiscardHandler), failed)
	if err != nil {
		t.Fatal(err)
	}
	defer close(stuck)
	cut := make(chan error, 1)
	go func() {
		_, _, err := get("http://" + d.listener.Addr().String())
		cut <- err
	}()
	<-inHand
	limit, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := closeDoors(limit, []*door{d}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if err := <-cut; err == nil {
		t.Error("the request was answered")
	}
}
