package enricher

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func happened(eventType string, recipient *signingv1.Recipient) *signingv1.SigningEvent {
	return &signingv1.SigningEvent{
		Id: "0123456789abcdefghijklmnop", Source: "acme", Provider: "clickwrap", Type: eventType,
		Document: &signingv1.Document{Id: "doc"}, Recipient: recipient,
	}
}

// Three signers: one by SMS, one by e-mail, one by both.
var (
	ann = pack.Recipient{ID: "ann", FirstName: "Ann", LastName: "Lee", Mobile: "(317) 555-0001", BySMS: true, SigningURL: "https://p.example/ann"}
	bob = pack.Recipient{ID: "bob", FirstName: "Bob", Email: "bob@example.com", ByEmail: true, SigningURL: "https://p.example/bob", DownloadURL: "https://p.example/bob.pdf"}
	cyd = pack.Recipient{ID: "cyd", LastName: "Ito", Email: "cyd@example.com", ByEmail: true, Mobile: "+61 412 345 678", BySMS: true, SigningURL: "https://p.example/cyd"}
)

func with(r pack.Recipient, change func(*pack.Recipient)) pack.Recipient {
	change(&r)
	return r
}

func signed(r *pack.Recipient) { r.Signed = true }

// line is a notification on one line: what, how, to whom, and what it says.
func line(n *notifyv1.Notification) string {
	s := fmt.Sprintf("%s by %s to %s%s", notification.KindName(n.GetKind()), notification.ChannelName(n.GetChannel()), n.GetTo().GetMobile(), n.GetTo().GetEmail())
	if n.GetLink() != nil {
		s += fmt.Sprintf(", %s at %s", notification.PurposeName(n.GetLink().GetPurpose()), n.GetLink().GetTarget())
	}
	if n.GetActorName() != "" {
		s += fmt.Sprintf(", %s signed, %d missing", n.GetActorName(), n.GetSignaturesMissing())
	}
	return s
}

