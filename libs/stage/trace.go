package stage

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
)

// traced gives outs the trace of ctx, unless they have one.
func traced(ctx context.Context, outs []Out) []Out {
	carried := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, carried)
	for _, out := range outs {
		for key, value := range carried {
			if out.Header.Get(key) == "" {
				out.Header.Set(key, value)
			}
		}
	}
	return outs
}
