package stage

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// observed reports each attempt: one count, one span that continues the input's trace, and one wide log line, see level.
func observed(s flow.Stage, log *slog.Logger, m metrics) middleware {
	tracer := otel.Tracer("github.com/signrelay/signrelay/libs/stage")
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			ctx, span := tracer.Start(event.TraceContext(ctx, a.input.Header), s.Name, trace.WithSpanKind(trace.SpanKindConsumer))
			defer span.End()
			begun := time.Now()
			outs, err := next(ctx, a)
			took := time.Since(begun)

			d := a.decision
			m.attempts.WithLabelValues(s.Name, string(d.Kind), d.Reason).Inc()
			m.seconds.WithLabelValues(s.Name).Observe(took.Seconds())
			if d.Kind != retry {
				m.age.WithLabelValues(s.Name).Observe(time.Since(a.meta.Timestamp).Seconds())
			}
			if s.Effect && (a.unknown || d.Kind == giveUp && a.outcome.Unknown()) {
				m.unknown.WithLabelValues(s.Name).Inc()
			}
			if span.IsRecording() {
				span.RecordError(err)
				span.SetAttributes(attribute.String("signrelay.verdict", string(d.Kind)), attribute.Int("signrelay.attempt", a.number))
			}
			if level := a.level(); log.Enabled(ctx, level) {
				log.LogAttrs(ctx, level, "attempt", append(a.attrs(err), slog.String("stage", s.Name), slog.Int64("took_ms", took.Milliseconds()))...)
			}
			return outs, err
		}
	}
}
