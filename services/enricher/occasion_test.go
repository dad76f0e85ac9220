package enricher

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// once returns an event with the id that a pack creates for it, at this second.
func once(eventType, recipient string, at int64, again ...string) *signingv1.SigningEvent {
	e := happened(eventType, nil)
	if recipient != "" {
		e.Recipient = by(recipient)
	}
	e.OccurredAt = &timestamppb.Timestamp{Seconds: at}
	e.Id = event.TransitionID(e, again...)
	return e
}

// messages returns a plan's messages, as kind, person and channel, and their ids.
func messages(e *signingv1.SigningEvent, document *pack.Document, log []*signingv1.SigningEvent) map[string]string {
	found := map[string]string{}
	source := config.Source{Region: "US", Notify: config.Notify{Sender: config.Sender{Email: "pat@acme.example"}}}
	for _, n := range plan(source, e, document, pastOf(log)).Made {
		key := fmt.Sprint(event.KindName(n.GetKind()), " to ", cmp.Or(n.GetTo().GetRecipientId(), n.GetTo().GetEmail()), " by ", n.GetChannel())
		if n.GetKind().String() == "KIND_PROGRESS" {
			key += " of " + n.GetEventId() // one for each signature
		}
		found[key] = n.GetId()
	}
	return found
}

// permutations yields every order of n things.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, shorter := range permutations(n - 1) {
		for at := range n {
			all = append(all, slices.Insert(slices.Clone(shorter), at, n-1))
		}
	}
	return all
}

// Two people sign first, then the third, then the fourth. The events of the first two are handled in every order, each of them twice. The
// third person always gets the same single invitation.
func TestMessagesDoNotDependOnTheOrderOfEvents(t *testing.T) {
	t.Parallel()
	dee := with(bob, func(r *pack.Recipient) { r.ID, r.Email = "dee", "dee@example.com" }, place(2))
	blind := []pack.Recipient{ann, bob, with(cyd, place(1)), dee} // an API that never returns the signatures
	ahead := []pack.Recipient{with(ann, signed), with(bob, signed), with(cyd, place(1)), dee}
	events := []*signingv1.SigningEvent{
		once(event.DocumentCreated, "", 1), once(event.DocumentSent, "", 2), once(event.RecipientSigned, "ann", 3), once(event.RecipientSigned, "bob", 4),
	}
	for _, test := range []struct {
		name   string
		people []pack.Recipient
		whole  bool // the log has all events from the start
	}{
		{"the API knows all", ahead, false}, {"the log knows all", blind, true}, {"both know all", ahead, true}, {"both lag", blind, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var first map[string]string
			for _, order := range permutations(len(events)) {
				var log []*signingv1.SigningEvent
				if test.whole {
					log = events
				}
				ids := map[string]string{}
				for range 2 { // each event again
					for _, i := range order {
						if !test.whole && !slices.Contains(log, events[i]) {
							log = append(slices.Clone(log), events[i])
						}
						for key, id := range messages(events[i], &pack.Document{Recipients: test.people}, log) {
							if ids[key] != "" && ids[key] != id {
								t.Fatalf("order %v: %s has two ids", order, key)
							}
							ids[key] = id
						}
					}
				}
				if ids["invitation to cyd by CHANNEL_SMS"] == "" || ids["invitation to cyd by CHANNEL_EMAIL"] == "" {
					t.Fatalf("order %v: the third is not invited: %v", order, ids)
				}
				if _, ok := ids["invitation to dee by CHANNEL_EMAIL"]; ok {
					t.Fatalf("order %v: the fourth is invited", order)
				}
				if first == nil {
					first = ids
				}
				// If the API and the log lag behind, the data of an event depends on the order; otherwise it does not.
				if lag := !test.whole && !test.people[0].Signed; !lag && !maps.Equal(ids, first) {
					t.Fatalf("order %v: messages %v, another order %v", order, ids, first)
				}
				for key, id := range ids {
					if other, ok := first[key]; ok && other != id {
						t.Fatalf("order %v: %s has another id than in another order", order, key)
					}
				}
			}
		})
	}
}

// A provider may list its people in another order, with another link, on the retry.
func TestIDsDoNotDependOnTheProvidersOrder(t *testing.T) {
	t.Parallel()
	dee := pack.Recipient{Email: "dee@example.com", Wants: onEmail, Invite: true, SigningURL: "https://p.example/dee"} // without an id
	other := func(r *pack.Recipient) { r.SigningURL += "?2" }
	first := messages(once(event.DocumentSent, "", 1), &pack.Document{Recipients: []pack.Recipient{ann, dee, cyd}}, nil)
	again := messages(once(event.DocumentSent, "", 1), &pack.Document{Recipients: []pack.Recipient{with(cyd, other), with(dee, other), ann}}, nil)
	if len(first) != 4 || !maps.Equal(first, again) {
		t.Errorf("messages %v, then %v", first, again)
	}
}

