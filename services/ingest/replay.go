package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// RepairedAttribute marks events that an operator repaired; their verification is none.
const RepairedAttribute = "signrelay.repaired"

// Repair is an operator's replacement for quarantined content. The zero value changes nothing.
type Repair struct {
	Body  *string // nil keeps the stored body; a body for a GET is read as a POST
	Query *string // URL-encoded; nil keeps the stored query
}

// Replayed is the result of a replay.
type Replayed struct {
	IDs []string // of its events, all of which are in the log
	// Quarantined lists the items of a batch that still cannot be read. Each is now in quarantine by itself.
	Quarantined []QuarantinedItem
}

// ErrUnavailable means that the streams did not accept the events, so the next callback would fail too.
var ErrUnavailable = errors.New("the streams did not accept its events")

// Replay stores the events of a quarantined callback or item, with the same steps as for a live one. Unchanged content keeps its verification:
// in a batch, each item whose bytes occur in the stored batch. If it still cannot be read, also because it is larger than the current limit or
// the pack panics, Replay returns a *pack.UnreadableError.
func Replay(ctx context.Context, env service.Env, h nats.Header, payload []byte, repair Repair) (Replayed, error) {
	return ReplayWith(ctx, env, providers.All, h, payload, repair)
}

// ReplayWith works like Replay, with the given packs.
func ReplayWith(ctx context.Context, env service.Env, packs []pack.Pack, h nats.Header, payload []byte, repair Repair) (Replayed, error) {
	src, err := sourceOf(ctx, env, packs, h.Get(HeaderProvider), h.Get(HeaderSource))
	if err != nil {
		return Replayed{}, err
	}
	kept, verified, err := quarantinedRequest(h, payload)
	if err != nil {
		return Replayed{}, err
	}
	m, err := newMetrics(env.Metrics)
	if err != nil {
		return Replayed{}, err
	}
	s := newStore(env, m)
	a := accept(ctx, env, s, src, callback{
		request: repair.of(kept), verified: verified, changed: repair.changed(src, kept), kept: keptCallback(h, src, kept, verified.Key), replayed: true,
	})
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), confirmTimeout)
	defer cancel()
	s.confirm(within, a.done)
	switch a.outcome {
	case "accepted", "duplicate":
		return Replayed{IDs: a.ids, Quarantined: a.quarantined}, nil
	case "quarantined":
		return Replayed{}, a.err
	case "refused":
		return Replayed{}, &pack.UnreadableError{Reason: a.reason, Detail: a.detail}
	default:
		if a.reason == "held" {
			return Replayed{}, errors.New("store: held: ingest is storing it right now")
		}
		return Replayed{}, fmt.Errorf("%w: %s: %w", ErrUnavailable, a.reason, a.err)
	}
}

// sourceOf opens only one source, so that wrong settings of another source do not matter.
func sourceOf(ctx context.Context, env service.Env, packs []pack.Pack, provider, name string) (src source, err error) {
	i := slices.IndexFunc(packs, func(p pack.Pack) bool { return p.Name == provider })
	if i < 0 {
		return source{}, fmt.Errorf("no provider %q", provider)
	}
	one := slices.DeleteFunc(slices.Clone(env.Config.Sources), func(s config.Source) bool { return s.Provider != provider || s.Name != name })
	if len(one) == 0 {
		return source{}, fmt.Errorf("%w %s/%s", pack.ErrNoSource, provider, name)
	}
	defer func() { err = errors.Join(err, panicked(ctx, env, source{settings: one[0]}, recover())) }()
	sources, err := sourcesOf(packs[i], one)
	return sources[name], err
}

// of returns the stored request with the repair.
func (repair Repair) of(kept pack.Request) pack.Request {
	r := kept
	if repair.Query != nil {
		r.RawQuery = *repair.Query
		r.Query, _ = pack.ParseForm(r.RawQuery) // the pack reports an invalid query when it reads the callback
	}
	if repair.Body != nil {
		r.Body = []byte(*repair.Body)
		if r.Method == http.MethodGet {
			r.Method = http.MethodPost
		}
	}
	return r
}

// changed returns a function that reports whether a repaired request or item comes from the operator and not from the provider.
func (repair Repair) changed(src source, kept pack.Request) repaired {
	return func(r pack.Request) bool {
		if r.Method != kept.Method || r.Method == http.MethodGet && r.RawQuery != kept.RawQuery {
			return true
		}
		if bytes.Equal(r.Body, kept.Body) {
			return false
		}
		batches, ok := src.webhook.(pack.Batches)
		return !ok || r.Item == nil || kept.Item != nil || !batches.Holds(kept, r)
	}
}

// keptCallback returns the request as the log keeps it. An item has only the name of its batch, which the log has if one of its items could be
// read. Messages of earlier versions have neither the signature's header nor the batch's name.
func keptCallback(h nats.Header, src source, r pack.Request, key pack.Key) *signingv1.Callback {
	if r.Item != nil {
		if id := h.Get(HeaderCallback); id != "" && src.settings.Keeps(config.KeepCallbacks) {
			return &signingv1.Callback{Id: id}
		}
		return nil
	}
	kept := src.keep(r, key)
	if _, complete := h[HeaderKey]; kept != nil && (!complete || h.Get(HeaderRedacted) != "") {
		kept.Redacted = true
	}
	return kept
}

func quarantinedRequest(h nats.Header, payload []byte) (pack.Request, pack.Verified, error) {
	body, query := KeptContent(h, payload)
	r := pack.Request{Method: h.Get(HeaderMethod), Route: h.Get(HeaderRoute), RawQuery: query, Body: body}
	r.Query, _ = pack.ParseForm(r.RawQuery) // the pack reports an invalid query when it reads the callback
	if err := json.Unmarshal([]byte(h.Get(HeaderHeader)), &r.Header); err != nil {
		return r, pack.Verified{}, fmt.Errorf("read kept headers: %w", err)
	}
	var err error
	if r.ReceivedAt, err = time.Parse(time.RFC3339Nano, h.Get(HeaderReceivedAt)); err != nil {
		return r, pack.Verified{}, fmt.Errorf("read kept time: %w", err)
	}
	v, err := strconv.ParseInt(h.Get(HeaderVerification), 10, 32)
	if err != nil {
		return r, pack.Verified{}, fmt.Errorf("read kept verification: %w", err)
	}
	if place := h.Get(HeaderItem); place != "" {
		item, err := strconv.Atoi(place)
		if err != nil {
			return r, pack.Verified{}, fmt.Errorf("read kept place: %w", err)
		}
		r.Item = &item
	}
	return r, pack.Verified{By: signingv1.Verification(v), Key: pack.Key{Setting: h.Get(HeaderKey), Fingerprint: h.Get(HeaderFingerprint)}}, nil
}
