package stage

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// Floors keeps how far a stage has come in a stream, for a consumer that is lost and made again. The broker knows the sequence up to
// which all is done, whichever replica did it; of the messages up to there, the last that this replica did is kept, because it knows
// when that one was stored, which tells it from another with the same sequence in a stream that was restored.
type Floors struct {
	JS     jetstream.JetStream
	Stage  flow.Stage
	Stream string

	mu   sync.Mutex
	done []flow.Floor // since the last that was kept
}

// mostDone bounds the messages that are remembered while an earlier one is not done. Of more the oldest are forgotten, which are
// of no use once it is.
const mostDone = 1024

// Done says that a message is settled, and will not come again.
func (f *Floors) Done(meta *jetstream.MsgMetadata) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.done) == mostDone {
		f.done = append(f.done[:0], f.done[mostDone/2:]...)
	}
	f.done = append(f.done, flow.Floor{Sequence: meta.Sequence.Stream, Stored: meta.Timestamp})
}

// Keep keeps the floor as the broker tells it now. What fails is done again at the next call.
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

// below is the highest message that was done, up to a sequence.
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

// keepAtEnd keeps the floor once more when the program ends.
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
