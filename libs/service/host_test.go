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

// waitLimit is the maximum wait of a test for an event that should happen at once.
const waitLimit = 20 * time.Second

// testHost is a running host under test.
type testHost struct {
	t         *testing.T
	cfg       config.Config
	addresses chan Addresses
	admin     string
	stop      context.CancelFunc
	ended     chan error
	log       *lockedBuffer
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

// freeAddr returns a free address. The test knows it before the host listens, so the test can probe a host that is still starting.
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
func open(t *testing.T, cfg config.Config, services ...Service) *testHost {
	t.Helper()
	return openHost(t, Host{Config: cfg, Services: services})
}

// openHost runs a host, and ends it with the test.
func openHost(t *testing.T, host Host) *testHost {
	t.Helper()
	cfg := host.Config
	ctx, stop := context.WithCancel(context.Background())
	h := &testHost{
		t: t, cfg: cfg, stop: stop, log: &lockedBuffer{}, admin: "http://" + cfg.Admin.Addr,
		addresses: make(chan Addresses, 1), ended: make(chan error, 1),
	}
	host.Log, host.Opened = telemetry.Logger(h.log, "debug", "test"), func(d Addresses) { h.addresses <- d }
	gone := make(chan struct{})
	go func() {
		h.ended <- host.Run(ctx)
		close(gone)
	}()
	t.Cleanup(func() {
		stop()
		select {
		case <-gone:
		case <-time.After(leaveWithin + waitLimit):
			t.Error("the host did not end")
		}
		if t.Failed() {
			t.Log(h.log)
		}
	})
	return h
}

func (h *testHost) opened() Addresses {
	h.t.Helper()
	select {
	case d := <-h.addresses:
		return d
	case err := <-h.ended:
		h.t.Fatalf("the host ended before it was open: %v", err)
	case <-time.After(waitLimit):
		h.t.Fatal("the host did not open")
	}
	panic("unreachable")
}

func (h *testHost) end() error {
	h.t.Helper()
	select {
	case err := <-h.ended:
		return err
	case <-time.After(leaveWithin + waitLimit):
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

// readyWithin polls /readyz until the response is as expected, and fails after the limit.
func (h *testHost) readyWithin(limit time.Duration, code int, is func(readyz) bool) {
	h.t.Helper()
	deadline := time.Now().Add(limit)
	var last string
	for time.Now().Before(deadline) {
		got, body, err := get(h.admin + "/readyz?verbose")
		var a readyz
		if err == nil && json.Unmarshal([]byte(body), &a) == nil && got == code && is(a) {
			return
		}
		last = body
		<-time.After(20 * time.Millisecond)
	}
	h.t.Fatalf("not %d within %s; last: %s", code, limit, last)
}

// both are the parties to which a service's connections lead.
var both = []Party{NATS, Redis}

// at returns a public listener at the address in a setting.
func at(key string) []Listener { return []Listener{{Name: "http", Key: key, Path: "/"}} }

// idle returns a service that waits for the shutdown.
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

func failing(part string) func(readyz) bool {
	return func(a readyz) bool { return a.Status == "failing" && !a.Checks[part].OK && a.Checks[part].Error != "" }
}

func allWell(a readyz) bool {
	return a.Status == "ready" && a.Checks["nats"].OK && a.Checks["redis"].OK
}

// Operators rely on this limit: a probe notices an outage within five seconds.
func TestReadinessFollowsNATSAndRedis(t *testing.T) {
	t.Parallel()
	broker, redis := provisioned(t), realtest.Redis(t)
	h := open(t, settings(t, func(c *config.Config) { c.NATS.URL, c.Redis.URL = broker.URL, redis.URL }), idle("sms-sender"))
	h.opened()
	h.readyWithin(5*time.Second, 200, allWell)

	broker.Stop()
	h.readyWithin(5*time.Second, 503, failing("nats"))
	if code, _, err := get(h.admin + "/livez"); err != nil || code != 200 {
		t.Errorf("/livez while NATS is unavailable: %d, %v", code, err)
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

func TestAServiceThatWorksWithoutRedisStaysReady(t *testing.T) {
	t.Parallel()
	broker, redis := provisioned(t), realtest.Redis(t)
	cfg := settings(t, func(c *config.Config) { c.NATS.URL, c.Redis.URL = broker.URL, redis.URL })
	h := open(t, cfg, idle("sms-sender"), idle("ingest", func(s *Service) { s.WorksWithoutRedis = true }))
	h.opened()
	redis.Stop()
	h.readyWithin(5*time.Second, 200, func(a readyz) bool {
		return a.Status == "ready" && !a.Checks["redis"].OK && a.Checks["redis"].Degrades
	})
}

func TestAHostWaitsForNATSAndForProvisioning(t *testing.T) {
	t.Parallel()
	broker := realtest.NATS(t)
	broker.Stop()
	h := open(t, settings(t, func(c *config.Config) { c.NATS.URL = broker.URL }), idle("enricher"))
	h.readyWithin(waitLimit, 503, func(a readyz) bool { return a.Status == "starting" && a.Checks["nats"].Error == errNoNATS.Error() })

	broker.Start()
	h.readyWithin(waitLimit, 503, func(a readyz) bool {
		return a.Status == "starting" && strings.Contains(a.Checks["nats"].Error, "stream not found")
	})
	_, js := broker.Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	h.opened()
	h.readyWithin(5*time.Second, 200, func(a readyz) bool { return a.Status == "ready" })
	if !strings.Contains(h.log.String(), "waiting for a provisioned NATS") {
		t.Error("the log does not report that the host waits for provisioning")
	}
}

func TestAHostCanBeStoppedWhileItWaits(t *testing.T) {
	t.Parallel()
	h := open(t, settings(t, func(c *config.Config) { c.NATS.URL = "nats://" + freeAddr(t) }), idle("enricher"))
	h.readyWithin(waitLimit, 503, func(a readyz) bool { return a.Status == "starting" })
	h.stop()
	if err := h.end(); err != nil {
		t.Error(err)
	}
}

func TestPublicListenersOpenWhenAllServicesAreUp(t *testing.T) {
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
		t.Error("the public listener was open before all services were up")
	}
	if code, _, _ := get(h.admin + "/readyz"); code != 503 {
		t.Errorf("ready before all services are up: %d", code)
	}
	close(release)
	addresses := h.opened()
	if addresses.Public["ingest"].String() != addr || addresses.Public["shortener"].String() != addr || len(addresses.Public) != 2 {
		t.Errorf("%+v", addresses)
	}
	if code, _, err := get("http://" + addr + "/webhooks/x"); code != 202 {
		t.Errorf("ingest: %d, %v", code, err)
	}
	// The client does not follow it, because it has no Location.
	if code, _, _ := get("http://" + addr + "/l/x"); code != 302 {
		t.Errorf("shortener: %d", code)
	}
}

func TestServicesWithDifferentAddressesShareNoListener(t *testing.T) {
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
			t.Errorf("the listener of %s returned %q, %v", name, body, err)
		}
	}
}

// The order of the shutdown: not ready, requests in flight, services, connections.
func TestTheOrderOfTheShutdown(t *testing.T) {
	t.Parallel()
	broker := provisioned(t)
	inFlight, respondNow, stopping := make(chan struct{}), make(chan struct{}), make(chan struct{})
	finish := make(chan struct{})
	ingest := Service{Name: "ingest", Calls: both, Listeners: at("ingest.addr"), Run: func(ctx context.Context, env Env) error {
		env.Public.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			close(inFlight)
			<-respondNow
			if r.Context().Err() != nil || ctx.Err() != nil {
				w.WriteHeader(500)
				return
			}
			w.WriteHeader(202)
		})
		env.Up()
		<-ctx.Done()
		close(stopping)
		<-finish
		return env.NATS.FlushTimeout(waitLimit) // still connected
	}}
	h := open(t, settings(t, func(c *config.Config) { c.NATS.URL = broker.URL }), ingest)
	url := "http://" + h.opened().Public["ingest"].String()

	code := make(chan int, 1)
	go func() {
		c, _, _ := get(url)
		code <- c
	}()
	<-inFlight
	h.stop()
	h.readyWithin(5*time.Second, 503, func(a readyz) bool { return a.Status == "draining" })
	select {
	case <-stopping:
		t.Error("the service's context ended before the response to the request in flight")
	default:
	}
	close(respondNow)
	if c := <-code; c != 202 {
		t.Errorf("the request in flight got %d", c)
	}
	<-stopping
	if _, _, err := get(url); err == nil {
		t.Error("the host accepted a new request during the shutdown")
	}
	h.readyWithin(5*time.Second, 503, func(a readyz) bool { return a.Status == "draining" })
	close(finish)
	if err := h.end(); err != nil {
		t.Error(err)
	}
	if _, _, err := get(h.admin + "/livez"); err == nil {
		t.Error("the admin listener is open after the shutdown")
	}
}

