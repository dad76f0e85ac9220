package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/limit"
)

// Host runs services in one process: they share its connections, its health checks, its metrics and its admin listener.
type Host struct {
	Config   config.Config
	Log      *slog.Logger
	Services []Service
	// Opened is called once, when all services are up and all listeners are open; it may be nil.
	Opened func(Addresses)

	// Demo lets the sandbox move the clock of all services.
	Demo bool

	// Tests shorten these; 0 means the constants leaveWithin and rereadEvery, and the default of certificates.ACMEOptions.
	leaveWithin, rereadEvery, lookEvery time.Duration
}

// Addresses are the addresses at which a host listens.
type Addresses struct {
	Admin  net.Addr
	Public map[string]net.Addr // by the service's name
	Plain  net.Addr            // of the listener for plain HTTP; nil if there is none
}

// The limits of a shutdown, within the 30 s that Kubernetes grants.
const (
	// leaveWithin limits the whole shutdown: the drain delay, the requests in flight, then the services.
	leaveWithin = 25 * time.Second
	// leaveAfterDelay is the time that remains after a drain delay of more than 5 s.
	leaveAfterDelay = 20 * time.Second
	// closeWithin limits the time for requests in flight, so that one slow caller does not use up the time of the services.
	closeWithin = 10 * time.Second
)

// Run runs services until ctx ends; see Host.Run.
func Run(ctx context.Context, cfg config.Config, log *slog.Logger, services ...Service) error {
	return Host{Config: cfg, Log: log, Services: services}.Run(ctx)
}

// Run opens the parts that the services need, runs the services, and opens the public listeners when all services are up. It
// waits without limit for NATS, and for the resources that Provision creates in NATS.
//
// When ctx ends, Run immediately reports draining to probes. If SIGTERM ended ctx (see UntilSignal), the public listeners stay open for the
// drain delay, so that load balancers notice. Then Run finishes the requests in flight, ends the services' context and waits for the
// services, at most 25 s in total. It closes the connections last. If a service fails, Run ends early with the service's error.
func (h Host) Run(ctx context.Context) (err error) {
	health := new(Health)
	metrics := newMetrics()
	describe(metrics, h.name(), health)
	failed := make(chan error, 1)
	admin, err := openAdmin(h.Config.Admin, health, metrics, h.Log, failed)
	if err != nil {
		return fmt.Errorf("admin listener: %w", err)
	}
	defer func() { _ = admin.server.Close() }()
	h.Log.Info("admin listener is open", "addr", admin.listener.Addr().String())

	live := config.NewLive(h.Config)
	go reload(ctx, live, cmp.Or(h.rereadEvery, rereadEvery), metrics, h.Log)

	p, err := h.openParts(ctx, live, health, opening{
		connect: func() (*nats.Conn, error) {
			return connectNATS(config.Pick(live, func(c config.Config) config.NATS { return c.NATS }), h.name(), h.Log)
		},
		hopeless: func(error) bool { return false },
	})
	if err != nil {
		if ctx.Err() != nil { // the program was stopped while it waited
			return nil
		}
		return err
	}
	defer p.close()

	secure, err := h.secure(ctx, p, live, health, metrics)
	if err != nil {
		return err
	}

	// The services have their own context, which ends after the listeners are closed.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	r := h.start(work, p, live, health, metrics)

	servers, err := h.open(ctx, r, health, admin, failed, secure)
	if err == nil {
		var renewing sync.WaitGroup
		defer renewing.Wait() // before the connections are closed
		renewing.Go(func() { secure.run(work) })
		renewing.Go(func() { h.present(work, p) })
		select {
		case <-ctx.Done():
		case <-r.ended: // wait returns the reason
		case err = <-failed:
		}
	}

	health.drain()
	delay := h.drainDelay(ctx, servers)
	within := h.endsWithin(delay)
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	if delay > 0 && err == nil {
		h.Log.Info("draining", "listeners_close_in", delay.String())
		err = r.endsWithin(delay, failed)
	}
	h.Log.Info("leaving")
	err = errors.Join(err, closeServers(limit, servers))
	stopWork()
	return errors.Join(err, r.wait(limit, within))
}

// drainDelay returns the time for which the public listeners stay open after the shutdown signal. A load balancer needs that time to see that
// the program is no longer ready. A callback to a closed listener is lost if the provider does not retry. Only SIGTERM, which orchestrators
// send, causes the delay: a program that a person stops at a terminal has no load balancer in front.
func (h Host) drainDelay(ctx context.Context, servers []*httpServer) time.Duration {
	if len(servers) == 0 || !errors.Is(context.Cause(ctx), ErrTerminated) {
		return 0
	}
	return h.Config.DrainDelay
}

