package event

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Log reads a stream by subject: for example all events of a document, or one event, to find out whether it was stored. It queries the server
// directly and creates no consumer.
type Log struct {
	JS     jetstream.JetStream
	Stream string
}

// batch is the number of messages in one response: 256 of about 1 KiB are one read from disk and one window of TCP.
const batch = 256

// many and manyBytes limit one response to a reader of a whole stream.
const many, manyBytes = 4096, 4 << 20

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
	return l.read(ctx, batchRequest{nextRequest: next(filter, since), Batch: batch})
}

// After yields the messages of a filter after a sequence, oldest first, for a reader that has read the ones before.
func (l Log) After(ctx context.Context, filter string, sequence uint64) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return l.read(ctx, batchRequest{nextRequest: nextRequest{Subject: filter, Sequence: sequence + 1}, Batch: batch})
}

// Whole works like After, for a reader that reads a long stream to its end. For each request the server counts the messages that follow, which takes
// 25 ms in the first half of a log of 1.5·10^6 subjects from which something was deleted; so the requests are few.
func (l Log) Whole(ctx context.Context, filter string, after uint64) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return l.read(ctx, batchRequest{nextRequest: nextRequest{Subject: filter, Sequence: after + 1}, Batch: many, MaxBytes: manyBytes})
}

// Few works like Messages, for a reader that usually stops at the first message. It requests that one alone: for several messages the server
// counts how many follow, and to count from the middle of the log it reads the rest of a block of 8 MB, which takes 0.3 ms of CPU time.
func (l Log) Few(ctx context.Context, filter string, since time.Time) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		first, err := l.one(ctx, next(filter, since))
		switch {
		case errors.Is(err, errNone):
			return
		case err != nil:
			yield(nil, fmt.Errorf("read %s: %w", l.Stream, err))
			return
		case !yield(first, nil):
			return
		}
		for m, err := range l.After(ctx, filter, first.Sequence) {
			if !yield(m, err) {
				return
			}
		}
	}
}

// one returns the first message that a request wants; errNone if there is none.
func (l Log) one(ctx context.Context, wanted nextRequest) (*jetstream.RawStreamMsg, error) {
	if !l.JS.Conn().IsConnected() {
		return nil, nats.ErrDisconnected
	}
	ctx, cancel := context.WithTimeout(ctx, l.JS.Options().DefaultTimeout)
	defer cancel()
	for m, err := range l.request(ctx, wanted, 1) {
		if err != nil {
			return nil, err
		}
		return storedMessage(m)
	}
	return nil, errors.New("no response")
}

func (l Log) read(ctx context.Context, wanted batchRequest) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		for {
			last, more, err := l.messages(ctx, wanted, yield)
			if err != nil {
				yield(nil, fmt.Errorf("read %s: %w", l.Stream, err))
				return
			}
			if !more {
				return
			}
			wanted.nextRequest = nextRequest{Subject: wanted.Subject, Sequence: last + 1}
		}
	}
}

// nextRequest is a request for the next message of a stream.
type nextRequest struct {
	Subject  string     `json:"next_by_subj"`
	Sequence uint64     `json:"seq,omitempty"`        // of the first message
	Since    *time.Time `json:"start_time,omitempty"` // instead of it
}

// batchRequest is a request for the next messages of a stream, at most Batch.
type batchRequest struct {
	nextRequest
	Batch    int `json:"batch"`
	MaxBytes int `json:"max_bytes,omitempty"` // of the messages; 0 is the server's own limit
}

// next returns the request for the first message of a filter that was stored since that time; the zero time means the first message of all.
func next(filter string, since time.Time) nextRequest {
	if since.IsZero() {
		return nextRequest{Subject: filter, Sequence: 1}
	}
	return nextRequest{Subject: filter, Since: &since}
}

// errNone is the response if the stream has no such message.
var errNone = errors.New("no messages")

// ask sends a request for messages to the server, and yields them. Their header Nats-Num-Pending has the number of messages that follow. It
// ends early at the deadline of ctx.
func (l Log) ask(ctx context.Context, wanted any, most int) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		for m, err := range l.request(ctx, wanted, most+1) { // the last response says that it is the last
			if err != nil {
				yield(nil, err)
				return
			}
			if len(m.Data) == 0 && m.Header.Get("Status") == "204" {
				return
			}
			stored, err := storedMessage(m)
			if err == nil && m.Header.Get(numPending) == "" {
				err = errors.New("the server does not support requests for several messages")
			}
			if !yield(stored, err) || err != nil {
				return
			}
		}
	}
}

