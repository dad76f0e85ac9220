package notification_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

const laterSubject = "later.v1.sms.wait.acme.esign-v1.>"

// night is a sender of texts whose clock can be moved.
type night struct {
	*servicetest.Bench
	t *testing.T

	mu     sync.Mutex
	ahead  time.Duration // of the real clock
	sent   map[string]int
	refuse func(id string) error // nil accepts each message
}

// newNight starts a sender at a time of its own clock.
func newNight(t *testing.T, at string, limits config.Limits) *night {
	t.Helper()
	c := defaults()
	c.Limits = limits
	s := &night{Bench: servicetest.New(t, c), t: t, sent: map[string]int{}}
	s.set(at)
	s.Env.Now = s.now
	return s
}

func (s *night) start() *night {
	s.t.Helper()
	s.Start(func(ctx context.Context, env service.Env) error {
		return notification.Sender{Links: links(), Vendor: "vendor", Send: func(_ context.Context, n *notifyv1.Notification) (notification.Receipt, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.refuse != nil {
				if err := s.refuse(n.GetId()); err != nil {
					return notification.Receipt{}, err
				}
			}
			s.sent[n.GetId()]++
			return notification.Receipt{Reference: "ref"}, nil
		}}.Deliver(ctx, env, soon(flow.SMSSender))
	})
	return s
}

func (s *night) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.ahead)
}

func (s *night) set(at string) {
	s.t.Helper()
	want, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = time.Until(want)
}

func (s *night) count(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent[id]
}

// text returns a text to a person in New York with the default quiet hours.
func text(id string, kind notifyv1.Kind) *notifyv1.Notification {
	n := example()
	n.Id, n.Kind, n.DocumentId, n.Channel = id, kind, "doc", event.SMS
	n.To = &notifyv1.Person{RecipientId: "s1", FirstName: "Eric", Mobile: "+13175552000"}
	n.QuietHours = &notifyv1.QuietHours{From: 21 * 60, To: 8 * 60, Zones: []string{"America/New_York"}, HomeZone: "UTC"}
	n.EventSubject = event.SubjectOf(n.GetSource(), n.GetProvider(), event.KindOf(kind).After[0], n.GetDocumentId())
	n.EventStoredAt = timestamppb.New(time.Now().Add(-time.Hour))
	n.RecordedAt = n.GetEventStoredAt()
	return n
}

func (s *night) publish(n *notifyv1.Notification) {
	s.t.Helper()
	s.Publish(notification.Message(s.t.Context(), notification.SendSubject(n), n.GetId(), n))
}

