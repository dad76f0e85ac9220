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

// Log reads a stream by subject: for example all events of a document, or one event, to find out whether it was stored. It queries the server
// directly and creates no consumer.
type Log struct {
	JS     jetstream.JetStream
	Stream string
}

// batch is the number of messages in one response: 256 of about 1 KiB are one read from disk and one window of TCP. few is for a query
// whose first message usually has the result.
const batch, few = 256, 4

// Which returns those of the ids that the subject has among the messages stored in the span. It reads the span once for any number
// of ids, because all signers of an eSignature v1 account share one subject.
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

// Events returns the events with those ids that the subject has among the messages stored in the span.
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

// find passes the first message of each id to take, until it has found all ids.
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

// Messages yields the messages of a subject or filter that were stored since that time, oldest first; the zero time means all messages.
// An error ends the sequence.
func (l Log) Messages(ctx context.Context, filter string, since time.Time) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return l.from(ctx, filter, since, batch)
}

// Few works like Messages, for a reader that usually stops at one of the first messages.
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

// messages yields one batch. It uses the count of pending messages in each message's headers, and not the end of the batch: a truncated
// response must not look like the end of the log.
func (l Log) messages(
	ctx context.Context, filter string, start jetstreamext.GetBatchOpt, size int, yield func(*jetstream.RawStreamMsg, error) bool,
) (last uint64, more bool, err error) {
	if !l.JS.Conn().IsConnected() {
		// The library subscribes before it sends the request, and keeps the subscription if the request fails.
		return 0, false, nats.ErrDisconnected
	}
	// A broker that is killed after it got the request never responds. Without this timeout, the caller's own timeout would apply, which is
	// ten minutes for the e-mail sender. It would block a worker. A reader that is slower than the timeout continues with the next batch.
	ctx, cancel := context.WithTimeout(ctx, l.JS.Options().DefaultTimeout)
	defer cancel()
	responses, err := jetstreamext.GetBatch(ctx, l.JS, l.Stream, size, jetstreamext.GetBatchSubject(filter), start)
	if err != nil {
		return 0, false, err
	}
	for m, err := range responses {
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
		return 0, false, errors.New("no response")
	}
	return last, more, nil
}

// Present returns those of the subjects that have a message. One request asks for all of them, at most 1,024. A subject with "*" is not
// supported.
func (l Log) Present(ctx context.Context, subjects ...string) (map[string]bool, error) {
	present := make(map[string]bool, len(subjects))
	if !l.JS.Conn().IsConnected() {
		return nil, nats.ErrDisconnected // as in messages
	}
	ctx, cancel := context.WithTimeout(ctx, l.JS.Options().DefaultTimeout)
	defer cancel()
	responses, err := jetstreamext.GetLastMsgsFor(ctx, l.JS, l.Stream, subjects)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", l.Stream, err)
	}
	left := "?"
	for m, err := range responses {
		if errors.Is(err, jetstreamext.ErrNoMessages) && left == "?" {
			return present, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", l.Stream, err)
		}
		present[m.Subject], left = true, m.Header.Get("Nats-Num-Pending")
	}
	if left != "0" { // the last message says that none is left; otherwise the response is truncated
		return nil, fmt.Errorf("read %s: incomplete response", l.Stream)
	}
	return present, nil
}

// Bounds returns the sequences of the first message that the stream still holds and of the last message that it ever stored. A last of 0
// means that the stream never stored a message.
func (l Log) Bounds(ctx context.Context) (first, last uint64, err error) {
	s, err := l.JS.Stream(ctx, l.Stream)
	if err != nil {
		return 0, 0, fmt.Errorf("read the state of %s: %w", l.Stream, err)
	}
	state := s.CachedInfo().State
	return state.FirstSeq, state.LastSeq, nil
}

// Complete reports whether the stream still holds every message that it ever stored.
func (l Log) Complete(ctx context.Context) (bool, error) {
	s, err := l.JS.Stream(ctx, l.Stream)
	if err != nil {
		return false, fmt.Errorf("read the state of %s: %w", l.Stream, err)
	}
	state := s.CachedInfo().State
	return state.Msgs == state.LastSeq, nil
}
