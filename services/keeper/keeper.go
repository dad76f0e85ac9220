// Package keeper enforces how long documents are kept: it erases documents after the retention period of their source, erases what work in flight
// wrote about a document after its erasure, and copies the events of documents under a legal hold before the log removes them.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/telemetry"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
)

// Service is the keeper as a separate program.
var Service = service.Service{
	Name:              flow.Keeper,
	Run:               Run,
	Calls:             []service.Party{service.NATS, service.Redis, service.Web}, // Web: the archive
	Reads:             []string{"sources", "archive", "nats", "redis", "master_key", "log"},
	WorksWithoutRedis: true,
	Singleton:         true,
}

const (
	// every is the time between two runs. Holds and late events need more than one a day; a run over 10^6 events takes about ten seconds.
	every = time.Hour
	// lateFor is the time after an erasure in which work in flight may still write about the document: a stage tries for a day.
	lateFor = 26 * time.Hour
)

// Run works until ctx ends, first at once, then every hour.
func Run(ctx context.Context, env service.Env) error {
	k, err := open(env)
	if err != nil {
		return err
	}
	defer k.close()
	env.Up()
	var jobs sync.WaitGroup
	defer jobs.Wait()
	jobs.Go(func() { _ = k.jobs().Run(ctx) })
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		outcome := "done"
		if err := k.once(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			outcome = "failed"
			env.Log.ErrorContext(ctx, "retention and holds: the run failed, the next one is in an hour", "error", err)
		}
		k.runs.WithLabelValues(outcome).Inc()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// jobs returns the runner of operators' jobs that erase or hold documents. No other service has the rights for them.
func (k *keeper) jobs() operate.Runner {
	return operate.Runner{Actions: operate.KeeperActions, Operator: &operate.Operator{
		JS: k.env.JS, Ring: k.eraser.Ring, Log: k.env.Log,
		Eraser: func(context.Context) (*erase.Eraser, func(), error) { return k.eraser, func() {}, nil },
	}}
}

type keeper struct {
	env     service.Env
	eraser  *erase.Eraser
	redis   redis.UniversalClient // nil without Redis
	archive *archive.Store        // nil if the settings have none
	runs    *prometheus.CounterVec
	erased  *prometheus.CounterVec
}

// The reasons of an erasure.
const (
	byRetention = "retention"
	byLateness  = "late"
)

func open(env service.Env) (*keeper, error) {
	ring := keyring.New(env.Config.MasterKeys())
	k := &keeper{env: env, eraser: &erase.Eraser{JS: env.JS, Ring: ring, Known: erase.KnownWithin, Log: env.Log}}
	err := errors.Join(
		telemetry.Register(env.Metrics, &k.runs, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_keeper_runs_total", Help: "Runs that enforce retention periods and legal holds, by outcome: done, failed.",
		}, []string{"outcome"})),
		telemetry.Register(env.Metrics, &k.erased, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_keeper_erased_documents_total",
			Help: "Documents that the keeper erased, by reason: retention (their period is over), late (events came in after an erasure).",
		}, []string{"reason"})),
	)
	if err != nil {
		return nil, err
	}
	for _, outcome := range []string{"done", "failed"} {
		k.runs.WithLabelValues(outcome)
	}
	for _, reason := range []string{byRetention, byLateness} {
		k.erased.WithLabelValues(reason)
	}
	if a := archivesettings.Section.Of(env.Config); a.On() {
		if k.archive, err = archive.Open(context.Background(), a.URL); err != nil {
			return nil, err
		}
		k.eraser.Archive = k.archive
	}
	if env.Config.Redis.URL == "" {
		return k, nil
	}
	if k.redis, err = service.ConnectRedis(env.Config.Redis); err != nil {
		return nil, err
	}
	k.eraser.Claims = func(ctx context.Context, namespace string, ids ...string) error {
		return dedupe.NewRedis(k.redis, dedupe.Options{Namespace: namespace, Ring: ring}).Forget(ctx, ids...)
	}
	return k, nil
}

func (k *keeper) close() {
	if k.redis != nil {
		_ = k.redis.Close()
	}
	if k.archive != nil {
		_ = k.archive.Close()
	}
}

// once does everything once. A failure of one part does not stop the others.
func (k *keeper) once(ctx context.Context) error {
	return errors.Join(k.copyHeld(ctx), k.eraseLate(ctx), k.retain(ctx))
}

// copyHeld copies the new events of held documents.
func (k *keeper) copyHeld(ctx context.Context) error {
	held, err := erase.Holds(ctx, k.env.JS)
	if err != nil {
		return err
	}
	for d := range held {
		if _, err := erase.CopyHeld(ctx, k.env.JS, d); err != nil {
			return fmt.Errorf("copy the events of a held document: %w", err)
		}
	}
	return nil
}

// eraseLate erases the events that were stored after the erasure of their documents.
func (k *keeper) eraseLate(ctx context.Context) error {
	tombstones, err := erase.ReadTombstones(ctx, k.env.JS, k.eraser.Ring)
	if err != nil {
		return err
	}
	late, err := tombstones.Returned(ctx, k.env.JS, time.Now().Add(-lateFor))
	if err != nil || len(late) == 0 {
		return err
	}
	return k.erase(ctx, erase.Target{Exact: late}, byLateness)
}

// retain erases the documents whose retention period is over.
func (k *keeper) retain(ctx context.Context) error {
	target := erase.Target{Exact: map[erase.Document]bool{}, Ends: map[erase.Source]time.Time{}}
	for _, s := range k.env.Config.Sources {
		if s.Retention == 0 {
			continue
		}
		of, before := erase.Source{Name: s.Name, Provider: s.Provider}, k.env.Now().Add(-s.Retention)
		expired, err := erase.Expired(ctx, k.env.JS, of, before)
		if err != nil {
			return fmt.Errorf("find expired documents: %w", err)
		}
		for d := range expired {
			target.Exact[d] = true
		}
		target.Ends[of] = before
	}
	if len(target.Ends) == 0 {
		return nil
	}
	return k.erase(ctx, target, byRetention)
}

func (k *keeper) erase(ctx context.Context, target erase.Target, reason string) error {
	found, err := k.eraser.Find(ctx, target)
	if err != nil || found.Empty() {
		return err
	}
	removed, err := k.eraser.Run(ctx, target, found, erase.Order{By: flow.Keeper, Reason: reason}, k.env.Now())
	if err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	k.erased.WithLabelValues(reason).Add(float64(len(found.Documents)))
	k.env.Log.InfoContext(ctx, "erased", "reason", reason, "documents", len(found.Documents), "messages", removed)
	return nil
}
