// Package ingest is the HTTP endpoint that providers call. A 2xx means that the callback's events are stored in the log, once.
//
// The path of a callback: route.go finds its source, and handler.go receives and verifies it. accept.go processes it, and also a callback that
// an operator replays from the quarantine (replay.go): read.go reads it with the provider's pack, and store.go stores its events in the log
// and its unreadable parts in the quarantine; publisher.go publishes them. response.go writes the response, and confirm.go confirms the claims
// after it.
package ingest

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/signrelay/signrelay/libs/batching"
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
)

// Service is ingest as a separate program.
var Service = service.Service{
	Name:              "ingest",
	Run:               Run,
	Listeners:         []service.Listener{{Name: "http", Key: "ingest.addr", Port: 8080, Path: "/webhooks"}},
	Sections:          []config.Declared{ingestsettings.Section},
	Calls:             []service.Party{service.NATS, service.Redis},
	Reads:             []string{"sources", "ingest", "hide_sources", "drain_delay", "tls", "nats", "redis", "master_key", "log"},
	WorksWithoutRedis: true, // the log and the stream's own duplicate window replace Redis
	MemoryMiB:         1024, // for 1024 concurrent callbacks, a quarter of them with 1 MiB
}

// Run accepts callbacks until ctx ends.
func Run(ctx context.Context, env service.Env) error { return run(ctx, env, providers.All) }

func run(ctx context.Context, env service.Env, packs []pack.Pack) error {
	h, err := newHandler(env, packs)
	if err != nil {
		return err
	}
	return h.run(ctx)
}

func (h *handler) run(ctx context.Context) error {
	h.env.Health.Add("nats-max-payload", h.takesLargest)
	h.env.Health.AddSoft("dedupe-memory", h.store.state.check)
	h.env.Public.Handle("/webhooks", h)
	h.env.Public.Handle("/webhooks/", h)
	h.env.Public.HandleUnrouted(h)
	var err error
	if h.store.erased, err = erase.WatchTombstones(ctx, h.env.JS, keyring.New(h.env.Config.MasterKeys())); err != nil {
		h.env.Log.ErrorContext(ctx, "the list of erased documents cannot be read; the keeper removes their late events", "error", err)
	}
	defer h.store.erased.Close()
	h.env.Up()
	var jobs sync.WaitGroup
	jobs.Go(func() { _ = h.jobs().Run(ctx) })
	<-ctx.Done() // the listener is closed by then
	jobs.Wait()
	h.confirmations.Wait()
	h.arrived.close()
	return nil
}

// handler serves the routes of all packs.
type handler struct {
	packs    []pack.Pack
	accounts *config.Current[accounts]
	store    *store
	inFlight chan struct{} // one slot for each callback in flight

	confirmations *batching.Queue[[]dedupe.Done]

	keys    keyUses
	arrived arrivals
	metrics *metrics
	tracer  trace.Tracer
	env     service.Env
}

// accounts contains the sources by provider and name. They are opened again when their secrets change.
type accounts map[string]map[string]source

// source is one account at a provider.
type source struct {
	settings config.Source
	webhook  pack.Webhook
	secrets  pack.Secrets
	headers  []string // see headersToKeep
}

// maxBody is the maximum size of a body, in bytes.
const maxBody = 1 << 20

// largestBody returns the current maximum size of a body. A body that does not fit into the broker's largest message gets 413, because a 503
// would be repeated forever.
func largestBody(env service.Env) int64 { return min(maxBody, largestEvent(env)) }

// takesLargest fails while the broker's largest message is too small for the largest callback. Smaller callbacks are still accepted.
func (h *handler) takesLargest(context.Context) error {
	is := h.env.NATS.MaxPayload()
	if is >= flow.SmallestPayload {
		return nil
	}
	return fmt.Errorf("the NATS server accepts messages of at most %d bytes, and a callback of %d bytes needs %d: set max_payload: 8MB in the server's configuration and restart it",
		is, maxBody, flow.SmallestPayload)
}

func newHandler(env service.Env, packs []pack.Pack) (*handler, error) {
	m, err := newMetrics(env.Metrics)
	if err != nil {
		return nil, err
	}
	h := &handler{
		store:    newStore(env, m),
		packs:    packs,
		inFlight: make(chan struct{}, ingestsettings.Section.Of(env.Config).MaxInFlight),
		metrics:  m,
		tracer:   otel.Tracer("github.com/signrelay/signrelay/services/ingest"),
		env:      env,
		arrived:  arrivals{env: env},
	}
	h.confirmations = h.store.newConfirmations()
	if err := h.takesLargest(context.Background()); err != nil {
		env.Log.Error("not ready", "error", err)
	}
	h.accounts, err = config.Derive(env.Live, func(c config.Config) (accounts, error) { return openAccounts(packs, c.Sources) })
	if err != nil {
		return nil, err
	}
	for _, p := range packs {
		for name := range h.accounts.Now()[p.Name] {
			m.begin(name, p.Name)
		}
	}
	return h, nil
}

func openAccounts(packs []pack.Pack, all []config.Source) (accounts, error) {
	opened := accounts{}
	for _, p := range packs {
		sources, err := sourcesOf(p, all)
		if err != nil {
			return nil, err
		}
		opened[p.Name] = sources
	}
	return opened, nil
}

func sourcesOf(p pack.Pack, all []config.Source) (map[string]source, error) {
	sources := make(map[string]source)
	for _, s := range all {
		if s.Provider != p.Name {
			continue
		}
		webhook, err := p.Webhook(s)
		if err != nil {
			return nil, fmt.Errorf("source %s/%s: %w", s.Provider, s.Name, err)
		}
		sources[s.Name] = source{settings: s, webhook: webhook, secrets: pack.SecretsOf(s), headers: append([]string{"Content-Type"}, p.SignatureHeaders...)}
	}
	return sources, nil
}
