package archiver

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The headers of a scheduled attempt.
const (
	headerAttempt = "Signrelay-Archive-Attempt" // the number of attempts so far
	headerSince   = "Signrelay-Archive-Since"   // the time of the first one, RFC 3339
)

const (
	firstDelay = time.Minute
	maxDelay   = time.Hour
	// goneAfter is the time after which a file is given up if its provider says that it does not have it. Until then the provider may only be late.
	goneAfter = 24 * time.Hour
	// unconfirmedFor is the time for which the files of a document are requested if its completion was not authenticated, and the API does not
	// confirm it.
	unconfirmedFor = 24 * time.Hour
)

// delay returns the time before the next attempt: 1, 2, 4, … 60 minutes, or what the provider named if that is longer.
func delay(attempt int, named time.Duration) time.Duration {
	d := firstDelay
	for n := 1; n < attempt && d < maxDelay; n++ {
		d *= 2
	}
	return max(min(d, maxDelay), named)
}

// later returns the outputs of an attempt in which files failed: those of the other files, and the schedule of the next attempt. If no other
// attempt can succeed, the input becomes a dead letter. The outputs of a dead letter are not published, so an attempt with outputs always
// schedules another one.
func (a *archiver) later(ctx context.Context, in stage.Event[*signingv1.SigningEvent], outs []stage.Out, failures []failure) ([]stage.Out, error) {
	e, now := in.Data, a.now()
	attempt, since := history(in, now)
	retryFor := a.settings.RetryFor
	unconfirmed := e.GetVerification() == signingv1.Verification_VERIFICATION_NONE
	if unconfirmed {
		retryFor = min(retryFor, unconfirmedFor)
	}
	waits, after := now.Sub(since) < retryFor, time.Duration(0)
	if waits {
		waits = false
		for _, f := range failures {
			if f.never || f.gone && now.Sub(since) >= goneAfter {
				continue
			}
			if d := delay(attempt, f.after); !waits || d < after {
				waits, after = true, d
			}
		}
	}
	first := failures[0]
	a.lines.WarnContext(ctx, "files of a document were not archived", "source", e.GetSource(), "provider", e.GetProvider(),
		"files", len(failures), "reasons", reasons(failures), "attempt", attempt, "again_in_s", int(after.Seconds()), "error", first.err)
	switch {
	case waits || len(outs) > 0:
	case unconfirmed:
		return nil, outcome.Skip("unconfirmed")
	default:
		return nil, outcome.PermanentFor(first.reason, outcome.Failure(first.fault, first.reason, first.err))
	}
	m, err := scheduled(ctx, e, attempt, since, now.Add(after))
	if err != nil {
		return nil, outcome.Permanent(err)
	}
	return append(outs, m), nil
}

// history returns the number of this attempt, and the time of the first one. A replay of a dead letter begins again.
func history(in stage.Event[*signingv1.SigningEvent], now time.Time) (attempt int, since time.Time) {
	earlier, errNumber := strconv.Atoi(in.Header.Get(headerAttempt))
	since, errTime := time.Parse(time.RFC3339, in.Header.Get(headerSince))
	if errNumber != nil || errTime != nil || in.Replays > 0 {
		return 1, now
	}
	return earlier + 1, since
}

// scheduled returns the message that makes the server publish the document at a time. It contains only what the next attempt needs, and no person.
func scheduled(ctx context.Context, e *signingv1.SigningEvent, attempt int, since, at time.Time) (stage.Out, error) {
	m, err := event.Message(ctx, &signingv1.SigningEvent{
		Id: e.GetId(), Source: e.GetSource(), Provider: e.GetProvider(), Type: e.GetType(), OccurredAt: e.GetOccurredAt(), ReceivedAt: e.GetReceivedAt(),
		Verification: e.GetVerification(), Document: &signingv1.Document{Id: e.GetDocument().GetId()}, Links: e.GetLinks(),
	})
	if err != nil {
		return nil, err
	}
	source, provider, document := e.GetSource(), e.GetProvider(), e.GetDocument().GetId()
	m.Subject = flow.ArchiveSubject(source, provider, document, e.GetId())
	m.Header.Set(jetstream.MsgIDHeader, event.DerivedID(e.GetId(), flow.Archiver, fmt.Sprintf("wait/%d/%d", since.Unix(), attempt)))
	m.Header.Set(headerAttempt, strconv.Itoa(attempt))
	m.Header.Set(headerSince, since.UTC().Format(time.RFC3339))
	flow.Schedule(m, at, flow.DueArchiveSubject(source, provider, document, e.GetId()))
	return m, nil
}