// events returns the first count events of a type about acme's documents.
func (s *night) events(eventType string, count int) []*signingv1.SigningEvent {
	s.t.Helper()
	var all []*signingv1.SigningEvent
	for _, m := range s.Await(flow.Signing, event.TypeFilter(eventType), count) {
		e, err := event.Decode(m.Data())
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

const reminder, progress, completed = notifyv1.Kind_KIND_REMINDER, notifyv1.Kind_KIND_PROGRESS, notifyv1.Kind_KIND_COMPLETED

// A text at night is acked and scheduled. The server publishes it in the morning, and it is sent once. While it waits, it is no backlog of its stage,
// and the log says until when it waits. The dedupe store has no personal data.
func TestATextWaitsForTheMorning(t *testing.T) {
	t.Parallel()
	s := newNight(t, "2026-12-02T07:59:58.5-05:00", config.Limits{}).start()
	s.publish(text("n1", completed))
	e := s.events(event.NotificationDeferred, 1)[0]
	if e.GetNotice().GetReason() != "quiet-hours" || e.GetAttributes()["until"] != "2026-12-02T13:00:00Z" || e.GetNotice().GetFault() != "" {
		t.Errorf("event %v", e)
	}
	waiting := s.Await(flow.LaterSMS, laterSubject, 1)[0]
	if h := waiting.Headers(); h.Get("Nats-Schedule-TTL") != "never" || !strings.HasPrefix(h.Get("Nats-Schedule-Target"), "later.v1.sms.due.acme.esign-v1.doc.") {
		t.Errorf("header %v", h)
	}
	s.Settled(flow.SMSSender) // no message is pending or in flight
	if s.count("n1") != 0 {
		t.Error("it was sent at night")
	}
	memory := s.stored(flow.Memory)
	if len(memory) == 0 || bytes.Contains(memory, []byte("3175552000")) || bytes.Contains(memory, []byte("Eric")) {
		t.Errorf("the dedupe store has %q", memory)
	}
	if sent := s.events(event.NotificationSent, 1)[0]; sent.GetNotice().GetPossibleDuplicate() || s.now().Before(morning(t)) {
		t.Errorf("at %v: %v", s.now(), sent)
	}
	s.Settled(flow.SMSSender)
	if n := s.Count(flow.LaterSMS, laterSubject); s.count("n1") != 1 || n != 0 {
		t.Errorf("sent %d times, %d are still scheduled", s.count("n1"), n)
	}
	if n := s.Count(flow.Signing, event.TypeFilter(event.NotificationDeferred)); n != 1 {
		t.Errorf("%d events that it waits", n)
	}
	err := testutil.GatherAndCompare(s.Env.Metrics.(*prometheus.Registry), strings.NewReader(`
		# HELP signrelay_notifications_deferred_total Messages that were scheduled for a later time, by reason; each time counts.
		# TYPE signrelay_notifications_deferred_total counter
		signrelay_notifications_deferred_total{channel="sms",reason="limit-texts-per-day"} 0
		signrelay_notifications_deferred_total{channel="sms",reason="quiet-hours"} 1
	`), "signrelay_notifications_deferred_total")
	if err != nil {
		t.Error(err)
	}
}

func morning(t *testing.T) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, "2026-12-02T08:00:00-05:00")
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// stored returns the values of all entries of a bucket.
func (s *night) stored(name string) []byte {
	s.t.Helper()
	bucket, err := s.Env.JS.KeyValue(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	keys, err := bucket.Keys(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var all []byte
	for _, key := range keys {
		entry, err := bucket.Get(s.t.Context(), key)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, entry.Value()...)
	}
	return all
}

// By day, or without quiet hours, a text is sent at once. The zones of the person count, and without any that of the source.
func TestWhichMessagesWait(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		at     string
		change func(*notifyv1.QuietHours)
		until  string // empty: it is sent at once
	}{
		"a minute before the quiet hours":     {"2026-12-01T20:59:00-05:00", nil, ""},
		"in the evening":                      {"2026-12-01T21:00:00-05:00", nil, "2026-12-02T13:00:00Z"},
		"in the night of the summer time":     {"2027-03-14T00:30:00-05:00", nil, "2027-03-14T12:00:00Z"},
		"without zones, that of the source":   {"2026-12-01T21:00:00Z", func(q *notifyv1.QuietHours) { q.Zones = nil }, "2026-12-02T08:00:00Z"},
		"a zone that the database lacks":      {"2026-12-01T21:00:00Z", func(q *notifyv1.QuietHours) { q.Zones = append(q.Zones, "Moon/Tycho") }, "2026-12-02T08:00:00Z"},
		"zones without a common time":         {"2026-12-01T21:00:00Z", func(q *notifyv1.QuietHours) { q.Zones = append(q.Zones, "Europe/London", "Pacific/Guam") }, "2026-12-02T08:00:00Z"},
		"two zones, and the later one":        {"2026-12-02T08:30:00-05:00", func(q *notifyv1.QuietHours) { q.Zones = append(q.Zones, "America/Los_Angeles") }, "2026-12-02T16:00:00Z"},
		"equal times":                         {"2026-12-01T23:00:00-05:00", func(q *notifyv1.QuietHours) { q.From, q.To = 0, 0 }, ""},
		"a message of an earlier version":     {"2026-12-01T23:00:00-05:00", func(q *notifyv1.QuietHours) { q.Reset() }, ""},
		"times that no setting can have":      {"2026-12-01T23:00:00-05:00", func(q *notifyv1.QuietHours) { q.From, q.To = 1<<31, 1<<31 }, ""},
		"a home zone that the database lacks": {"2026-12-01T23:00:00-05:00", func(q *notifyv1.QuietHours) { q.HomeZone = "Local" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newNight(t, row.at, config.Limits{}).start()
			n := text("n1", completed)
			if row.change != nil {
				row.change(n.GetQuietHours())
			}
			s.publish(n)
			if row.until == "" {
				s.events(event.NotificationSent, 1)
				return
			}
			if e := s.events(event.NotificationDeferred, 1)[0]; e.GetAttributes()["until"] != row.until || s.count("n1") != 0 {
				t.Errorf("%v, want until %s", e, row.until)
			}
		})
	}
}

// A reply to a person's own text is sent at once, also at night. The other text is the control.
func TestRepliesDoNotWaitForTheMorning(t *testing.T) {
	t.Parallel()
	s := newNight(t, "2026-12-01T23:00:00-05:00", config.Limits{}).start()
	s.publish(text("control", completed))
	kinds := []notifyv1.Kind{notifyv1.Kind_KIND_STOPPED, notifyv1.Kind_KIND_STARTED, notifyv1.Kind_KIND_HELP}
	for _, kind := range kinds {
		n := text(event.KindName(kind), kind)
		s.publish(n)
	}
	s.events(event.NotificationSent, len(kinds))
	for _, kind := range kinds {
		if name := event.KindName(kind); s.count(name) != 1 {
			t.Errorf("%s was sent %d times", name, s.count(name))
		}
	}
	if e := s.events(event.NotificationDeferred, 1)[0]; e.GetNotice().GetNotificationId() != "control" || s.count("control") != 0 {
		t.Errorf("deferred: %v", e)
	}
}

// A message about a document that ended meanwhile is suppressed, and so is a reminder to a person who has signed. The last page of the document is
// sent.
func TestADocumentThatEndsCancelsWhatWaits(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		kind   notifyv1.Kind
		past   string
		person string
		reason string // empty: it is sent
	}{
		"a reminder, signed":     {reminder, event.RecipientSigned, "s1", event.OverSigned},
		"a reminder, voided":     {reminder, event.DocumentVoided, "", event.OverDocument},
		"a reminder":             {reminder, event.RecipientSigned, "s2", ""},
		"progress, completed":    {progress, event.DocumentCompleted, "", event.OverDocument},
		"progress, expired":      {progress, event.DocumentExpired, "", event.OverDocument},
		"progress, still open":   {progress, event.RecipientSigned, "s1", ""},
		"a completed document":   {completed, event.DocumentCompleted, "", ""},
		"progress, one declined": {progress, event.RecipientDeclined, "s2", event.OverDocument},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newNight(t, "2026-12-02T07:59:58.5-05:00", config.Limits{}).start()
			n := text("n1", row.kind)
			s.publish(n)
			s.events(event.NotificationDeferred, 1)
			e := &signingv1.SigningEvent{
				Id: "past", Source: n.GetSource(), Provider: n.GetProvider(), Type: row.past, OccurredAt: timestamppb.Now(),
				Document: &signingv1.Document{Id: n.GetDocumentId()}, Verification: signingv1.Verification_VERIFICATION_HMAC,
			}
			if row.person != "" {
				e.Recipient = &signingv1.Recipient{Id: row.person}
			}
			s.Publish(event.Message(t.Context(), e))
			want := event.NotificationSent
			if row.reason != "" {
				want = event.NotificationSuppressed
			}
			if e := s.events(want, 1)[0]; e.GetNotice().GetReason() != row.reason || s.count("n1") != map[bool]int{true: 1, false: 0}[row.reason == ""] {
				t.Errorf("%v, sent %d times", e, s.count("n1"))
			}
		})
	}
}

