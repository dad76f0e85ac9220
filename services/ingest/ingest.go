// Package ingest is the HTTP endpoint that providers call. A 2xx from it means: stored in the log, once.
//
// A callback takes this path: route.go finds its source, door.go receives and verifies it. accept.go takes it on from there, and what an
// operator replays from the quarantine (replay.go) too: read.go has its provider's pack read it, and store.go puts its events into the log
// and its unreadable parts into the quarantine. answer.go makes the response.
package ingest

import (
	"context"
	"fmt"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
)

// Service is ingest as a program of its own.
var Service = service.Service{
	Name:              "ingest",
	Summary:           "takes the providers' callbacks into the log",
	Run:               Run,
	Listeners:         []service.Listener{{Name: "http", Key: "ingest.addr", Port: 8080, Path: "/webhooks"}},
	Sections:          []config.Declared{ingestsettings.Section},
	Calls:             []service.Party{service.NATS, service.Redis},
	Reads:             []string{"sources", "ingest", "hide_sources", "drain_delay", "nats", "redis", "master_key", "log"},
	WorksWithoutRedis: true, // the log and the stream's own duplicate window replace Redis
	Memory:            1024, // 1024 callbacks at once, a quarter of which may be of 1 MiB
}

// Run takes callbacks until ctx ends.
func Run(ctx context.Context, env service.Env) error { return run(ctx, env, providers.All) }

func run(ctx context.Context, env service.Env, packs []pack.Pack) error {
	doors, err := newDoors(env, packs)
	if err != nil {
		return err
	}
	env.Health.Add("nats-max-payload", doors.takesLargest)
	env.Health.AddSoft("dedupe-memory", doors.store.state.check)
	env.Public.Handle("/webhooks", doors)
	env.Public.Handle("/webhooks/", doors)
	env.Public.HandleUnrouted(doors)
	env.Up()
	<-ctx.Done()
	return nil
}

// doors is all doors of all packs, and what they share.
type doors struct {
	packs    []pack.Pack
	accounts *config.Current[accounts]
	store    *store
	inFlight chan struct{} // one place each callback being stored
	metrics  *metrics
	env      service.Env
}

// accounts is the sources by their provider and their name. They are opened anew when their secrets are replaced.
type accounts map[string]map[string]source

// source is one account that callbacks come from.
type source struct {
	settings config.Source
	webhook  pack.Webhook
	secrets  pack.Secrets
}

// maxBody is the largest body taken, in bytes.
const maxBody = 1 << 20

// largestBody is the largest body taken now: one that would not fit into the broker's largest message is refused with 413
// rather than with 503 for ever.
func largestBody(env service.Env) int64 { return min(maxBody, largestEvent(env)) }

// takesLargest fails while the broker's largest message is too small for the largest callback. Callbacks that do fit are taken
// all the same.
func (d *doors) takesLargest(context.Context) error {
	is := d.env.NATS.MaxPayload()
	if is >= flow.SmallestPayload {
		return nil
	}
	return fmt.Errorf("the NATS server takes messages of %d bytes, and a callback of %d bytes needs %d: set max_payload: 8MB in the server's configuration and restart it",
		is, maxBody, flow.SmallestPayload)
}

func newDoors(env service.Env, packs []pack.Pack) (*doors, error) {
	m, err := newMetrics(env.Metrics)
	if err != nil {
		return nil, err
	}
	d := &doors{
		store:    newStore(env, m),
		packs:    packs,
		inFlight: make(chan struct{}, ingestsettings.Section.Of(env.Config).MaxInFlight),
		metrics:  m,
		env:      env,
	}
	if err := d.takesLargest(context.Background()); err != nil {
		env.Log.Error("not ready", "error", err)
	}
	d.accounts, err = config.Derive(env.Live, func(c config.Config) (accounts, error) { return openAccounts(packs, c.Sources) })
	if err != nil {
		return nil, err
	}
	for _, p := range packs {
		for name := range d.accounts.Now()[p.Name] {
			m.begin(name, p.Name)
		}
	}
	return d, nil
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
		sources[s.Name] = source{settings: s, webhook: webhook, secrets: pack.SecretsOf(s)}
	}
	return sources, nil
}
