package stage

import (
	"errors"
	"log/slog"
)

// attrs returns the fields of an attempt's log line. No field is personal: the subject contains a document's id at most.
func (a *attempt) attrs(err error) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("id", a.input.ID), slog.Int("attempt", a.number), slog.String("subject", a.input.Subject),
		slog.String("verdict", string(a.decision.Kind)), slog.String("reason", a.decision.Reason), slog.Bool("unknown", a.unknown),
	}
	if a.input.Replays > 0 {
		attrs = append(attrs, slog.Int("replay", a.input.Replays))
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	if p := new(panicError); errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	if a.unsettled != nil {
		attrs = append(attrs, slog.String("unanswered", a.unsettled.Error()))
	}
	return attrs
}

// level returns debug for an attempt about which an operator need not act: one that succeeded or skipped its input, which the metrics count, or
// one that was postponed before any work, because a backlog behind a rate limit or a held message is delivered again and again. An attempt of
// an input that had problems before is info when it ends them, so that the log has the end of each story.
func (a *attempt) level() slog.Level {
	switch {
	case a.decision.Kind == giveUp:
		return slog.LevelError
	case a.decision.Kind == retry && !a.outcome.Quiet():
		return slog.LevelWarn
	case a.decision.Kind == retry:
		return slog.LevelDebug
	case a.number > 1 || a.input.Replays > 0 || a.unknown || a.unsettled != nil:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}