// endsWithin returns the maximum time of the whole shutdown after a drain delay.
func (h Host) endsWithin(delay time.Duration) time.Duration {
	return cmp.Or(h.leaveWithin, max(leaveWithin, delay+leaveAfterDelay))
}

// parts are the shared connections and stores of the services, and the functions that close them.
type parts struct {
	nats   *nats.Conn
	js     jetstream.JetStream
	claims func(dedupe.Options) dedupe.Store
	gaps   *dedupe.Gaps
	limits limit.Limiter
	closes []func() // run last to first
}

func (p *parts) close() {
	for i := len(p.closes) - 1; i >= 0; i-- {
		p.closes[i]()
	}
}

// publishWithin is the time after which an asynchronous publish without an ack counts as failed; without a limit, the publisher would
// wait until the next reconnect.
const publishWithin = 5 * time.Second

// opening configures how the parts are opened: a service waits until a fault is fixed, and a command reports the fault.
type opening struct {
	connect  func() (*nats.Conn, error)
	hopeless func(error) bool // reports whether waiting cannot fix an error of the broker
	operator bool             // a command with a NATS account that reads every bucket; it may do any service's work
}

// openParts connects, and waits until the broker is provisioned.
func (h Host) openParts(ctx context.Context, live *config.Live, health *Health, how opening) (_ *parts, err error) {
	p := &parts{limits: limit.NewLocal()}
	if !h.any(Service.connects) {
		return p, nil
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()

	if p.nats, err = how.connect(); err != nil {
		return nil, err
	}
	p.closes = append(p.closes, func() {
		_ = p.nats.FlushTimeout(time.Second) // sends buffered acks; without NATS they are lost, and the inputs are delivered again
		p.nats.Close()
	})
	if p.js, err = jetstream.New(p.nats, jetstream.WithPublishAsyncTimeout(publishWithin)); err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	health.Add("nats", func(ctx context.Context) error {
		if !p.nats.IsConnected() {
			return noNATS(p.nats)
		}
		_, err := p.js.Stream(ctx, flow.Signing)
		return ExplainJetStream(p.nats, err)
	})

	var client redis.UniversalClient
	ring := keyring.New(h.Config.MasterKeys())
	var probes *RedisProbes
	if h.Config.Redis.URL != "" {
		if client, err = connectRedis(config.Pick(live, func(c config.Config) config.Redis { return c.Redis })); err != nil {
			return nil, err
		}
		p.closes = append(p.closes, func() { _ = client.Close() })
		probes = NewRedisProbes(client)
		limits := limit.NewRedis(client, ring)
		p.limits = limits
		probes.Add(limits.Probe)
		add := health.Add
		if h.any(Service.outlivesRedis) {
			add = health.AddSoft
		}
		add("redis", probes.Check)
	}

	names := make([]string, len(h.Services))
	for i, s := range h.Services {
		names[i] = s.Name
		for _, space := range flow.ForgottenBy(s.Name) {
			if probes != nil {
				probes.Add(dedupe.NewRedis(client, dedupe.Options{Namespace: space}).ProbeForget)
			}
		}
	}
	provisioned := func(ctx context.Context) error { return flow.Provisioned(ctx, p.js, names...) }
	if err := waitForBroker(ctx, p.nats, h.Log, how.hopeless, provisioned); err != nil {
		return nil, err
	}
	state, err := p.js.KeyValue(ctx, flow.State)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", flow.State, err)
	}
	if p.gaps, err = dedupe.WatchGaps(ctx, state); err != nil {
		return nil, err
	}
	p.closes = append(p.closes, func() { _ = p.gaps.Close() })
	if client == nil && !how.operator && !h.any(func(s Service) bool { return flow.ClaimsOf(s.Name) != "" }) {
		return p, nil // no service claims anything, and their NATS accounts may not read the dedupe store's bucket
	}
	p.claims, err = claims(ctx, client, h.Config.Redis.Failover(), ring, probes, p.js, p.gaps, h.Config.NATS.Embedded)
	return p, err
}

