package ingest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// A trace begins after the verification. The caller's trace is only a link. Its sampling flag and its state have no effect.
func TestATraceBeginsWithAVerifiedCallback(t *testing.T) { //nolint:paralleltest // it sets the process's tracer
	recorder := tracetest.NewSpanRecorder()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)))
	defer otel.SetTracerProvider(before)
	h := open(t)
	const trace = "0af7651916cd43dd8448eb211c80319c"
	send := func(sampled, token, id string, want int) {
		t.Helper()
		header := http.Header{
			"Pactsafe-Webhook-Token": {token}, "Content-Type": {"application/json"}, "Baggage": {"user=str4nge"},
			"Traceparent": {"00-" + trace + "-b7ad6b7169203331-" + sampled}, "Tracestate": {"evil=str4nge"},
		}
		if got := h.send(t, "POST", "/webhooks/clickwrap/acme", header, strings.NewReader(strings.Replace(requestSent, "596f858584281715b3493d0c", id, 1))); got.status != want {
			t.Errorf("%d %v, want %d", got.status, got.body, want)
		}
	}
	for _, sampled := range []string{"00", "01"} {
		send(sampled, "forged", "forged"+sampled, http.StatusUnauthorized)
	}
	if spans := recorder.Ended(); len(spans) != 0 {
		t.Errorf("%d spans of unauthenticated requests", len(spans))
	}
	send("00", "12345", "traced-0", http.StatusAccepted) // not sampled by its caller, and recorded all the same
	send("01", "12345", "traced-1", http.StatusAccepted)
	found := 0
	for _, span := range recorder.Ended() {
		if span.Name() != "ingest clickwrap" {
			continue
		}
		found++
		links := span.Links()
		if len(links) != 1 || links[0].SpanContext.TraceID().String() != trace || links[0].SpanContext.TraceState().Len() != 0 {
			t.Errorf("links %+v", links)
		}
		if span.Parent().IsValid() || span.SpanContext().TraceID().String() == trace || span.SpanContext().TraceState().Len() != 0 {
			t.Errorf("the span belongs to the caller's trace: %+v", span.SpanContext())
		}
	}
	if found != 2 {
		t.Errorf("%d spans of two callbacks", found)
	}
	for m, err := range (event.Log{JS: h.js, Stream: flow.Signing}).Messages(t.Context(), "signing.v1.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range m.Header {
			if text := strings.Join(values, " "); strings.Contains(text, trace) || strings.Contains(text, "str4nge") {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
}
