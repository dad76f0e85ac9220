package stage

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
)

// carry gives out the trace of ctx, unless it has one.
func carry(ctx context.Context, out Out) {
	carried := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, carried)
	for key, value := range carried {
		if out.Header.Get(key) == "" {
			out.Header.Set(key, value)
		}
	}
}