func TestPlan(t *testing.T) {
	t.Parallel()
	all := []pack.Recipient{ann, bob, cyd}
	for _, test := range []struct {
		name   string
		source config.Source
		event  *signingv1.SigningEvent
		people []pack.Recipient
		signed []string
		want   []string
		untold []string
	}{
		{
			name: "sent invites everybody on the channels of send_to", event: happened("document.sent", nil), people: all,
			want: []string{
				"invitation by sms to +13175550001, sign at https://p.example/ann",
				"invitation by email to bob@example.com, sign at https://p.example/bob",
				"invitation by sms to +61412345678, sign at https://p.example/cyd",
				"invitation by email to cyd@example.com, sign at https://p.example/cyd",
			},
		},
		{
			name: "sent invites nobody who has signed by the API or the log, nor whose turn has not come", event: happened("document.sent", nil),
			people: []pack.Recipient{with(ann, signed), bob, with(cyd, func(r *pack.Recipient) { r.SigningURL = "" })}, signed: []string{"bob"},
		},
		{
			name: "a source narrows the channels", event: happened("document.sent", nil), people: all,
			source: config.Source{Notify: config.Notify{Channels: []string{"email"}}},
			want: []string{
				"invitation by email to bob@example.com, sign at https://p.example/bob",
				"invitation by email to cyd@example.com, sign at https://p.example/cyd",
			},
		},
		{
			name: "signed tells the others, and how many are missing", event: happened("recipient.signed", &signingv1.Recipient{Id: "ann"}), people: all,
			want: []string{
				"progress by email to bob@example.com, Ann Lee signed, 2 missing",
				"progress by sms to +61412345678, Ann Lee signed, 2 missing",
				"progress by email to cyd@example.com, Ann Lee signed, 2 missing",
			},
		},
		{
			name: "signed counts what the API or the log knows, nobody twice", event: happened("recipient.signed", &signingv1.Recipient{Id: "ann"}),
			people: []pack.Recipient{with(ann, signed), with(bob, signed), cyd}, signed: []string{"ann"},
			want: []string{
				"progress by email to bob@example.com, Ann Lee signed, 1 missing",
				"progress by sms to +61412345678, Ann Lee signed, 1 missing",
				"progress by email to cyd@example.com, Ann Lee signed, 1 missing",
			},
		},
		{
			name: "signed counts the log's signers that the API does not know", event: happened("recipient.signed", &signingv1.Recipient{Id: "x", FirstName: "Eric", LastName: "Smith"}),
			people: []pack.Recipient{bob, ann}, signed: []string{"x"},
			want: []string{
				"progress by email to bob@example.com, Eric Smith signed, 1 missing",
				"progress by sms to +13175550001, Eric Smith signed, 1 missing",
			},
		},
		{
			name: "the actor is known by address where not by id", event: happened("recipient.signed", &signingv1.Recipient{Id: "x", Email: "BOB@example.com"}),
			people: []pack.Recipient{bob, ann},
			want:   []string{"progress by sms to +13175550001, Bob signed, 1 missing"},
		},
		{
			name: "somebody signed", event: happened("recipient.signed", nil), people: []pack.Recipient{ann, with(bob, func(r *pack.Recipient) { r.FirstName = "" })}, signed: []string{"event/1"},
			want: []string{
				"progress by sms to +13175550001, Somebody signed, 1 missing",
				"progress by email to bob@example.com, Somebody signed, 1 missing",
			},
		},
		{name: "no progress with a single signer", event: happened("recipient.signed", &signingv1.Recipient{Id: "ann"}), people: []pack.Recipient{ann}},
		{
			name: "no progress with the last signature", event: happened("recipient.signed", &signingv1.Recipient{Id: "ann"}),
			people: []pack.Recipient{ann, with(bob, signed)}, signed: []string{"ann"},
		},
		{
			name: "completed tells all, with the download or else the signing page", event: happened("document.completed", nil), people: []pack.Recipient{with(ann, signed), with(bob, signed)},
			want: []string{
				"completed by sms to +13175550001, download at https://p.example/ann",
				"completed by email to bob@example.com, download at https://p.example/bob.pdf",
			},
		},
		{
			name: "who has no usable address on a channel is told on the other", event: happened("document.sent", nil),
			people: []pack.Recipient{
				with(cyd, func(r *pack.Recipient) { r.Mobile = "555-1234" }),
				with(bob, func(r *pack.Recipient) { r.Email = "bob at example" }),
			},
			want:   []string{"invitation by email to cyd@example.com, sign at https://p.example/cyd"},
			untold: []string{"sms", "email"},
		},
		{
			name: "two people with one address are two, one listed twice is one", event: happened("document.sent", nil),
			people: []pack.Recipient{bob, with(bob, func(r *pack.Recipient) { r.ID = "bea" }), bob},
			want: []string{
				"invitation by email to bob@example.com, sign at https://p.example/bob",
				"invitation by email to bob@example.com, sign at https://p.example/bob",
			},
		},
		{
			name: "numbers without a country code are the source's", event: happened("document.sent", nil), source: config.Source{Region: "AU"},
			people: []pack.Recipient{with(ann, func(r *pack.Recipient) { r.Mobile = "0412 345 678" })},
			want:   []string{"invitation by sms to +61412345678, sign at https://p.example/ann"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			signed := map[string]bool{}
			for _, id := range test.signed {
				signed[id] = true
			}
			test.source.Region = cmp.Or(test.source.Region, "US")
			told, untold := plan(test.source, test.event, &pack.Document{Recipients: test.people}, signed)
			var got []string
			ids := map[string]bool{}
			for _, n := range told {
				got = append(got, line(n))
				ids[n.GetId()] = true
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("told\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(test.want, "\n  "))
			}
			if !slices.Equal(untold, test.untold) {
				t.Errorf("untold %v, want %v", untold, test.untold)
			}
			if len(ids) != len(told) {
				t.Errorf("%d ids for %d notifications", len(ids), len(told))
			}
		})
	}
}

// A provider may list its people in another order, with another link, on the retry.
func TestPlanYieldsTheSameIDsInAnyOrder(t *testing.T) {
	t.Parallel()
	nameless := pack.Recipient{Email: "dee@example.com", ByEmail: true, SigningURL: "https://p.example/dee"}
	ids := func(people ...pack.Recipient) map[string]string {
		told, _ := plan(config.Source{Region: "US"}, happened("document.sent", nil), &pack.Document{Recipients: people}, nil)
		found := map[string]string{}
		for _, n := range told {
			found[notification.ChannelName(n.GetChannel())+n.GetTo().GetEmail()+n.GetTo().GetMobile()] = n.GetId()
		}
		return found
	}
	first := ids(ann, nameless, cyd)
	again := ids(with(cyd, func(r *pack.Recipient) { r.SigningURL += "?2" }), with(nameless, func(r *pack.Recipient) { r.SigningURL += "?2" }), ann)
	if len(first) != 4 || fmt.Sprint(first) != fmt.Sprint(again) {
		t.Errorf("ids %v, then %v", first, again)
	}
}

func TestPlanFillsInWhatTheTextsNeed(t *testing.T) {
	t.Parallel()
	source := config.Source{SenderName: "PactSafe", Locale: "en-AU", Region: "US"}
	told, _ := plan(source, happened("document.sent", nil), &pack.Document{Title: "Offer", Recipients: []pack.Recipient{ann}}, nil)
	if len(told) != 1 {
		t.Fatalf("%d told", len(told))
	}
	n := told[0]
	if n.GetDocumentTitle() != "Offer" || n.GetSenderName() != "PactSafe" || n.GetLocale() != "en-AU" || n.GetDocumentId() != "doc" ||
		n.GetEventId() != "0123456789abcdefghijklmnop" || n.GetTo().GetRecipientId() != "ann" || n.GetTo().GetFirstName() != "Ann" || n.GetTo().GetEmail() != "" {
		t.Errorf("notification %v", n)
	}
}
