package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

var tracer = otel.Tracer("github.com/signrelay/signrelay/services/ingest")

// handler serves one door. It decides nothing by itself but the order of the steps.
func (d *doors) handler(r route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		began := time.Now()
		ctx := otel.GetTextMapPropagator().Extract(req.Context(), propagation.HeaderCarrier(req.Header))
		ctx, span := tracer.Start(ctx, "ingest "+r.provider)
		defer span.End()

		src, known := d.accounts.Now()[r.provider][req.PathValue("source")]
		var a answer
		if known {
			a = d.serve(ctx, w, req, r, src)
		} else {
			a = answerProblem(http.StatusNotFound, "no-such-source", "The settings name no such source for this provider.")
		}
		a.write(w)

		name := "unknown" // the path's own text would let strangers make labels
		if known {
			name = src.settings.Name
		}
		d.metrics.observe(name, r.provider, a, time.Since(began))
		if !d.env.Log.Enabled(ctx, a.level()) {
			return
		}
		d.env.Log.Log(ctx, a.level(), "callback",
			"source", name, "provider", r.provider, "door", r.door.Path, "status", a.status, "outcome", a.outcome,
			"reason", a.reason, "events", len(a.ids), "took_ms", time.Since(began).Milliseconds(), "error", a.err)
	})
}

func (d *doors) serve(ctx context.Context, w http.ResponseWriter, req *http.Request, r route, src source) answer {
	if !slices.Contains(r.door.Methods, req.Method) {
		w.Header().Set("Allow", strings.Join(r.door.Methods, ", "))
		return answerProblem(http.StatusMethodNotAllowed, "method", "This door takes "+strings.Join(r.door.Methods, " or ")+".")
	}
	if !contentTypeTaken(req, r.door) {
		return answerProblem(http.StatusUnsupportedMediaType, "content-type",
			"This door takes "+strings.Join(r.door.ContentTypes, " or ")+", without a Content-Encoding.")
	}
	body, refused := d.read(w, req)
	if refused != nil {
		return *refused
	}
	select {
	case d.inFlight <- struct{}{}:
		defer func() { <-d.inFlight }()
	default:
		return unavailable("too-many-in-flight", nil)
	}
	// Pairs that cannot be read are left out of query. On a door's token that is as good as none; on GET they are content.
	query, queryErr := pack.ParseForm(req.URL.RawQuery)
	callback := pack.Request{
		Method: req.Method, Door: r.door.Path, Header: req.Header, Query: query, RawQuery: req.URL.RawQuery, Body: body,
		ReceivedAt: time.Now().UTC(),
	}
	verification, err := src.webhook.Verify(callback)
	if err != nil {
		// The reason is for the operator's log alone; telling a forger what was wrong helps him.
		a := answerProblem(http.StatusUnauthorized, "unauthentic", "The signature or token is wrong or missing.")
		a.err = err
		return a
	}
	var events []*signingv1.SigningEvent
	if queryErr != nil && req.Method == http.MethodGet {
		err = errQuery
	} else if events, err = d.normalize(ctx, src, callback, verification); err == nil {
		err = d.fit(callback, events)
	}
	var unreadable *pack.UnreadableError
	switch {
	case err == nil:
		return d.store.putNow(ctx, events)
	case errors.Is(err, pack.ErrNothing):
		return accepted(nil)
	case errors.As(err, &unreadable):
		return d.quarantine(ctx, callback, src, verification, unreadable)
	default:
		return d.quarantine(ctx, callback, src, verification, &pack.UnreadableError{Reason: "not-normalized", Detail: err.Error()})
	}
}

var errQuery = &pack.UnreadableError{Reason: "not-a-query", Detail: "the query has a pair that is not URL-encoded"}

// normalize has the pack read the callback. A pack that panics on it has a fault, which is not the provider's: the callback
// is kept for the version that can read it.
func (d *doors) normalize(
	ctx context.Context, src source, r pack.Request, v signingv1.Verification,
) (events []*signingv1.SigningEvent, err error) {
	defer func() {
		if p := recover(); p != nil {
			// Not the panic's own text, which may quote the body.
			d.env.Log.ErrorContext(ctx, "a pack panicked", "provider", src.settings.Provider, "stack", string(debug.Stack()))
			events, err = nil, &pack.UnreadableError{Reason: "pack-panicked", Detail: "the provider's pack has a fault; see the log"}
		}
	}()
	return src.webhook.Normalize(r, v)
}

// mostGrowth is how much larger than its callback an event can be: names of nested fields are written out in full, and
// the packs bound that to 16 times.
const mostGrowth = 16

// fit fails when an event is larger than the broker's largest message: it would be refused now and at every retry.
func (d *doors) fit(r pack.Request, events []*signingv1.SigningEvent) error {
	if int64(len(r.Body)) < d.maxEvent/mostGrowth {
		return nil
	}
	for _, e := range events {
		if int64(proto.Size(e)) > d.maxEvent {
			return &pack.UnreadableError{Reason: "event-too-large", Detail: "an event of it is larger than the broker's largest message (max_payload)"}
		}
	}
	return nil
}

// contentTypeTaken tells whether the door reads such a body. A missing Content-Type is taken: not every provider sends one,
// and the signature is what counts. Of two, whoever stands before us may have looked at the other one.
func contentTypeTaken(req *http.Request, door pack.Door) bool {
	encodings, types := req.Header.Values("Content-Encoding"), req.Header.Values("Content-Type")
	if len(types) > 1 || slices.ContainsFunc(encodings, func(e string) bool { return e != "" && e != "identity" }) {
		return false
	}
	header := req.Header.Get("Content-Type")
	if header == "" || req.Method == http.MethodGet || slices.Contains(door.ContentTypes, header) {
		return true
	}
	media, _, err := mime.ParseMediaType(header)
	return err == nil && slices.Contains(door.ContentTypes, media)
}

// smallBody is many times what a callback has, in bytes. So much is read without a place: strangers who keep a few bytes to
// themselves for the 15 s that a request may take must not hold places that callbacks need.
const smallBody = 64 << 10

func (d *doors) read(w http.ResponseWriter, req *http.Request) ([]byte, *answer) {
	tooLarge := answerProblem(http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf("The body is larger than the limit of %d bytes.", d.maxBody))
	if req.ContentLength > d.maxBody {
		return nil, &tooLarge
	}
	if req.ContentLength < 0 || req.ContentLength > smallBody {
		select {
		case d.reading <- struct{}{}:
			defer func() { <-d.reading }()
		default:
			a := unavailable("too-many-in-flight", nil)
			return nil, &a
		}
	}
	var body []byte
	var err error
	if req.ContentLength > 0 { // the server lets no more than that through
		body = make([]byte, req.ContentLength)
		_, err = io.ReadFull(req.Body, body)
	} else {
		body, err = io.ReadAll(http.MaxBytesReader(w, req.Body, d.maxBody))
	}
	if over := new(http.MaxBytesError); errors.As(err, &over) {
		return nil, &tooLarge
	}
	if err != nil {
		a := answerProblem(http.StatusBadRequest, "incomplete", "The body ended early or came too slowly.")
		return nil, &a
	}
	return body, nil
}
