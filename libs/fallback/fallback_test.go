package fallback

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

var (
	eric   = event.Signer{Source: "acme", Provider: "pleasesign", Document: "doc", Recipient: "eric"}
	began  = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	source = config.Source{Fallback: config.Fallback{After: 10 * time.Minute}}
)

// words are the events of a message on one channel, by the words of the tables below.
func (m message) events(channel event.Channel, words string) []*signingv1.SigningEvent {
	n := &notifyv1.Notification{
		Id: notification.ID(m.occasion, m.kind, eric.Recipient, channel.Channel), EventId: m.occasion, Source: eric.Source, Provider: eric.Provider,
		DocumentId: eric.Document, Kind: m.kind, Channel: channel.Channel, To: &notifyv1.Person{RecipientId: eric.Recipient},
	}
	var all []*signingv1.SigningEvent
	for word := range strings.FieldsSeq(words) {
		var e *signingv1.SigningEvent
		switch word {
		case "made":
			e = notification.Requested(n, "enricher", began)
		case "held":
			e = notification.Deferred(n, channel.Stage, began, "auth-failed", outcome.Operator, "")
		case "sent": // by SMS a receipt is expected
			e = notification.Sent(n, channel.Stage, began, notification.Receipt{Reference: "r", Expected: channel.Channel == event.SMS})
		case "sent-unreported":
			e = notification.Sent(n, channel.Stage, began, notification.Receipt{Reference: "r"})
		case "delivered":
			e = notification.Delivered(n, channel.Stage, began, notification.Receipt{Reference: "r"})
		case "lost":
			e = notification.Undelivered(n, channel.Stage, began, notification.Receipt{Reference: "r", Reason: "absent", Fault: outcome.Recipient})
		case "gave-up":
			e = notification.Failed(n, channel.Stage, began, "smtp-550", outcome.Recipient)
		default:
			e = notification.Suppressed(n, "enricher", began, word)
		}
		all = append(all, e)
	}
	return all
}

