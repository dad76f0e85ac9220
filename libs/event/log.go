package event

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Log reads a stream by subject: a document's life, or whether one event was stored. It asks the server directly and
// leaves no consumer behind.
type Log struct {
	JS     jetstream.JetStream
	Stream string
}

// batch is how many messages one request brings: 256 of about 1 KiB are one read from disk and one window of TCP. few is for a
// question that the first message answers as a rule.
const batch, few = 256, 4

// Which tells which of the ids stand on the subject, among the messages stored in the span. It reads the span once,
// however many ids there are: all signers of an eSignature v1 account share one subject.
func (l Log) Which(ctx context.Context, subject string, in Span, ids ...string) (map[string]bool, error) {
	found := make(map[string]bool)
	err := l.find(ctx, subject, in, ids, func(id string, _ []byte) error {
		found[id] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Events are those of the ids that stand on the subject, among the messages stored in the span.
func (l Log) Events(ctx context.Context, subject string, in Span, ids ...string) (map[string]*signingv1.SigningEvent, error) {
	found := make(map[string]*signingv1.SigningEvent)
	err := l.find(ctx, subject, in, ids, func(id string, data []byte) (err error) {
		found[id], err = Decode(data)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// find passes on the first message of each id, until there was one of each.
func (l Log) find(ctx context.Context, subject string, in Span, ids []string, take func(id string, data []byte) error) error {
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	for m, err := range l.Messages(ctx, subject, in.Since) {
		if err != nil {
			return err
		}
		if !in.Until.IsZero() && m.Time.After(in.Until) {
			return nil
		}
		id := m.Header.Get("Nats-Msg-Id")
		if !wanted[id] {
			continue
		}
		if err := take(id, m.Data); err != nil {
			return err
		}
		if delete(wanted, id); len(wanted) == 0 {
			return nil
		}
	}
	return nil
}

// Span is a span of time by the broker's clock; a zero end is open.
type Span struct {
	Since, Until time.Time
}

// Messages yields the messages of a subject or filter that were stored since then, oldest first; the zero time means
// all of them. An error ends it.
func (l Log) Messages(ctx context.Context, filter string, since time.Time) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return l.from(ctx, filter, since, batch)
}

// Few is Messages for a reader that expects to stop at one of the first.
func (l Log) Few(ctx context.Context, filter string, since time.Time) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return l.from(ctx, filter, since, few)
}

func (l Log) from(ctx context.Context, filter string, since time.Time, size int) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		start := jetstreamext.GetBatchSeq(1)
		if !since.IsZero() {
			start = jetstreamext.GetBatchStartTime(since)
		}
		for {
			last, more, err := l.messages(ctx, filter, start, size, yield)
			if err != nil {
				yield(nil, fmt.Errorf("read %s: %w", l.Stream, err))
				return
			}
			if !more {
				return
			}
			start, size = jetstreamext.GetBatchSeq(last+1), batch
		}
	}
}

// messages yields one batch. It believes the count of messages still to come that each message bears, and not the end of
// the batch: an answer cut short must not read as "there is nothing more".
func (l Log) messages(
	ctx context.Context, filter string, start jetstreamext.GetBatchOpt, size int, yield func(*jetstream.RawStreamMsg, error) bool,
) (last uint64, more bool, err error) {
	if !l.JS.Conn().IsConnected() {
		// The library subscribes before it asks, and leaves the subscription behind when asking fails.
		return 0, false, nats.ErrDisconnected
	}
	// A broker that is killed after it got the request never responds. Without this bound the caller's own would decide: ten minutes for
	// the e-mail sender, and no other message would take its place. After it a slow reader goes on with the next batch.
	ctx, cancel := context.WithTimeout(ctx, l.JS.Options().DefaultTimeout)
	defer cancel()
	answers, err := jetstreamext.GetBatch(ctx, l.JS, l.Stream, size, jetstreamext.GetBatchSubject(filter), start)
	if err != nil {
		return 0, false, err
	}
	for m, err := range answers {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, err
		}
		if !yield(m, nil) {
			return 0, false, nil
		}
		last, more = m.Sequence, m.Header.Get("Nats-Num-Pending") != "0"
	}
	if last == 0 {
		return 0, false, errors.New("no answer")
	}
	return last, more, nil
}

// Bounds returns the sequences of the first message that the stream still holds and of the last it ever stored; a last of
// 0 means that nothing was ever stored.
func (l Log) Bounds(ctx context.Context) (first, last uint64, err error) {
	s, err := l.JS.Stream(ctx, l.Stream)
	if err != nil {
		return 0, 0, fmt.Errorf("ask for %s: %w", l.Stream, err)
	}
	state := s.CachedInfo().State
	return state.FirstSeq, state.LastSeq, nil
}

// Complete reports whether the stream still holds every message that it ever stored.
func (l Log) Complete(ctx context.Context) (bool, error) {
	s, err := l.JS.Stream(ctx, l.Stream)
	if err != nil {
		return false, fmt.Errorf("ask for %s: %w", l.Stream, err)
	}
	state := s.CachedInfo().State
	return state.Msgs == state.LastSeq, nil
}
