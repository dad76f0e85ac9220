package document_test

import (
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/document"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/outcome"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// What Insight counts for a person: first sent, delivered, opened by a person, signed, the message before the signature, reminders, text parts.
func TestInsight(t *testing.T) {
	t.Parallel()
	s := play(t, "pleasesign", sent(), invited(olivia), robot(olivia), pass(3*day), reminder(event.ReminderDue, olivia, 1, 3*day, ""), handed(olivia, "reminder", "sms"),
		pass(4*day), reminder(event.ReminderDue, olivia, 2, 7*day, ""), handed(olivia, "reminder", "email"), pass(time.Hour), clicked(olivia), pass(time.Minute), signed(olivia),
		completed(), handed(olivia, "completed", "sms"))
	p := s.document().People[0]
	if got := p.FirstSent.Sub(begin); got <= 0 || got > time.Second {
		t.Errorf("first sent %v after the callback", got)
	}
	if got := p.Delivered.Sub(p.FirstSent); got < 3*time.Second || got > 4*time.Second {
		t.Errorf("delivered %v after it was sent", got)
	}
	if got := p.SignedAt.Sub(p.Opened.At); got <= 0 || got > time.Minute {
		t.Errorf("signed %v after a person opened the link", got)
	}
	if p.Opened.Certainty != document.Clicked || p.Opened.Robots != 1 || p.Opened.Times != 1 {
		t.Errorf("opened: %+v", p.Opened)
	}
	last := p.LastBefore(p.SignedAt)
	if last == nil || last.Kind != "reminder" || last.Channel != "email" || last.Number != 2 {
		t.Errorf("the message before the signature is %+v", last)
	}
	if p.Reminded() != 2 || p.TextParts != 3 {
		t.Errorf("%d reminders and %d parts, want 2 and 3", p.Reminded(), p.TextParts)
	}
}

// What occurred first does not set back what the log learned first: the events of a story in the other order have the same result.
func TestOrderOfTheLog(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"clickwrap", "pleasesign", "esign-v1"} {
		s := play(t, provider, sent(), openedAt(olivia), signed(olivia), reported(event.RecipientSent, jack), signed(jack), completed())
		var forwards, backwards document.Document
		for i, e := range s.events {
			forwards.Apply(e.Event, uint64(i+1))
			backwards.Apply(s.events[len(s.events)-1-i].Event, uint64(i+1))
		}
		if forwards.State != backwards.State || !forwards.EndedAt.Equal(backwards.EndedAt) || !forwards.SentAt.Equal(backwards.SentAt) || !forwards.LastAt.Equal(backwards.LastAt) {
			t.Errorf("%s: forwards %s %v, backwards %s %v", provider, forwards.State, forwards.EndedAt, backwards.State, backwards.EndedAt)
		}
		for _, p := range forwards.People {
			q := backwards.People[backwards.Find(&signingv1.Recipient{Id: p.ID})]
			if p.State != q.State || !p.SignedAt.Equal(q.SignedAt) || !p.Opened.At.Equal(q.Opened.At) || p.FullName() != q.FullName() {
				t.Errorf("%s: %+v and %+v", provider, p, q)
			}
		}
	}
}

// A receipt may arrive before the report that the text was handed over, and a delivery is not revoked.
func TestReceiptFirst(t *testing.T) {
	t.Parallel()
	s := play(t, "clickwrap", sent(), lost(olivia, "invitation", "unroutable", outcome.Provider), delivered(olivia, "invitation"))
	var d document.Document
	order := []int{0, 4, 3, 2, 1} // sent, the delivery, the failure, handed over, requested
	for i, n := range order {
		d.Apply(s.events[n].Event, uint64(i+1))
	}
	m := d.People[0].Messages[0]
	if len(d.People[0].Messages) != 1 || m.Outcome != document.Delivered || m.Parts != 1 {
		t.Errorf("message %+v", m)
	}
}

// document.updated adds data, and an earlier report does not replace what a later one said.
func TestUpdated(t *testing.T) {
	t.Parallel()
	at := func(minute int, eventType string, d *signingv1.Document, r *signingv1.Recipient) *signingv1.SigningEvent {
		return &signingv1.SigningEvent{Type: eventType, Verification: signingv1.Verification_VERIFICATION_HMAC, OccurredAt: stamp(minute), Document: d, Recipient: r}
	}
	var d document.Document
	d.Apply(at(1, event.DocumentSent, &signingv1.Document{Id: "x"}, nil), 1)
	d.Apply(at(5, event.DocumentUpdated, &signingv1.Document{Id: "x", Title: "Lease"}, &signingv1.Recipient{Id: "p", FirstName: "Ann", LastName: "Lee"}), 2)
	d.Apply(at(3, event.RecipientSent, &signingv1.Document{Id: "x", Title: "Draft"}, &signingv1.Recipient{Id: "p", FirstName: "A.", Email: "ann@example.com"}), 3)
	if d.Title != "Lease" || d.People[0].FullName() != "Ann Lee" || d.People[0].Email != "ann@example.com" || d.State != document.Waiting || len(d.People) != 1 {
		t.Errorf("%+v", d)
	}
}

