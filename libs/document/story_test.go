package document_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The people of the stories, as in the sandbox.
var (
	olivia = &signingv1.Recipient{Id: "r-olivia", FirstName: "Olivia", LastName: "Nguyen", Email: "olivia.nguyen@example.com", Mobile: "61491570006"}
	jack   = &signingv1.Recipient{Id: "r-jack", FirstName: "Jack", LastName: "Wilson", Email: "jack.wilson@example.com", Mobile: "61491570156"}
	mia    = &signingv1.Recipient{Id: "r-mia", FirstName: "Mia", LastName: "Kelly", Email: "mia.kelly@example.com"}
	// unnumbered is a person of whom Clickwrap sends no id.
	unnumbered = &signingv1.Recipient{FirstName: "Eric", LastName: "Smith", Email: "eric.smith@example.com"}
)

// goldens are the events of the recorded callbacks of a provider.
func goldens(t testing.TB, provider string) []*signingv1.SigningEvent {
	t.Helper()
	files, err := filepath.Glob("../providers/" + strings.ReplaceAll(provider, "-", "") + "/testdata/*.golden.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded callbacks of %s: %v", provider, err)
	}
	var all []*signingv1.SigningEvent
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var events []json.RawMessage
		if err := json.Unmarshal(data, &events); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, raw := range events {
			e := new(signingv1.SigningEvent)
			if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, e); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all = append(all, e)
		}
	}
	return all
}

// story is a document in a test: recorded callbacks, with the events that Signrelay's own constructors make between them.
type story struct {
	t        testing.TB
	provider string
	recorded []*signingv1.SigningEvent
	events   []event.Stored
	now      time.Time
	facts    document.Facts
	cause    string // the id of the last event that may cause messages
	sent     string // the id of the last document.sent or reminder.due
}

type step func(*story)

func play(t testing.TB, provider string, steps ...step) *story {
	t.Helper()
	s := &story{t: t, provider: provider, recorded: goldens(t, provider), now: begin}
	s.facts.TextVendor = "Vonage"
	for _, do := range steps {
		do(s)
	}
	return s
}

func (s *story) document() *document.Document {
	d := new(document.Document)
	for _, e := range s.events {
		d.Apply(e.Event, e.Sequence)
	}
	return d
}

func (s *story) add(e *signingv1.SigningEvent) {
	n := uint64(len(s.events) + 1)
	s.events = append(s.events, event.Stored{RawStreamMsg: &jetstream.RawStreamMsg{Sequence: n, Time: s.now.Add(9 * time.Millisecond)}, Event: e})
	s.now = s.now.Add(10 * time.Millisecond)
}

const documentID = "d-7f"

// reported adds the recorded callback of a type, about this document and this person. A type that the provider has no callback for comes from its API.
func reported(eventType string, who *signingv1.Recipient) step {
	return func(s *story) {
		i := slices.IndexFunc(s.recorded, func(e *signingv1.SigningEvent) bool { return e.GetType() == eventType })
		e := &signingv1.SigningEvent{Provider: s.provider, Type: eventType, Verification: signingv1.Verification_VERIFICATION_CONFIRMED}
		if i >= 0 {
			e = proto.CloneOf(s.recorded[i])
		}
		e.Id, e.Source = eventType+"/"+strconv.Itoa(len(s.events)), "demo"
		e.OccurredAt, e.ReceivedAt = timestamppb.New(s.now.Add(-190*time.Millisecond)), timestamppb.New(s.now)
		if e.Document != nil || i < 0 {
			e.Document = &signingv1.Document{Id: documentID, Title: e.GetDocument().GetTitle()}
		}
		if e.Recipient = nil; who != nil {
			e.Recipient = proto.CloneOf(who)
		}
		s.add(e)
		if s.cause = e.GetId(); eventType == event.DocumentSent || eventType == event.DocumentCreated {
			s.sent = e.GetId()
		}
	}
}

func sent() step                             { return reported(event.DocumentSent, nil) }
func completed() step                        { return reported(event.DocumentCompleted, nil) }
func signed(who *signingv1.Recipient) step   { return reported(event.RecipientSigned, who) }
func openedAt(who *signingv1.Recipient) step { return reported(event.RecipientOpened, who) }
func declined(who *signingv1.Recipient) step {
	return func(s *story) {
		if slices.ContainsFunc(s.recorded, func(e *signingv1.SigningEvent) bool { return e.GetType() == event.DocumentDeclined }) {
			reported(event.DocumentDeclined, nil)(s)
		}
		reported(event.RecipientDeclined, who)(s)
	}
}

