// Package kafkabridge carries the log, SIGNING, onto a Kafka topic: each document's events in the log's order, none
// missing, and after a crash at most one window of them twice, with the same ids.
//
// It is no stage.Runner: workers beside each other, and retries that come back later, would change the order. It takes a
// window of messages in the log's order, writes all of them, trying again in place, acks them, and takes the next.
package kafkabridge

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// Service is the bridge as a program of its own.
var Service = service.Service{
	Name:     flow.KafkaBridge,
	Summary:  "copies the log to a Kafka topic",
	Run:      Run,
	Check:    check,
	Calls:    []service.Party{service.NATS, service.Kafka},
	Reads:    []string{"kafka", "nats", "log"},
	Memory:   384,
	Sections: []config.Declared{kafkasettings.Section},
}

// check says what Run refuses.
func check(c config.Config) error {
	kafka := kafkasettings.Section.Of(c)
	if !kafka.Set() {
		return errors.New("kafka.brokers: the bridge needs some of the cluster's brokers: set SIGNRELAY_KAFKA_BROKERS")
	}
	_, err := dialing(config.Fixed(kafka))
	return err
}

// Run works until ctx ends. It waits for a broker that is away and for a topic that is missing, and is not ready
// meanwhile.
func Run(ctx context.Context, env service.Env) error {
	return run(ctx, env, env.Health.Add)
}

// RunBeside is Run in a process of several services: that Kafka is away shows in /readyz?verbose, and does not make the
// others unready.
func RunBeside(ctx context.Context, env service.Env) error {
	return run(ctx, env, env.Health.AddSoft)
}

func run(ctx context.Context, env service.Env, addCheck func(string, func(context.Context) error)) error {
	if err := check(env.Config); err != nil {
		return err
	}
	m, err := newMetrics(env.Metrics)
	if err != nil {
		return err
	}
	t, err := openTopic(kafkasettings.Section.Follow(env.Live), env.Log, m)
	if err != nil {
		return err
	}
	defer t.close()
	addCheck("kafka", t.check)

	all, ctx := errgroup.WithContext(ctx)
	place := flow.StageNamed(flow.KafkaBridge)
	b := &bridge{
		stage: place, js: env.JS, log: env.Log, metrics: m, topic: t, encode: encoding(t.Format), wait: patience{topic: t},
		floors: &stage.Floors{JS: env.JS, Stage: place, Stream: place.Stream},
	}
	b.giveUp = b.bury
	all.Go(func() error { return b.run(ctx) })
	all.Go(func() error { return b.watch(ctx) })
	all.Go(func() error { return b.replay(ctx, env) })
	env.Up()
	return all.Wait()
}
