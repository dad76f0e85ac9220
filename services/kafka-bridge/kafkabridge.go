// Package kafkabridge copies the log, SIGNING, to a Kafka topic. Each document's events are in the log's order, and none is missing. After a
// crash, at most one window of events is written twice, with the same ids.
//
// Its stage is ordered (stage.Ordered), because concurrent workers, and later retries, would change the order. A lane is a partition of the
// topic.
package kafkabridge

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// Service is the bridge as a separate program.
var Service = service.Service{
	Name:      flow.KafkaBridge,
	Run:       Run,
	Check:     check,
	Calls:     []service.Party{service.NATS, service.Kafka},
	Reads:     []string{"kafka", "nats", "log"},
	MemoryMiB: 384,
	// The events in flight are most of the live heap. With the usual 800 the program grew by 99 MB after an outage.
	GCPercent: 250,
	Sections:  []config.Declared{kafkasettings.Section},
}

// check returns why Run would fail.
func check(c config.Config) error {
	kafka := kafkasettings.Section.Of(c)
	if !kafka.Set() {
		return errors.New("kafka.brokers: the bridge needs some of the cluster's brokers: set SIGNRELAY_KAFKA_BROKERS")
	}
	_, err := dialing(config.Fixed(kafka), limits{}.orDefault())
	return err
}

// Run works until ctx ends. It waits for a broker that is away and for a topic that is missing, and is not ready
// until then.
func Run(ctx context.Context, env service.Env) error {
	return run(ctx, env, limits{}, env.Health.Add)
}

// RunBeside works like Run, in a process of several services. An unavailable Kafka is shown in /readyz?verbose, and does not make the other
// services unready.
func RunBeside(ctx context.Context, env service.Env) error {
	return run(ctx, env, limits{}, env.Health.AddSoft)
}

func run(ctx context.Context, env service.Env, l limits, addCheck func(string, func(context.Context) error)) error {
	if err := check(env.Config); err != nil {
		return err
	}
	m, err := newMetrics(env.Metrics)
	if err != nil {
		return err
	}
	t, err := openTopic(kafkasettings.Section.Follow(env.Live), env.Log, m, l)
	if err != nil {
		return err
	}
	defer t.close()
	addCheck("kafka", t.check)

	place := flow.StageNamed(flow.KafkaBridge)
	b := &bridge{js: env.JS, log: env.Log, topic: t, encode: encoding(t.Format), limits: l.runner}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return b.runner(place, env.Metrics, &status{topic: t, metrics: m}).Run(ctx) })
	all.Go(func() error { return b.replay(ctx, place, env) })
	env.Up()
	return all.Wait()
}