// Only SIGTERM causes a drain delay, and only if requests may still arrive. Otherwise a person at a terminal would wait for no reason.
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
			if c.drains { // the delay is an hour, so the service's failure ends it early
				ends.Run = func(_ context.Context, env Env) error {
					env.Public.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) })
					env.Up()
					<-fail
					return errors.New("failed while it drained")
				}
			}
			h := Host{Config: cfg, Log: telemetry.Logger(io.Discard, "info", "test"), Services: []Service{ends}, Opened: func(d Addresses) { opened <- d }}
			go func() { ended <- h.Run(ctx) }()
			addresses := <-opened
			stop(c.cause)
			if !c.drains {
				if err := <-ended; err != nil {
					t.Error(err)
				}
				return
			}
			for code := 0; code != 503; {
				var said string
				if code, said, _ = get("http://" + addresses.Admin.String() + "/readyz"); code == 503 && said != "draining\n" {
					t.Errorf("/readyz returned %q, want draining", said)
				}
			}
			resp, err := http.Get("http://" + addresses.Public["ingest"].String())
			if err != nil {
				t.Fatal(err)
			}
			if _ = resp.Body.Close(); resp.StatusCode != 202 || !resp.Close {
				t.Errorf("while it drains: %s, and the connection is kept: %t", resp.Status, !resp.Close)
			}
			close(fail)
			if err := <-ended; err == nil {
				t.Error("the host did not return the failure")
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
		}, "sms-sender ended before the shutdown"},
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
			<-others // the other service was shut down in order
		})
	}
}

