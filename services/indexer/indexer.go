// Package indexer keeps the search index of documents up to date. It folds the events of the log, SIGNING, into the state of each document, and
// writes the states of many documents at once.
//
// Its stage is ordered (stage.Ordered): the state of a document depends on the order of its events. After a crash it gets at most one window of
// events twice, and a document ignores an event that it has already.
package indexer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/index"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	"github.com/signrelay/signrelay/libs/telemetry"
	indexsettings "github.com/signrelay/signrelay/services/indexer/settings"
)

// Service is the indexer as a separate program.
var Service = service.Service{
	Name:      flow.Indexer,
	Run:       Run,
	Check:     check,
	Sections:  []config.Declared{indexsettings.Section},
	Calls:     []service.Party{service.NATS},
	Reads:     []string{"index", "nats", "log"},
	MemoryMiB: 384,
	GCPercent: 100, // most of the heap are documents, which stay
}

// check returns why Run would fail.
func check(c config.Config) error {
	if !indexsettings.Section.Of(c).On() {
		return errors.New("index.url: the indexer needs the database of the search index, such as postgres://signrelay@db/signrelay: set SIGNRELAY_INDEX_URL")
	}
	return nil
}

// mostDocuments is the number of documents that stay in memory: about 80 MB. Most events are about documents of the last hours.
const mostDocuments = 8000

// Run works until ctx ends. While the database does not answer, the service is not ready, and its work waits in the log.
func Run(ctx context.Context, env service.Env) error { return run(ctx, env, env.Health.Add) }

// RunBeside works like Run, in a process of several services: a database that does not answer does not make the others unready.
func RunBeside(ctx context.Context, env service.Env) error { return run(ctx, env, env.Health.AddSoft) }

func run(ctx context.Context, env service.Env, addCheck func(string, func(context.Context) error)) error {
	if err := check(env.Config); err != nil {
		return err
	}
	s := &status{log: env.Log}
	if err := s.register(env.Metrics); err != nil {
		return err
	}
	database := &database{url: indexsettings.Section.Of(env.Config).URL}
	defer database.close()
	addCheck("index", database.reach)
	i := &indexer{database: database, log: event.Log{JS: env.JS, Stream: flow.Signing}, now: env.Now, status: s}
	env.Up()
	return stage.Ordered[record]{
		Stage: flow.StageNamed(flow.Indexer), JS: env.JS, Backoff: outage, Log: env.Log, Metrics: env.Metrics, Observer: s,
		Decode: decode, Reach: database.reach, Lanes: oneLane, Write: i.write,
	}.Run(ctx)
}

// outage is the delay after a failed attempt: 100 ms, doubled with each, at most 3 s.
var outage = flow.Policy{FirstDelay: 100 * time.Millisecond, MaxDelay: 3 * time.Second}

func decode(in stage.Input) (record, error) {
	e, err := event.Decode(event.WithoutCallback(in.Data))
	return record{event: e, sequence: in.Sequence, at: in.FirstSeen}, err
}

// oneLane: one transaction takes the whole window.
func oneLane(context.Context) (func(record) int, error) { return func(record) int { return 0 }, nil }

type indexer struct {
	database *database
	log      event.Log
	now      func() time.Time
	status   *status
	folder   *folder        // nil after a failure: what it had in memory is ahead of the database
	at       index.Position // of the index; the folder knows all events up to it, and no other
}

// write folds a window of events, and stores it in one transaction.
func (i *indexer) write(ctx context.Context, _ int, window []record) (int, error) {
	began, oldest := time.Now(), window[0].at
	err := i.store(ctx, window)
	if errors.Is(err, index.ErrMoved) { // another replica worked meanwhile, or the index was rebuilt
		err = i.store(ctx, window)
	}
	if err != nil {
		return 0, err
	}
	rest(ctx, began, oldest)
	return len(window), nil
}

// The indexer works for at most a tenth of the time, so that the events of a pause share one transaction: a document has several events within a
// second, and the services that send messages need the CPU. It does not rest while it is behind.
const (
	rests     = 9 // for each time that a transaction took
	leastRest = 100 * time.Millisecond
	mostRest  = 400 * time.Millisecond
	behind    = time.Second
)

// rest waits after a transaction that began at a time, with an event that was stored at another one.
func rest(ctx context.Context, began, oldest time.Time) {
	if began.Sub(oldest) > behind {
		return
	}
	select {
	case <-time.After(min(max(rests*time.Since(began), leastRest), mostRest)):
	case <-ctx.Done():
	}
}

