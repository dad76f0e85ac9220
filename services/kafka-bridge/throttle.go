package kafkabridge

import (
	"context"
	"time"
)

// throttle obeys a broker that reads nothing from us for some time because of a quota. The next write would stay unread
// until then. That is longer than respondWithin, so it would be written a second time.
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
