package erase

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// A batch of a provider is in the first event that it reported, with the data of other documents. If one of these is erased, the event stays
// without the batch: a copy of it is published, with the same id, and the original is overwritten. A subscriber gets the copy as a repeated event.

const (
	// settleWithin is the time within which the enricher must have read the copies.
	settleWithin = 30 * time.Second
	settleEvery  = 100 * time.Millisecond
)

var errBehind = errors.New("the enricher has not read the copies of events without their requests yet; run the command again when it has no lag")

// cutAll replaces events by copies that do not carry the provider's request.
func (e *Eraser) cutAll(ctx context.Context, sequences []uint64) error {
	if len(sequences) == 0 {
		return nil
	}
	log, err := e.JS.Stream(ctx, flow.Signing)
	if err != nil {
		return fmt.Errorf("open %s: %w", flow.Signing, err)
	}
	var last uint64
	for i, sequence := range sequences {
		copied, err := e.copyWithout(ctx, log, sequence)
		if err != nil {
			return fmt.Errorf("remove a request from an event: %w", err)
		}
		last = max(last, copied)
		e.progress("requests", i+1, len(sequences))
	}
	// The enricher skips the copy of an event only while the log has the original.
	if err := e.awaitEnricher(ctx, last); err != nil {
		return err
	}
	return e.each(ctx, "requests", len(sequences), func(ctx context.Context, i int) error { return secureDelete(ctx, log, sequences[i]) })
}

// copyWithout publishes the copy of an event, unless the log has it already, and returns its sequence.
func (e *Eraser) copyWithout(ctx context.Context, log jetstream.Stream, sequence uint64) (uint64, error) {
	m, err := log.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	id := m.Header.Get(jetstream.MsgIDHeader)
	for later, err := range (event.Log{JS: e.JS, Stream: flow.Signing}).Messages(ctx, m.Subject, m.Time) {
		if err != nil {
			return 0, err
		}
		if later.Sequence > sequence && later.Header.Get(jetstream.MsgIDHeader) == id {
			return later.Sequence, nil
		}
	}
	is, err := event.Decode(m.Data)
	if err != nil {
		return 0, err
	}
	data, err := event.SetCallback(m.Data, &signingv1.Callback{Id: is.GetCallback().GetId(), Item: is.GetCallback().Item})
	if err != nil {
		return 0, err
	}
	header := nats.Header{}
	for key, values := range m.Header {
		if !strings.HasPrefix(key, "Nats-") || key == jetstream.MsgIDHeader { // the server adds the others to its response
			header[key] = values
		}
	}
	ack, err := e.JS.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Header: header, Data: data})
	switch {
	case err != nil:
		return 0, err
	case ack.Duplicate:
		return 0, fmt.Errorf("the event is younger than %v; run the command again then", flow.DuplicateWindow)
	}
	return ack.Sequence, nil
}

// awaitEnricher waits until the enricher has settled the copies.
func (e *Eraser) awaitEnricher(ctx context.Context, last uint64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settleWithin, errBehind)
	defer cancel()
	for {
		c, err := e.JS.Consumer(ctx, flow.Signing, flow.Enricher)
		if err != nil {
			return fmt.Errorf("read the position of the enricher: %w", err)
		}
		is := c.CachedInfo()
		if is.AckFloor.Stream >= last || is.NumPending == 0 && is.NumAckPending == 0 {
			return nil
		}
		select {
		case <-time.After(settleEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
