package notification

import (
	"context"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// A message that must wait for hours is not redelivered: its sender publishes it once more, as a schedule of the NATS server in the channel's own
// stream, and acks it. When the time has come, the server publishes it there, and the sender's second stage reads it. That is another input with its
// own claim, which goes through all checks again.

// The headers of a scheduled message. The server copies them to the message that it publishes.
const (
	headerInput  = "Signrelay-Input"  // the id of the input that was deferred first
	headerTimes  = "Signrelay-Times"  // how often it was deferred
	headerReplay = "Signrelay-Replay" // how often an operator had replayed it before
	// headerUnknown is "true" if an attempt before may have sent the message.
	headerUnknown = "Signrelay-Unknown"
)

// resumed returns the input that was deferred first, if in is a message that was scheduled, and how often it was deferred: limits, releases and
// earlier attempts belong to the first input.
func resumed(in stage.Event[*notifyv1.Notification]) (first stage.Event[*notifyv1.Notification], times int) {
	if len(in.Header[headerInput]) == 0 {
		return in, 0
	}
	number := func(name string) int {
		n, _ := strconv.Atoi(in.Header.Get(name))
		return max(n, 0)
	}
	in.ID = in.Header.Get(headerInput)
	in.Replays += number(headerReplay)
	in.Unknown = in.Unknown || in.Header.Get(headerUnknown) == "true"
	return in, max(number(headerTimes), 1)
}

// wait is why and until when a message is deferred.
type wait struct {
	reason string // bounded
	at     time.Time
	until  time.Time
	fires  time.Time // until, by the clock of the NATS server
}

// until returns the wait of a message. A test moves the clock of the service, but not that of the server.
func (d delivery) until(reason string, until time.Time) wait {
	now := d.Now()
	return wait{reason, now, until, until.Add(time.Since(now).Round(time.Millisecond))}
}

// later returns the outputs that schedule a message, and report that. All ids come from the first input and the number of deferrals. So an attempt
// that is made again, after the sender died, schedules the message under the same id; if the server publishes it twice, the second one finds the
// claim of the first.
func (d delivery) later(ctx context.Context, in stage.Event[*notifyv1.Notification], times int, w wait) ([]stage.Out, error) {
	n := in.Data
	times++
	id := event.DerivedID(in.ID, d.stage, "later/"+strconv.Itoa(times))
	m, err := Message(ctx, flow.LaterSubject(d.channel, n.GetSource(), n.GetProvider(), n.GetDocumentId(), id), id, n)
	if err != nil {
		return nil, outcome.Permanent(err)
	}
	m.Header.Set("ce-id", id) // the server removes Nats-Msg-Id
	m.Header.Set(headerInput, in.ID)
	m.Header.Set(headerTimes, strconv.Itoa(times))
	if in.Replays > 0 {
		m.Header.Set(headerReplay, strconv.Itoa(in.Replays))
	}
	if in.Unknown {
		m.Header.Set(headerUnknown, "true")
	}
	flow.Schedule(m, w.fires, flow.DueLaterSubject(d.channel, n.GetSource(), n.GetProvider(), n.GetDocumentId(), id))
	reported, err := outs(ctx, DeferredUntil(n, d.stage, w.at, w.reason, w.until, id))
	return append(reported, m), err
}

// deferred ends an attempt with the outputs of later.
func (d delivery) deferred(ctx context.Context, in stage.Event[*notifyv1.Notification], times int, r *record, w wait) ([]stage.Out, error) {
	made, err := d.later(ctx, in, times, w)
	if err != nil {
		return nil, err
	}
	d.endHold(ctx, in, r)
	d.metrics.deferred.WithLabelValues(d.channel, w.reason).Inc()
	return made, nil
}
