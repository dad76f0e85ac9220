package notification

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// mostDoubts is how often a message is handed over with an outcome that nobody knows, and then no more: an answer that cannot
// be read may come again and again, and must not text a person at every one of a day's 151 attempts.
const mostDoubts = 3

// doubts counts, by notification, how often one was handed over with an outcome that nobody knows.
type doubts struct{ bucket jetstream.KeyValue }

func doubtKey(id string) string { return "doubt." + id }

// count returns how often it was.
func (d doubts) count(ctx context.Context, id string) (n int, revision uint64, err error) {
	entry, err := d.bucket.Get(ctx, doubtKey(id))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("count unknown outcomes: %w", err)
	}
	n, err = strconv.Atoi(string(entry.Value()))
	return n, entry.Revision(), err
}

// add counts one more. The claim keeps others away from this notification, so nobody else counts at the same time.
func (d doubts) add(ctx context.Context, id string) error {
	n, revision, err := d.count(ctx, id)
	if err != nil {
		return err
	}
	if _, err := d.bucket.Update(ctx, doubtKey(id), []byte(strconv.Itoa(n+1)), revision); err != nil {
		return fmt.Errorf("count unknown outcomes: %w", err)
	}
	return nil
}

// tooMany refuses a notification of which nobody knows, after so many attempts, whether it ever arrived.
func (d doubts) tooMany(ctx context.Context, id string) error {
	n, _, err := d.count(ctx, id)
	if err == nil && n >= mostDoubts {
		return Refused("outcome-unknown", fmt.Errorf("handed over %d times, and nobody knows whether it arrived", n))
	}
	return err
}
