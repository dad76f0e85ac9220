package security

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// With the NATS user of the enricher or the shortener, an attacker can publish messages to the senders. A sender does not send a
// message whose link is not ours, or whose cause is not in the log; it becomes a dead letter with the fault "ours".
func stolenCredentials(t *testing.T, s *stand) {
	const source, document, victim = "stolen", "stolen-doc", "+13175550133"
	s.world.respondJSON("/v1.1/requests/"+document, clickwrapRequest("Stolen", signer{ID: "p", Email: "p@signer.example"}))
	s.accepts(t, "the document", clickwrap(source, clickwrapSent(document)))
	s.accepts(t, "another document", clickwrap("pumping", clickwrapSent("stolen-other")))
	s.settled(t, document, 1)
	cause := map[string]string{} // the events' ids, by document
	var subject string
	var stored *timestamppb.Timestamp
	s.each(t, "SIGNING", "signing.v1.*.*.document.sent.>", func(m *jetstream.RawStreamMsg) {
		if e, err := event.Decode(m.Data); err == nil {
			if cause[e.GetDocument().GetId()] = e.GetId(); e.GetDocument().GetId() == document {
				subject, stored = m.Subject, timestamppb.New(m.Time)
			}
		}
	})
	ours := s.links() + "abcdefghijklmns"
	honest := &notifyv1.Notification{
		EventId: cause[document], EventSubject: subject, EventStoredAt: stored, Source: source, Provider: "clickwrap", DocumentId: document,
		SenderName: "Acme", Locale: "en", Kind: notifyv1.Kind_KIND_INVITATION, RecordedAt: stored,
		To:   &notifyv1.Person{RecipientId: "p", Mobile: victim, Email: "victim@signer.example"},
		Link: &notifyv1.Link{Purpose: notifyv1.Link_PURPOSE_SIGN, Short: ours},
	}
	forged := map[string]func(n *notifyv1.Notification){
		"no cause":              func(n *notifyv1.Notification) { n.EventId = "0123456789abcdefghijklmnop" },
		"a cause without an id": func(n *notifyv1.Notification) { n.EventId = "" },
		"another document's":    func(n *notifyv1.Notification) { n.DocumentId = "stolen-other" },
		"a cause elsewhere": func(n *notifyv1.Notification) {
			n.EventId, n.EventSubject = cause["stolen-other"], strings.Replace(subject, document, "stolen-other", 1)
		},
		"another source's": func(n *notifyv1.Notification) { n.Source = "pumping" },
		"another kind":     func(n *notifyv1.Notification) { n.Kind, n.Link = notifyv1.Kind_KIND_COMPLETED, nil },
		"of no kind":       func(n *notifyv1.Notification) { n.Kind = notifyv1.Kind_KIND_UNSPECIFIED },
		"a wildcard":       func(n *notifyv1.Notification) { n.EventSubject = "signing.v1.>" },
		"any source":       func(n *notifyv1.Notification) { n.Source, n.EventSubject = "*", "" },
		"before the field": func(n *notifyv1.Notification) {
			n.EventId, n.EventSubject, n.EventStoredAt, n.RecordedAt = "0123456789abcdefghijklmnop", "", nil, nil
		},
	}
	host := strings.TrimSuffix(strings.TrimPrefix(s.links(), "http://"), "/l/")
	for _, link := range []string{
		"https://evil.example/l/abcdefghijklmns", "http://evil.example", "http://" + host + ".evil.example/l/abcdefghijklmns",
		"http://" + host + "@evil.example/l/abcdefghijklmns", "http://evil.example\\@" + host + "/l/abc", "http://" + host + "\\@evil.example/l/abc",
		"https://" + host + "/l/abcdefghijklmns", "http://" + host + ":1/l/abc", "http://127.0.0.1/l/abcdefghijklmns",
		"http://" + host + "/l/../x", "http://" + host + "/l/%2e%2e/x", "http://" + host + "/l/abc?to=evil.example", "http://" + host + "/l/abc#evil.example",
		"http://" + host + "/l/abc evil.example", "http://" + host + "/l/abc\nhttp://evil.example", "http://" + host + "/l/", "http://" + host + "/x/abc",
		"//" + host + "/l/abc", host + "/l/abc", "", "HTTP://" + host + "/l/abc", "http://" + host + "/l/abc/", "http://" + host + "/l/abc.evil.example",
		"http://evil@" + host + "/l/abc", "javascript:alert(1)", "https://bit.ly/abcdefg",
	} {
		forged["the link "+link] = func(n *notifyv1.Notification) { n.Link.Short = link }
	}
	send := func(n *notifyv1.Notification, channel notifyv1.Channel, id, title string) {
		n.Id, n.Channel, n.DocumentTitle = id, channel, title
		to := proto.CloneOf(honest) // on the subject of an existing document
		to.Channel = channel
		m, err := notification.Message(t.Context(), notification.SendSubject(to), id, n)
		if err == nil {
			_, err = s.JetStream(t).PublishMsg(t.Context(), m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	channels := map[notifyv1.Channel]string{notifyv1.Channel_CHANNEL_SMS: "sms-sender", notifyv1.Channel_CHANNEL_EMAIL: "email-sender"}
	for channel, stage := range channels {
		i := 0
		for _, change := range forged {
			n := proto.CloneOf(honest)
			change(n)
			send(n, channel, fmt.Sprintf("stolen%s%02d", stage[:3], i), "Forged")
			i++
		}
		send(proto.CloneOf(honest), channel, "honest"+stage[:3], "Honest")
		before := proto.CloneOf(honest) // made before these fields existed
		before.EventSubject, before.EventStoredAt = "", nil
		send(before, channel, "before"+stage[:3], "Honest")
	}
	for _, stage := range channels {
		s.Until(t, stage+" has written dead letters of all forged messages", func() bool { return s.buried(t, stage, document) >= len(forged) })
		s.each(t, "DLQ", "dlq.v1."+stage, func(m *jetstream.RawStreamMsg) {
			if reason := m.Header.Get("Signrelay-Dlq-Error"); strings.HasSuffix(m.Header.Get("Signrelay-Dlq-Subject"), "."+document) &&
				!strings.Contains(reason, "cause-not-in-log") && !strings.Contains(reason, "link-not-ours") || strings.Contains(reason, "evil") {
				t.Errorf("%s: a dead letter for %q", stage, reason)
			}
		})
	}
	if texts, emails := s.world.textsWith("Forged"), s.world.emailsWith("Forged"); len(texts)+len(emails) != 0 {
		t.Errorf("sent: %v %v", texts, emails)
	}
	s.Until(t, "the honest ones are sent", func() bool {
		return len(s.world.textsWith("Honest")) == 2 && len(s.world.emailsWith("Honest")) == 2
	})
}
