package notification

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// mostDoubts is how often a message is handed over with an outcome that nobody knows, and then no more: an answer that cannot
// be read may come again and again, and must not text a person at every one of a day's 151 attempts.
const mostDoubts = 3

// doubts counts, by notification, how often one was handed over with an outcome that nobody knows.
type doubts struct{ bucket jetstream.KeyValue }

// doubtKey is a notification in one of its lives: an operator who replays what was given up wants it handed over again.
func doubtKey(in stage.Event[*notifyv1.Notification]) string {
	key := "doubt." + in.Data.GetId()
	if in.Replays > 0 {
		key += "." + strconv.Itoa(in.Replays)
	}
	return key
}

// count returns how often it was.
func (d doubts) count(ctx context.Context, key string) (n int, revision uint64, err error) {
	entry, err := d.bucket.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("count unknown outcomes: %w", err)
	}
	n, err = strconv.Atoi(string(entry.Value()))
	return n, entry.Revision(), err
}

// add counts one more, or one less. The claim keeps others away from this notification, so nobody else counts at the same time.
func (d doubts) add(ctx context.Context, key string, more int) error {
	n, revision, err := d.count(ctx, key)
	if err != nil {
		return err
	}
	return d.write(ctx, key, n+more, revision)
}

// again counts a handing over after one of unknown outcome before it is begun: who dies in it, counts no more. It refuses a
// notification of which nobody knows, after so many, whether it ever arrived.
func (d doubts) again(ctx context.Context, key string) error {
	n, revision, err := d.count(ctx, key)
	if err != nil {
		return err
	}
	n = max(n, 1) // whoever handed it over first may have died of it
	if n >= mostDoubts {
		return Refused("outcome-unknown", fmt.Errorf("handed over %d times, and nobody knows whether it arrived", n))
	}
	return d.write(ctx, key, n+1, revision)
}

func (d doubts) write(ctx context.Context, key string, n int, revision uint64) error {
	if _, err := d.bucket.Update(ctx, key, []byte(strconv.Itoa(n)), revision); err != nil {
		return fmt.Errorf("count unknown outcomes: %w", err)
	}
	return nil
}