// claims opens the dedupe store: in Redis if it is configured, otherwise in buckets of the broker. Probes check a store in Redis
// from then on.
func claims(
	ctx context.Context, client redis.UniversalClient, failover bool, ring keyring.Ring, probes *RedisProbes, js jetstream.JetStream, gaps *dedupe.Gaps, embedded bool,
) (func(dedupe.Options) dedupe.Store, error) {
	var keeper func(dedupe.Options) dedupe.Backend
	if client != nil {
		keeper = func(o dedupe.Options) dedupe.Backend {
			o.Ring, o.Failover = ring, failover
			r := dedupe.NewRedis(client, o)
			probes.Add(r.Probe)
			return r
		}
	} else {
		memory, err := js.KeyValue(ctx, flow.Memory)
		if err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", flow.Memory, err)
		}
		callbacks := memory
		if embedded {
			if callbacks, err = js.KeyValue(ctx, flow.Callbacks); errors.Is(err, jetstream.ErrBucketNotFound) { // the running version has none
				callbacks, err = memory, nil
			}
			if err != nil {
				return nil, fmt.Errorf("open bucket %s: %w", flow.Callbacks, err)
			}
		}
		keeper = func(o dedupe.Options) dedupe.Backend {
			if o.Namespace == flow.IngestClaims {
				return dedupe.NewBucket(callbacks, o)
			}
			return dedupe.NewBucket(memory, o)
		}
	}
	log := event.Log{JS: js, Stream: flow.Signing}
	return func(o dedupe.Options) dedupe.Store {
		return dedupe.NewGuard(keeper(o), log, gaps, o)
	}, nil
}

var errNoNATS = errors.New("no NATS server can be reached")

// waitForBroker returns nil when probe finds the streams and buckets that Provision creates. It returns the last error when ctx ends, or when
// waiting cannot help.
func waitForBroker(ctx context.Context, conn *nats.Conn, log *slog.Logger, hopeless func(error) bool, probe func(context.Context) error) error {
	reasons := &loggedReasons{}
	retry := time.NewTicker(250 * time.Millisecond)
	defer retry.Stop()
	var reason error
	for {
		err := errNoNATS
		if conn.IsConnected() {
			try, cancel := context.WithTimeout(ctx, 5*time.Second)
			err = ExplainJetStream(conn, probe(try))
			cancel()
		}
		if err == nil || hopeless(err) {
			return err
		}
		if reason == nil || ctx.Err() == nil || !errors.Is(err, ctx.Err()) { // a request that ctx ended has no useful error
			reason = err
		}
		if !reasons.repeated(err.Error()) {
			log.Warn("waiting for a provisioned NATS", "error", err)
		}
		select {
		case <-ctx.Done():
			// The first missing stream is enough, because without Provision all are missing.
			first, _, _ := strings.Cut(reason.Error(), "\n")
			return fmt.Errorf("no provisioned NATS at nats.url: %s; was `signrelay provision` run?", first)
		case <-retry.C:
		}
	}
}

// running has the state of the services that run.
type running struct {
	public map[string]*Routes // by address
	// dropped counts dropped connections by the service of the public listener.
	dropped *prometheus.CounterVec
	allUp   chan struct{}
	ended   chan struct{} // closed when a service ends before the shutdown
	done    chan struct{} // closed when all have ended

	mu     sync.Mutex
	atWork map[string]bool
	errs   []error
	early  sync.Once
}

// start runs every service in its own goroutine.
func (h Host) start(work context.Context, p *parts, live *config.Live, health *Health, metrics *prometheus.Registry) *running {
	r := &running{
		public:  map[string]*Routes{},
		dropped: droppedCounter(metrics),
		allUp:   make(chan struct{}),
		ended:   make(chan struct{}),
		done:    make(chan struct{}),
		atWork:  map[string]bool{},
	}
	for _, s := range h.Services {
		r.atWork[s.Name] = true
	}
	clock := new(clock)
	var up, done sync.WaitGroup
	unrouted := unroutedCounter(metrics)
	for _, s := range h.Services {
		env := Env{
			Name:   s.Name,
			Config: h.Config,
			Live:   live,
			Log:    h.Log,
			// Services of one process may have metrics with the same name. The label is not "service", because Prometheus's
			// discovery in Kubernetes sets that label.
			Metrics: prometheus.WrapRegistererWith(prometheus.Labels{"component": s.Name}, metrics),
			Health:  health,
			Public:  r.routes(s, h, unrouted),
			Limits:  p.limits,
			Now:     clock.now,
		}
		if h.Demo {
			env.Jump = func(ctx context.Context, by time.Duration) error { return clock.jump(ctx, p.js, by) }
		}
		if len(h.Services) > 1 {
			env.Log = h.Log.With("component", s.Name)
		}
		if s.connects() {
			env.NATS, env.JS, env.Claims, env.Gaps = p.nats, p.js, p.claims, p.gaps
		}
		up.Add(1)
		env.Up = sync.OnceFunc(up.Done)
		done.Go(func() { r.run(work, s, env) })
	}
	go func() { up.Wait(); close(r.allUp) }()
	go func() { done.Wait(); close(r.done) }()
	return r
}