func TestSendingAgainInvitesAgain(t *testing.T) {
	t.Parallel()
	document := &pack.Document{Recipients: []pack.Recipient{with(bob, signed), with(ann, place(1))}}
	one, two, signature := once(event.DocumentSent, "", 1, "activity-1"), once(event.DocumentSent, "", 9, "activity-2"), once(event.RecipientSigned, "bob", 5)
	const invitation = "invitation to ann by CHANNEL_SMS"
	first := messages(one, document, []*signingv1.SigningEvent{one})[invitation]
	before := messages(signature, document, []*signingv1.SigningEvent{signature, one})[invitation]
	second := messages(two, document, []*signingv1.SigningEvent{two, one})[invitation]
	late := messages(one, document, []*signingv1.SigningEvent{one, two})[invitation] // handled when both are in the log
	after := messages(signature, document, []*signingv1.SigningEvent{two, signature, one})[invitation]
	if first == "" || first != before || first != late || first == second || second != after {
		t.Errorf("invited as %s, %s, %s; sent again: %s, %s", first, before, late, second, after)
	}
}

// Each contract that a person declines, and each report of a signature or an expiry, is an event. Recipients get one message
// for a sending, and another one if the next sending ends the same way.
func TestSeveralEventsCauseOneMessageForEachSending(t *testing.T) {
	t.Parallel()
	document := &pack.Document{Recipients: []pack.Recipient{ann, with(bob, declined)}}
	signers := &pack.Document{Recipients: []pack.Recipient{ann, with(bob, signed), cyd}}
	sent, again := once(event.DocumentSent, "", 1, "B1"), once(event.DocumentSent, "", 5, "B3")
	for name, c := range map[string]struct {
		document     *pack.Document
		first, other *signingv1.SigningEvent // of the first sending
		later        *signingv1.SigningEvent // of the second
	}{
		"a decline on two contracts": {document, once(event.RecipientDeclined, "bob", 2, "A1", "1"), once(event.RecipientDeclined, "bob", 3, "A2", "2"), once(event.RecipientDeclined, "bob", 6, "A3", "1")},
		"an expiry":                  {document, once(event.DocumentExpired, "", 2, "t2"), once(event.DocumentExpired, "", 3, "t3"), once(event.DocumentExpired, "", 6, "t6")},
		"a signature":                {signers, once(event.RecipientSigned, "bob", 2, "A1"), once(event.RecipientSigned, "bob", 3, "A2"), once(event.RecipientSigned, "bob", 6, "A3")},
	} {
		ids := func(e *signingv1.SigningEvent, log ...*signingv1.SigningEvent) string {
			all := slices.Sorted(maps.Values(messages(e, c.document, log)))
			if len(all) == 0 {
				t.Fatalf("%s: no messages", name)
			}
			return fmt.Sprint(all)
		}
		first := ids(c.first, sent)
		for when, got := range map[string]string{
			"from another event": ids(c.other, sent, c.first), "before the sending is known": ids(c.first),
			"when it was sent again": ids(c.first, sent, again), "when it was sent again, from another event": ids(c.other, again, sent, c.first),
		} {
			if got != first {
				t.Errorf("%s, %s: id %s, before %s", name, when, got, first)
			}
		}
		if later := ids(c.later, sent, again, c.first); later == first {
			t.Errorf("%s: the messages of the second sending have the ids of the first sending, so the senders drop them", name)
		}
	}
}

func TestADeclineCausesOneMessageForEachRecipient(t *testing.T) {
	t.Parallel()
	document := &pack.Document{Recipients: []pack.Recipient{ann, with(bob, declined)}}
	byDocument, byPerson := once(event.DocumentDeclined, "", 1), once(event.RecipientDeclined, "bob", 1)
	if one, other := messages(byDocument, document, nil), messages(byPerson, document, nil); len(one) != 2 || !maps.Equal(one, other) {
		t.Errorf("messages %v and %v", one, other)
	}
	// The control: a different fact causes a different message.
	if one, other := messages(once(event.DocumentVoided, "", 1), document, nil), messages(once(event.DocumentExpired, "", 1), document, nil); len(one) != 2 || maps.Equal(one, other) {
		t.Errorf("messages %v and %v", one, other)
	}
}
