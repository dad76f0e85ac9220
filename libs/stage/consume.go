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
	redeliverAfter = 100 * time.Millisecond // after which another worker gets a message that arrived too late, or could not be begun
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

// take passes messages to the pool's workers until ctx ends. One request takes several messages, see prefetch.
func (s source) take(ctx context.Context, c jetstream.Consumer, p *pool) error {
	for ctx.Err() == nil {
		prefetch := s.prefetch(p)
		messages, err := c.Messages(jetstream.PullMaxMessages(prefetch), jetstream.PullExpiry(30*time.Second), jetstream.PullHeartbeat(5*time.Second))
		if err == nil {
			err = s.each(ctx, messages, p, prefetch)
		}
		if errors.Is(err, jetstream.ErrNoHeartbeat) || errors.Is(err, errPace) {
			continue
		}
		if err := s.wait(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

// prefetch returns the number of messages that this replica has requested or received and not begun: half of its workers, so that one request
// takes several messages. It is 1 while attempts are slow: then a message is requested when a worker can begin it, so that it does not wait
// here while another replica is idle.
func (s source) prefetch(p *pool) int {
	if p.slow() {
		return 1
	}
	return max(s.workers/2, 1)
}

// errPace means that the number of prefetched messages does not fit the speed of the attempts any longer.
var errPace = errors.New("the speed of the attempts has changed")

// each passes messages to idle workers until ctx ends or the iterator does. Messages that arrive after the end are returned to the stream.
// If no worker is idle for a while, prefetched messages are returned too: another replica begins them before their ack wait ends.
//
// 10 s without a heartbeat mean that the broker is unavailable, or that the consumer was deleted. The iterator ends then. Its next request
// would overlap with the one to which the broker has not responded yet. The two requests bring too many messages. The client has no room for
// them, and drops some.
func (s source) each(ctx context.Context, messages jetstream.MessagesContext, p *pool, prefetch int) error {
	defer context.AfterFunc(ctx, messages.Drain)()
	limit := time.Duration(0) // a message that was not requested does not wait here
	if prefetch > 1 {
		limit = slowAfter
	}
	for {
		idle := p.await(ctx, limit)
		switch {
		case ctx.Err() != nil && prefetch == 1: // no request is open; the next one would bring a message that comes too late
			messages.Stop()
			return ctx.Err()
		case ctx.Err() != nil:
			messages.Drain() // the messages that are here follow
		case !idle:
			messages.Drain()
			go returnAll(messages)
			return errPace
		case prefetch == 1 && s.prefetch(p) > 1: // no request is open
			messages.Stop()
			return errPace
		}
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
			p.begin(msg)
			if prefetch > 1 && p.slow() {
				messages.Drain()
				go returnAll(messages)
				return errPace
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
