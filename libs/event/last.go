package event

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/batching"
)

// mostLast is the number of subjects up to which the server returns the last message of each.
const mostLast = 1024

// Last yields the last message of each subject that matches one of the filters. The server refuses a request with more than 1,024 such
// subjects. An error ends the sequence.
//
// Concurrent calls for exact subjects share one request, which is sent after each of the calls: the workers of a stage ask for different
// documents at the same time, and the client and the server spend more CPU on a request than on one of its subjects.
func (l Log) Last(ctx context.Context, filters ...string) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		found, err := l.last(ctx, filters)
		for _, m := range found {
			if !yield(m, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, fmt.Errorf("read %s: %w", l.Stream, err))
		}
	}
}

func (l Log) last(ctx context.Context, filters []string) ([]*jetstream.RawStreamMsg, error) {
	if !l.JS.Conn().IsConnected() {
		return nil, nats.ErrDisconnected
	}
	if slices.ContainsFunc(filters, func(f string) bool { return strings.ContainsAny(f, "*>") }) {
		ctx, cancel := context.WithTimeout(ctx, l.JS.Options().DefaultTimeout)
		defer cancel()
		return l.lastAlone(ctx, filters, mostLast)
	}
	r, err := responsesOf(l.JS.Conn())
	if err != nil {
		return nil, err
	}
	call := &lastCall{subjects: filters}
	if _, err := r.lastCalls(l).Do(ctx, call); err != nil {
		return nil, err
	}
	return call.found, call.err
}

// lastCall is a call of Last for exact subjects, and its result.
type lastCall struct {
	subjects []string
	found    []*jetstream.RawStreamMsg // in the order of the stream
	err      error
}

// lastCalls returns the queue in which the calls of Last for a stream wait for a shared request.
func (r *responses) lastCalls(l Log) *batching.Queue[*lastCall] {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := l.api() + l.Stream
	q := r.lasts[key]
	if q == nil {
		q = &batching.Queue[*lastCall]{
			Send: l.lastShared, Within: l.JS.Options().DefaultTimeout, MaxCount: mostLast,
			Size: func(c *lastCall) (count, bytes int) { return len(c.subjects), 0 },
		}
		r.lasts[key] = q
	}
	return q
}

// lastShared sends one request for the subjects of all calls. If the messages are more than one response can hold, each call gets a request of
// its own.
func (l Log) lastShared(ctx context.Context, calls []*lastCall) {
	wanted := map[string][]*lastCall{}
	var subjects []string
	for _, c := range calls {
		for _, subject := range c.subjects {
			callers := wanted[subject]
			if len(callers) == 0 {
				subjects = append(subjects, subject)
			}
			if !slices.Contains(callers, c) { // a call may name a subject twice
				wanted[subject] = append(callers, c)
			}
		}
	}
	found, err := l.lastAlone(ctx, subjects, len(subjects))
	if errors.Is(err, errIncomplete) && len(calls) > 1 {
		for _, c := range calls {
			c.found, c.err = l.lastAlone(ctx, c.subjects, len(c.subjects))
		}
		return
	}
	for _, m := range found {
		for _, c := range wanted[m.Subject] {
			c.found = append(c.found, m)
		}
	}
	for _, c := range calls {
		c.err = err
	}
}

// lastRequest is a request for the last message of each subject.
type lastRequest struct {
	Subjects []string `json:"multi_last"`
}

// errIncomplete means that the last response of several is missing.
var errIncomplete = errors.New("incomplete response")

// lastAlone sends one request for the last message of each subject that matches one of the filters, and waits until ctx ends for at most this
// number of messages.
func (l Log) lastAlone(ctx context.Context, filters []string, most int) (found []*jetstream.RawStreamMsg, err error) {
	left := "?"
	for m, err := range l.ask(ctx, lastRequest{filters}, most) {
		if errors.Is(err, errNone) && left == "?" {
			return nil, nil
		}
		if err != nil {
			return found, err
		}
		found = append(found, m)
		left = m.Header.Get(numPending)
	}
	if left != "0" { // the last message says that none is left
		return found, errIncomplete
	}
	return found, nil
}