// People are joined by the id; without one, by an address or a name that one person has. A shared address joins no one.
func TestPeople(t *testing.T) {
	t.Parallel()
	report := func(r *signingv1.Recipient) *signingv1.SigningEvent {
		return &signingv1.SigningEvent{Type: event.RecipientOpened, Verification: signingv1.Verification_VERIFICATION_TOKEN, OccurredAt: stamp(1), Document: &signingv1.Document{Id: "x"}, Recipient: r}
	}
	for _, c := range []struct {
		name   string
		events []*signingv1.Recipient
		people []string
	}{
		{"the name comes later", []*signingv1.Recipient{{Id: "a"}, {Id: "a", FirstName: "Ann"}}, []string{"Ann"}},
		{"the id comes later", []*signingv1.Recipient{{FirstName: "Ann", Email: "ann@example.com"}, {Id: "a", Email: "Ann@example.com"}}, []string{"Ann"}},
		{"by the address alone", []*signingv1.Recipient{{Id: "a", FirstName: "Ann", Email: "ann@example.com"}, {Email: "ann@example.com"}}, []string{"Ann"}},
		{"one address, two people", []*signingv1.Recipient{{Id: "a", FirstName: "Ann", Email: "x@example.com"}, {Id: "b", FirstName: "Ben", Email: "x@example.com"}, {FirstName: "Ben", Email: "x@example.com"}}, []string{"Ann", "Ben"}},
		{"one name, two ids", []*signingv1.Recipient{{Id: "a", FirstName: "Ann"}, {Id: "b", FirstName: "Ann"}}, []string{"Ann", "Ann"}},
		{"no data at all", []*signingv1.Recipient{{Mobile: "61491570006"}}, nil},
	} {
		var d document.Document
		for i, r := range c.events {
			d.Apply(report(r), uint64(i+1))
		}
		var names []string
		for i := range d.People {
			names = append(names, d.NameOf(i))
		}
		if len(names) != len(c.people) {
			t.Errorf("%s: %v, want %v", c.name, names, c.people)
			continue
		}
		for i := range names {
			if names[i] != c.people[i] {
				t.Errorf("%s: %v, want %v", c.name, names, c.people)
			}
		}
	}
}

// A document with 300 signers makes 300 progress messages to each of them. It keeps a few, and all text parts.
func TestManySigners(t *testing.T) {
	t.Parallel()
	s := play(t, "pleasesign", sent())
	for i := range 300 {
		s.cause = event.OccurrenceID(&signingv1.SigningEvent{Source: "demo"}, string(rune('a'+i%26)), string(rune('a'+i/26)))
		handed(olivia, "progress", "sms")(s)
	}
	p := s.document().People[0]
	if len(p.Messages) > 8 || p.TextParts != 300 {
		t.Errorf("%d messages and %d parts", len(p.Messages), p.TextParts)
	}
}

// The pages' model of the story in docs/: the lag of each hop, and the steps to come.
func TestLanes(t *testing.T) {
	t.Parallel()
	s := play(t, "pleasesign", sent(), signers(olivia, jack), invited(olivia), robot(olivia), pass(17*time.Minute), clicked(olivia), pass(11*time.Minute), signed(olivia), invited(jack))
	ex := document.Explain(s.document(), s.events, s.facts, s.now)
	if len(ex.Lanes) != 2 || ex.Lanes[0].Order != 1 || ex.Lanes[1].Order != 2 || ex.Lanes[0].Badge.Text != "Signed" {
		t.Fatalf("lanes %+v", ex.Lanes)
	}
	names := func(track document.Track) (all []string) {
		for _, h := range track.Hops {
			name := h.Name
			if h.Is != "" {
				name += "/" + string(h.Is)
			}
			all = append(all, name)
		}
		return all
	}
	for _, c := range []struct {
		lane, track int
		title       string
		hops        []string
	}{
		{0, 0, "Invitation", []string{"Callback", "Person found", "Short link", "Handed over", "Delivered"}},
		{0, 1, "Invitation", []string{"Callback", "Person found", "Short link", "Handed over"}},
		{0, 2, "The link", []string{"Notified", "Opened", "Opened", "Signed"}},
		{1, 2, "The link", []string{"Notified", "Opened/next", "Signed/next"}},
	} {
		track := ex.Lanes[c.lane].Tracks[c.track]
		if got := names(track); track.Title != c.title || len(got) != len(c.hops) {
			t.Errorf("%s: %v, want %s: %v", track.Title, got, c.title, c.hops)
			continue
		}
		for i, got := range names(track) {
			if got != c.hops[i] {
				t.Errorf("%s: hop %d is %s, want %s", c.title, i, got, c.hops[i])
			}
		}
	}
	link := ex.Lanes[0].Tracks[2].Hops
	if !link[1].Robot || link[1].Lag.Round(time.Minute) != 17*time.Minute || link[2].Lag.Round(time.Minute) != 11*time.Minute {
		t.Errorf("the link: %+v", link)
	}
}

