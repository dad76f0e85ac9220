package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

const (
	pause          = time.Second            // before another request to a broker that did not respond
	redeliverAfter = 100 * time.Millisecond // after which another worker gets a message that arrived too late
)

// source is the source of a stage's inputs: its durable consumer on a stream, which `signrelay provision` created.
type source struct {
	stage   flow.Stage
	stream  string
	workers int
	js      jetstream.JetStream
	log     *slog.Logger
}

// consumer looks the consumer up, and waits until the broker responds. It fails only if waiting cannot help.
func (s source) consumer(ctx context.Context) (jetstream.Consumer, error) {
	for {
		c, err := s.lookUp(ctx)
		if err == nil {
			return c, s.fit(c.CachedInfo().Config)
		}
		if err := s.wait(ctx, err); err != nil || ctx.Err() != nil {
			return nil, err
		}
	}
}

func (s source) lookUp(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // a broker that is just starting drops requests
	defer cancel()
	return s.js.Consumer(ctx, s.stream, s.stage.Name)
}

// fit returns an error for a consumer that would lose work.
func (s source) fit(c jetstream.ConsumerConfig) error {
	if c.AckPolicy != jetstream.AckExplicitPolicy || c.MaxDeliver > 0 {
		return fmt.Errorf("consumer %s on stream %s must ack explicitly and deliver without limit (it has %v, %d): run `signrelay provision`",
			s.stage.Name, s.stream, c.AckPolicy, c.MaxDeliver)
	}
	if s.stage.Ordered && s.stream != flow.Replay && (c.PriorityPolicy != jetstream.PriorityPolicyPinned || c.MaxAckPending != s.workers) {
		return fmt.Errorf("consumer %s on stream %s must serve one replica, with %d messages in flight, or the order is lost: run `signrelay provision`",
			s.stage.Name, s.stream, s.workers)
	}
	return nil
}

// take passes messages to work, one at a time, until ctx ends, and rests after each for the time that work returns. It requests one message
// when it can start to work on it, so that no message waits here while another worker or replica is idle.
func (s source) take(ctx context.Context, c jetstream.Consumer, work func(jetstream.Msg) time.Duration) error {
	for ctx.Err() == nil {
		messages, err := c.Messages(jetstream.PullMaxMessages(1), jetstream.PullExpiry(30*time.Second), jetstream.PullHeartbeat(5*time.Second))
		if err == nil {
			err = s.each(ctx, messages, work)
		}
		if errors.Is(err, jetstream.ErrNoHeartbeat) {
			continue
		}
		if err := s.wait(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

// each works through messages until ctx ends or the iterator does. Messages that arrive after the end are returned to the stream.
//
// 10 s without a heartbeat mean that the broker is unavailable, or that the consumer was deleted. The iterator ends then. Its next request
// would overlap with the one to which the broker has not responded yet. The two requests bring two messages. The client has room for one, and
// drops the other.
func (s source) each(ctx context.Context, messages jetstream.MessagesContext, work func(jetstream.Msg) time.Duration) error {
	defer context.AfterFunc(ctx, messages.Drain)()
	for {
		msg, err := messages.Next()
		switch {
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			messages.Drain()
			go returnAll(messages)
			if _, err := s.lookUp(ctx); gone(err) {
				return err
			}
			return err
		case err != nil:
			messages.Stop()
			return err
		case ctx.Err() != nil:
			_ = msg.NakWithDelay(redeliverAfter) // if this is lost, the message comes back after the ack wait
		default:
			if rest := work(msg); rest > 0 {
				select {
				case <-ctx.Done():
				case <-time.After(rest):
				}
			}
			if ctx.Err() != nil {
				messages.Stop()
				return ctx.Err() // without a request for another message, which would come too late
			}
		}
	}
}

// returnAll returns the messages that a drained iterator still receives, until the broker has ended its request.
func returnAll(messages jetstream.MessagesContext) {
	for {
		msg, err := messages.Next()
		if err != nil {
			messages.Stop()
			return
		}
		_ = msg.NakWithDelay(redeliverAfter)
	}
}

// wait waits a little after a failure of the broker, unless waiting cannot help: the consumer is missing, or the connection was closed
// permanently.
func (s source) wait(ctx context.Context, failure error) error {
	switch {
	case ctx.Err() != nil:
		return nil //nolint:nilerr // the shutdown stopped it, which is no failure
	case gone(failure):
		return fmt.Errorf("consumer %s on stream %s is missing; run `signrelay provision`, which creates it where the stage stopped, "+
			"or asks where to start: %w", s.stage.Name, s.stream, failure)
	case errors.Is(failure, nats.ErrConnectionClosed):
		return fmt.Errorf("stage %s: %w", s.stage.Name, failure)
	}
	s.log.WarnContext(ctx, "broker failure", "stage", s.stage.Name, "error", failure)
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
	return nil
}

func gone(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, jetstream.ErrConsumerDeleted)
}
