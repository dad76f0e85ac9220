package stage

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/signrelay/signrelay/libs/event"
)

// observed shows each attempt: one wide log line, one count, one span that continues the input's trace.
func observed(stage string, log *slog.Logger, m metrics) middleware {
	tracer := otel.Tracer("github.com/signrelay/signrelay/libs/stage")
	return func(next handler) handler {
		return func(ctx context.Context, a *attempt) ([]Out, error) {
			ctx, span := tracer.Start(event.TraceContext(ctx, a.msg.Headers()), stage, trace.WithSpanKind(trace.SpanKindConsumer))
			defer span.End()
			begun := time.Now()
			outs, err := next(ctx, a)
			took := time.Since(begun)

			v := a.verdict
			m.attempts.WithLabelValues(stage, string(v.Kind), v.Reason).Inc()
			m.seconds.WithLabelValues(stage).Observe(took.Seconds())
			if a.unknown || v.Kind == giveUp && listen(err).unknown {
				m.unknown.WithLabelValues(stage).Inc()
			}
			span.SetAttributes(attribute.String("signrelay.verdict", string(v.Kind)), attribute.Int("signrelay.attempt", a.number))
			log.LogAttrs(ctx, level(v.Kind), "attempt", append(a.attrs(err),
				slog.String("stage", stage), slog.Int64("took_ms", took.Milliseconds()))...)
			return outs, err
		}
	}
}

func (a *attempt) attrs(err error) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("id", a.id), slog.Int("attempt", a.number), slog.String("subject", a.msg.Subject()),
		slog.String("verdict", string(a.verdict.Kind)), slog.String("reason", a.verdict.Reason), slog.Bool("unknown", a.unknown),
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	if p := new(panicError); errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	if a.unanswered != nil {
		attrs = append(attrs, slog.String("unanswered", a.unanswered.Error()))
	}
	return attrs
}

func level(k Kind) slog.Level {
	return map[Kind]slog.Level{retry: slog.LevelWarn, giveUp: slog.LevelError}[k] // others are LevelInfo, 0
}
