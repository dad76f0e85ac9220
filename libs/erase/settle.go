package erase

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// The server overwrites only messages that this package removes. A replaced entry of a bucket, and a schedule that was due or replaced, keep
// their bytes in the server's file until the server rewrites the file: when more than half of it is removed, and when it is not the newest file
// of the stream. A small installation has only one file, so its server never rewrites it. settle therefore fills the newest file, so that
// the server begins another one, and removes what it wrote, which makes the server rewrite the full one.

// settled are the streams in which the server or a service itself replaces messages, with the subject on which settle writes. No consumer
// reads these subjects.
var settled = []struct{ stream, subject string }{
	{flow.LaterSMS, flow.FillLater("sms")},
	{flow.LaterEmail, flow.FillLater("email")},
	{flow.Remind, flow.FillRemind},
	{flow.Archive, flow.FillArchive},
	{bucketPrefix + flow.Memory, "$KV." + flow.Memory + "." + fillKey},
	{bucketPrefix + flow.Attempts, "$KV." + flow.Attempts + "." + fillKey},
	{bucketPrefix + flow.Texts, "$KV." + flow.Texts + "." + fillKey},
	{bucketPrefix + flow.Inbound, "$KV." + flow.Inbound + "." + fillKey},
	{bucketPrefix + flow.Links, "$KV." + flow.Links + "." + fillKey},
	{bucketPrefix + flow.Holds, "$KV." + flow.Holds + "." + fillKey},
	{bucketPrefix + flow.Jobs, "$KV." + flow.Jobs + "." + fillKey},
}

const (
	fillKey = "fill"
	// fillBytes is the size of one message; every server accepts it (flow.SmallestPayload).
	fillBytes = 1 << 20
	// fills fill the newest file of a stream whatever it holds; the server limits a file to 8 MiB.
	fills = blockBytes/fillBytes + 1
)

// settle makes the server rewrite the newest files of the streams in which it keeps removed messages.
func (e *Eraser) settle(ctx context.Context) error {
	return e.each(ctx, "files", len(settled), func(ctx context.Context, i int) error { return e.rewrite(ctx, settled[i].stream, settled[i].subject) })
}

// Forget makes the server rewrite the files of a bucket whose entries were removed. An operator's erasure calls it at its end for its own job.
func (e *Eraser) Forget(ctx context.Context, bucket string) error {
	return e.rewrite(ctx, bucketPrefix+bucket, "$KV."+bucket+"."+fillKey)
}

func (e *Eraser) rewrite(ctx context.Context, name, subject string) error {
	stream, err := e.JS.Stream(ctx, name)
	if err != nil {
		if err = missing(err); err == nil {
			return nil
		}
		return fmt.Errorf("open %s: %w", name, err)
	}
	data := make([]byte, fillBytes)
	for range fills {
		if _, err := e.JS.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data}, jetstream.WithRetryAttempts(0)); err != nil {
			return fmt.Errorf("fill the newest file of %s: %w", name, err)
		}
	}
	if strings.HasPrefix(name, bucketPrefix) { // each fill has replaced the one before
		return purgeEntry(ctx, stream, subject)
	}
	return removeFills(ctx, stream, name, subject)
}

// removeFills also removes what an erasure left that was stopped here: with it, less than half of an older file would be removed, and the
// server would never rewrite it.
func removeFills(ctx context.Context, stream jetstream.Stream, name, subject string) error {
	for from := uint64(1); ; {
		fill, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err == nil {
			from = fill.Sequence + 1
			err = flow.Remains(ctx, stream, fill.Sequence, stream.DeleteMsg(ctx, fill.Sequence))
		}
		if err != nil {
			return fmt.Errorf("rewrite a file of %s: %w", name, err)
		}
	}
}
