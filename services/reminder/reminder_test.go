package reminder

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

const (
	document = "document-1"
	eric     = "recipient-eric"
	anna     = "recipient-anna"
)

// harness is the service with a real server and a clock that the test moves.
type harness struct {
	*servicetest.Bench
	t     *testing.T
	ahead atomic.Int64 // of the machine's clock
	ids   atomic.Int64
}

func start(t *testing.T, change func(*config.Source), after ...time.Duration) *harness {
	t.Helper()
	src := config.Source{Name: "acme", Provider: "clickwrap", Reminders: config.Reminders{After: after, PerMinute: 6000}}
	if change != nil {
		change(&src)
	}
	h := &harness{Bench: servicetest.New(t, config.Config{Sources: []config.Source{src}}), t: t}
	h.Start(func(ctx context.Context, env service.Env) error {
		env.Now = h.now
		return run(ctx, env, 20*time.Millisecond, servicetest.RetrySoon)
	})
	return h
}

func (h *harness) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

// publish stores an event, made by the provider or by Signrelay.
func (h *harness) publish(eventType, person string, at time.Time, change ...func(*signingv1.SigningEvent)) *signingv1.SigningEvent {
	h.t.Helper()
	e := &signingv1.SigningEvent{
		Id: event.DerivedID(eventType, person, string(rune('a'+h.ids.Add(1)))), Source: "acme", Provider: "clickwrap", Type: eventType,
		OccurredAt: timestamppb.New(at), Verification: signingv1.Verification_VERIFICATION_HMAC,
		Document: &signingv1.Document{Id: document},
	}
	if person != "" {
		e.Recipient = &signingv1.Recipient{Id: person}
	}
	if eventType == event.NotificationSent {
		e.Verification = signingv1.Verification_VERIFICATION_INTERNAL
		e.Notice = &signingv1.Notice{Kind: "invitation", Channel: "sms"}
	}
	for _, f := range change {
		f(e)
	}
	h.Publish(event.Message(h.t.Context(), e))
	return e
}

// events waits for count events of a type, and returns all of them.
func (h *harness) events(eventType string, count int) []*signingv1.SigningEvent {
	h.t.Helper()
	var all []*signingv1.SigningEvent
	for _, m := range h.Await(flow.Signing, event.TypeFilter(eventType), count) {
		e, err := event.Decode(m.Data())
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// none fails if the log has an event of the type. Call it when the stages have settled.
func (h *harness) none(eventType string) {
	h.t.Helper()
	if n := h.Count(flow.Signing, event.TypeFilter(eventType)); n != 0 {
		h.t.Errorf("the log has %d events %s, want none", n, eventType)
	}
}

// schedule returns the person's message in REMIND; nil for none.
func (h *harness) schedule(person string) *jetstream.RawStreamMsg {
	h.t.Helper()
	stream, err := h.Env.JS.Stream(h.t.Context(), flow.Remind)
	if err != nil {
		h.t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(h.t.Context(), flow.ReminderSubject("acme", "clickwrap", document, person))
	if err != nil {
		return nil
	}
	return m
}

// due waits until the person's reminder is scheduled for a time.
func (h *harness) due(person string, at time.Time) {
	h.t.Helper()
	m := h.schedule(person)
	if m == nil {
		h.t.Fatalf("%s has no scheduled reminder", person)
	}
	got, err := time.Parse(time.RFC3339Nano, strings.TrimPrefix(m.Header.Get(jetstream.ScheduleHeader), "@at "))
	if err != nil || !got.Equal(at) {
		h.t.Errorf("%s is reminded at %q, want %v", person, m.Header.Get(jetstream.ScheduleHeader), at)
	}
}

func numbers(events []*signingv1.SigningEvent) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.GetAttributes()[attributeNumber])
	}
	return all
}

