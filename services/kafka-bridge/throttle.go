package kafkabridge

import (
	"context"
	"time"
)

// throttle delays the next write, because a broker reads no requests for that time, by a quota. An earlier write would stay unread for longer
// than the response timeout, so it would be written a second time.
func (t *topic) throttle(d time.Duration) {
	if d <= 0 {
		return
	}
	t.metrics.throttled.Add(d.Seconds())
	t.mu.Lock()
	defer t.mu.Unlock()
	if until := time.Now().Add(d); until.After(t.throttled) {
		t.throttled = until
	}
}

// waitForQuota waits until the brokers read again, at most until ctx ends.
func (t *topic) waitForQuota(ctx context.Context) error {
	for {
		t.mu.Lock()
		left := time.Until(t.throttled)
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