func pass(d time.Duration) step { return func(s *story) { s.now = s.now.Add(d) } }

func facts(set func(*document.Facts)) step { return func(s *story) { set(&s.facts) } }

func signers(all ...*signingv1.Recipient) step {
	return func(s *story) {
		for i, who := range all {
			s.facts.Signers = append(s.facts.Signers, document.Signer{ID: who.GetId(), Name: who.GetFirstName(), Order: i})
		}
	}
}

func kindOf(name string) notifyv1.Kind { return event.KindNamed(name).Kind }

func (s *story) notification(who *signingv1.Recipient, kind, channel string) *notifyv1.Notification {
	occasion, to := s.cause, who.GetId()
	if kind == "invitation" {
		occasion = s.sent
	}
	n := &notifyv1.Notification{
		EventId: s.cause, Source: "demo", Provider: s.provider, DocumentId: documentID, Kind: kindOf(kind), Channel: event.ChannelNamed(channel).Channel,
		To: &notifyv1.Person{RecipientId: to, Sender: who == nil}, KeepText: true, Link: &notifyv1.Link{Short: "https://sign.acme.example/l/r54cabcdefghijks"},
	}
	n.Id = notification.ID(occasion, n.GetKind(), to, n.GetChannel())
	return n
}

// message adds one event about a message, by Signrelay's own constructors.
func message(who *signingv1.Recipient, kind, channel string, makes func(s *story, n *notifyv1.Notification) *signingv1.SigningEvent) step {
	return func(s *story) { s.add(makes(s, s.notification(who, kind, channel))) }
}

func requested(who *signingv1.Recipient, kind, channel string) step {
	return message(who, kind, channel, func(s *story, n *notifyv1.Notification) *signingv1.SigningEvent {
		return notification.Requested(n, flow.Enricher, s.now)
	})
}

// handed adds a message that was made and handed over on each channel. A text then expects a receipt.
func handed(who *signingv1.Recipient, kind string, channels ...string) step {
	return func(s *story) {
		for _, c := range channels {
			requested(who, kind, c)(s)
			message(who, kind, c, func(s *story, n *notifyv1.Notification) *signingv1.SigningEvent {
				return notification.Sent(n, c+"-sender", s.now, notification.Receipt{
					Reference: "ref", Parts: 1, Expected: c == "sms",
					Composed: notification.Composed{Text: "Hello " + who.GetFirstName() + ": https://sign.acme.example/l/r54cabcdefghijks", Template: "t"},
				})
			})(s)
		}
	}
}

func delivered(who *signingv1.Recipient, kind string) step {
	return func(s *story) {
		s.now = s.now.Add(3100 * time.Millisecond)
		message(who, kind, "sms", func(s *story, n *notifyv1.Notification) *signingv1.SigningEvent {
			return notification.Delivered(n, "sms-sender", s.now, notification.Receipt{Reference: "ref", Parts: 1})
		})(s)
	}
}

func invited(who *signingv1.Recipient) step {
	return func(s *story) {
		handed(who, "invitation", "sms", "email")(s)
		delivered(who, "invitation")(s)
	}
}

func suppressed(who *signingv1.Recipient, kind, channel, reason string) step {
	return message(who, kind, channel, func(s *story, n *notifyv1.Notification) *signingv1.SigningEvent {
		return notification.Suppressed(n, flow.Enricher, s.now, reason)
	})
}

func held(who *signingv1.Recipient, kind, channel, reason string) step {
	return func(s *story) {
		requested(who, kind, channel)(s)
		message(who, kind, channel, func(s *story, n *notifyv1.Notification) *signingv1.SigningEvent {
			s.facts.Held = append(s.facts.Held, document.HeldMessage{
				ID: n.GetId(), Kind: kind, Channel: channel, Reason: reason, Fault: "operator", Since: s.now, Attempts: 3, Next: s.now.Add(45 * time.Minute), Others: 41,
			})
			return notification.Deferred(n, channel+"-sender", s.now, reason, outcome.Operator, "")
		})(s)
	}
}

