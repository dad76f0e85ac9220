package kafkabridge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// hand is the messages that this replica has in hand: delivered, and not acked yet.
type hand struct {
	mu       sync.Mutex
	messages map[uint64]jetstream.Msg // by their place in the log
}

func (h *hand) add(messages []jetstream.Msg) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range messages {
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read a message's metadata: %w", err)
		}
		h.messages[meta.Sequence.Stream] = m // of two deliveries the later one is answered
	}
	return nil
}

func (h *hand) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.messages)
}

// inOrder is the hand in the log's order.
func (h *hand) inOrder() []jetstream.Msg {
	h.mu.Lock()
	defer h.mu.Unlock()
	messages := make([]jetstream.Msg, 0, len(h.messages))
	for _, place := range slices.Sorted(maps.Keys(h.messages)) {
		messages = append(messages, h.messages[place])
	}
	return messages
}

// upTo returns the hand in the log's order, split into the messages up to that sequence and the messages after it; 0 means no
// end.
func (h *hand) upTo(end uint64) (within, beyond []jetstream.Msg) {
	all := h.inOrder()
	if end == 0 {
		return all, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	count := 0
	for place := range h.messages {
		if place <= end {
			count++
		}
	}
	return all[:count], all[count:]
}

// hold extends the lease on all that is in hand every third of the ack wait, until ctx ends. An extension that is lost has
// the message delivered again, here or to another replica: it is written twice then, and neither lost nor out of order.
func (h *hand) hold(ctx context.Context, ackWait time.Duration) {
	tick := time.NewTicker(ackWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, m := range h.inOrder() {
			_ = m.InProgress()
		}
	}
}

// ackWithin bounds the wait for the server's word that it heard the acks.
const ackWithin = 5 * time.Second

// ack acks messages and waits until the server has heard it: it reads a connection in order, so its word about the last
// is about all.
func ack(ctx context.Context, messages []jetstream.Msg) error {
	if len(messages) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackWithin)
	defer cancel()
	last := len(messages) - 1
	for _, m := range messages[:last] {
		if err := m.Ack(); err != nil {
			return fmt.Errorf("ack: %w", err)
		}
	}
	if err := messages[last].DoubleAck(ctx); err != nil {
		return fmt.Errorf("ack: %w", err)
	}
	return nil
}

// handBack has messages delivered again soon, here or to another replica. What the server does not hear comes back after
// the ack wait.
func handBack(messages []jetstream.Msg) {
	for _, m := range messages {
		_ = m.NakWithDelay(100 * time.Millisecond)
	}
}