// The timeline has for each event a kind, a badge, the lag of its hop, the text, and where the raw callback is.
func TestTimeline(t *testing.T) {
	t.Parallel()
	s := play(t, "pleasesign", sent(), invited(olivia), robot(olivia), clicked(olivia), signed(olivia), completed(), archived())
	s.events[0].Event.Callback = &signingv1.Callback{Id: "c1", Method: "POST", Key: "webhook.secrets[0]"}
	ex := document.Explain(s.document(), s.events, s.facts, s.now)
	if len(ex.Timeline) != len(s.events) {
		t.Fatalf("%d entries of %d events", len(ex.Timeline), len(s.events))
	}
	found := map[string]document.Entry{}
	for _, e := range ex.Timeline {
		found[e.Title] = e
	}
	for _, c := range []struct {
		title string
		kind  document.EntryKind
		badge string
		lag   time.Duration
	}{
		{"The document was sent", document.KindCallback, "HMAC", 190 * time.Millisecond},
		{"Text to Olivia Nguyen was delivered", document.KindMessage, "receipt", 3130 * time.Millisecond},
		{"E-mail to Olivia Nguyen was handed over", document.KindMessage, "", time.Millisecond},
		{"A robot opened Olivia Nguyen’s link", document.KindClick, "", 0},
		{"A person opened Olivia Nguyen’s link", document.KindClick, "", 0},
		{"Olivia Nguyen signed", document.KindCallback, "HMAC", 190 * time.Millisecond},
		{"The signed file was archived", document.KindOther, "", 0},
	} {
		e, ok := found[c.title]
		if !ok || e.Kind != c.kind || e.Badge != c.badge || e.Lag != c.lag {
			t.Errorf("%s: %+v", c.title, e)
		}
	}
	if e := found["The document was sent"]; e.Callback != "c1" || !e.Carries || e.Key == "" || e.ProviderType != "document.created" {
		t.Errorf("the callback: %+v", e)
	}
	if e := found["E-mail to Olivia Nguyen was handed over"]; e.Text != "Hello Olivia: https://sign.acme.example/l/…" {
		t.Errorf("the text: %q", e.Text)
	}
}

// Three reminders, the next of them scheduled: the others follow from the settings.
func TestNext(t *testing.T) {
	t.Parallel()
	s := play(t, "clickwrap", sent(), reported(event.RecipientSent, olivia), invited(olivia), threeReminders, reminder(event.ReminderScheduled, olivia, 1, 3*day, ""),
		facts(func(f *document.Facts) { f.ExpiresAt, f.Archives, f.FallbackAfter = begin.Add(10*day), true, time.Hour }))
	ex := document.Explain(s.document(), s.events, s.facts, s.now)
	want := []struct {
		after time.Duration
		text  string
	}{
		{3 * day, "Reminder 1 of 3 to Olivia Nguyen, by text and e-mail"}, {7 * day, "Reminder 2 of 3 to Olivia Nguyen"},
		{10 * day, "The document expires at Clickwrap"}, // before the third reminder
		{0, "Olivia Nguyen gets the completion message with a link to the signed file, and the file is archived"},
	}
	if len(ex.Next) != len(want) {
		t.Fatalf("next %+v", ex.Next)
	}
	for i, n := range ex.Next {
		if n.Text != want[i].text || want[i].after > 0 && !n.At.Equal(begin.Add(want[i].after)) {
			t.Errorf("next %d is %+v, want %+v", i, n, want[i])
		}
	}
}

func BenchmarkApply(b *testing.B) {
	s := play(b, "pleasesign", sent(), invited(olivia), robot(olivia), clicked(olivia), signed(olivia), invited(jack), openedAt(jack), signed(jack), completed(), handed(olivia, "completed", "sms"))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		var d document.Document
		for _, e := range s.events {
			d.Apply(e.Event, e.Sequence)
			n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
}

func BenchmarkExplain(b *testing.B) {
	s := play(b, "pleasesign", sent(), invited(olivia), robot(olivia), clicked(olivia), signed(olivia), invited(jack), openedAt(jack), signed(jack), completed(), handed(olivia, "completed", "sms"))
	d := s.document()
	for b.Loop() {
		document.Explain(d, s.events, s.facts, s.now)
	}
}