// The server itself publishes each reminder when it is due, and each schedules the next.
func TestAPersonWhoDoesNotSignGetsEachReminder(t *testing.T) {
	t.Parallel()
	h := start(t, nil, 300*time.Millisecond, 600*time.Millisecond)
	sent := h.publish(event.DocumentSent, "", h.now())
	h.publish(event.NotificationSent, eric, h.now())
	due := h.events(event.ReminderDue, 2)
	if got := numbers(due); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("reminders %v are due, want 1 and 2", got)
	}
	for i, e := range due {
		want := event.DerivedID(sent.GetId(), flow.Reminder, eric+"/"+string(rune('1'+i)))
		if e.GetId() != want || e.GetRecipient().GetId() != eric || e.GetVerification() != signingv1.Verification_VERIFICATION_INTERNAL {
			t.Errorf("reminder %d is %v, want the id %s of its sending", i+1, e, want)
		}
	}
	h.Settled(flow.ReminderDue)
	if got := numbers(h.events(event.ReminderScheduled, 2)); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("reminders %v were scheduled, want 1 and 2", got)
	}
	if m := h.schedule(eric); m != nil {
		t.Errorf("after the last reminder one is scheduled: %v", m.Header)
	}
	h.none(event.ReminderCancelled)
}

// An invitation on two channels, and the provider's own report, are one invitation.
func TestOneInvitationSchedulesOnce(t *testing.T) {
	t.Parallel()
	h := start(t, nil, time.Hour)
	at := h.now()
	h.publish(event.DocumentSent, "", at)
	h.publish(event.RecipientSent, eric, at)
	h.Settled(flow.Reminder)
	h.publish(event.NotificationSent, eric, at.Add(time.Second))
	h.publish(event.NotificationSent, eric, at.Add(2*time.Second))
	h.Settled(flow.Reminder)
	h.events(event.ReminderScheduled, 1)
	if n := h.Count(flow.Signing, event.TypeFilter(event.ReminderScheduled)); n != 1 {
		t.Errorf("%d reminders were scheduled, want 1", n)
	}
	h.due(eric, at.Add(time.Hour))
}

func TestSchedulesEndWithASignatureOrWithTheDocument(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		eventType, person string
		ended             []string // of Eric and Anna
		reason            string
	}{
		"signed":               {event.RecipientSigned, eric, []string{eric}, event.OverSigned},
		"signed by a stranger": {event.RecipientSigned, "", nil, ""},
		"opted out":            {event.RecipientOptedOut, eric, []string{eric}, event.OverOptedOut},
		"opted out of texts":   {event.RecipientOptedOut, eric + " by text", nil, ""},
		"declined by a person": {event.RecipientDeclined, eric, []string{anna, eric}, ""},
		"declined":             {event.DocumentDeclined, "", []string{anna, eric}, event.OverDocument},
		"voided":               {event.DocumentVoided, "", []string{anna, eric}, event.OverDocument},
		"expired":              {event.DocumentExpired, "", []string{anna, eric}, event.OverDocument},
		"completed":            {event.DocumentCompleted, "", []string{anna, eric}, event.OverDocument},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil, time.Hour)
			h.publish(event.DocumentSent, "", h.now())
			h.publish(event.NotificationSent, eric, h.now())
			h.publish(event.NotificationSent, anna, h.now())
			h.events(event.ReminderScheduled, 2)
			h.Settled(flow.Reminder) // both outputs of each are stored
			person, byText := strings.CutSuffix(row.person, " by text")
			h.publish(row.eventType, person, h.now().Add(time.Second), func(e *signingv1.SigningEvent) {
				if row.eventType == event.RecipientOptedOut {
					e.Attributes = map[string]string{"channel": map[bool]string{true: "sms", false: "all"}[byText]}
				}
			})
			h.Settled(flow.Reminder)
			cancelled := h.events(event.ReminderCancelled, len(row.ended))
			var people []string
			for _, e := range cancelled {
				people = append(people, e.GetRecipient().GetId())
				if reason := e.GetAttributes()[attributeReason]; row.reason != "" && reason != row.reason {
					t.Errorf("cancelled because of %q, want %q", reason, row.reason)
				}
			}
			if slices.Sort(people); !slices.Equal(people, row.ended) {
				t.Errorf("cancelled for %q, want %q", people, row.ended)
			}
			for _, person := range []string{eric, anna} {
				m := h.schedule(person)
				if scheduled := m != nil && m.Header.Get(jetstream.ScheduleHeader) != ""; scheduled == slices.Contains(row.ended, person) {
					t.Errorf("%s has a scheduled reminder: %t", person, scheduled)
				}
			}
		})
	}
}

