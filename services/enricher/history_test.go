package enricher

import (
	"slices"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/recipient"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func pastOf(events []*signingv1.SigningEvent) history { return history{Past: event.PastOf(events)} }

// A document's end does not depend on the order of its events.
func TestHistoryOfEndings(t *testing.T) {
	t.Parallel()
	unauthenticated := once(event.DocumentCompleted, "", 5)
	unauthenticated.Verification = signingv1.Verification_VERIFICATION_NONE
	for _, test := range []struct {
		name             string
		events           []*signingv1.SigningEvent
		completed, ended bool
	}{
		{"nothing", nil, false, false},
		{"sent", []*signingv1.SigningEvent{once(event.DocumentSent, "", 1)}, false, false},
		{"completed", []*signingv1.SigningEvent{once(event.DocumentSent, "", 1), once(event.DocumentCompleted, "", 5)}, true, true},
		{"completed, without authentication", []*signingv1.SigningEvent{unauthenticated}, false, false},
		{"declined", []*signingv1.SigningEvent{once(event.DocumentSent, "", 1), once(event.DocumentDeclined, "", 5)}, false, true},
		{"voided", []*signingv1.SigningEvent{once(event.DocumentVoided, "", 5)}, false, true},
		{"expired", []*signingv1.SigningEvent{once(event.DocumentSent, "", 1), once(event.DocumentExpired, "", 5)}, false, true},
		{"expired and sent again", []*signingv1.SigningEvent{once(event.DocumentSent, "", 1), once(event.DocumentExpired, "", 5), once(event.DocumentSent, "", 9, "again")}, false, false},
		{"completed and sent again", []*signingv1.SigningEvent{once(event.DocumentCompleted, "", 5), once(event.DocumentSent, "", 9, "again")}, true, true},
		{"refused", []*signingv1.SigningEvent{once(event.DocumentSent, "", 1), once(event.RecipientDeclined, "bob", 5)}, false, true},
		{"declined, and then signed", []*signingv1.SigningEvent{once(event.RecipientDeclined, "bob", 5), once(event.RecipientSigned, "bob", 6)}, false, false},
		{"declined, and sent again", []*signingv1.SigningEvent{once(event.RecipientDeclined, "bob", 5), once(event.DocumentSent, "", 9)}, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, order := range permutations(len(test.events)) {
				var past []*signingv1.SigningEvent
				for _, i := range order {
					past = append(past, test.events[i])
				}
				if got := pastOf(past); got.Completed != test.completed || got.Ended != test.ended {
					t.Errorf("order %v: completed %v, ended %v", order, got.Completed, got.Ended)
				}
			}
		})
	}
}

func TestHistoryOfPeople(t *testing.T) {
	t.Parallel()
	unnamed, anotherUnnamed := once(event.RecipientSigned, "", 3), once(event.RecipientSigned, "", 4)
	anotherUnnamed.Id = "another"
	past := pastOf([]*signingv1.SigningEvent{
		once(event.RecipientSigned, "ann", 1), once(event.RecipientSigned, "ann", 2), unnamed, anotherUnnamed, once(event.RecipientDeclined, "bob", 5),
		once(event.DocumentSent, "", 6, "b"), once(event.DocumentSent, "", 2, "a"),
	})
	if len(past.Signatures) != 3 || past.Declined["bob"] || recipient.Sendings(past.Sendings).Latest() != once(event.DocumentSent, "", 6, "b").GetId() {
		t.Errorf("%d signatures, declined %v, sent as %s", len(past.Signatures), past.Declined, recipient.Sendings(past.Sendings).Latest())
	}
	if past := pastOf([]*signingv1.SigningEvent{once(event.DocumentSent, "", 2), once(event.RecipientDeclined, "bob", 5)}); !past.Declined["bob"] {
		t.Error("bob's decline is not in the history")
	}
}

func TestMessagesAfterTheEndAreTooLate(t *testing.T) {
	t.Parallel()
	for eventType, late := range map[string][]pack.Status{
		event.DocumentCreated:        {pack.StatusCompleted, pack.StatusDeclined, pack.StatusVoided, pack.StatusExpired},
		event.DocumentSent:           {pack.StatusCompleted, pack.StatusDeclined, pack.StatusVoided, pack.StatusExpired},
		event.RecipientSigned:        {pack.StatusCompleted, pack.StatusDeclined, pack.StatusVoided, pack.StatusExpired},
		event.RecipientUndeliverable: {pack.StatusCompleted, pack.StatusDeclined, pack.StatusVoided, pack.StatusExpired},
		event.DocumentCompleted:      {},
		event.DocumentDeclined:       {pack.StatusCompleted},
		event.RecipientDeclined:      {pack.StatusCompleted},
		event.DocumentVoided:         {pack.StatusCompleted},
		event.DocumentExpired:        {pack.StatusCompleted},
	} {
		for _, status := range []pack.Status{
			pack.StatusUnknown, pack.StatusOpen, pack.StatusCompleted, pack.StatusDeclined, pack.StatusVoided, pack.StatusExpired,
		} {
			want := slices.Contains(late, status)
			if got := over(happened(eventType, nil), status == pack.StatusCompleted, ended(status)); got != want {
				t.Errorf("%s of a document that is %q: too late is %v, want %v", eventType, status, got, want)
			}
		}
	}
}

// The log has the event itself. If it does not, the response about its types may be incomplete.
func TestTypesAreSkippedOnlyIfTheLogHasTheEvent(t *testing.T) {
	t.Parallel()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	e := &enricher{log: event.Log{JS: js, Stream: flow.Signing}}
	store := func(happened *signingv1.SigningEvent) {
		m, err := event.Message(t.Context(), happened)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	sent := once(event.DocumentSent, "", 1)
	store(once(event.DocumentVoided, "", 5))
	types, err := e.present(t.Context(), sent, event.PastTypes)
	if err != nil || !slices.Equal(types, event.PastTypes) {
		t.Errorf("without the event: %v, %v; want all types", types, err)
	}
	store(sent)
	types, err = e.present(t.Context(), sent, event.PastTypes)
	if want := []string{event.DocumentSent, event.DocumentVoided}; err != nil || !slices.Equal(types, want) {
		t.Errorf("with the event: %v, %v; want %v", types, err, want)
	}
}
