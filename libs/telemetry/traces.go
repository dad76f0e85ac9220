package telemetry

import (
	"context"
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// Traces sets up OpenTelemetry for the whole process, so call it once, in main. The standard OTEL_… variables configure the export of spans.
// Without OTEL_TRACES_EXPORTER and without an OTLP endpoint, no spans are exported. The trace context of a message is always passed on
// (OTEL_PROPAGATORS; tracecontext by default). A trace begins where ingest has verified a callback: the caller's trace becomes a link, and
// its tracestate and baggage are dropped. shutdown exports the remaining spans; it is never nil.
func Traces(ctx context.Context, service string) (shutdown func(context.Context) error, err error) {
	otel.SetTextMapPropagator(autoprop.NewTextMapPropagator(propagation.TraceContext{}))
	off := func(context.Context) error { return nil }
	if !tracesWanted() {
		return off, nil
	}
	exporter, about, err := traces(ctx, service)
	if err != nil {
		return off, err
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about))
	otel.SetTracerProvider(provider)
	return provider.Shutdown, nil
}

// CheckTraces returns the error of Traces for invalid variables.
func CheckTraces(ctx context.Context) error {
	if !tracesWanted() {
		return nil
	}
	exporter, _, err := traces(ctx, "")
	if err != nil {
		return err
	}
	return exporter.Shutdown(ctx)
}

func traces(ctx context.Context, service string) (trace.SpanExporter, *resource.Resource, error) {
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("open the exporter of traces: %w", err)
	}
	// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, override these attributes.
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", service)),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("describe this program in traces: %w", err)
	}
	return exporter, about, nil
}

// tracesWanted reports whether spans are exported. It is needed because the exporter's default is a collector on this host.
func tracesWanted() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	if name := os.Getenv("OTEL_TRACES_EXPORTER"); name != "" {
		return name != "none"
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}
