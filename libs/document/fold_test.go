package document_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

var begin = time.Date(2026, 11, 24, 20, 2, 7, 402e6, time.UTC)

// anyEvent draws an event of one document, with few people and few times, so that facts meet.
func anyEvent(t *rapid.T, n int) *signingv1.SigningEvent {
	types := make([]string, len(event.Types))
	for i, typ := range event.Types {
		types[i] = typ.Name
	}
	e := &signingv1.SigningEvent{
		Id: fmt.Sprintf("event%d", n), Source: "demo", Provider: "pleasesign", Type: rapid.SampledFrom(types).Draw(t, "type"),
		OccurredAt:   timestamppb.New(begin.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "minute")) * time.Minute)),
		Verification: signingv1.Verification(rapid.IntRange(1, 6).Draw(t, "verification")),
		Document:     &signingv1.Document{Id: "d1", Title: rapid.SampledFrom([]string{"", "Lease", "Contract"}).Draw(t, "title")},
		Attributes: map[string]string{
			"channel": rapid.SampledFrom([]string{"sms", "all"}).Draw(t, "wish"), "number": rapid.SampledFrom([]string{"1", "2", "x"}).Draw(t, "number"),
			"due": begin.Add(time.Hour).Format(time.RFC3339), "to": "email", "scope": rapid.SampledFrom([]string{"person", "person", "document"}).Draw(t, "scope"),
			"sequences": rapid.SampledFrom([]string{"1", "2-4", "30-40"}).Draw(t, "sequences"), "certainty": rapid.SampledFrom([]string{"clicked", "fetched", ""}).Draw(t, "certainty"),
			"purpose": rapid.SampledFrom([]string{"sign", "download"}).Draw(t, "purpose"),
		},
		Notice: &signingv1.Notice{
			NotificationId: rapid.SampledFrom([]string{"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"}).Draw(t, "notification"),
			Kind:           rapid.SampledFrom([]string{"invitation", "reminder", "progress", "completed"}).Draw(t, "kind"),
			Channel:        rapid.SampledFrom([]string{"sms", "email"}).Draw(t, "channel"), EventId: fmt.Sprintf("event%d", rapid.IntRange(1, 5).Draw(t, "cause")),
			Reference: rapid.SampledFrom([]string{"", "r"}).Draw(t, "reference"), Parts: uint32(rapid.IntRange(0, 3).Draw(t, "parts")),
			Reason: rapid.SampledFrom([]string{"", "no-address", "signed"}).Draw(t, "reason"),
		},
		File: &signingv1.File{Kind: "signed", Sha256: "ab", Size: 3},
	}
	if rapid.Bool().Draw(t, "waits") {
		e.Attributes["until"] = begin.Add(9 * time.Hour).Format(time.RFC3339)
	}
	e.Attributes["order"] = fmt.Sprintf("event%d", rapid.IntRange(1, 5).Draw(t, "order"))
	if e.GetType() == event.RecipientCorrected {
		e.Attributes["scope"] = rapid.SampledFrom([]string{event.AtProvider, event.OwnMessages}).Draw(t, "corrected at")
		e.Attributes["previous"] = rapid.SampledFrom([]string{"", "p0", "p1"}).Draw(t, "previous")
		e.Attributes["previous_email"] = "shared@example.com"
	}
	if who := rapid.IntRange(0, 5).Draw(t, "who"); who > 0 {
		e.Recipient = []*signingv1.Recipient{
			{Id: "p1"}, {Id: "p1", FirstName: "Olivia", LastName: "Nguyen", Email: "shared@example.com"},
			{Id: "p2", Email: "shared@example.com"}, {FirstName: "Jack", LastName: "Wilson"}, {Id: "p0", FirstName: "Oliva", Email: "oliva@example.com"},
		}[who-1]
	}
	return e
}

func anyEvents(t *rapid.T) []*signingv1.SigningEvent {
	events := make([]*signingv1.SigningEvent, rapid.IntRange(1, 40).Draw(t, "events"))
	for i := range events {
		events[i] = anyEvent(t, i+1)
	}
	return events
}