// The sender died after it published the schedule: the input is delivered again, after the window in which the stream drops a repeated id. It is
// scheduled again under the same id. The server may publish it a second time after it was sent; it is still sent once.
func TestASenderThatDiesAfterTheScheduleSendsOnce(t *testing.T) {
	t.Parallel()
	s := newNight(t, "2026-12-02T07:59:58.5-05:00", config.Limits{})
	s.shortWindow()
	s.start()
	n := text("n1", completed)
	s.publish(n)
	s.events(event.NotificationDeferred, 1)
	first := s.Await(flow.LaterSMS, laterSubject, 1)[0]
	again := func(header nats.Header) { // a delivery of the same input
		t.Helper()
		m, err := notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range header {
			m.Header[name] = values
		}
		s.untilStored(m)
	}
	again(nil)
	s.Settled(flow.SMSSender)
	s.events(event.NotificationSent, 1)
	again(nil) // it schedules the message for a time that is over
	s.fire(first)
	s.allSettled()
	if s.count("n1") != 1 {
		t.Errorf("sent %d times", s.count("n1"))
	}
	for _, typ := range []string{event.NotificationDeferred, event.NotificationSent} {
		if n := s.Count(flow.Signing, event.TypeFilter(typ)); n != 1 {
			t.Errorf("the log has %d %s", n, typ)
		}
	}
}

// fire publishes a scheduled message as the server does.
func (s *night) fire(scheduled jetstream.Msg) {
	s.t.Helper()
	m := &nats.Msg{Subject: scheduled.Headers().Get("Nats-Schedule-Target"), Data: scheduled.Data(), Header: nats.Header{}}
	for name, values := range scheduled.Headers() {
		if !strings.HasPrefix(name, "Nats-") {
			m.Header[name] = values
		}
	}
	if _, err := s.Env.JS.PublishMsg(s.t.Context(), m); err != nil {
		s.t.Fatal(err)
	}
}

