// Package ingest is the door that providers call. A 2xx from it means: stored in the log, once.
//
// A callback's way: door.go reads and verifies it, its provider's pack reads it, store.go puts its events into the log,
// quarantine.go keeps what nobody could read, answer.go says what became of it.
package ingest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
)

// Service is ingest as a program of its own.
var Service = service.Service{
	Name:          "ingest",
	Run:           Run,
	Public:        func(c config.Config) string { return c.Ingest.Addr },
	NeedsRedis:    true,
	OutlivesRedis: true, // the log and the stream's own window stand in
}

// Run takes callbacks until ctx ends.
func Run(ctx context.Context, env service.Env) error {
	doors, err := newDoors(env, providers.All)
	if err != nil {
		return err
	}
	doors.mount(env.Public)
	env.Up()
	<-ctx.Done()
	return nil
}

// doors is all doors of all packs, and what they share.
type doors struct {
	routes   []route
	accounts *config.Made[accounts]
	store    *store
	maxBody  int64         // bytes
	maxEvent int64         // bytes of an event in the log
	reading  chan struct{} // one place each large body being read
	inFlight chan struct{} // one place each callback being stored
	metrics  *metrics
	env      service.Env
}

// route is one door of one provider, and the sources that call there.
type route struct {
	provider string
	door     pack.Door
}

// accounts is the sources by their provider and their name. They are opened anew when their secrets are replaced.
type accounts map[string]map[string]source

// source is one account that callbacks come from.
type source struct {
	settings config.Source
	webhook  pack.Webhook
}

// overhead is what a message may have beside a callback's body: headers, field names, times. A body that would not fit
// into the broker's largest message is refused with 413 rather than with 503 for ever.
const overhead = 64 << 10

// maxBody is the largest body taken, in bytes.
const maxBody = 1 << 20

func newDoors(env service.Env, packs []pack.Pack) (*doors, error) {
	m, err := newMetrics(env.Metrics)
	if err != nil {
		return nil, err
	}
	d := &doors{
		store:    newStore(env, m),
		maxBody:  maxBody,
		reading:  make(chan struct{}, max(env.Config.Ingest.MaxInFlight/4, 1)),
		inFlight: make(chan struct{}, env.Config.Ingest.MaxInFlight),
		metrics:  m,
		env:      env,
	}
	d.maxEvent = env.NATS.MaxPayload() - overhead
	if d.maxEvent < maxBody {
		env.Log.Warn("the broker's max_payload is small: larger callbacks are refused", "max_body_bytes", d.maxEvent)
		d.maxBody = d.maxEvent
	}
	d.accounts, err = config.Make(env.Live, func(c config.Config) (accounts, error) { return openAccounts(packs, c.Sources) })
	if err != nil {
		return nil, err
	}
	for _, p := range packs {
		for name := range d.accounts.Now()[p.Name] {
			m.begin(name, p.Name)
		}
		for _, door := range p.Doors {
			d.routes = append(d.routes, route{provider: p.Name, door: door})
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
		sources[s.Name] = source{settings: s, webhook: webhook}
	}
	return sources, nil
}

func (d *doors) mount(mux *http.ServeMux) {
	for _, r := range d.routes {
		mux.Handle("/webhooks/"+r.provider+"/{source}"+r.door.Path, d.handler(r))
	}
	mux.HandleFunc("/webhooks/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusNotFound, "no-such-door", "The path is /webhooks/<provider>/<source>, as the settings name them.")
	})
}