func marshalled(t testing.TB, d document.Document) document.Document {
	t.Helper()
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var back document.Document
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// The JSON has everything that the fold needs: a fold that is stored after each event has the same result as one that is not.
func TestFoldThroughJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var kept, stored document.Document
		for i, e := range anyEvents(rt) {
			kept.Apply(e, uint64(i+1))
			stored.Apply(e, uint64(i+1))
			stored = marshalled(t, stored)
		}
		if diff := cmp.Diff(marshalled(t, kept), stored); diff != "" {
			rt.Fatalf("the stored fold differs (-kept +stored):\n%s", diff)
		}
		if diff := cmp.Diff(kept, marshalled(t, kept)); diff != "" {
			rt.Fatalf("JSON loses something:\n%s", diff)
		}
	})
}

// A consumer that reads a part of the log again changes nothing.
func TestPrefixAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		events := anyEvents(rt)
		var d document.Document
		for i, e := range events {
			d.Apply(e, uint64(i+1))
		}
		before := marshalled(t, d)
		for i, e := range events[:rapid.IntRange(0, len(events)).Draw(rt, "prefix")] {
			d.Apply(e, uint64(i+1))
		}
		if diff := cmp.Diff(before, marshalled(t, d)); diff != "" {
			rt.Fatalf("a repeated prefix changed the document:\n%s", diff)
		}
	})
}

// The fold decides as event.PastOf, the law of the enricher and the reminder, for events in any order.
func TestSameLawAsPastOf(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var events []*signingv1.SigningEvent
		var d document.Document
		for i, n := 0, rapid.IntRange(1, 12).Draw(rt, "events"); i < n; i++ {
			e := anyEvent(rt, i+1)
			e.Type = rapid.SampledFrom(event.PastTypes).Draw(rt, "past type")
			switch e.GetType() {
			case event.RecipientSigned, event.RecipientDeclined: // a provider does not correct a person who has signed or declined
				if e.GetRecipient().GetId() == "p0" {
					e.Recipient.Id = "p1"
				}
			case event.RecipientCorrected: // an id that was replaced is not used again
				e.Attributes["previous"] = "p0"
				if e.GetRecipient().GetId() == "p0" {
					e.Recipient.Id = "p1"
				}
			}
			if e.GetRecipient().GetId() == "" {
				e.Recipient = nil // the fold also finds a person by a name, which the law of ids does not
			}
			events = append(events, e)
			d.Apply(e, uint64(i+1))
		}
		past := event.PastOf(events)
		if want := past.Ended; d.State.Ended() != want {
			rt.Fatalf("ended is %v, event.PastOf says %v", d.State.Ended(), want)
		}
		if want := past.Completed; (d.State == document.Completed) != want {
			rt.Fatalf("state is %s, event.PastOf says completed %v", d.State, want)
		}
		if signed, _ := d.Signed(); signed != len(past.Signatures) {
			rt.Fatalf("%d signed, event.PastOf says %d", signed, len(past.Signatures))
		}
		if !d.SentAt.Equal(past.Sent()) {
			rt.Fatalf("sent at %v, event.PastOf says %v", d.SentAt, past.Sent())
		}
		for _, p := range d.People {
			if want := past.SignedBy(p.ID); (p.State == document.SignedState) != want {
				rt.Fatalf("%s is %s, event.PastOf says signed %v", p.ID, p.State, want)
			}
		}
		for id, c := range past.Corrections {
			if i := d.Find(&signingv1.Recipient{Id: id}); id != "" && (i < 0 || !d.People[i].CorrectedAt.Equal(c.At)) {
				rt.Fatalf("%s is %+v, event.PastOf says %+v", id, d.People[i], c)
			}
		}
	})
}

func stamp(minute int) *timestamppb.Timestamp {
	return timestamppb.New(begin.Add(time.Duration(minute) * time.Minute))
}
