package flow_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
)

// In a stream with schedules, only a rollup replaces a message: the server writes no deletion mark for a message beyond max_msgs_per_subject. If it
// is killed, that message exists again, as a schedule that never fires.
func TestARollupReplacesSchedules(t *testing.T) {
	t.Parallel()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	streams := 0
	for _, s := range flow.Streams {
		if !s.Schedules {
			continue
		}
		streams++
		stream, err := js.Stream(t.Context(), s.Name)
		if err != nil {
			t.Fatal(err)
		}
		if c := stream.CachedInfo().Config; c.MaxMsgsPerSubject > 0 || !c.AllowMsgSchedules || !c.AllowRollup {
			t.Errorf("%s: %d messages a subject, schedules %t, rollups %t", s.Name, c.MaxMsgsPerSubject, c.AllowMsgSchedules, c.AllowRollup)
		}
	}
	if streams < 3 {
		t.Errorf("%d streams have schedules", streams)
	}

	const subject = "remind.v1.acme.clickwrap.d.p"
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	for i := range 2 {
		m := nats.NewMsg(subject)
		flow.Schedule(m, at.Add(time.Duration(i)*time.Hour), "remind.v1.due.acme.clickwrap.d.p")
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := js.Stream(t.Context(), flow.Remind)
	if err != nil {
		t.Fatal(err)
	}
	last, err := stream.GetLastMsgForSubject(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(subject))
	if err != nil || info.State.Subjects[subject] != 1 {
		t.Errorf("%v: the subject has %d messages, want 1", err, info.State.Subjects[subject])
	}
	if is, scheduled := flow.ScheduledAt(last.Header); !scheduled || !is.Equal(at.Add(time.Hour)) {
		t.Errorf("scheduled %t, for %v, want %v", scheduled, is, at.Add(time.Hour))
	}
	if _, scheduled := flow.ScheduledAt(nats.Header{}); scheduled {
		t.Error("a message without the header is a schedule")
	}
}
