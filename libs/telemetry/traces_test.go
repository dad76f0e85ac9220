package telemetry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/signrelay/signrelay/libs/telemetry"
)

//nolint:paralleltest // sets the process's environment and its tracer
func TestTracesAreOffByDefault(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"nothing set": {},
		"none":        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
		"disabled":    {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, env)
			shutdown, err := telemetry.Traces(t.Context(), "ingest")
			if err != nil {
				t.Fatal(err)
			}
			_, span := otel.Tracer("test").Start(t.Context(), "work")
			if span.SpanContext().IsValid() {
				t.Error("a trace begins although tracing is off")
			}
			passesOn(t)
			if err := shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

//nolint:paralleltest // sets the process's environment and its tracer
func TestTracesGoToTheConfiguredCollector(t *testing.T) {
	got := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.URL.Path }))
	defer collector.Close()
	setenv(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"})

	before := otel.GetTracerProvider()
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	shutdown, err := telemetry.Traces(t.Context(), "ingest")
	if err != nil {
		t.Fatal(err)
	}
	_, span := otel.Tracer("test").Start(t.Context(), "work")
	span.End()
	passesOn(t)
	if err := shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if path := <-got; path != "/v1/traces" {
		t.Errorf("the collector was called at %s", path)
	}
}

//nolint:paralleltest // sets the process's environment and its tracer
func TestInvalidTraceSettingsAreRefused(t *testing.T) {
	setenv(t, map[string]string{"OTEL_TRACES_EXPORTER": "pigeon"})
	shutdown, err := telemetry.Traces(t.Context(), "ingest")
	if err == nil {
		t.Error("an unknown exporter is accepted")
	}
	if err := shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// passesOn checks that an incoming trace context is passed on.
func passesOn(t *testing.T) {
	t.Helper()
	in := propagation.MapCarrier{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	ctx := otel.GetTextMapPropagator().Extract(context.Background(), in)
	out := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, out)
	if out["traceparent"] != in["traceparent"] {
		t.Errorf("traceparent was %q and became %q", in["traceparent"], out["traceparent"])
	}
}

func setenv(t *testing.T, env map[string]string) {
	t.Helper()
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL",
	} {
		t.Setenv(name, env[name])
	}
}