func deferred(who *signingv1.Recipient, kind, channel, reason string, wait time.Duration) step {
	return func(s *story) {
		requested(who, kind, channel)(s)
		message(who, kind, channel, func(s *story, n *notifyv1.Notification) *signingv1.SigningEvent {
			return notification.DeferredUntil(n, channel+"-sender", s.now, reason, s.now.Add(wait), "later")
		})(s)
	}
}

func givenUp(who *signingv1.Recipient, kind, channel, reason string, whose outcome.Fault) step {
	return func(s *story) {
		requested(who, kind, channel)(s)
		message(who, kind, channel, func(s *story, n *notifyv1.Notification) *signingv1.SigningEvent {
			return notification.Failed(n, channel+"-sender", s.now, reason, whose)
		})(s)
	}
}

func lost(who *signingv1.Recipient, kind, reason string, whose outcome.Fault) step {
	return func(s *story) {
		handed(who, kind, "sms")(s)
		message(who, kind, "sms", func(s *story, n *notifyv1.Notification) *signingv1.SigningEvent {
			return notification.Undelivered(n, "sms-sender", s.now, notification.Receipt{Reference: "ref", Parts: 1, Reason: reason, Fault: whose})
		})(s)
	}
}

// fellBack adds notification.fallback of the text, as libs/fallback makes it.
func fellBack(who *signingv1.Recipient, kind, to, reason string) step {
	return func(s *story) {
		lost := s.notification(who, kind, "sms")
		e := &signingv1.SigningEvent{
			Id: "fallback/" + lost.GetId(), Source: "demo", Provider: s.provider, Type: event.NotificationFallback, OccurredAt: timestamppb.New(s.now),
			Verification: signingv1.Verification_VERIFICATION_INTERNAL, Document: &signingv1.Document{Id: documentID}, Recipient: &signingv1.Recipient{Id: who.GetId()},
			Notice:     &signingv1.Notice{Kind: kind, Channel: "sms", EventId: s.cause, NotificationId: lost.GetId()},
			Attributes: map[string]string{"reason": reason, "from": "sms", "to": to},
		}
		s.add(e)
		s.cause = e.GetId()
	}
}

// own adds an event of Signrelay about a person.
func own(eventType string, who *signingv1.Recipient, attributes map[string]string) step {
	return func(s *story) {
		e := &signingv1.SigningEvent{
			Id: eventType + "/" + strconv.Itoa(len(s.events)), Source: "demo", Provider: s.provider, Type: eventType, OccurredAt: timestamppb.New(s.now),
			Verification: signingv1.Verification_VERIFICATION_INTERNAL, Document: &signingv1.Document{Id: documentID}, Attributes: attributes,
		}
		if who != nil {
			e.Recipient = &signingv1.Recipient{Id: who.GetId()}
		}
		if event.Entity(eventType) == "link" {
			e.Notice = &signingv1.Notice{Kind: "invitation", Channel: "sms"}
		}
		s.add(e)
		if eventType == event.ReminderDue {
			s.cause = e.GetId()
		}
	}
}

func clicked(who *signingv1.Recipient) step {
	return own(event.LinkOpened, who, map[string]string{"certainty": "clicked", "purpose": "sign"})
}

func robot(who *signingv1.Recipient) step {
	return own(event.LinkFetched, who, map[string]string{"client": "proofpoint", "purpose": "sign"})
}

const day = 24 * time.Hour

func reminder(eventType string, who *signingv1.Recipient, number int, after time.Duration, reason string) step {
	return func(s *story) {
		a := map[string]string{
			"number": strconv.Itoa(number), "due": begin.Add(after).Format(time.RFC3339Nano), "invited": begin.Format(time.RFC3339Nano),
		}
		if reason != "" {
			a["reason"] = reason
		}
		own(eventType, who, a)(s)
	}
}

func archived() step {
	return func(s *story) {
		own(event.DocumentArchived, nil, map[string]string{"cause": s.cause})(s)
		s.events[len(s.events)-1].Event.File = &signingv1.File{Kind: "signed", Size: 84 << 10, Sha256: strings.Repeat("9f", 32), Key: "demo/x/d-7f/signed.pdf"}
	}
}

func erased(scope, sequences string) step {
	return func(s *story) {
		own(event.DocumentErased, nil, map[string]string{"scope": scope, "sequences": sequences, "by": "mara", "reason": "ticket 7"})(s)
		s.events[len(s.events)-1].Event.Document.Id = event.ErasedID("demo", s.provider, documentID)
	}
}