// routes returns the routes of the service's public listener.
func (r *running) routes(s Service, h Host, unrouted *prometheus.CounterVec) *Routes {
	public, ok := s.Public()
	if !ok {
		return nil
	}
	addr := h.Config.Text(public.Key)
	if r.public[addr] == nil {
		r.public[addr] = NewRoutes()
		r.public[addr].count(unrouted, s.Name, h.Log)
	}
	return r.public[addr]
}

func (r *running) run(work context.Context, s Service, env Env) {
	err := s.Run(work, env)
	stopping := work.Err() != nil
	switch {
	case stopping && (err == nil || errors.Is(err, context.Canceled)):
		err = nil
	case err == nil:
		err = fmt.Errorf("%s ended before the shutdown", s.Name)
	default:
		err = fmt.Errorf("%s: %w", s.Name, err)
	}

	r.mu.Lock()
	delete(r.atWork, s.Name)
	if err != nil {
		r.errs = append(r.errs, err)
	}
	r.mu.Unlock()
	if !stopping {
		r.early.Do(func() { close(r.ended) })
	}
}

// endsWithin waits for the delay, or until a service or a listener ends early.
func (r *running) endsWithin(delay time.Duration, failed <-chan error) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ended: // wait returns the reason
	case err := <-failed:
		return err
	}
	return nil
}

// wait returns the services' errors when all services have ended. If limit ends first, it also returns an error for each service that still
// works; within is the time of limit since the shutdown began.
func (r *running) wait(limit context.Context, within time.Duration) error {
	select {
	case <-r.done:
	case <-limit.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := r.errs
	for name := range r.atWork {
		errs = append(errs, fmt.Errorf("%s still works %s after the shutdown began", name, within))
	}
	return errors.Join(errs...)
}

// open waits until all services are up, and opens the public listeners. If the shutdown begins first, it opens none.
func (h Host) open(ctx context.Context, r *running, health *Health, admin *httpServer, failed chan error, secure *secured) (servers []*httpServer, err error) {
	select {
	case <-r.allUp:
	case <-r.ended:
		return nil, nil
	case <-ctx.Done():
		return nil, nil
	case err := <-failed:
		return nil, err
	}

	open := Addresses{Admin: admin.listener.Addr(), Public: map[string]net.Addr{}}
	byAddr := map[string]*httpServer{}
	for _, s := range h.Services {
		public, ok := s.Public()
		if !ok {
			continue
		}
		addr := h.Config.Text(public.Key)
		if byAddr[addr] == nil {
			d, err := openPublic(addr, lastOfConnection(health, r.public[addr]), r.dropped.WithLabelValues(s.Name).Inc, h.Log, failed, secure.of(s.Name))
			if err != nil {
				return servers, fmt.Errorf("public listener of %s: %w", s.Name, err)
			}
			byAddr[addr] = d
			servers = append(servers, d)
			h.Log.Info("public listener is open", "addr", d.listener.Addr().String())
		}
		open.Public[s.Name] = byAddr[addr].listener.Addr()
	}
	plain, err := h.openPlain(secure, r, health, failed)
	if err != nil {
		return servers, err
	}
	if plain != nil {
		servers = append(servers, plain)
		open.Plain = plain.listener.Addr()
	}
	health.setUp()
	h.Log.Info("up")
	if h.Opened != nil {
		h.Opened(open)
	}
	return servers, nil
}

// closeServers closes all servers concurrently and waits for the requests in flight.
func closeServers(limit context.Context, servers []*httpServer) error {
	ctx, cancel := context.WithTimeout(limit, closeWithin)
	defer cancel()
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, d := range servers {
		wg.Go(func() { errs[i] = d.close(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (h Host) any(is func(Service) bool) bool {
	for _, s := range h.Services {
		if is(s) {
			return true
		}
	}
	return false
}

// name returns the name of this process in the lists of clients that NATS and Redis show.
func (h Host) name() string {
	if len(h.Services) == 1 {
		return h.Services[0].Name
	}
	return "signrelay"
}
