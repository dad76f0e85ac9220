package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// reading is the content of an authentic callback: its events in their order, and its unreadable parts.
type reading struct {
	events     []*signingv1.SigningEvent
	unreadable []unreadable
	callback   *signingv1.Callback // the request itself; nil if it is not kept
}

// unreadable is a callback, or one item of a batch, that its pack could not read.
type unreadable struct {
	request  *pack.Request
	verified pack.Verified
	why      *pack.UnreadableError
	batch    *batchOf // nil for a whole callback
	callback string   // the id of the request
}

// batchOf is the batch of an item.
type batchOf struct {
	items int
	// digest covers all items. It is computed once, at the first quarantined item: otherwise 100,000 bad items in 1 MiB would hash 100 GiB.
	digest func() []byte
}

func newBatch(items []pack.Request) *batchOf {
	return &batchOf{len(items), sync.OnceValue(func() []byte {
		sum := sha256.New()
		for _, item := range items {
			fmt.Fprintf(sum, "%d:%s", len(item.Body), item.Body)
		}
		return sum.Sum(nil)
	})}
}

// repaired reports whether an operator changed a request or an item. The operator's text has no verification.
type repaired func(pack.Request) bool

func unchanged(pack.Request) bool { return false }

// read reads a callback with its pack. It reads a batch item by item, so that an unreadable item does not block the others. A callback without
// any readable part is unreadable as a whole.
func read(ctx context.Context, env service.Env, src source, c callback) reading {
	r := c.request
	whole := func(err error) reading {
		v := c.verified
		if c.changed(r) {
			v = pack.Verified{By: signingv1.Verification_VERIFICATION_NONE}
		}
		return reading{unreadable: []unreadable{{request: &r, verified: v, why: asUnreadable(err), callback: c.kept.GetId()}}}
	}
	items, err := itemsOf(ctx, env, src, r)
	switch {
	case errors.Is(err, pack.ErrNothing):
		return reading{}
	case err != nil:
		return whole(err)
	}
	var batch *batchOf
	if items == nil {
		items = []pack.Request{r}
	} else {
		batch = newBatch(items)
	}
	got := reading{callback: c.kept}
	var beside url.Values
	for i := range items {
		item := &items[i]
		if item.Beside == nil {
			item.Beside = beside // from an earlier unreadable item
		}
		events, verified, err := readItem(ctx, env, src, c, *item)
		if errors.Is(err, pack.ErrNothing) {
			continue
		}
		if err != nil {
			got.unreadable = append(got.unreadable, unreadable{
				request: item, verified: verified, why: asUnreadable(err), batch: batch, callback: c.kept.GetId(),
			})
			beside = item.Beside
			continue
		}
		beside = nil
		nameCallback(c.kept, item.Item, events)
		got.events = append(got.events, events...)
	}
	got.events = pack.Distinct(got.events, src.delivery()...)
	if batch != nil && len(got.unreadable) == batch.items {
		first := got.unreadable[0].why
		return whole(&pack.UnreadableError{Reason: first.Reason, Detail: fmt.Sprintf("none of its %d items can be read; item 0: %s", batch.items, first.Detail)})
	}
	return got
}

func asUnreadable(err error) *pack.UnreadableError {
	if why := new(pack.UnreadableError); errors.As(err, &why) {
		return why
	}
	return &pack.UnreadableError{Reason: "not-normalized", Detail: err.Error()}
}

var errQuery = &pack.UnreadableError{Reason: "not-a-query", Detail: "the query has a pair that is not URL-encoded"}

// itemsOf splits a batch into its items. It returns nil if the callback is not a batch.
func itemsOf(ctx context.Context, env service.Env, src source, r pack.Request) (items []pack.Request, err error) {
	if r.Method == http.MethodGet {
		// A pair that cannot be parsed is content here and must not be lost.
		if _, err := pack.ParseForm(r.RawQuery); err != nil {
			return nil, errQuery
		}
	}
	batches, ok := src.webhook.(pack.Batches)
	if !ok {
		return nil, nil
	}
	defer func() { err = errors.Join(err, panicked(ctx, env, src, recover())) }()
	return batches.Items(r)
}

