package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// RepairedAttribute marks events that an operator repaired; their verification is none.
const RepairedAttribute = "signrelay.repaired"

// Repair is an operator's replacement for quarantined content; the zero value changes nothing.
type Repair struct {
	Body  *string // nil keeps it; a body that repairs a GET is read as that of a POST
	Query *string // URL-encoded; nil leaves it
}

// Replayed is what a quarantined callback became.
type Replayed struct {
	IDs []string // of its events, all of which are in the log
	// Quarantined are the items of a batch that still cannot be read: each is in quarantine on its own now.
	Quarantined []QuarantinedItem
}

// Replay stores the events of a quarantined callback or item. Its pack reads it again, and its events are stored like those of
// any callback. Unchanged content keeps its verification: in a batch, each item whose bytes occur in the kept batch. If the
// callback or item still cannot be read, Replay returns a *pack.UnreadableError.
func Replay(ctx context.Context, env service.Env, h nats.Header, payload []byte, repair Repair) (Replayed, error) {
	p, known := providers.ByName(h.Get(HeaderProvider))
	if !known {
		return Replayed{}, fmt.Errorf("no provider %q", h.Get(HeaderProvider))
	}
	sources, err := sourcesOf(p, env.Config.Sources)
	if err != nil {
		return Replayed{}, err
	}
	src, known := sources[h.Get(HeaderSource)]
	if !known {
		return Replayed{}, fmt.Errorf("the settings name no source %s/%s any more", h.Get(HeaderProvider), h.Get(HeaderSource))
	}
	kept, v, err := quarantinedRequest(h, payload)
	if err != nil {
		return Replayed{}, err
	}
	got := read(ctx, env, src, repair.of(kept), v, repair.changed(src, kept))
	if len(got.unreadable) == 1 && got.unreadable[0].batch == nil {
		return Replayed{}, got.unreadable[0].why
	}
	m, err := newMetrics(env.Metrics)
	if err != nil {
		return Replayed{}, err
	}
	a := newStore(env, m).putLate(ctx, src, got)
	if a.outcome != "accepted" && a.outcome != "duplicate" {
		return Replayed{}, fmt.Errorf("store: %s: %w", a.reason, a.err)
	}
	return Replayed{IDs: a.ids, Quarantined: a.quarantined}, nil
}

// of is the kept request with the repair in it.
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

func quarantinedRequest(h nats.Header, payload []byte) (pack.Request, signingv1.Verification, error) {
	body, query := KeptContent(h, payload)
	r := pack.Request{Method: h.Get(HeaderMethod), Door: h.Get(HeaderDoor), RawQuery: query, Body: body}
	r.Query, _ = pack.ParseForm(r.RawQuery) // the pack reports an invalid query when it reads the callback
	if err := json.Unmarshal([]byte(h.Get(HeaderHeader)), &r.Header); err != nil {
		return r, 0, fmt.Errorf("read kept headers: %w", err)
	}
	var err error
	if r.ReceivedAt, err = time.Parse(time.RFC3339Nano, h.Get(HeaderReceivedAt)); err != nil {
		return r, 0, fmt.Errorf("read kept time: %w", err)
	}
	v, err := strconv.ParseInt(h.Get(HeaderVerification), 10, 32)
	if err != nil {
		return r, 0, fmt.Errorf("read kept verification: %w", err)
	}
	if place := h.Get(HeaderItem); place != "" {
		item, err := strconv.Atoi(place)
		if err != nil {
			return r, 0, fmt.Errorf("read kept place: %w", err)
		}
		r.Item = &item
	}
	return r, signingv1.Verification(v), nil
}
