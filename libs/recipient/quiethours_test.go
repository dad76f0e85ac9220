package recipient

import (
	"slices"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// toOne returns the messages to one person of a document.
func toOne(t *testing.T, source config.Source, kind notifyv1.Kind, who pack.Recipient, others ...pack.Recipient) []*notifyv1.Notification {
	t.Helper()
	m := Maker{Source: source, Happened: once(event.DocumentSent, "", 1), Document: &pack.Document{Status: pack.StatusOpen}}
	people := Distinct(append([]pack.Recipient{who}, others...))
	m.People(people)
	m.Notify(m.About(kind), people[0])
	return m.Made
}

// A message has the quiet hours of its source and the zones of its person's number; an e-mail has them, too. A person without a number has only the
// source's zone, and an invitation has no quiet hours.
func TestMessagesCarryTheirQuietHours(t *testing.T) {
	t.Parallel()
	source := config.Source{Region: "US", QuietHours: config.DefaultQuietHours()}
	both := []notifyv1.Channel{event.SMS, event.Email}
	for name, row := range map[string]struct {
		mobile string
		kind   notifyv1.Kind
		zones  int // -1: no quiet hours
	}{
		"an American number":   {"(317) 555-1234", notifyv1.Kind_KIND_REMINDER, 1},
		"a British number":     {"+44 7911 123456", notifyv1.Kind_KIND_PROGRESS, 3},
		"a toll-free number":   {"+1 800 555 1234", notifyv1.Kind_KIND_COMPLETED, 42},
		"no number":            {"", notifyv1.Kind_KIND_REMINDER, 0},
		"an unreadable number": {"call me", notifyv1.Kind_KIND_REMINDER, 0},
		"an invitation":        {"(317) 555-1234", notifyv1.Kind_KIND_INVITATION, -1},
	} {
		made := toOne(t, source, row.kind, pack.Recipient{ID: "p", Email: "eric@reader.example", Mobile: row.mobile, SigningURL: "https://sign.example/p", Wants: both})
		if len(made) == 0 {
			t.Errorf("%s: no message", name)
		}
		for _, n := range made {
			q := n.GetQuietHours()
			if (q == nil) != (row.zones < 0) {
				t.Errorf("%s: %v", name, n)
			} else if q != nil && (len(q.GetZones()) != row.zones || q.GetFrom() != 21*60 || q.GetTo() != 8*60 || q.GetHomeZone() != "America/New_York") {
				t.Errorf("%s: %v", name, q)
			}
		}
	}
	source.QuietHours = config.NoQuietHours()
	made := toOne(t, source, notifyv1.Kind_KIND_REMINDER, pack.Recipient{ID: "p", Mobile: "+13175551234", SigningURL: "https://sign.example/p", Wants: both[:1]})
	if len(made) != 1 || made[0].GetQuietHours() != nil {
		t.Errorf("they are off: %v", made)
	}
}

// A text names the person's e-mail, also if the person wants texts only: it has the id that the e-mail itself would have. A person who must not get
// e-mails has no alternative.
func TestATextNamesThePersonsOtherChannel(t *testing.T) {
	t.Parallel()
	source := config.Source{Region: "US"}
	sms, both := []notifyv1.Channel{event.SMS}, []notifyv1.Channel{event.SMS, event.Email}
	person := pack.Recipient{ID: "p", Email: "eric@reader.example", Mobile: "+13175551234", SigningURL: "https://sign.example/p"}
	wants := func(channels []notifyv1.Channel) pack.Recipient {
		return with(person, func(r *pack.Recipient) { r.Wants = channels })
	}
	onBoth := toOne(t, source, notifyv1.Kind_KIND_REMINDER, wants(both))
	if len(onBoth) != 2 || onBoth[1].GetAlternative() != nil || onBoth[0].GetAlternative().GetId() != onBoth[1].GetId() {
		t.Fatalf("%v", onBoth)
	}
	only := toOne(t, source, notifyv1.Kind_KIND_REMINDER, wants(sms))
	if a := only[0].GetAlternative(); len(only) != 1 || a.GetId() != onBoth[1].GetId() || a.GetChannel() != event.Email || a.GetTo().GetEmail() != person.Email {
		t.Errorf("%v", only)
	}
	shared := toOne(t, source, notifyv1.Kind_KIND_REMINDER, wants(sms), pack.Recipient{ID: "q", Email: person.Email, Wants: []notifyv1.Channel{event.Email}})
	if a := shared[0].GetAlternative(); a.GetTo().GetSharedBy() != 2 {
		t.Errorf("%v", a)
	}
	for name, change := range map[string]func(*pack.Recipient){
		"no address":    func(r *pack.Recipient) { r.Email = "" },
		"a bad address": func(r *pack.Recipient) { r.Email = "eric" },
		"opted out": func(r *pack.Recipient) {
			r.Blocked = map[notifyv1.Channel]pack.Undeliverable{event.Email: pack.OptedOut}
		},
	} {
		if made := toOne(t, source, notifyv1.Kind_KIND_REMINDER, with(wants(sms), change)); len(made) != 1 || made[0].GetAlternative() != nil {
			t.Errorf("%s: %v", name, made)
		}
	}
	source.Notify.Channels = []string{"sms"}
	if made := toOne(t, source, notifyv1.Kind_KIND_REMINDER, wants(sms)); slices.ContainsFunc(made, func(n *notifyv1.Notification) bool { return n.GetAlternative() != nil }) {
		t.Errorf("the source sends no e-mails: %v", made)
	}
}
