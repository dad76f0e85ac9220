package kafkabridge

import (
	"context"

	"github.com/segmentio/kafka-go"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// replay writes what operators give back to the bridge after it was given up, such as when the topic takes larger messages
// now. Its place in the order is lost: its document has gone on. So any stage's runner does.
func (b *bridge) replay(ctx context.Context, env service.Env) error {
	only := b.stage
	only.Stream = flow.Replay
	r := stage.Runner[*signingv1.SigningEvent]{
		Stage: only, JS: env.JS, Decode: event.Decode, Log: env.Log, Metrics: env.Metrics,
		Do: func(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
			return nil, b.again(ctx, in.Data)
		},
	}
	return r.Run(ctx)
}

// again writes one event. It tells of itself all that its headers told.
func (b *bridge) again(ctx context.Context, e *signingv1.SigningEvent) error {
	m, err := event.Message(ctx, e)
	if err != nil {
		return outcome.Permanent(err)
	}
	record, err := b.encode.record(m.Header, m.Data)
	if err != nil {
		return outcome.Permanent(err)
	}
	count, err := b.topic.partitions(ctx)
	if err != nil {
		return err
	}
	err = b.topic.write(ctx, partition(record, numbers(count)), []kafka.Message{record})
	if refused(err) != "" {
		return outcome.Permanent(err)
	}
	return err
}