// A signature that the log holds before a reminder is due stops it, also if its schedule was not cancelled: the two may be handled at once.
func TestAReminderThatIsDueLooksAtTheLogAgain(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		events []string
		due    int
		reason string
	}{
		"waits":                {nil, 1, ""},
		"signed":               {[]string{event.RecipientSigned}, 0, event.OverSigned},
		"ended":                {[]string{event.DocumentVoided}, 0, event.OverDocument},
		"ended and sent again": {[]string{event.DocumentExpired, event.DocumentSent}, 0, ""}, // the new sending schedules reminders itself
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil, time.Hour)
			at := h.now()
			sent := h.publish(event.DocumentSent, "", at)
			for i, typ := range row.events {
				h.publish(typ, eric, at.Add(time.Duration(i+1)*20*time.Minute))
			}
			h.Settled(flow.Reminder)
			h.fire(one{signer: signer(eric), sending: sent.GetId(), invited: at, number: 1, due: at.Add(time.Hour)})
			if row.due == 1 {
				h.events(event.ReminderDue, 1)
				return
			}
			h.none(event.ReminderDue)
			if row.reason == "" {
				h.none(event.ReminderCancelled)
				return
			}
			if got := h.events(event.ReminderCancelled, 1)[0].GetAttributes()[attributeReason]; got != row.reason {
				t.Errorf("cancelled because of %q, want %q", got, row.reason)
			}
		})
	}
}

func signer(person string) event.Signer {
	return event.Signer{Source: "acme", Provider: "clickwrap", Document: document, Recipient: person}
}

// fire publishes a reminder as the server does when it is due, with the clock at that time, and waits until it is settled.
func (h *harness) fire(o one) {
	h.t.Helper()
	h.ahead.Store(int64(max(time.Until(o.due), 0)))
	m, err := event.Message(h.t.Context(), o.dueEvent())
	if err != nil {
		h.t.Fatal(err)
	}
	m.Subject = flow.DueSubject(o.signer.Source, o.signer.Provider, o.signer.Document, o.signer.Recipient)
	m.Header.Del(jetstream.MsgIDHeader)
	h.Publish(m, nil)
	h.Settled(flow.ReminderDue)
}

// postponed waits until a stage has an input that waits for another attempt, and no other one.
func (h *harness) postponed(stage string) {
	h.t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !strings.Contains(h.Logged.String(), `"reason":"rate"`) {
		select {
		case <-look.C:
		case <-h.t.Context().Done():
			h.t.Fatalf("%s postponed nothing:\n%s", stage, h.Logged)
		}
	}
}

// After an outage of eight days a person gets the reminder of the seventh day, and later that of the fourteenth.
func TestOnlyTheLatestOfLateRemindersIsMade(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	h := start(t, nil, 3*day, 7*day, 14*day)
	invited := h.now().Add(-8 * day)
	h.publish(event.DocumentSent, "", invited)
	h.publish(event.NotificationSent, eric, invited)
	if got := numbers(h.events(event.ReminderDue, 1)); !slices.Equal(got, []string{"2"}) {
		t.Errorf("reminders %v are due, want 2", got)
	}
	h.Settled(flow.ReminderDue)
	h.due(eric, invited.Add(14*day))
	if n := h.Count(flow.Signing, event.TypeFilter(event.ReminderDue)); n != 1 {
		t.Errorf("%d reminders are due, want 1", n)
	}
}

