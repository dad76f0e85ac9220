package recipient

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// outputs returns the messages to one person on both channels, as channel and id, with one line for each message in NOTIFY; and the ids of these
// messages.
func outputs(t *testing.T, kind notifyv1.Kind, who pack.Recipient, requested map[string]bool) (lines, ids []string) {
	t.Helper()
	sent := once(event.DocumentSent, "", 1)
	m := Maker{Source: config.Source{Region: "US"}, Happened: sent, Document: &pack.Document{Status: pack.StatusOpen}}
	people := Distinct([]pack.Recipient{who, bob})
	m.People(people)
	m.Notify(m.About(kind), people[0])
	outs, err := Outs(t.Context(), "enricher", sent, m.Messages, time.Unix(2, 0), requested)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range outs {
		if event.InLog(out.Subject) {
			continue
		}
		n, err := notification.Decode(out.Data)
		if err != nil {
			t.Fatal(err)
		}
		all, err := notification.PerChannel(n)
		if err != nil {
			t.Fatal(err)
		}
		line := []string{strings.Split(out.Subject, ".")[2]}
		for _, one := range all {
			line = append(line, event.ChannelName(one.GetChannel())+" "+one.GetId())
			if (one.GetRecordedAt() == nil) != requested[one.GetId()] || one.GetEventSubject() != event.Subject(sent) {
				t.Errorf("%v", one)
			}
		}
		lines, ids = append(lines, strings.Join(line, " ")), append(ids, out.Header.Get("Nats-Msg-Id"))
	}
	return lines, ids
}

// A person with a link gets one message for all channels up to the shortener. Each notification keeps the id that it would have alone.
func TestOneMessageForAPersonsChannels(t *testing.T) {
	t.Parallel()
	onBoth := []notifyv1.Channel{event.SMS, event.Email}
	cyd := with(ann, func(r *pack.Recipient) { r.Email, r.Wants = "ann@example.com", onBoth })
	about := &notifyv1.Notification{Kind: notifyv1.Kind_KIND_INVITATION}
	occasion := once(event.DocumentSent, "", 1).GetId()
	sms, email := messageID(about, occasion, "ann", event.SMS), messageID(about, occasion, "ann", event.Email)

	lines, first := outputs(t, notifyv1.Kind_KIND_INVITATION, cyd, nil)
	if want := "link sms " + sms + " email " + email; !slices.Equal(lines, []string{want}) {
		t.Errorf("%q, want %q", lines, want)
	}
	if _, again := outputs(t, notifyv1.Kind_KIND_INVITATION, cyd, map[string]bool{sms: true}); !slices.Equal(again, first) {
		t.Errorf("message %q after %q", again, first)
	}
	// A number that is usable only for a later event: the stream must not take that event's message for a copy of the first one.
	lines, ids := outputs(t, notifyv1.Kind_KIND_INVITATION, with(cyd, func(r *pack.Recipient) { r.Mobile = "555" }), nil)
	if want := "link email " + email; !slices.Equal(lines, []string{want}) || !slices.Equal(ids, []string{email}) {
		t.Errorf("without a number: %q with ids %q, want %q", lines, ids, want)
	}
	if lines, _ := outputs(t, notifyv1.Kind_KIND_PROGRESS, cyd, nil); len(lines) != 2 || strings.HasPrefix(lines[0], "link") {
		t.Errorf("without a link: %q", lines)
	}
}

// Two people who follow each other are not one, even with one address.
func TestTwoPeopleHaveTwoMessages(t *testing.T) {
	t.Parallel()
	sent := once(event.DocumentSent, "", 1)
	m := Maker{Source: config.Source{Region: "US"}, Happened: sent, Document: &pack.Document{Status: pack.StatusOpen}}
	both := func(r *pack.Recipient) { r.Wants = []notifyv1.Channel{event.SMS, event.Email} }
	people := Distinct([]pack.Recipient{with(home("https://p.example/1"), both), with(home("https://p.example/2"), both)})
	m.People(people)
	for _, who := range people {
		m.Notify(m.About(notifyv1.Kind_KIND_INVITATION), who)
	}
	if all := byLink(m.Made); len(all) != 2 || len(all[0]) != 2 || len(all[1]) != 2 || all[0][0].GetLink().GetTarget() == all[1][0].GetLink().GetTarget() {
		t.Errorf("%v", all)
	}
}
