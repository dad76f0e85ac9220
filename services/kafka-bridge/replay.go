package kafkabridge

import (
	"context"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// replay writes dead letters that operators replay, for example after the topic's largest message was raised. Their position in the order is
// lost, because their documents have later events. So the runner without order processes them.
func (b *bridge) replay(ctx context.Context, only flow.Stage, env service.Env) error {
	only.Stream = flow.Replay
	r := stage.Runner[*signingv1.SigningEvent]{
		Stage: only, JS: env.JS, Decode: event.Decode, Log: env.Log, Metrics: env.Metrics,
		Do: func(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
			return nil, b.writeOne(ctx, in.Data)
		},
	}
	return r.Run(ctx)
}

// writeOne writes one event. Its record is made from the event only, which contains all values of its headers.
func (b *bridge) writeOne(ctx context.Context, e *signingv1.SigningEvent) error {
	m, err := event.Message(ctx, e)
	if err != nil {
		return outcome.Permanent(err)
	}
	made, err := b.encode(m.Header, m.Data)
	if err != nil {
		return outcome.Permanent(err)
	}
	laneOf, err := b.lanes(ctx)
	if err != nil {
		return err
	}
	_, err = b.topic.write(ctx, laneOf(made), []record{made}, 1)
	if refused(err) != "" {
		return outcome.Permanent(err)
	}
	return err
}