// The same reminder published twice, also long after the streams' duplicate window, is one event.
func TestAReminderIsMadeOnce(t *testing.T) {
	t.Parallel()
	h := start(t, nil, time.Hour, 2*time.Hour)
	at := h.now()
	sent := h.publish(event.DocumentSent, "", at)
	o := one{signer: signer(eric), sending: sent.GetId(), invited: at, number: 1, due: at.Add(time.Hour)}
	made := o.dueEvent()
	m, err := event.Message(t.Context(), made)
	if err != nil {
		t.Fatal(err)
	}
	m.Header.Set(jetstream.MsgIDHeader, made.GetId()+"-of-another-window")
	m.Header.Set("ce-id", made.GetId())
	stored, err := event.Message(t.Context(), made)
	h.Publish(stored, err)
	h.fire(o)
	if n := h.Count(flow.Signing, event.TypeFilter(event.ReminderDue)); n != 1 {
		t.Errorf("the log has %d events reminder.due, want 1", n)
	}
	h.due(eric, at.Add(2*time.Hour))
}

// A document that is sent again begins its reminders again.
func TestASecondSendingReplacesTheSchedule(t *testing.T) {
	t.Parallel()
	h := start(t, nil, time.Hour)
	first := h.now()
	h.publish(event.DocumentSent, "", first)
	h.publish(event.NotificationSent, eric, first)
	h.events(event.ReminderScheduled, 1)
	h.Settled(flow.Reminder)
	second := first.Add(40 * time.Minute)
	h.publish(event.DocumentSent, "", second)
	h.publish(event.NotificationSent, eric, second)
	h.events(event.ReminderScheduled, 2)
	h.Settled(flow.Reminder)
	h.due(eric, second.Add(time.Hour))
}

// The report that a person got the document may arrive before the document's own report, and with an earlier time. It is the same sending.
func TestCallbacksInAnyOrderAreOneSending(t *testing.T) {
	t.Parallel()
	h := start(t, nil, 500*time.Millisecond, time.Hour)
	at := h.now()
	h.publish(event.RecipientSent, eric, at)
	h.events(event.ReminderScheduled, 1)
	h.publish(event.DocumentSent, "", at.Add(100*time.Millisecond))
	h.publish(event.NotificationSent, eric, at.Add(200*time.Millisecond))
	if got := numbers(h.events(event.ReminderDue, 1)); !slices.Equal(got, []string{"1"}) {
		t.Errorf("reminders %v are due, want 1", got)
	}
	h.Settled(flow.Reminder)
	h.Settled(flow.ReminderDue)
	h.due(eric, at.Add(time.Hour))
	h.publish(event.RecipientSigned, eric, h.now())
	h.events(event.ReminderCancelled, 1)
	if n := h.Count(flow.Signing, event.TypeFilter(event.ReminderDue)); n != 1 {
		t.Errorf("%d reminders are due, want 1", n)
	}
}

func TestNothingIsScheduledWithoutNeed(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change func(*config.Source)
		after  []time.Duration
		event  func(*signingv1.SigningEvent)
	}{
		"off":                     {nil, nil, nil},
		"kind not wanted":         {func(s *config.Source) { s.Notify.Kinds = []string{"invitation"} }, []time.Duration{time.Hour}, nil},
		"another kind of message": {nil, []time.Duration{time.Hour}, func(e *signingv1.SigningEvent) { e.Notice.Kind = "progress" }},
		"no recipient":            {nil, []time.Duration{time.Hour}, func(e *signingv1.SigningEvent) { e.Recipient = nil }},
		"a reminder was sent":     {nil, []time.Duration{time.Hour}, func(e *signingv1.SigningEvent) { e.Notice.Kind = "reminder" }},
		"forged":                  {nil, []time.Duration{time.Hour}, func(e *signingv1.SigningEvent) { e.Verification = signingv1.Verification_VERIFICATION_NONE }},
		"older than the log": {nil, []time.Duration{time.Hour}, func(e *signingv1.SigningEvent) {
			e.OccurredAt = timestamppb.New(time.Date(2017, 7, 19, 16, 15, 28, 0, time.UTC)) // of an example in a provider's documentation
		}},
		"another source": {func(s *config.Source) { s.Name = "other" }, []time.Duration{time.Hour}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, row.change, row.after...)
			h.publish(event.DocumentSent, "", h.now())
			if row.event == nil {
				row.event = func(*signingv1.SigningEvent) {}
			}
			h.publish(event.NotificationSent, eric, h.now(), row.event)
			h.Settled(flow.Reminder)
			h.none(event.ReminderScheduled)
			if m := h.schedule(eric); m != nil {
				t.Errorf("a reminder is scheduled: %v", m.Header)
			}
		})
	}
}

