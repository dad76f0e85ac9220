// Package reconciler is the service that asks the providers' REST APIs for facts that no callback brought, each night and on demand. It compares
// them with the log, and publishes the missing ones as ingest would have, with their true times and with the ids of their callbacks
// (docs/adr/0039). What people are told follows from the log as usual.
package reconciler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
)

// Service is the reconciler as a separate program.
var Service = service.Service{
	Name:      flow.Reconciler,
	Run:       Run,
	Calls:     []service.Party{service.NATS, service.Redis, service.Web},
	Reads:     []string{"sources", "api", "nats", "redis", "master_key", "log"},
	Singleton: true, // a second replica only waits for the lease of the first
}

// Run works until ctx ends. It fails at once if a source's API settings are invalid.
func Run(ctx context.Context, env service.Env) error { return run(ctx, env, usual) }

// At returns Run with another pace, for tests.
func At(pace Pace) func(context.Context, service.Env) error {
	return func(ctx context.Context, env service.Env) error { return run(ctx, env, pace) }
}

// Pace is the timing of the service. Tests shorten it.
type Pace struct {
	Poll time.Duration // between two looks at requests and at the clock
	// Lease is the time after which another replica continues a run whose replica is silent.
	Lease time.Duration
	// Claim is the lease of a claim: longer than the time to publish one fact.
	Claim time.Duration
	// Pause is the time before a failed call is repeated; it doubles up to a minute. After Patience without success the run has failed.
	Pause, Patience time.Duration
	// Settle is the age up to which a fact is left to its callback, which may be on its way.
	Settle time.Duration
	// Lag is the time for which a provider's API may lag behind its callbacks: younger events do not contradict the API.
	Lag time.Duration
}

var usual = Pace{
	Poll: 5 * time.Second, Lease: 2 * time.Minute, Claim: 30 * time.Second, Pause: time.Second, Patience: 30 * time.Minute,
	Settle: 15 * time.Minute, Lag: 5 * time.Minute,
}

func run(ctx context.Context, env service.Env, pace Pace) error {
	sources, err := env.Sources(providers.ForEvents)
	if err != nil {
		return err
	}
	state, err := env.JS.KeyValue(ctx, flow.State)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", flow.State, err)
	}
	metrics, err := newMetrics(env.Metrics)
	if err != nil {
		return err
	}
	r := reconciler{
		sources: sources.Now, js: env.JS, log: event.Log{JS: env.JS, Stream: flow.Signing}, state: state, out: env.Log, metrics: metrics, now: env.Now,
		memory: env.Claims(dedupe.Options{Namespace: flow.IngestClaims, Lease: pace.Claim, Remember: flow.Remember, Waits: true}),
		pace:   pace, owner: dedupe.NewOwner(), ring: keyring.New(env.Config.MasterKeys()),
	}
	env.Up()
	var all sync.WaitGroup
	for key, src := range sources.Now() {
		if _, ok := src.API.(pack.Reporter); !ok {
			continue
		}
		metrics.begin(key)
		all.Go(func() { r.follow(ctx, key) })
	}
	<-ctx.Done()
	all.Wait()
	return nil
}

type reconciler struct {
	sources func() providers.Sources // of the current settings
	js      jetstream.JetStream
	log     event.Log
	state   jetstream.KeyValue
	memory  dedupe.Store
	out     *slog.Logger
	metrics metrics
	now     func() time.Time
	pace    Pace
	owner   string // of this process's leases
	ring    keyring.Ring
}

// follow reconciles one source until ctx ends: at its time of night, and for each request.
func (r reconciler) follow(ctx context.Context, key providers.SourceKey) {
	for ctx.Err() == nil {
		err := r.look(ctx, key)
		if err != nil && ctx.Err() == nil && !errors.Is(err, errLost) {
			r.out.WarnContext(ctx, "reconciliation is interrupted, and continues", "source", key.Name, "provider", key.Provider, "error", err)
		}
		_ = wait(ctx, r.pace.Poll) // it fails when ctx ends
	}
}

// look begins or continues the reconciliation of a source, if it is time for one.
func (r reconciler) look(ctx context.Context, key providers.SourceKey) error {
	src, ok := r.sources()[key]
	if !ok {
		return nil
	}
	k, err := readRecord(ctx, r.state, key)
	if err != nil {
		return err
	}
	r.metrics.show(key, k.record)
	asked, err := requestOf(ctx, r.state, key)
	if err != nil {
		return err
	}
	night := latestNight(src.Settings, r.now())
	switch running := k.Run; {
	case running != nil && running.Owner != r.owner && time.Now().Before(running.Until):
		return nil // another replica works
	case running != nil:
	case asked != nil && (k.Last == nil || k.Last.Request != asked.ID):
		k.Run = r.begin(k.record, asked.Since)
		k.Run.Request = asked.ID
	case night.IsZero():
		return nil
	case k.Night.IsZero(): // a source that is new begins with the next night
		k.Night = night
		return k.put(ctx)
	case k.Night.Before(night):
		k.Night = night
		k.Run = r.begin(k.record, time.Time{})
		k.Run.Nightly = true
	default:
		return nil
	}
	k.Run.Owner = r.owner
	if err := k.extend(ctx, r.pace.Lease); err != nil {
		return err
	}
	return r.reconcile(ctx, src, k)
}

// overlap is the time by which a run looks back before the beginning of the last successful one: a provider's list may show a change late.
const overlap = 24 * time.Hour

// firstSince is the time for which the first run of a source looks back: longer than any provider repeats a callback.
const firstSince = 10 * 24 * time.Hour

// begin returns a new run. The zero time means since the last successful run.
func (r reconciler) begin(before record, since time.Time) *progress {
	now := r.now().UTC()
	if since.IsZero() {
		since = now.Add(-firstSince)
		if !before.Reached.IsZero() {
			since = before.Reached.Add(-overlap)
		}
	}
	if oldest := now.Add(-flow.LogReaches); since.Before(oldest) { // the log may have lost older facts
		since = oldest
	}
	return &progress{Result: Result{ID: dedupe.NewOwner(), Since: since, Began: now}, Round: 1}
}

// wait waits for d. It fails if ctx ends first.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