// Each row has the events of the message on each channel, and the decision after five minutes, and after ten, when the receipt is overdue.
func TestWhichMessageFollows(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sms, email string
		bounced    bool // the provider could not reach the person
		five, ten  string
	}{
		// One channel reached the person.
		{sms: "made sent delivered", email: "made sent", five: reached, ten: reached},
		{sms: "made sent", email: "made sent", five: reached, ten: reached},
		{sms: "made sent lost", email: "made sent", five: reached, ten: reached},
		{sms: "made gave-up", email: "made sent", five: reached, ten: reached},
		{sms: "made opted-out", email: "made sent", five: reached, ten: reached},
		{sms: "made sent delivered", email: "made gave-up", five: reached, ten: reached},
		{sms: "made sent-unreported", email: "", five: reached, ten: reached},
		{sms: "made sent-unreported", email: "made gave-up", five: reached, ten: reached},
		{sms: "made sent delivered", email: "", five: reached, ten: reached},
		{sms: "made sent lost delivered", email: "", five: reached, ten: reached}, // sent twice
		{sms: "made sent delivered lost", email: "", five: reached, ten: reached},
		{sms: "made delivered sent", email: "", five: reached, ten: reached}, // an early receipt
		{sms: "made sent", email: "made sent lost", five: pending, ten: "no-receipt sms > sender"},

		// A channel may still reach the person.
		{sms: "made sent", email: "", five: pending, ten: "no-receipt sms > email"},
		{sms: "made sent sent", email: "", five: pending, ten: "no-receipt sms > email"},
		{sms: "made sent lost", email: "made", five: pending, ten: pending},
		{sms: "made sent lost", email: "made held", five: pending, ten: pending},
		{sms: "made held", email: "", five: pending, ten: pending},
		{sms: "made", email: "made gave-up", five: pending, ten: pending},
		{sms: "made", email: "", five: pending, ten: pending},
		{sms: "made sent", email: "made gave-up", five: pending, ten: "no-receipt sms > sender"},
		{sms: "made sent", email: "no-address", five: pending, ten: "no-receipt sms > email"},

		// The message is lost, and the other channel has none.
		{sms: "made sent lost", email: "", five: "failed sms > email absent", ten: "failed sms > email absent"},
		{sms: "made lost sent", email: "", five: "failed sms > email absent", ten: "failed sms > email absent"},
		{sms: "made gave-up", email: "", five: "failed sms > email smtp-550", ten: "failed sms > email smtp-550"},
		{sms: "opted-out", email: "", five: "failed sms > email opted-out", ten: "failed sms > email opted-out"},
		{sms: "made opted-out", email: "", five: "failed sms > email opted-out", ten: "failed sms > email opted-out"},
		{sms: "made sent lost", email: "channel-off", five: "failed sms > email absent", ten: "failed sms > email absent"},
		{sms: "made sent lost", email: "made limit-person", five: "failed sms > email absent", ten: "failed sms > email absent"},
		{sms: "", email: "made gave-up", five: "failed email > sms smtp-550", ten: "failed email > sms smtp-550"},
		{sms: "number-invalid", email: "made gave-up", five: "failed email > sms smtp-550", ten: "failed email > sms smtp-550"},

		// An operator replayed a message that was given up.
		{sms: "made gave-up sent", email: "", five: pending, ten: "no-receipt sms > email"},
		{sms: "made gave-up sent delivered", email: "", five: reached, ten: reached},

		// Both channels lost it.
		{sms: "made sent lost", email: "made gave-up", five: "failed sms > sender absent", ten: "failed sms > sender absent"},
		{sms: "made gave-up", email: "made gave-up", five: "failed sms > sender smtp-550", ten: "failed sms > sender smtp-550"},
		{sms: "opted-out", email: "opted-out", five: "failed sms > sender opted-out", ten: "failed sms > sender opted-out"},

		// Nothing is lost.
		{five: notLost, ten: notLost},
		{sms: "number-invalid", email: "no-address", five: notLost, ten: notLost},

		// The provider's own e-mail bounced.
		{bounced: true, five: "undeliverable email > sms", ten: "undeliverable email > sms"},
		{bounced: true, sms: "number-invalid", five: "undeliverable email > sms", ten: "undeliverable email > sms"},
		{bounced: true, sms: "made sent delivered", five: reached, ten: reached},
		{bounced: true, email: "made sent", five: reached, ten: reached},
		{bounced: true, sms: "made sent", five: pending, ten: "no-receipt sms > sender"},
		{bounced: true, sms: "made", email: "made", five: pending, ten: pending},
		{bounced: true, sms: "made gave-up", five: "failed sms > sender smtp-550", ten: "failed sms > sender smtp-550"},
		{bounced: true, email: "made gave-up", five: "failed email > sms smtp-550", ten: "failed email > sms smtp-550"},
	} {
		for after, want := range map[time.Duration]string{5 * time.Minute: row.five, 10 * time.Minute: row.ten} {
			t.Run(fmt.Sprintf("sms %s, email %s, bounced %t, after %v", row.sms, row.email, row.bounced, after), func(t *testing.T) {
				t.Parallel()
				p := past{who: eric, notices: map[string]*notice{}, fallbacks: map[string]*signingv1.SigningEvent{}}
				m := message{notifyv1.Kind_KIND_INVITATION, "sending"}
				all := append(m.events(event.Channels[0], row.sms), m.events(event.Channels[1], row.email)...)
				if row.bounced {
					all = append(all, bounce(signingv1.Verification_VERIFICATION_HMAC))
				}
				for _, e := range all {
					p.add(e, began)
				}
				l := Look{Now: func() time.Time { return began.Add(after) }, Source: source}
				for _, n := range p.notices {
					n.late(l.Now(), source, false)
				}
				if got := result(l.first(p, m, "sending", began)); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			})
		}
	}
}

func bounce(v signingv1.Verification) *signingv1.SigningEvent {
	return &signingv1.SigningEvent{
		Id: "bounce", Source: eric.Source, Provider: eric.Provider, Type: event.RecipientUndeliverable, OccurredAt: timestamppb.New(began), Verification: v,
		Document: &signingv1.Document{Id: eric.Document}, Recipient: &signingv1.Recipient{Id: eric.Recipient},
	}
}

// result returns a fallback, or the reason against it, on one line.
func result(e *signingv1.SigningEvent, err error) string {
	if err != nil {
		o := outcome.Of(err)
		return o.Reason()
	}
	a := e.GetAttributes()
	return strings.TrimSpace(a[AttributeReason] + " " + a[AttributeFrom] + " > " + a[AttributeTo] + " " + e.GetNotice().GetReason())
}