// A schedule of a source with the name "due" is not a reminder that is due.
func TestASourceMayBeNamedDue(t *testing.T) {
	t.Parallel()
	h := start(t, func(s *config.Source) { s.Name = "due" }, time.Hour)
	h.publish(event.NotificationSent, eric, h.now(), func(e *signingv1.SigningEvent) { e.Source = "due" })
	h.events(event.ReminderScheduled, 1)
	h.Settled(flow.Reminder)
	h.Settled(flow.ReminderDue)
	h.none(event.ReminderDue)
}

// A backlog is made at the source's rate.
func TestABacklogIsMadeAtABoundedRate(t *testing.T) {
	t.Parallel()
	h := start(t, func(s *config.Source) { s.Reminders.PerMinute = 1 }, time.Hour)
	at := h.now()
	sent := h.publish(event.DocumentSent, "", at)
	h.fire(one{signer: signer(eric), sending: sent.GetId(), invited: at, number: 1, due: at.Add(time.Hour)})
	h.events(event.ReminderDue, 1)
	m, err := event.Message(t.Context(), one{signer: signer(anna), sending: sent.GetId(), invited: at, number: 1, due: at.Add(time.Hour)}.dueEvent())
	if err != nil {
		t.Fatal(err)
	}
	m.Subject = flow.DueSubject("acme", "clickwrap", document, anna)
	m.Header.Del(jetstream.MsgIDHeader)
	h.Publish(m, nil)
	h.postponed(flow.ReminderDue)
	if n := h.Count(flow.Signing, event.TypeFilter(event.ReminderDue)); n != 1 {
		t.Errorf("%d reminders are due within a minute, want 1", n)
	}
}

// An operator's reminder is made although the document was sent again a moment after the invitation.
func TestAnOperatorMakesAReminderDue(t *testing.T) {
	t.Parallel()
	h := start(t, nil, time.Hour, 2*time.Hour)
	at := h.now()
	h.publish(event.DocumentSent, "", at)
	h.publish(event.NotificationSent, eric, at)
	h.publish(event.DocumentSent, "", at.Add(time.Minute))
	h.Settled(flow.Reminder)
	all, err := All(t.Context(), h.Env.JS, document)
	if err != nil || len(all) != 1 {
		t.Fatalf("%v: scheduled %+v, want one", err, all)
	}
	if err := Now(t.Context(), h.Env.JS, all[0]); err != nil {
		t.Fatal(err)
	}
	if e := h.events(event.ReminderDue, 1)[0]; e.GetAttributes()[attributeBy] != ByOperator || e.GetAttributes()[attributeNumber] != "1" {
		t.Errorf("due: %v", e)
	}
	h.Settled(flow.ReminderDue)
	h.due(eric, at.Add(2*time.Hour))
	if all, err = All(t.Context(), h.Env.JS, document); err != nil || len(all) != 1 {
		t.Fatalf("%v: scheduled %+v, want one", err, all)
	}
	cancelled := all[0].of
	if err := Cancel(t.Context(), h.Env.JS, all[0]); err != nil {
		t.Fatal(err)
	}
	h.publish(event.NotificationSent, eric, at.Add(2*time.Minute)) // a later report of the same invitation
	h.Settled(flow.Reminder)
	if all, err = All(t.Context(), h.Env.JS, document); err != nil || len(all) != 0 {
		t.Errorf("%v: after the cancellation %+v is scheduled", err, all)
	}
	if e := h.events(event.ReminderCancelled, 1)[0]; e.GetAttributes()[attributeReason] != ByOperator {
		t.Errorf("cancelled: %v", e)
	}
	h.fire(cancelled) // a server that was killed may have the replaced schedule again
	if n := h.Count(flow.Signing, event.TypeFilter(event.ReminderDue)); n != 1 {
		t.Errorf("the log has %d events reminder.due, want only that of the operator", n)
	}
}