// allSettled waits until no text waits, is due or is in progress.
func (s *night) allSettled() {
	s.t.Helper()
	s.Settled(flow.SMSSender)
	for s.Count(flow.LaterSMS, laterSubject) > 0 {
		s.wait(10 * time.Millisecond)
	}
	s.Settled(flow.SMSDue)
	s.Settled(flow.SMSSender)
}

// shortWindow makes NOTIFY forget ids at once.
func (s *night) shortWindow() {
	s.t.Helper()
	stream, err := s.Env.JS.Stream(s.t.Context(), flow.Notify)
	if err != nil {
		s.t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	c.Duplicates = 100 * time.Millisecond
	if _, err := s.Env.JS.UpdateStream(s.t.Context(), c); err != nil {
		s.t.Fatal(err)
	}
}

// untilStored publishes a message until the stream does not drop it as a duplicate.
func (s *night) untilStored(m *nats.Msg) {
	s.t.Helper()
	for {
		ack, err := s.Env.JS.PublishMsg(s.t.Context(), m)
		if err != nil {
			s.t.Fatal(err)
		}
		if !ack.Duplicate {
			return
		}
		s.wait(20 * time.Millisecond)
	}
}

func (s *night) wait(d time.Duration) {
	s.t.Helper()
	select {
	case <-time.After(d):
	case <-s.t.Context().Done():
		s.t.Fatal("the test's time is over")
	}
}

// An attempt whose outcome is unknown, before the night: the scheduled message is still one that may be a duplicate, and it is looked up in the log.
func TestAnUnknownAttemptStaysUnknownUntilTheMorning(t *testing.T) {
	t.Parallel()
	for _, sentBefore := range []bool{false, true} {
		t.Run(strconv.FormatBool(sentBefore), func(t *testing.T) {
			t.Parallel()
			s := newNight(t, "2026-12-02T07:59:58-05:00", config.Limits{})
			n := text("n1", completed)
			s.Cause(n)
			dead := s.Env.Claims(dedupe.Options{Namespace: flow.ClaimsOf(flow.SMSSender), Lease: time.Millisecond, Remember: time.Hour})
			if _, err := dead.Claim(t.Context(), dedupe.NewOwner(), n.GetId()); err != nil {
				t.Fatal(err)
			}
			s.start()
			s.publish(n)
			s.events(event.NotificationDeferred, 1)
			if sentBefore { // its event arrives in the night
				s.Publish(event.Message(t.Context(), notification.Sent(n, flow.SMSSender, time.Now(), notification.Receipt{Reference: "first"})))
			}
			want := 1
			e := s.events(event.NotificationSent, 1)[0]
			if sentBefore {
				want = 0
				s.allSettled()
			}
			if s.count("n1") != want || e.GetNotice().GetPossibleDuplicate() == sentBefore {
				t.Errorf("sent %d times: %v", s.count("n1"), e)
			}
		})
	}
}

// A dead letter that is replayed at night waits, too. In the morning it counts as replayed: its earlier failure in the log does not stop it.
func TestAReplayAtNightIsSentInTheMorning(t *testing.T) {
	t.Parallel()
	s := newNight(t, "2026-12-01T20:00:00-05:00", config.Limits{})
	s.refuse = func(string) error { return outcome.Refused(outcome.Recipient, "refused", errors.New("no")) }
	s.start()
	n := text("n1", completed)
	n.RecordedAt = nil // so that the log is asked
	s.publish(n)
	s.events(event.NotificationFailed, 1)
	s.mu.Lock()
	s.refuse = nil
	s.mu.Unlock()
	s.set("2026-12-02T07:59:58-05:00")
	s.Await(flow.DLQ, "dlq.v1.sms-sender", 1)
	requested := &nats.Msg{Subject: "signing.v1.acme.esign-v1.replay.requested._", Header: nats.Header{"Nats-Msg-Id": {t.Name()}}}
	dlq := stage.DeadLetters{JS: s.Env.JS}
	for dead, err := range dlq.All(t.Context()) {
		if err == nil {
			err = dlq.Replay(t.Context(), dead, requested)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.events(event.NotificationDeferred, 1)
	s.events(event.NotificationSent, 1)
	if s.count("n1") != 1 {
		t.Errorf("sent %d times", s.count("n1"))
	}
}

// The server publishes late schedules after an outage, perhaps in the next night: then the message waits again, as another event.
func TestALateMessageWaitsAgain(t *testing.T) {
	t.Parallel()
	s := newNight(t, "2026-12-02T07:59:59-05:00", config.Limits{}).start()
	s.publish(text("n1", completed))
	s.events(event.NotificationDeferred, 1)
	s.set("2026-12-02T23:00:00-05:00")
	if e := s.events(event.NotificationDeferred, 2)[1]; e.GetAttributes()["until"] != "2026-12-03T13:00:00Z" || s.count("n1") != 0 {
		t.Errorf("%v, sent %d times", e, s.count("n1"))
	}
}

// A text beyond the daily limit goes to the person's e-mail, with the id that the e-mail has if the person gets it anyway. Without an e-mail it waits
// until there is room, outside the quiet hours. Other people, and the replies to a person's texts, are not limited.
func TestATextBeyondTheDailyLimit(t *testing.T) {
	t.Parallel()
	s := newNight(t, "2026-12-01T20:00:00-05:00", config.Limits{TextsPerDay: 2}).start()
	for i, id := range []string{"n1", "n2"} {
		n := text(id, completed)
		n.DocumentId = fmt.Sprintf("doc-%d", i) // the limit counts texts about all documents
		n.EventSubject = event.SubjectOf(n.GetSource(), n.GetProvider(), event.DocumentCompleted, n.GetDocumentId())
		s.publish(n)
		s.events(event.NotificationSent, i+1)
	}
	other := text("n3", completed)
	other.Link = &notifyv1.Link{Purpose: notifyv1.Link_PURPOSE_DOWNLOAD, Short: "https://sign.acme.example/l/abcdefghijklmns"}
	other.Alternative = &notifyv1.Alternative{Id: "n3-email", Channel: event.Email, To: &notifyv1.Person{RecipientId: "s1", Email: "eric@reader.example"}}
	s.publish(other)
	m := s.Await(flow.Notify, "notify.v1.send.email.acme.esign-v1.doc", 1)[0]
	email, err := notification.Decode(m.Data())
	if err != nil || email.GetId() != "n3-email" || email.GetTo().GetEmail() != "eric@reader.example" || email.GetTo().GetMobile() != "" ||
		email.GetChannel() != event.Email || email.GetLink().GetShort() != "https://sign.acme.example/l/abcdefghijklmne" || email.GetAlternative() != nil ||
		m.Headers().Get("Nats-Msg-Id") != event.DerivedID("n3-email", flow.Shortener, "send") {
		t.Errorf("%v, %v, %v", err, email, m.Headers())
	}
	if e := s.events(event.NotificationSuppressed, 1)[0]; e.GetNotice().GetReason() != "limit-texts-per-day" || e.GetNotice().GetNotificationId() != "n3" {
		t.Errorf("%v", e)
	}
	if e := s.events(event.NotificationRequested, 1)[0]; e.GetNotice().GetNotificationId() != "n3-email" || e.GetNotice().GetChannel() != "email" {
		t.Errorf("%v", e)
	}
	s.publish(text("n4", completed))
	e := s.events(event.NotificationDeferred, 1)[0]
	until, err := time.Parse(time.RFC3339, e.GetAttributes()["until"])
	if err != nil || e.GetNotice().GetReason() != "limit-texts-per-day" || until.Sub(s.now()).Round(time.Hour) != 24*time.Hour {
		t.Errorf("%v: %v", err, e)
	}
	third := text("n5", completed)
	third.To = &notifyv1.Person{RecipientId: "s2", Mobile: "+13175552001"}
	s.publish(third)
	s.events(event.NotificationSent, 3)
	if s.count("n3")+s.count("n4") != 0 {
		t.Error("texts beyond the limit were sent")
	}
	if memory := s.stored(flow.Memory); bytes.Contains(memory, []byte("eric@reader.example")) {
		t.Errorf("the dedupe store has %q", memory)
	}
}

// A text that was counted, and then waited for the morning, is counted once.
func TestATextThatWaitsIsCountedOnce(t *testing.T) {
	t.Parallel()
	s := newNight(t, "2026-12-01T20:00:00-05:00", config.Limits{TextsPerDay: 1})
	tried := make(chan struct{}, 100)
	s.refuse = func(string) error { tried <- struct{}{}; return outcome.Failure(outcome.Provider, "busy", nil) }
	s.start()
	s.publish(text("n1", completed))
	<-tried // it is counted
	s.mu.Lock()
	s.refuse = nil
	s.ahead = time.Until(morning(t).Add(-1500 * time.Millisecond))
	s.mu.Unlock()
	s.events(event.NotificationSent, 1)
	if s.count("n1") != 1 {
		t.Errorf("sent %d times", s.count("n1"))
	}
	for _, m := range s.events(event.NotificationDeferred, 1) {
		if m.GetNotice().GetReason() != "quiet-hours" {
			t.Errorf("%v", m)
		}
	}
}
