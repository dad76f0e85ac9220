package kafkabridge

import (
	"context"
	"time"
)

// silence heeds a broker that says how long a quota has it read nothing more from us. The next write would lie unread until
// then: longer than answerWithin, and it would be written a second time.
func (t *topic) silence(d time.Duration) {
	if d <= 0 {
		return
	}
	t.metrics.throttled.Add(d.Seconds())
	t.mu.Lock()
	defer t.mu.Unlock()
	if until := time.Now().Add(d); until.After(t.silent) {
		t.silent = until
	}
}

// keepSilent waits until the brokers read again, at most until ctx ends.
func (t *topic) keepSilent(ctx context.Context) error {
	for {
		t.mu.Lock()
		left := time.Until(t.silent)
		t.mu.Unlock()
		if left <= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(left):
		}
	}
}