// The server publishes a reminder when it is due. If it does not, the metrics show it.
func TestOverdueRemindersAreCounted(t *testing.T) {
	t.Parallel()
	h := start(t, nil, time.Hour)
	h.publish(event.DocumentSent, "", h.now())
	h.publish(event.NotificationSent, eric, h.now())
	h.publish(event.NotificationSent, anna, h.now())
	h.awaitCounts(2, 0)
	h.ahead.Store(int64(time.Hour + 4*time.Minute)) // the server's clock does not move
	h.Settled(flow.Reminder)
	h.awaitCounts(2, 0)
	h.ahead.Store(int64(time.Hour + 6*time.Minute))
	h.awaitCounts(2, 2)
}

// awaitCounts waits until the metrics have the numbers of scheduled and of overdue messages.
func (h *harness) awaitCounts(scheduled, overdue int) {
	h.t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		shown := map[string]float64{}
		all, err := h.Env.Metrics.(*prometheus.Registry).Gather()
		if err != nil {
			h.t.Fatal(err)
		}
		for _, m := range all {
			shown[m.GetName()] = m.GetMetric()[0].GetGauge().GetValue()
		}
		if shown["signrelay_reminder_scheduled_messages"] == float64(scheduled) && shown["signrelay_reminder_overdue_messages"] == float64(overdue) {
			return
		}
		select {
		case <-look.C:
		case <-h.t.Context().Done():
			h.t.Fatalf("the metrics are %v", shown)
		}
	}
}

// A correction ends the reminders of the person as it was, also if it comes right after the invitation. Those of the person as corrected begin with
// the new invitation. Other people's reminders stay.
func TestACorrectionBeginsTheRemindersAnew(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		wait time.Duration // between the invitation and the correction
		id   string        // of the person after the correction
	}{
		"at once, under the same id": {time.Second, eric},
		"two days later":             {48 * time.Hour, eric},
		"at once, under another id":  {time.Second, "recipient-eric-2"},
		"two days later, another id": {48 * time.Hour, "recipient-eric-2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, nil, 72*time.Hour)
			began := h.now()
			h.publish(event.DocumentSent, "", began)
			h.publish(event.NotificationSent, eric, began)
			h.publish(event.NotificationSent, anna, began)
			h.events(event.ReminderScheduled, 2)
			h.ahead.Store(int64(row.wait))
			at := began.Add(row.wait)
			h.publish(event.RecipientCorrected, row.id, at, func(e *signingv1.SigningEvent) {
				e.Verification = signingv1.Verification_VERIFICATION_INTERNAL
				if row.id != eric {
					e.Attributes = map[string]string{event.AttributePrevious: eric}
				}
			})
			cancelled := h.events(event.ReminderCancelled, 1)[0]
			if cancelled.GetAttributes()[attributeReason] != "corrected" || cancelled.GetRecipient().GetId() != eric {
				t.Errorf("cancelled %v", cancelled)
			}
			invited := at.Add(time.Second)
			h.publish(event.NotificationSent, row.id, invited)
			h.events(event.ReminderScheduled, 3)
			h.Settled(flow.Reminder)
			h.due(row.id, invited.Add(72*time.Hour))
			h.due(anna, began.Add(72*time.Hour))
			if n := h.Count(flow.Signing, event.TypeFilter(event.ReminderCancelled)); n != 1 {
				t.Errorf("%d cancellations", n)
			}
			if m := h.schedule(eric); row.id != eric && m != nil && m.Header.Get(jetstream.ScheduleHeader) != "" {
				t.Error("the old id still has a reminder")
			}
		})
	}
}
