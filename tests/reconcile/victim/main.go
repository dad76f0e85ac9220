// Command victim runs the reconciler on its own, so that a test can kill it. The test builds it with the tag "faults".
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/reconciler"
	"github.com/signrelay/signrelay/services/sections"
)

// The arguments are the settings file, the time that the clock shows, and the pace of the test.
func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, settings, now string) error {
	cfg, _, err := config.Load(sections.All, []string{"--config", settings}, os.Environ())
	if err != nil {
		return err
	}
	began := time.Now()
	clock, err := time.Parse(time.RFC3339, now)
	if err != nil {
		return err
	}
	conn, err := nats.Connect(cfg.NATS.URL)
	if err != nil {
		return err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	memory, err := js.KeyValue(ctx, flow.Memory)
	if err != nil {
		return err
	}
	state, err := js.KeyValue(ctx, flow.State)
	if err != nil {
		return err
	}
	gaps, err := dedupe.WatchGaps(ctx, state)
	if err != nil {
		return err
	}
	return reconciler.At(reconciler.Pace{
		Poll: 10 * time.Millisecond, Lease: 300 * time.Millisecond, Claim: time.Second, Pause: 10 * time.Millisecond, Patience: time.Minute, Settle: 15 * time.Minute, Lag: time.Minute,
	})(ctx, service.Env{
		Name: flow.Reconciler, Config: cfg, Live: config.NewLive(cfg), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Metrics: prometheus.NewRegistry(),
		NATS: conn, JS: js, Health: new(service.Health), Limits: limit.NewLocal(), Gaps: gaps, Up: func() {},
		Now: func() time.Time { return clock.Add(time.Since(began)) },
		Claims: func(o dedupe.Options) dedupe.Store {
			return dedupe.NewGuard(dedupe.NewBucket(memory, o), event.Log{JS: js, Stream: flow.Signing}, gaps, o)
		},
	})
}
