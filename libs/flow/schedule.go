package flow

import (
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// scheduledAt is the layout of a schedule for one moment.
const scheduledAt = "@at " + time.RFC3339Nano

// Schedule makes the server publish a message on a target when it is due. If its time is over, the server publishes it within a second. The message
// replaces the earlier one on its own subject.
func Schedule(m *nats.Msg, at time.Time, target string) {
	m.Header.Set(jetstream.ScheduleHeader, at.UTC().Format(scheduledAt))
	m.Header.Set(jetstream.ScheduleTargetHeader, target)
	m.Header.Set(jetstream.ScheduleTTLHeader, "never") // by default the server removes a published message after 5 minutes, read or not
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
}

// ScheduledAt returns the time of a scheduled message; false for any other message.
func ScheduledAt(header nats.Header) (time.Time, bool) {
	at, err := time.Parse(scheduledAt, header.Get(jetstream.ScheduleHeader))
	return at, err == nil
}
