package stage

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// Floors stores the position up to which a stage has completed a stream, for a consumer that is lost and recreated. The broker knows the
// sequence up to which all replicas have completed everything. Floors stores the last message up to that sequence that this replica
// completed, because the replica knows when that message was stored. The time distinguishes it from a message with the same sequence in a
// restored stream.
type Floors struct {
	JS     jetstream.JetStream
	Stage  flow.Stage
	Stream string

	mu   sync.Mutex
	done []flow.Floor // completed since the last stored floor
}

// mostDone limits the messages that are remembered while an earlier one is not done. Beyond this limit the oldest are forgotten. They are
// useless once the earlier message is done. The Kafka bridge completes tens of thousands a second: 1024 would be newer than the server's report.
const mostDone = 8192

// Done records that a message is settled and will not be delivered again.
func (f *Floors) Done(meta *jetstream.MsgMetadata) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.done) == mostDone {
		f.done = append(f.done[:0], f.done[mostDone/2:]...)
	}
	f.done = append(f.done, flow.Floor{Sequence: meta.Sequence.Stream, Stored: meta.Timestamp})
}

// Keep stores the floor that the broker reports now. After a failure, the next call tries again.
func (f *Floors) Keep(ctx context.Context, is *jetstream.ConsumerInfo) error {
	highest, found := f.below(is.AckFloor.Stream)
	if !found {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishFor)
	defer cancel()
	if err := f.Stage.KeepFloor(ctx, f.JS, f.Stream, highest); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var left []flow.Floor
	for _, d := range f.done {
		if d.Sequence > highest.Sequence {
			left = append(left, d)
		}
	}
	f.done = left
	return nil
}

// below returns the highest completed message up to a sequence.
func (f *Floors) below(sequence uint64) (highest flow.Floor, found bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.done {
		if d.Sequence <= sequence && d.Sequence > highest.Sequence {
			highest, found = d, true
		}
	}
	return highest, found
}

// keepAtEnd stores the floor once more when the program ends.
func (f *Floors) keepAtEnd(ctx context.Context, s source) {
	if !f.JS.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if c, err := s.lookUp(ctx); err == nil {
		_ = f.Keep(ctx, c.CachedInfo())
	}
}