// request sends a request to the server, and yields at most this number of responses.
func (l Log) request(ctx context.Context, wanted any, most int) iter.Seq2[*nats.Msg, error] {
	return func(yield func(*nats.Msg, error) bool) {
		body, err := json.Marshal(wanted)
		if err != nil {
			yield(nil, fmt.Errorf("encode a request: %w", err))
			return
		}
		for m, err := range request(ctx, l.JS.Conn(), l.api()+"DIRECT.GET."+l.Stream, body, most) {
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// api returns the beginning of the subjects of the server's requests.
func (l Log) api() string {
	switch options := l.JS.Options(); {
	case options.APIPrefix != "":
		return strings.TrimSuffix(options.APIPrefix, ".") + "."
	case options.Domain != "":
		return "$JS." + options.Domain + ".API."
	default:
		return jetstream.DefaultAPIPrefix
	}
}

// storedMessage reads a response as a message of the stream.
func storedMessage(m *nats.Msg) (*jetstream.RawStreamMsg, error) {
	if status := m.Header.Get("Status"); len(m.Data) == 0 && status != "" {
		if status == "404" {
			return nil, errNone
		}
		return nil, fmt.Errorf("%s %s", status, m.Header.Get("Description"))
	}
	sequence, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("a response without a sequence: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("a response without a time: %w", err)
	}
	return &jetstream.RawStreamMsg{Subject: m.Header.Get(jetstream.SubjectHeader), Sequence: sequence, Header: m.Header, Data: m.Data, Time: at}, nil
}

// numPending is the header with the number of messages that follow a message of a batch.
const numPending = "Nats-Num-Pending"

// messages yields one batch. It uses the count of pending messages in each message's headers, and not the end of the batch: a truncated
// response must not look like the end of the log.
func (l Log) messages(
	ctx context.Context, wanted batchRequest, yield func(*jetstream.RawStreamMsg, error) bool,
) (last uint64, more bool, err error) {
	if !l.JS.Conn().IsConnected() {
		return 0, false, nats.ErrDisconnected
	}
	// A broker that is killed after it got the request never responds. Without this timeout, the caller's own timeout would apply, which is
	// ten minutes for the e-mail sender. It would block a worker. A reader that is slower than the timeout continues with the next batch.
	ctx, cancel := context.WithTimeout(ctx, l.JS.Options().DefaultTimeout)
	defer cancel()
	for m, err := range l.ask(ctx, wanted, wanted.Batch) {
		if errors.Is(err, errNone) {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, err
		}
		if !yield(m, nil) {
			return 0, false, nil
		}
		last, more = m.Sequence, m.Header.Get(numPending) != "0"
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
	for m, err := range l.Last(ctx, subjects...) {
		if err != nil {
			return nil, err
		}
		present[m.Subject] = true
	}
	return present, nil
}

// Subjects returns the subjects that match a filter, and how many messages each has. The server has all subjects in memory as a tree, so this takes
// 0.3 ms at 10^6 subjects if few of them match, also for a filter with "*" in the middle. It reads no message.
func (l Log) Subjects(ctx context.Context, filter string) (map[string]uint64, error) {
	s, err := l.JS.Stream(ctx, l.Stream)
	if err != nil {
		return nil, fmt.Errorf("read the subjects of %s: %w", l.Stream, err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, fmt.Errorf("read the subjects of %s: %w", l.Stream, err)
	}
	return info.State.Subjects, nil
}

// Narrow works like Messages with the zero time, for a filter with "*" in the middle that matches few subjects, such as those of one document. It asks
// which subjects these are, and reads each of them by its exact name. Messages would make the server search each block of the stream: 170 ms at
// 10^6 messages, in which it does nothing else for the connection.
func (l Log) Narrow(ctx context.Context, filter string) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		subjects, err := l.Subjects(ctx, filter)
		if err != nil {
			yield(nil, err)
			return
		}
		all := make([]iter.Seq2[*jetstream.RawStreamMsg, error], 0, len(subjects))
		for subject := range subjects {
			all = append(all, l.Messages(ctx, subject, time.Time{}))
		}
		merged(all)(yield)
	}
}

// merged yields the messages of several sequences in the order of the stream. An error ends it.
func merged(all []iter.Seq2[*jetstream.RawStreamMsg, error]) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		type head struct {
			message *jetstream.RawStreamMsg
			next    func() (*jetstream.RawStreamMsg, error, bool)
		}
		var heads []head
		for _, one := range all {
			next, stop := iter.Pull2(one)
			defer stop()
			switch m, err, more := next(); {
			case err != nil:
				yield(nil, err)
				return
			case more:
				heads = append(heads, head{m, next})
			}
		}
		for len(heads) > 0 {
			first := 0
			for i := range heads {
				if heads[i].message.Sequence < heads[first].message.Sequence {
					first = i
				}
			}
			if !yield(heads[first].message, nil) {
				return
			}
			m, err, more := heads[first].next()
			switch {
			case err != nil:
				yield(nil, err)
				return
			case more:
				heads[first].message = m
			default:
				heads = slices.Delete(heads, first, first+1)
			}
		}
	}
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

// Stored is an event with its place in the log.
type Stored struct {
	*jetstream.RawStreamMsg
	Event *signingv1.SigningEvent
}

// Document yields the events of a signer's document with these types, one type after the other. One request finds out which types there are, and
// each of them is read by its exact subject.
func (l Log) Document(ctx context.Context, who Signer, types []string) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		subjects := subjectsOf(who, types)
		present, err := l.Present(ctx, subjects...)
		if err != nil {
			yield(Stored{}, err)
			return
		}
		for stored, err := range l.documentAt(ctx, who, subjects, present) {
			if !yield(stored, err) {
				return
			}
		}
	}
}

// subjectsOf returns the subjects of the events of a signer's document with these types.
func subjectsOf(who Signer, types []string) []string {
	subjects := make([]string, len(types))
	for i, typ := range types {
		subjects[i] = SubjectOf(who.Source, who.Provider, typ, who.Document)
	}
	return subjects
}

// documentAt yields the events of a signer's document on those of the subjects that are present.
func (l Log) documentAt(ctx context.Context, who Signer, subjects []string, present map[string]bool) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for _, subject := range subjects {
			if !present[subject] {
				continue
			}
			for m, err := range l.Messages(ctx, subject, time.Time{}) {
				if err != nil {
					yield(Stored{}, err)
					return
				}
				e, err := Decode(m.Data)
				if err != nil {
					yield(Stored{}, fmt.Errorf("read the document's past: %w", err))
					return
				}
				if e.GetDocument().GetId() != who.Document { // two ids may have one token
					continue
				}
				if !yield(Stored{m, e}, nil) {
					return
				}
			}
		}
	}
}