// After a fallback only the sender can be notified: two channels that lose messages do not send each other more of them.
func TestAFallbackHasNoFallback(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"":                     pending, // the enricher has not made it yet
		"no-address":           pending, // the enricher has notified the sender
		"opted-out":            pending,
		"made":                 pending,
		"made held":            pending,
		"made sent":            reached,
		"made gave-up":         "failed email > sender smtp-550",
		"made sent lost":       "failed email > sender absent",
		"made opted-out":       "failed email > sender opted-out",
		"made limit-person":    "failed email > sender limit-person",
		"made gave-up sent":    reached,
		"made sent lost again": "failed email > sender absent",
	} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			p := past{who: eric, notices: map[string]*notice{}, fallbacks: map[string]*signingv1.SigningEvent{}}
			first := message{notifyv1.Kind_KIND_INVITATION, "sending"}
			for _, e := range first.events(event.Channels[0], "made sent lost") {
				p.add(e, began)
			}
			l := Look{Now: func() time.Time { return began.Add(time.Minute) }, Source: source}
			made, err := l.first(p, first, "sending", began)
			if err != nil {
				t.Fatal(err)
			}
			p.add(made, began)
			m := message{first.kind, made.GetId()}
			for _, e := range m.events(event.Channels[1], words) {
				p.add(e, began)
			}
			got, err := l.after(p, m, began)
			if result(got, err) != want {
				t.Errorf("%s, want %s", result(got, err), want)
			}
			if again := result(l.first(p, first, "sending", began)); again != fellBack {
				t.Errorf("the first message falls back again: %s", again)
			}
			if err == nil {
				p.add(got, began)
				if again := result(l.after(p, m, began)); again != fellBack {
					t.Errorf("the sender is notified again: %s", again)
				}
			}
		})
	}
}

// The other channel's message may be on its way to the log for some seconds.
func TestTheOtherChannelHasTimeToAppear(t *testing.T) {
	t.Parallel()
	m := message{notifyv1.Kind_KIND_INVITATION, "sending"}
	for after, want := range map[time.Duration]string{
		time.Second: "settling", settle - time.Millisecond: "settling", settle: "failed sms > email smtp-550",
	} {
		p := past{who: eric, notices: map[string]*notice{}, fallbacks: map[string]*signingv1.SigningEvent{}}
		for _, e := range m.events(event.Channels[0], "made gave-up") {
			p.add(e, began)
		}
		l := Look{Now: func() time.Time { return began.Add(after) }, Source: source}
		if got := result(l.first(p, m, "sending", began)); got != want {
			t.Errorf("after %v: %s, want %s", after, got, want)
		}
	}
}

func TestAForgedReportOfTheProviderIsIgnored(t *testing.T) {
	t.Parallel()
	p := past{who: eric, notices: map[string]*notice{}, fallbacks: map[string]*signingv1.SigningEvent{}}
	p.add(bounce(signingv1.Verification_VERIFICATION_NONE), began)
	l := Look{Now: func() time.Time { return began.Add(time.Minute) }, Source: source}
	if got := result(l.first(p, message{notifyv1.Kind_KIND_INVITATION, "sending"}, "sending", began)); got != notLost {
		t.Errorf("%s, want %s", got, notLost)
	}
}

// A reminder's minutes count only outside quiet hours; an invitation's count at any time, because invitations do not wait for the morning.
func TestMinutesCountOutsideQuietHours(t *testing.T) {
	t.Parallel()
	quiet := config.Source{Fallback: config.Fallback{After: 10 * time.Minute}, QuietHours: config.QuietHours{From: "21:00", To: "08:00", Zone: "Europe/London"}}
	loud := quiet
	loud.QuietHours = config.NoQuietHours()
	at := func(text string) time.Time {
		at, err := time.Parse("02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return at.AddDate(2026, 0, 0)
	}
	for _, row := range []struct {
		source          config.Source
		kind, sent, due string
	}{
		{quiet, "reminder", "10 12:00", "10 12:10"},
		{quiet, "reminder", "10 20:50", "10 21:00"},
		{quiet, "reminder", "10 20:55", "11 08:05"},
		{quiet, "reminder", "10 23:00", "11 08:10"},
		{quiet, "reminder", "10 07:59", "10 08:10"},
		{quiet, "invitation", "10 23:00", "10 23:10"},
		{loud, "reminder", "10 23:00", "10 23:10"},
	} {
		if got := Due(row.source, row.kind, at(row.sent)); !got.Equal(at(row.due)) {
			t.Errorf("a %s sent at %s is due at %v, want %s", row.kind, row.sent, got, row.due)
		}
	}
}
