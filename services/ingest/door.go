package ingest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
)

var tracer = otel.Tracer("github.com/signrelay/signrelay/services/ingest")

// serveDoor serves one door. It decides nothing by itself but the order of the steps.
func (d *doors) serveDoor(w http.ResponseWriter, req *http.Request, to route, began time.Time) {
	ctx := otel.GetTextMapPropagator().Extract(req.Context(), propagation.HeaderCarrier(req.Header))
	ctx, span := tracer.Start(ctx, "ingest "+to.provider)
	defer span.End()
	a := d.serve(ctx, w, req, to)
	a.write(w)
	d.observe(ctx, to, a, began)
}

// observe counts and logs an answer.
func (d *doors) observe(ctx context.Context, to route, a answer, began time.Time) {
	name := cmp.Or(to.source.settings.Name, unknown)
	d.metrics.observe(name, to.provider, a, time.Since(began))
	if !d.env.Log.Enabled(ctx, a.level()) {
		return
	}
	d.env.Log.Log(ctx, a.level(), "callback",
		"source", name, "provider", to.provider, "door", to.door.Path, "status", a.status, "outcome", a.outcome,
		"reason", a.reason, "events", len(a.ids), "took_ms", time.Since(began).Milliseconds(), "error", a.err)
}

func (d *doors) serve(ctx context.Context, w http.ResponseWriter, req *http.Request, to route) answer {
	if !slices.Contains(to.door.Methods, req.Method) {
		w.Header().Set("Allow", strings.Join(to.door.Methods, ", "))
		return answerProblem(http.StatusMethodNotAllowed, "method", "This door takes "+strings.Join(to.door.Methods, " or ")+".")
	}
	if !contentTypeTaken(req, to.door) {
		return answerProblem(http.StatusUnsupportedMediaType, "content-type",
			"This door takes "+strings.Join(to.door.ContentTypes, " or ")+", without a Content-Encoding.")
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
	// ParseForm leaves unreadable pairs out of query. An unreadable token counts as a missing one. On GET the pairs are
	// content, and the pack checks them when it reads the callback.
	query, _ := pack.ParseForm(req.URL.RawQuery)
	callback := pack.Request{
		Method: req.Method, Door: to.door.Path, Header: req.Header, Query: query, RawQuery: req.URL.RawQuery, Body: body,
		ReceivedAt: time.Now().UTC(),
	}
	verification, err := to.source.webhook.Verify(callback)
	if err != nil {
		// The reason is for the operator's log alone; telling a forger what was wrong helps him.
		a := answerProblem(http.StatusUnauthorized, "unauthentic", "The signature or token is wrong or missing.")
		a.err = err
		return a
	}
	service.Verified(ctx)
	return d.store.putNow(ctx, to.source, read(ctx, d.env, to.source, callback, verification, asItCame))
}

// contentTypeTaken tells whether the door reads such a body. A missing Content-Type is taken: not every provider sends one,
// and the signature is what counts. Of two, whoever stands before us may have looked at the other one.
func contentTypeTaken(req *http.Request, door pack.Door) bool {
	if len(req.Header.Values("Content-Type")) > 1 {
		return false
	}
	for _, header := range req.Header.Values("Content-Encoding") {
		for encoding := range strings.SplitSeq(header, ",") {
			if encoding = strings.TrimSpace(encoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
				return false
			}
		}
	}
	header := req.Header.Get("Content-Type")
	if header == "" || req.Method == http.MethodGet || slices.Contains(door.ContentTypes, header) {
		return true
	}
	media, _, err := mime.ParseMediaType(header)
	return err == nil && slices.Contains(door.ContentTypes, media)
}

// usualBody is what most callbacks have at most, in bytes.
const usualBody = 4 << 10

// read reads the body. Its buffer grows with the bytes that came, not with the length that the request promises; the listener limits what all
// connections hold.
func (d *doors) read(w http.ResponseWriter, req *http.Request) ([]byte, *answer) {
	largest := d.largestBody()
	tooLarge := answerProblem(http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf("The body is larger than the limit of %d bytes.", largest))
	if req.ContentLength > largest {
		return nil, &tooLarge
	}
	body := bytes.NewBuffer(make([]byte, 0, max(0, min(req.ContentLength, usualBody))+bytes.MinRead))
	_, err := body.ReadFrom(http.MaxBytesReader(w, req.Body, largest))
	switch {
	case err == nil:
		return body.Bytes(), nil
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, &tooLarge
	case errors.As(err, new(service.SlowError)):
		a := unavailable("too-slow-while-full", err)
		return nil, &a
	default:
		a := answerProblem(http.StatusBadRequest, "incomplete", "The body ended early or came too slowly.")
		return nil, &a
	}
}
