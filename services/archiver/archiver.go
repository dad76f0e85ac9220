// Package archiver is the service that stores the files of completed documents in the archive: from the addresses in a callback, or from the
// provider's REST API. A file that is not available yet is requested again later, by a schedule of the NATS server.
package archiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
)

// Service is the archiver as a separate program.
var Service = service.Service{
	Name:              flow.Archiver,
	Run:               Run,
	Check:             check,
	Sections:          []config.Declared{archivesettings.Section},
	Calls:             []service.Party{service.NATS, service.Redis, service.Web},
	Reads:             []string{"sources", "api", "archive", "nats", "redis", "master_key", "log"},
	WorksWithoutRedis: true, // each process then limits its own rate
	// The parts of an upload are garbage of 5 MiB each: with the usual 800 they would fill the memory limit.
	GCPercent: 100,
}

// check returns why Run would fail.
func check(c config.Config) error {
	if !archivesettings.Section.Of(c).On() {
		return errors.New("archive.url: the archiver needs the blob store in which it stores files, such as s3://bucket?region=eu-central-1: set SIGNRELAY_ARCHIVE_URL")
	}
	return nil
}

// Run works until ctx ends. It fails at once if a source's API settings or the archive's URL are invalid. While the store is unavailable, the
// service stays ready and its work waits.
func Run(ctx context.Context, env service.Env) error {
	sources, err := env.Sources(providers.ForFiles)
	if err != nil {
		return fmt.Errorf("open the sources: %w", err)
	}
	return run(ctx, env, sources.Now, flow.StageNamed, nil)
}

// run works with other policies and limits in tests.
func run(
	ctx context.Context, env service.Env, sources func() providers.Sources, stageNamed func(string) flow.Stage, change func(*fetcher),
) error {
	if err := check(env.Config); err != nil {
		return err
	}
	settings := archivesettings.Section.Of(env.Config)
	store, err := archive.Open(ctx, settings.URL)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	env.Health.AddSoft("archive", store.Reach)
	metrics, err := newMetrics(env.Metrics)
	if err != nil {
		return err
	}
	metrics.begin(sources())
	waiting := event.Log{JS: env.JS, Stream: flow.Archive}
	count, err := newCounter(waiting, env.Now, env.Log, env.Metrics)
	if err != nil {
		return err
	}
	a := &archiver{
		sources: sources, settings: settings, store: store, log: event.Log{JS: env.JS, Stream: flow.Signing},
		fetch: newFetcher(settings), metrics: metrics, now: env.Now, lines: env.Log,
	}
	if change != nil {
		change(&a.fetch)
	}
	env.Up()
	all, ctx := errgroup.WithContext(ctx)
	for _, name := range []string{flow.Archiver, flow.ArchiverDue} {
		all.Go(func() error {
			return stage.Runner[*signingv1.SigningEvent]{
				Stage: stageNamed(name), JS: env.JS, Decode: event.Decode, Do: a.archive, Log: env.Log, Metrics: env.Metrics,
			}.Run(ctx)
		})
	}
	all.Go(func() error { return count.run(ctx, countEvery) })
	return all.Wait()
}

type archiver struct {
	sources  func() providers.Sources // of the current settings
	settings archivesettings.Archive
	store    *archive.Store
	log      event.Log // SIGNING
	fetch    fetcher
	metrics  metrics
	now      func() time.Time
	lines    *slog.Logger
}
