// Package service is what every program of the house has in common: its connections, its doors, its health, its end.
package service

import (
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/limit"
)

// Env is what a service's Run is given: settings, connections and doors. Run(ctx, Env) mounts its handlers, calls Up, and
// works until ctx ends; then it finishes the work in flight and returns. It never closes a resource of its Env.
type Env struct {
	Name   string
	Config config.Config // as it was at the start
	// Live is the settings as they are now. What may come from a file may be replaced there: secrets, certificates, keys.
	Live    *config.Live
	Log     *slog.Logger
	Metrics prometheus.Registerer
	NATS    *nats.Conn
	JS      jetstream.JetStream
	Health  *Health
	// Public is the service's public door. The listener opens when every service behind it is Up, so no provider is ever
	// answered 404 by a half-started program.
	Public *Routes
	// Claims opens the memory: Redis, or a JetStream bucket in standalone.
	Claims func(dedupe.Options) dedupe.Store
	// Gaps is where a service marks that it does something which the memory will not remember, because it is away.
	Gaps *dedupe.Gaps
	// Limits keeps calls below other sides' rates: all replicas' together where there is a Redis.
	Limits limit.Limiter
	// Up reports that Run has mounted its handlers and is about to work. Call it once.
	Up func()
}
