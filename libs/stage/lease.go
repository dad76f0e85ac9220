package stage

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// leased holds the lease on the input during the attempt: it sends an extension to the server every third of the ack wait. If the server is
// unavailable or slow and misses the extension, the attempt continues, and another worker may get the same input. In a stage with an effect,
// the claim prevents a second effect. In other stages, a second attempt is harmless.
func leased(conn *nats.Conn, ackWait time.Duration) middleware {
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			stop := repeat(ackWait/3, func() bool { return extend(conn, a.msg.Reply()) })
			defer stop() // an extension after a nak would delay the retry
			return next(ctx, a)
		}
	}
}

// progress extends the lease on a message.
var progress = []byte("+WPI")

// extend extends the lease on a message, given by its reply subject. Without a connection it does nothing; the next call tries again.
func extend(conn *nats.Conn, reply string) bool {
	_ = conn.Publish(reply, progress)
	return true
}

// repeat calls a function at an interval, until it returns false, or until stop is called. stop waits for a call in progress. Most attempts end
// before the first call, so there is a timer and no goroutine.
func repeat(interval time.Duration, call func() (again bool)) (stop func()) {
	var mu sync.Mutex
	ended := false
	mu.Lock()
	defer mu.Unlock()
	var timer *time.Timer
	timer = time.AfterFunc(interval, func() {
		mu.Lock()
		defer mu.Unlock()
		if !ended && call() {
			timer.Reset(interval)
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		ended = true
	}
}

// every calls a function at an interval until ctx ends.
func every(ctx context.Context, interval time.Duration, call func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		call()
	}
}
