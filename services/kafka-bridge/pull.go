package kafkabridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// pullBytes bounds what a window holds, whatever its size: 256 events of 1 MiB would be too much. It is looked at between
// slices of so many messages, so that the most it holds is 8 MiB and a slice of 32 MiB. The server must not be asked to bound
// bytes: the status with which it then ends a full batch comes before the messages, where a consumer has copies, and the
// client drops what comes behind it.
const (
	pullBytes = 8 << 20
	slice     = 32
)

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
	for held := 0; rest > 0 && held < pullBytes; {
		want := min(rest, slice)
		more, err := fetch(ctx, c, want)
		messages = append(messages, more...)
		if err != nil || len(more) < want {
			return messages, err
		}
		for _, m := range more {
			held += len(m.Data())
		}
		rest -= want
	}
	return messages, nil
}

// fetch makes one request, and returns what came even when it failed. It waits a third of the time after which the server
// takes this replica for dead.
func fetch(ctx context.Context, c jetstream.Consumer, most int) ([]jetstream.Msg, error) {
	limit, cancel := context.WithTimeout(ctx, c.CachedInfo().Config.PinnedTTL/3)
	defer cancel()
	answer, err := c.Fetch(most, jetstream.FetchPriorityGroup(flow.Active), jetstream.FetchContext(limit))
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
