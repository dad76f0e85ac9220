// Package service is the common part of every Signrelay program: its connections, its listeners, its health checks, its shutdown.
package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/limit"
)

// Env has the settings, connections and routes for a service's Run. Run(ctx, Env) mounts its handlers, calls Up, and
// works until ctx ends; then it finishes the work in flight and returns. It never closes a resource of its Env.
type Env struct {
	Name   string
	Config config.Config // the settings at the start
	// Live has the current settings. Secrets, certificates and keys from files may be replaced while the program runs.
	Live    *config.Live
	Log     *slog.Logger
	Metrics prometheus.Registerer
	NATS    *nats.Conn
	JS      jetstream.JetStream
	Health  *Health
	// Public has the routes of the service's public listener. The listener opens when every service behind it is Up, so a half-started
	// program never returns 404 to a provider.
	Public *Routes
	// Claims opens the dedupe store: Redis, or a JetStream bucket if Redis is not configured.
	Claims func(dedupe.Options) dedupe.Store
	// Gaps is where a service records that it works without the dedupe store, because the store is unavailable.
	Gaps *dedupe.Gaps
	// Limits keeps outbound calls below the rates that other parties accept: for all replicas together if Redis is configured.
	Limits limit.Limiter
	// Now is the clock of the times that people see: when a reminder is due, quiet hours, when a message was sent. Tests move it. The age of a
	// stored message is not measured with it, because the broker sets the time of storage.
	Now func() time.Time
	// Jump moves Now forward, for all services of the process, and publishes the messages that are scheduled until then. It is nil if the
	// clock may not be moved: everywhere but in a demo.
	Jump func(context.Context, time.Duration) error
	// Up reports that Run has mounted its handlers and starts to work. Call it once.
	Up func()
}
