package ingest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// keep returns a request as the log keeps it, without the source's secrets (docs/adr/0038); nil if the settings keep none. It shares the memory of
// the body.
func (src source) keep(r pack.Request, key pack.Key) *signingv1.Callback {
	if !src.settings.Keeps(config.KeepCallbacks) {
		return nil
	}
	kept := &signingv1.Callback{
		Key: key.Setting, KeyFingerprint: key.Fingerprint, Method: r.Method,
		Path: "/webhooks/" + src.settings.Provider + "/" + src.settings.Name + r.Route,
	}
	kept.Body, kept.Redacted = src.secrets.RedactBody(r.Body)
	if r.Method == http.MethodGet { // the query of a POST has no fields, and may have a token
		query, found := src.secrets.RedactAll(r.RawQuery)
		if !utf8.ValidString(query) {
			query, found = strings.ToValidUTF8(query, "\uFFFD"), true
		}
		kept.Query, kept.Redacted = query, kept.Redacted || found
	}
	header, found := headerToKeep(r.Header, src.headersToKeep(), src.secrets)
	kept.Headers, kept.Redacted = header, kept.Redacted || found
	kept.Id = event.CallbackID(src.settings.Name, src.settings.Provider, kept.GetMethod(), r.Route, kept.GetQuery(), kept.GetBody())
	return kept
}

// nameCallback names the callback, and the item of a batch, in the events that it reported.
func nameCallback(kept *signingv1.Callback, item *int, events []*signingv1.SigningEvent) {
	if kept == nil {
		return
	}
	for _, e := range events {
		e.Callback = &signingv1.Callback{Id: kept.GetId()}
		if item != nil {
			e.Callback.Item = proto.Uint32(uint32(*item))
		}
	}
}

// hasCarried reports whether the item's message has the whole callback, and is stored or will be.
func (it item) hasCarried() bool { return it.carries && (it.state == put || it.state == fresh) }

// carry puts the whole callback into one of the messages that are published next. It prefers an item that the stream will not refuse, and the
// first one of those.
func (s *store) carry(ctx context.Context, news []*item, kept *signingv1.Callback) {
	i := slices.IndexFunc(news, func(it *item) bool { return it.event != nil && !it.first })
	if i < 0 {
		i = slices.IndexFunc(news, func(it *item) bool { return it.event != nil })
	}
	if i < 0 {
		return
	}
	it := news[i]
	whole := kept
	if it.event.GetCallback().Item != nil {
		whole = &signingv1.Callback{
			Id: kept.GetId(), Item: it.event.GetCallback().Item, Key: kept.GetKey(), KeyFingerprint: kept.GetKeyFingerprint(), Method: kept.GetMethod(),
			Path: kept.GetPath(), Query: kept.GetQuery(), Headers: kept.GetHeaders(), Body: kept.GetBody(), Redacted: kept.GetRedacted(),
		}
	}
	if size := int64(len(it.msg.Data) + proto.Size(whole)); size > s.publisher.conn.MaxPayload()-overhead {
		s.publisher.log.WarnContext(ctx, "a callback is not kept: with it, its event is larger than the broker's largest message (max_payload)",
			"source", it.event.GetSource(), "provider", it.event.GetProvider(), "id", it.id, "bytes", size)
		return
	}
	data, err := event.SetCallback(it.msg.Data, whole)
	if err != nil { // its texts are UTF-8, so this does not happen; the event matters more than its evidence
		s.publisher.log.ErrorContext(ctx, "a callback is not kept", "id", it.id, "error", err)
		return
	}
	it.msg.Data, it.carries = data, true
}