// readItem reads a callback or one item, without the source's secrets. It also returns its verification.
func readItem(
	ctx context.Context, env service.Env, src source, c callback, r pack.Request,
) (events []*signingv1.SigningEvent, v pack.Verified, err error) {
	v.By = signingv1.Verification_VERIFICATION_NONE
	defer func() { err = errors.Join(err, panicked(ctx, env, src, recover())) }()
	changed := c.changed(r) // the pack compares an item with its batch
	if !changed {
		v = c.verified
	}
	if events, err = src.webhook.Normalize(r, v.By); err != nil {
		return nil, v, err
	}
	for _, e := range events {
		redact(e, src.secrets)
		if changed {
			if e.Attributes == nil {
				e.Attributes = map[string]string{}
			}
			e.Attributes[RepairedAttribute] = "true"
		}
	}
	return events, v, fit(r, events, largestEvent(env))
}

// panicked returns the error of a pack that panicked, or nil. The provider is not at fault, so the callback is quarantined until a version can
// read it.
func panicked(ctx context.Context, env service.Env, src source, p any) error {
	if p == nil {
		return nil
	}
	// The log does not contain the text of the panic, because it may quote the body.
	env.Log.ErrorContext(ctx, "a pack panicked", "provider", src.settings.Provider, "stack", string(debug.Stack()))
	return &pack.UnreadableError{Reason: "pack-panicked", Detail: "the provider's pack has a fault; see the log"}
}

// redact replaces the source's secrets in every text of an event that came from outside. It runs after the pack has made the id, so that
// different events keep different ids. The texts of the id, the source, the provider and the type come from Signrelay or from the settings. The
// provider's name of a known type comes from the pack's table of types. The callback is added later, without them (keep). A test compares the fields with those of the message.
func redact(e *signingv1.SigningEvent, secrets pack.Secrets) {
	one := func(texts ...*string) {
		for _, text := range texts {
			if *text == "" {
				continue
			}
			if redacted, found := secrets.Redact(*text); found {
				*text = redacted
			}
		}
	}
	one(&e.ProviderEventId)
	if e.GetType() == event.OtherRecorded {
		one(&e.ProviderType)
	}
	if d := e.GetDocument(); d != nil {
		one(&d.Id, &d.Title, &d.Uri, &d.Group)
	}
	if r := e.GetRecipient(); r != nil {
		one(&r.Id, &r.FirstName, &r.LastName, &r.Email, &r.Mobile, &r.Method, &r.Uri)
	}
	if a := e.GetAgreement(); a != nil {
		one(&a.Contract, &a.Version, &a.Revision, &a.Group)
	}
	for _, l := range e.GetLinks() {
		one(&l.Kind, &l.Url)
	}
	if f := e.GetFile(); f != nil {
		one(&f.Kind, &f.Sha256, &f.Key)
	}
	if n := e.GetNotice(); n != nil {
		one(&n.NotificationId, &n.Kind, &n.Channel, &n.Reference, &n.Reason, &n.EventId, &n.Fault, &n.Text, &n.Subject, &n.Template, &n.Price)
	}
	for name, text := range e.GetAttributes() {
		if redacted, found := secrets.Redact(text); found {
			e.Attributes[name] = redacted
		}
	}
}

// overhead is the maximum size of a message without the callback's body, in bytes: headers, field names, times.
const overhead = 64 << 10

// largestEvent returns the maximum size of an event in the broker, in bytes. The broker announces its limit at each connection.
func largestEvent(env service.Env) int64 { return env.NATS.MaxPayload() - overhead }

// maxGrowth bounds the size of an event relative to its callback: names of nested fields are written in full. The packs limit this growth to
// a factor of 16.
const maxGrowth = 16

// fit fails if an event is larger than the broker's largest message, because every retry would fail too.
func fit(r pack.Request, events []*signingv1.SigningEvent, largest int64) error {
	if int64(len(r.Body)+len(r.RawQuery)) < largest/maxGrowth {
		return nil
	}
	for _, e := range events {
		if int64(proto.Size(e)) > largest {
			return &pack.UnreadableError{Reason: "event-too-large", Detail: "one of its events is larger than the broker's largest message (max_payload)"}
		}
	}
	return nil
}