func (i *indexer) store(ctx context.Context, window []record) error {
	target, err := i.database.open(ctx)
	if err != nil {
		return err
	}
	if i.folder == nil {
		if err := i.begin(ctx, target); err != nil {
			return err
		}
	}
	// Events up to the position may come again. They must not: an erasure may have removed their document since.
	for len(window) > 0 && window[0].sequence <= i.at.Sequence {
		window = window[1:]
	}
	if len(window) == 0 {
		return nil
	}
	batch, err := i.folder.fold(ctx, window)
	if err == nil {
		err = target.ApplyAt(ctx, i.at, batch)
	}
	if err != nil {
		i.folder = nil
		return err
	}
	i.at = batch.Position
	i.status.behind.Set(max(i.now().Sub(batch.Position.At).Seconds(), 0))
	i.status.documents.Add(float64(len(batch.Rows)))
	return nil
}

// begin begins at the position of the index.
func (i *indexer) begin(ctx context.Context, target *index.Index) (err error) {
	if i.at, err = target.Position(ctx); err != nil {
		return err
	}
	if _, last, err := i.log.Bounds(ctx); err != nil || i.at.Sequence > last {
		return cmp.Or(err, errAhead)
	}
	i.folder = newFolder(target, i.log, mostDocuments)
	return nil
}

// errAhead means that NATS was restored from an older backup: new events get the numbers of others that the index has.
var errAhead = errors.New("the index has events that the log does not have: run `signrelay index rebuild`")

// database is the index, which is opened when it answers for the first time.
type database struct {
	url string

	mu    sync.Mutex
	index *index.Index
}

func (d *database) open(ctx context.Context) (*index.Index, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.index != nil {
		return d.index, nil
	}
	opened, err := index.Open(ctx, d.url)
	if err == nil {
		d.index = opened
	}
	return opened, err
}

func (d *database) reach(ctx context.Context) error {
	i, err := d.open(ctx)
	if err != nil {
		return err
	}
	return i.Reach(ctx)
}

func (d *database) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.index != nil {
		_ = d.index.Close()
	}
}

// status reports the state of the indexer in the log and the metrics.
type status struct {
	log       *slog.Logger
	failing   bool
	documents prometheus.Counter
	failures  prometheus.Counter
	dropped   *prometheus.CounterVec
	lag       prometheus.Gauge
	behind    prometheus.Gauge
	active    prometheus.Gauge
}

func (s *status) register(r prometheus.Registerer) error {
	err := errors.Join(
		telemetry.Register(r, &s.documents, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signrelay_index_documents_total", Help: "States of documents that were stored in the search index.",
		})),
		telemetry.Register(r, &s.failures, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signrelay_index_failures_total", Help: "Failed attempts to reach the database of the search index or to write to it; each is retried.",
		})),
		telemetry.Register(r, &s.dropped, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_index_dropped_total", Help: "Events that the indexer cannot read; they are in the DLQ.",
		}, []string{"reason"})),
		telemetry.Register(r, &s.lag, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signrelay_index_lag_events", Help: "Events of the log that are not in the search index yet. Every replica reports all of them: take the maximum, not the sum.",
		})),
		telemetry.Register(r, &s.behind, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signrelay_index_behind_seconds", Help: "The age of the last event of the last batch when the batch was stored in the search index; 0 if no event waits.",
		})),
		telemetry.Register(r, &s.active, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signrelay_index_active_replicas", Help: "1 from the active replica, 0 from standby replicas.",
		})),
	)
	if err == nil {
		s.dropped.WithLabelValues("undecodable")
	}
	return err
}

// Failed reports a failed attempt. The first one of an outage is logged.
func (s *status) Failed(ctx context.Context, err error) {
	s.failures.Inc()
	if !s.failing {
		s.failing = true
		s.log.WarnContext(ctx, "the search index failed", "error", err)
	}
}

// Passed ends the failure.
func (s *status) Passed(ctx context.Context) {
	if s.failing {
		s.log.InfoContext(ctx, "the search index is back")
	}
	s.failing = false
}

// Active records whether this replica is active or standby.
func (s *status) Active(active bool) { s.active.Set(map[bool]float64{true: 1}[active]) }

// Waiting reports the lag.
func (s *status) Waiting(events int) {
	s.lag.Set(float64(events))
	if events == 0 {
		s.behind.Set(0)
	}
}

// Dropped counts an event that was given up.
func (s *status) Dropped(reason string) { s.dropped.WithLabelValues(reason).Inc() }

// Window does nothing: behind has the time that matters.
func (s *status) Window(context.Context, int, time.Duration) {}
