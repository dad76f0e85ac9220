package kafkabridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// pullBytes bounds what a window holds beside its first message, whatever its size: 256 events of 1 MiB would be too much.
const pullBytes = 8 << 20

// pull takes what the log has now, at most so many messages, and waits a while for the first. There is more than the
// first when it says so, or when the caller knows that so many are there. A replica that stands by gets nothing.
func pull(ctx context.Context, c jetstream.Consumer, most, there int) ([]jetstream.Msg, error) {
	messages, err := fetch(ctx, c, 1)
	if err != nil || len(messages) == 0 {
		return messages, err
	}
	meta, err := messages[0].Metadata()
	if err != nil {
		return messages, fmt.Errorf("read a message's metadata: %w", err)
	}
	rest := min(most-1, max(there-1, int(min(meta.NumPending, 1<<20))))
	if rest <= 0 {
		return messages, nil
	}
	more, err := fetch(ctx, c, rest, jetstream.FetchMaxBytes(pullBytes))
	return append(messages, more...), err
}

// fetch makes one request, and returns what came even when it failed. It waits a third of the time after which the server
// takes this replica for dead.
func fetch(ctx context.Context, c jetstream.Consumer, most int, options ...jetstream.FetchOpt) ([]jetstream.Msg, error) {
	limit, cancel := context.WithTimeout(ctx, c.CachedInfo().Config.PinnedTTL/3)
	defer cancel()
	options = append(options, jetstream.FetchPriorityGroup(flow.Active), jetstream.FetchContext(limit))
	answer, err := c.Fetch(most, options...)
	if err != nil {
		return nil, fmt.Errorf("pull: %w", err)
	}
	var messages []jetstream.Msg
	for m := range answer.Messages() {
		messages = append(messages, m)
	}
	if err := answer.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return messages, fmt.Errorf("pull: %w", err)
	}
	return messages, nil
}

// notOurs tells whether the server has let another replica work meanwhile.
func notOurs(err error) bool { return errors.Is(err, jetstream.ErrPinIDMismatch) }

// lookUp is the consumer, which `signrelay provision` makes. It fails when it is missing or would lose the order.
func lookUp(ctx context.Context, js jetstream.JetStream, s flow.Stage) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // a broker that is just starting drops questions
	defer cancel()
	c, err := js.Consumer(ctx, s.Stream, s.Name)
	if err != nil {
		return nil, err
	}
	is := c.CachedInfo().Config
	if is.AckPolicy != jetstream.AckExplicitPolicy || is.MaxDeliver > 0 || is.PriorityPolicy != jetstream.PriorityPolicyPinned || is.MaxAckPending != s.Workers {
		return nil, fmt.Errorf("%w: consumer %s on stream %s would lose events or their order", errUnfit, s.Name, s.Stream)
	}
	return c, nil
}

var errUnfit = errors.New("run `signrelay provision`")

// gone tells whether waiting cannot mend it.
func gone(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, errUnfit)
}
