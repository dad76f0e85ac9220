package notification_test

import (
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func example() *notifyv1.Notification {
	return &notifyv1.Notification{
		Id: "n1", EventId: "e1", Source: "acme", Provider: "esign-v1", DocumentId: "doc 1.>", DocumentTitle: "Offer",
		Kind: notifyv1.Kind_KIND_UNDELIVERABLE, Channel: notifyv1.Channel_CHANNEL_EMAIL,
		To: &notifyv1.Person{RecipientId: "s1", FirstName: "Eric", Email: "eric@reader.example"},
	}
}

// defaults returns the default settings.
func defaults() config.Config {
	return config.Default()
}

// links returns our own links at one address.
func links() notification.Links {
	l, err := notification.NewLinks("https://sign.acme.example", "")
	if err != nil {
		panic(err)
	}
	return l
}

// soon returns a stage that retries after 10 ms, 20 ms, … instead of 1 s, 2 s, …
func soon(name string) flow.Stage {
	stage := flow.StageNamed(name)
	stage.Policy.FirstDelay = 10 * time.Millisecond
	return stage
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	const document = "ZG9jIDEuPg" // an id that is no token, as base64url
	for got, want := range map[string]string{
		notification.LinkSubject(example()): "notify.v1.link.acme.esign-v1." + document,
		notification.SendSubject(example()): "notify.v1.send.email.acme.esign-v1." + document,
	} {
		if got != want {
			t.Errorf("subject %s, want %s", got, want)
		}
	}
}

func TestMessageIsReadBack(t *testing.T) {
	t.Parallel()
	m, err := notification.Message(t.Context(), "notify.v1.x", "the-id", example())
	if err != nil || m.Header.Get("Nats-Msg-Id") != "the-id" {
		t.Fatalf("message %v, %v", m, err)
	}
	n, err := notification.Decode(m.Data)
	if err != nil || n.String() != example().String() {
		t.Errorf("read back %v, %v", n, err)
	}
	for name, data := range map[string][]byte{"garbage": {0xff}, "nothing": nil} {
		if n, err := notification.Decode(data); err == nil {
			t.Errorf("%s was read as %v", name, n)
		}
	}
	nameless := example()
	nameless.Id = ""
	if _, err := notification.Message(t.Context(), "notify.v1.x", "the-id", nameless); err == nil {
		t.Error("a notification without an id was accepted")
	}
}

// A repeated call returns the same event. A second send is another event. The outcome of a message contains no data about its recipient
// except the id.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	sent := notification.Sent(example(), "email-sender", time.Unix(1, 0), notification.Receipt{Reference: "ref", Parts: 1})
	again := notification.Sent(example(), "email-sender", time.Unix(2, 0), notification.Receipt{Reference: "other"})
	twice := notification.Sent(example(), "email-sender", time.Unix(2, 0), notification.Receipt{PossibleDuplicate: true})
	failed := notification.Failed(example(), "email-sender", time.Unix(1, 0), "smtp-550", outcome.Recipient)
	if sent.GetId() != again.GetId() || sent.GetId() == failed.GetId() || sent.GetId() == twice.GetId() {
		t.Errorf("ids %s, %s, %s, %s", sent.GetId(), again.GetId(), failed.GetId(), twice.GetId())
	}
	if sent.GetType() != "notification.sent" || failed.GetType() != "notification.failed" || failed.GetNotice().GetReason() != "smtp-550" ||
		sent.GetNotice().GetKind() != "undeliverable" || sent.GetNotice().GetChannel() != "email" {
		t.Errorf("events %v, %v", sent, failed)
	}
	requested := notification.Requested(example(), "enricher", time.Unix(1, 0))
	suppressed := notification.Suppressed(example(), "enricher", time.Unix(1, 0), "no-address")
	if requested.GetType() != "notification.requested" || suppressed.GetType() != "notification.suppressed" || requested.GetId() == suppressed.GetId() ||
		suppressed.GetNotice().GetReason() != "no-address" || suppressed.GetNotice().GetChannel() != "email" {
		t.Errorf("events %v, %v", requested, suppressed)
	}
	unreachable := example()
	unreachable.Channel = notifyv1.Channel_CHANNEL_UNSPECIFIED
	if e := notification.Suppressed(unreachable, "enricher", time.Unix(1, 0), "no-sender-address"); e.GetNotice().GetChannel() != "" {
		t.Errorf("event %v has a channel", e)
	}
	if s := sent.String() + requested.String() + suppressed.String(); strings.Contains(s, "eric") || strings.Contains(s, "Eric") {
		t.Errorf("event %s", s)
	}
	kept := example() // of a source that keeps texts
	kept.KeepText = true
	for channel, e := range map[notifyv1.Channel]func(*notifyv1.Notification) *signingv1.SigningEvent{
		notifyv1.Channel_CHANNEL_EMAIL: func(n *notifyv1.Notification) *signingv1.SigningEvent {
			return notification.Requested(n, "enricher", time.Unix(1, 0))
		},
		notifyv1.Channel_CHANNEL_SMS: func(n *notifyv1.Notification) *signingv1.SigningEvent {
			return notification.Suppressed(n, "enricher", time.Unix(1, 0), "no-address")
		},
	} {
		kept.Channel, kept.To.Mobile = channel, "+13175550100"
		who := e(kept).GetRecipient()
		if who.GetFirstName() != "Eric" || (who.GetEmail() != "") != (channel == notifyv1.Channel_CHANNEL_EMAIL) || (who.GetMobile() != "") != (channel == notifyv1.Channel_CHANNEL_SMS) {
			t.Errorf("by %s the message is for %v", channel, who)
		}
	}
}
