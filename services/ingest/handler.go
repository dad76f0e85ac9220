package ingest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
)

// serve handles a request on one route. It only calls the steps in their order.
func (h *handler) serve(w http.ResponseWriter, req *http.Request, to destination, began time.Time) {
	request, verified, ended := h.verify(w, req, to)
	if ended != nil {
		ended.write(w)
		h.observe(req.Context(), to, *ended, began)
		return
	}
	defer func() { <-h.inFlight }()
	service.Verified(req.Context())
	h.keys.used(req.Context(), h.env, to.provider, to.source.settings.Name, verified.Key)
	ctx, span := h.tracer.Start(req.Context(), "ingest "+to.provider, trace.WithTimestamp(began), trace.WithLinks(caller(req)...))
	defer span.End() // a panic
	a := accept(ctx, h.env, h.store, to.source, callback{
		request: request, verified: verified, changed: unchanged, kept: to.source.keep(request, verified.Key),
	})
	a = a.as(to.expected(ctx, h.env, request, pack.Result(a.outcome)))
	h.store.unsettled.add(a.done)
	a.write(w)
	h.observe(ctx, to, a, began)
	span.End() // before the response leaves, so that a collector has the span when the caller has the response
	if len(a.done) > 0 {
		flush(w)
		crash.Point("responded")
		h.confirm(ctx, a.done)
	}
}

// confirm confirms in the background. If as many confirmations wait as callbacks may be in flight, the caller waits too.
func (h *handler) confirm(ctx context.Context, done []dedupe.Done) {
	if waiting := h.confirmations.Add(done); waiting > cap(h.inFlight) {
		_, _ = h.confirmations.Do(context.WithoutCancel(ctx), nil)
	}
}

// flush sends the response before the handler returns. It leaves a response without a known length to the server, which finds out its length.
func flush(w http.ResponseWriter) {
	if w.Header().Get("Content-Length") != "" {
		_ = http.NewResponseController(w).Flush() // an error means that the client is gone; the work is done
	}
}

// caller returns the span in an authentic request as a link. Our own trace begins here, so the caller controls neither its sampling nor its
// content. The caller's tracestate and baggage are dropped.
func caller(req *http.Request) []trace.Link {
	if len(req.Header["Traceparent"]) == 0 {
		return nil
	}
	remote := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(req.Header)))
	if !remote.IsValid() {
		return nil
	}
	return []trace.Link{{SpanContext: remote.WithTraceState(trace.TraceState{})}}
}

// observe counts and logs a response.
func (h *handler) observe(ctx context.Context, to destination, a response, began time.Time) {
	name := cmp.Or(to.source.settings.Name, unknown)
	h.metrics.observe(name, to.provider, a, time.Since(began))
	if to.known {
		h.arrived.count(to.provider, name, a)
	}
	if !h.env.Log.Enabled(ctx, a.level()) {
		return
	}
	h.env.Log.Log(ctx, a.level(), "callback",
		"source", name, "provider", to.provider, "door", to.route.Path, "status", a.status, "outcome", a.outcome,
		"reason", a.reason, "events", len(a.ids), "took_ms", time.Since(began).Milliseconds(), "error", a.err)
}

// verify reads a callback and verifies it. A verified request holds an in-flight slot, which the caller releases. If the request is refused
// or is a challenge, verify returns its response in ended.
func (h *handler) verify(w http.ResponseWriter, req *http.Request, to destination) (request pack.Request, v pack.Verified, ended *response) {
	refuse := func(a response) (pack.Request, pack.Verified, *response) { return pack.Request{}, v, &a }
	if methods := to.route.Accepts(); !slices.Contains(methods, req.Method) {
		return refuse(otherMethod(w, methods))
	}
	if !acceptsType(req, to.route) {
		return refuse(problemResponse(http.StatusUnsupportedMediaType, "content-type",
			"This address accepts "+strings.Join(to.route.ContentTypes, " or ")+", without a Content-Encoding."))
	}
	body, unread := h.read(w, req)
	if unread != nil {
		return refuse(*unread)
	}
	select {
	case h.inFlight <- struct{}{}:
	default:
		return refuse(unavailable("too-many-in-flight", nil))
	}
	// ParseForm leaves unreadable pairs out of query. An unreadable token counts as a missing one. On GET the pairs are
	// content, and the pack checks them when it reads the callback.
	query, _ := pack.ParseForm(req.URL.RawQuery)
	request = pack.Request{
		Method: req.Method, Route: to.route.Path, Header: req.Header, Query: query, RawQuery: req.URL.RawQuery, Body: body,
		ReceivedAt: time.Now().UTC(),
	}
	challenge := to.challenge(req.Context(), h.env, request)
	if challenge != nil && !to.route.Challenge.Signed {
		<-h.inFlight
		return refuse(response{outcome: challenged}.as(challenge))
	}
	verified, err := to.source.webhook.Verify(request)
	if err == nil && to.known && challenge == nil && slices.Contains(to.route.Methods, req.Method) {
		return request, verified, nil
	}
	<-h.inFlight
	switch {
	case err != nil || !to.known:
	case challenge != nil:
		return refuse(response{outcome: challenged}.as(challenge))
	default: // a method only for challenges
		return refuse(otherMethod(w, to.route.Methods))
	}
	// Only the operator's log contains the reason, because it would help an attacker.
	a := problemResponse(http.StatusUnauthorized, "unauthentic", "The signature or token is wrong or missing.")
	a.err = err
	if !to.known {
		a.public, a.reason = a.reason, "no-such-source"
	}
	return refuse(a)
}

func otherMethod(w http.ResponseWriter, methods []string) response {
	w.Header().Set("Allow", strings.Join(methods, ", "))
	return problemResponse(http.StatusMethodNotAllowed, "method", "This address accepts "+strings.Join(methods, " or ")+".")
}

// acceptsType reports whether the route accepts the body's type. A missing Content-Type is accepted: not every provider sends one, and the
// signature authenticates the body. Two Content-Types are refused, because a proxy may have checked the other one.
func acceptsType(req *http.Request, entry pack.Route) bool {
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
	if header == "" || req.Method == http.MethodGet || slices.Contains(entry.ContentTypes, header) {
		return true
	}
	media, _, err := mime.ParseMediaType(header)
	return err == nil && slices.Contains(entry.ContentTypes, media)
}

// usualBody is larger than most callbacks, in bytes.
const usualBody = 4 << 10

// read reads the body. Its buffer grows with the received bytes, not with the request's Content-Length. The listener bounds the memory of all
// connections.
func (h *handler) read(w http.ResponseWriter, req *http.Request) ([]byte, *response) {
	largest := largestBody(h.env)
	refuse := func(a response) ([]byte, *response) { return nil, &a }
	if req.ContentLength > largest {
		return refuse(tooLarge(largest))
	}
	body := bytes.NewBuffer(make([]byte, 0, max(0, min(req.ContentLength, usualBody))+bytes.MinRead))
	_, err := body.ReadFrom(http.MaxBytesReader(w, req.Body, largest))
	switch {
	case err == nil:
		return body.Bytes(), nil
	case errors.As(err, new(*http.MaxBytesError)):
		return refuse(tooLarge(largest))
	case errors.As(err, new(service.SlowError)):
		return refuse(unavailable("too-slow-while-full", err))
	default:
		return refuse(problemResponse(http.StatusBadRequest, "incomplete", "The body ended early or came too slowly."))
	}
}
