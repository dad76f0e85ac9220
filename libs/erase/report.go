package erase

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

const (
	// perBatch is the number of events in one atomic batch: the server syncs a batch to its disk once, and each other message by itself.
	perBatch = 256
	// batchWithin bounds the response to a batch.
	batchWithin = 10 * time.Second
)

// publishAll publishes events, many in one atomic batch if the log allows it.
func (e *Eraser) publishAll(ctx context.Context, all []*signingv1.SigningEvent) error {
	log, err := e.JS.Stream(ctx, flow.Signing)
	if err != nil {
		return fmt.Errorf("open %s: %w", flow.Signing, err)
	}
	if !log.CachedInfo().Config.AllowAtomicPublish {
		return e.each(ctx, "reports", len(all), func(ctx context.Context, i int) error { return publish(ctx, e.JS, all[i]) })
	}
	alone, done := *e, 0
	alone.Progress = nil
	for part := range slices.Chunk(all, perBatch) {
		if len(part) < perBatch/16 || e.publishTogether(ctx, part) != nil { // a refused batch stores nothing
			if err := alone.each(ctx, "reports", len(part), func(ctx context.Context, i int) error { return publish(ctx, e.JS, part[i]) }); err != nil {
				return err
			}
		}
		done += len(part)
		e.progress("reports", done, len(all))
	}
	return nil
}

// publishTogether publishes events as one atomic batch. If it fails, the events may be published again: each has its id.
func (e *Eraser) publishTogether(ctx context.Context, all []*signingv1.SigningEvent) error {
	ctx, cancel := context.WithTimeout(ctx, batchWithin)
	defer cancel()
	conn, id := e.JS.Conn(), rand.Text()
	for i, one := range all {
		m, err := event.Message(ctx, one)
		if err != nil {
			return err
		}
		m.Header["Nats-Batch-Id"], m.Header["Nats-Batch-Sequence"] = []string{id}, []string{strconv.Itoa(i + 1)}
		if i < len(all)-1 {
			if err := conn.PublishMsg(m); err != nil {
				return err
			}
			continue
		}
		m.Header["Nats-Batch-Commit"] = []string{"1"}
		response, err := conn.RequestMsgWithContext(ctx, m)
		if err != nil {
			return err
		}
		var ack struct {
			Count int                 `json:"count"`
			Error *jetstream.APIError `json:"error"`
		}
		if err := json.Unmarshal(response.Data, &ack); err != nil {
			return err
		}
		if ack.Error != nil || ack.Count != len(all) {
			return errors.New("the batch was refused")
		}
	}
	return nil
}