// Kubernetes kills the process after 30 s and does not name the service that hangs.
func TestAServiceThatNeverEndsDoesNotBlockTheHost(t *testing.T) {
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
		if want := "sms-sender still works 500ms after the shutdown began"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	case <-time.After(waitLimit):
		t.Errorf("the host still runs after %s, want an end within %s", waitLimit, within)
	}
}

// Kubernetes grants 30 s, and more with a long drain delay.
func TestAShutdownFitsTheGracePeriodOfKubernetes(t *testing.T) {
	t.Parallel()
	for delay, want := range map[time.Duration]time.Duration{0: 25 * time.Second, 5 * time.Second: 25 * time.Second, 15 * time.Second: 35 * time.Second} {
		if got := (Host{}).endsWithin(delay); got != want {
			t.Errorf("after a drain delay of %s: %s, want %s", delay, got, want)
		}
	}
}

func TestAnAddressInUseEndsTheHost(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	atTaken := func(c *config.Config) { ingestsettings.Section.In(c).Addr = taken.Addr().String() }
	ingest := idle("ingest", func(s *Service) {
		s.Calls, s.Listeners = nil, at("ingest.addr")
	})
	h := open(t, settings(t, atTaken), ingest)
	if err := h.end(); err == nil || !strings.HasPrefix(err.Error(), "public listener of ingest: listen: ") {
		t.Error(err)
	}
	h = open(t, settings(t, func(c *config.Config) { c.Admin.Addr = taken.Addr().String() }), ingest)
	if err := h.end(); err == nil || !strings.HasPrefix(err.Error(), "admin listener: listen: ") {
		t.Error(err)
	}
}

func TestAServiceWithoutPartsRunsWithoutNATS(t *testing.T) {
	t.Parallel()
	h := open(t, settings(t), Service{Name: "sandbox", Run: func(ctx context.Context, env Env) error {
		if env.NATS != nil || env.JS != nil || env.Claims != nil || env.Gaps != nil {
			return errors.New("the service has connections")
		}
		env.Up()
		<-ctx.Done()
		return nil
	}})
	h.opened()
	h.readyWithin(waitLimit, 200, func(a readyz) bool { return a.Status == "ready" && len(a.Checks) == 0 })
}

// withEachStore runs a test with the dedupe store in Redis, and with the store in a bucket.
func withEachStore(t *testing.T, test func(*testing.T, *realtest.Broker, config.Config)) {
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

// A command may do any service's work: the replay of a quarantined callback claims it as ingest does.
func TestACommandSharesTheDedupeStoreOfTheServices(t *testing.T) {
	t.Parallel()
	withEachStore(t, func(t *testing.T, _ *realtest.Broker, cfg config.Config) {
		for _, want := range []dedupe.State{dedupe.Claimed, dedupe.Held} {
			env, done, err := Open(t.Context(), cfg, "a-command", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(done)
			memory := env.Claims(dedupe.Options{Namespace: flow.IngestClaims, Lease: time.Minute, Remember: time.Hour})
			claims, err := memory.Claim(t.Context(), dedupe.NewOwner(), "a")
			if err != nil || claims[0].State != want {
				t.Errorf("%+v %v, want state %d", claims, err, want)
			}
		}
	})
}

func TestTheDedupeStoreIsInRedisOrInABucket(t *testing.T) {
	t.Parallel()
	withEachStore(t, func(t *testing.T, broker *realtest.Broker, cfg config.Config) {
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
			t.Errorf("the bucket has %d entries", status.Values())
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

func TestProfilesAreServedIfTheSettingsEnableThem(t *testing.T) {
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
	stuck, inFlight := make(chan struct{}), make(chan struct{})
	failed := make(chan error, 1)
	d, err := openPublic("127.0.0.1:0", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(inFlight)
		<-stuck
	}), func() {}, slog.New(slog.DiscardHandler), failed, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer close(stuck)
	cut := make(chan error, 1)
	go func() {
		_, _, err := get("http://" + d.listener.Addr().String())
		cut <- err
	}()
	<-inFlight
	limit, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := closeServers(limit, []*httpServer{d}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if err := <-cut; err == nil {
		t.Error("the client got a response")
	}
}
