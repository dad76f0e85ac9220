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

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

var tracer = otel.Tracer("github.com/signrelay/signrelay/services/ingest")

// serveDoor serves one door. It decides nothing by itself but the order of the steps.
func (d *doors) serveDoor(w http.ResponseWriter, req *http.Request, to route, began time.Time) {
	request, verification, ended := d.verify(w, req, to)
	if ended != nil {
		ended.write(w)
		d.observe(req.Context(), to, *ended, began)
		return
	}
	defer func() { <-d.inFlight }()
	service.Verified(req.Context())
	ctx, span := tracer.Start(req.Context(), "ingest "+to.provider, trace.WithTimestamp(began), trace.WithLinks(caller(req)...))
	defer span.End()
	a := accept(ctx, d.env, d.store, to.source, callback{request: request, verification: verification, changed: asItCame})
	a = a.as(to.expected(ctx, d.env, request, pack.Result(a.outcome)))
	a.write(w)
	d.observe(ctx, to, a, began)
}

// caller is the span that an authentic request names, as a link. Our trace begins here: the caller decides neither whether it is recorded
// nor what is in it. The caller's tracestate and baggage are dropped.
func caller(req *http.Request) []trace.Link {
	remote := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(req.Header)))
	if !remote.IsValid() {
		return nil
	}
	return []trace.Link{{SpanContext: remote.WithTraceState(trace.TraceState{})}}
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

// verify reads a callback and verifies it. A verified one holds a place of those in flight, which its caller gives back. The request ends
// here if it is refused, or verifies the address.
func (d *doors) verify(w http.ResponseWriter, req *http.Request, to route) (request pack.Request, v signingv1.Verification, ended *answer) {
	refuse := func(a answer) (pack.Request, signingv1.Verification, *answer) { return pack.Request{}, v, &a }
	if methods := to.door.Accepts(); !slices.Contains(methods, req.Method) {
		return refuse(otherMethod(w, methods))
	}
	if !contentTypeTaken(req, to.door) {
		return refuse(answerProblem(http.StatusUnsupportedMediaType, "content-type",
			"This door takes "+strings.Join(to.door.ContentTypes, " or ")+", without a Content-Encoding."))
	}
	body, unread := d.read(w, req)
	if unread != nil {
		return refuse(*unread)
	}
	select {
	case d.inFlight <- struct{}{}:
	default:
		return refuse(unavailable("too-many-in-flight", nil))
	}
	// ParseForm leaves unreadable pairs out of query. An unreadable token counts as a missing one. On GET the pairs are
	// content, and the pack checks them when it reads the callback.
	query, _ := pack.ParseForm(req.URL.RawQuery)
	request = pack.Request{
		Method: req.Method, Route: to.door.Path, Header: req.Header, Query: query, RawQuery: req.URL.RawQuery, Body: body,
		ReceivedAt: time.Now().UTC(),
	}
	challenge := to.challenge(req.Context(), d.env, request)
	if challenge != nil && !to.door.Challenge.Signed {
		<-d.inFlight
		return refuse(answer{outcome: challenged}.as(challenge))
	}
	v, err := to.source.webhook.Verify(request)
	if err == nil && to.known && challenge == nil && slices.Contains(to.door.Methods, req.Method) {
		return request, v, nil
	}
	<-d.inFlight
	switch {
	case err != nil || !to.known:
	case challenge != nil:
		return refuse(answer{outcome: challenged}.as(challenge))
	default: // a method for challenges alone
		return refuse(otherMethod(w, to.door.Methods))
	}
	// The reason is for the operator's log alone; telling a forger what was wrong helps him.
	a := answerProblem(http.StatusUnauthorized, "unauthentic", "The signature or token is wrong or missing.")
	a.err = err
	if !to.known {
		a.said, a.reason = a.reason, "no-such-source"
	}
	return refuse(a)
}

func otherMethod(w http.ResponseWriter, methods []string) answer {
	w.Header().Set("Allow", strings.Join(methods, ", "))
	return answerProblem(http.StatusMethodNotAllowed, "method", "This door takes "+strings.Join(methods, " or ")+".")
}

// contentTypeTaken tells whether the door reads such a body. A missing Content-Type is taken: not every provider sends one,
// and the signature is what counts. Of two, whoever stands before us may have looked at the other one.
func contentTypeTaken(req *http.Request, door pack.Route) bool {
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
	largest := largestBody(d.env)
	tooLarge := tooLarge(largest)
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
