package enricher

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func happened(eventType string, recipient *signingv1.Recipient) *signingv1.SigningEvent {
	return &signingv1.SigningEvent{
		Id: "0123456789abcdefghijklmnop", Source: "acme", Provider: "clickwrap", Type: eventType,
		Document: &signingv1.Document{Id: "doc"}, Recipient: recipient,
	}
}

func by(id string) *signingv1.Recipient { return &signingv1.Recipient{Id: id} }

// The channels that people want.
var (
	onSMS   = []notifyv1.Channel{event.SMS}
	onEmail = []notifyv1.Channel{event.Email}
	onBoth  = []notifyv1.Channel{event.SMS, event.Email}
)

func noSMS(why pack.Undeliverable) map[notifyv1.Channel]pack.Undeliverable {
	return map[notifyv1.Channel]pack.Undeliverable{event.SMS: why}
}

func noEmail(why pack.Undeliverable) map[notifyv1.Channel]pack.Undeliverable {
	return map[notifyv1.Channel]pack.Undeliverable{event.Email: why}
}

// Three signers: one by SMS, one by e-mail, one by both.
var (
	ann = pack.Recipient{ID: "ann", FirstName: "Ann", LastName: "Lee", Mobile: "(317) 555-0001", Wants: onSMS, Invite: true, SigningURL: "https://p.example/ann"}
	bob = pack.Recipient{ID: "bob", FirstName: "Bob", Email: "bob@example.com", Wants: onEmail, Invite: true, SigningURL: "https://p.example/bob", DownloadURL: "https://p.example/bob.pdf"}
	cyd = pack.Recipient{ID: "cyd", LastName: "Ito", Email: "cyd@example.com", Mobile: "+61 412 345 678", Wants: onBoth, Invite: true, SigningURL: "https://p.example/cyd"}
)

// us is a source whose numbers are American.
var us = config.Source{Region: "US"}

func with(r pack.Recipient, changes ...func(*pack.Recipient)) pack.Recipient {
	for _, change := range changes {
		change(&r)
	}
	return r
}

func signed(r *pack.Recipient)     { r.Signed = true }
func declined(r *pack.Recipient)   { r.Declined = true }
func uninvited(r *pack.Recipient)  { r.Invite = false }
func nameless(r *pack.Recipient)   { r.FirstName, r.LastName = "", "" }
func anonymous(r *pack.Recipient)  { r.ID = "" }
func unresolved(r *pack.Recipient) { r.SigningURL, r.DownloadURL = "", "" }
func byEmail(r *pack.Recipient) {
	r.Email, r.Mobile, r.Wants = r.ID+"@example.com", "", onEmail
}

func place(order int) func(*pack.Recipient) { return func(r *pack.Recipient) { r.Order = order } }

// line returns a notification on one line: its kind, channel, address and content.
func line(n *notifyv1.Notification) string {
	s := fmt.Sprintf("%s by %s to %s%s", event.KindName(n.GetKind()), event.ChannelName(n.GetChannel()), n.GetTo().GetMobile(), n.GetTo().GetEmail())
	if n.GetTo().GetSender() {
		s += ", the sender"
	}
	if n.GetLink() != nil {
		s += fmt.Sprintf(", %s at %s", notification.PurposeName(n.GetLink().GetPurpose()), cmp.Or(n.GetLink().GetTarget(), "the click"))
	}
	if n.GetKind() == notifyv1.Kind_KIND_PROGRESS {
		s += fmt.Sprintf(", %q signed, %d missing", n.GetActorName(), n.GetSignaturesMissing())
	} else if n.GetActorName() != "" {
		s += ", of " + n.GetActorName()
	}
	return s
}

// report returns a suppressed message on one line.
func report(u recipient.Suppressed) string {
	who := u.Message.GetTo().GetRecipientId()
	if u.Message.GetTo().GetSender() {
		who = "the sender"
	}
	return fmt.Sprintf("%s by %s to %s: %s", event.KindName(u.Message.GetKind()), event.ChannelName(u.Message.GetChannel()), who, u.Reason)
}

type planTest struct {
	name       string
	source     config.Source
	event      *signingv1.SigningEvent
	status     pack.Status
	sender     pack.Sender
	people     []pack.Recipient
	signed     []string // by the log
	want       []string
	suppressed []string
	wait       []string // messages that a later request may complete
}

func (test planTest) run(t *testing.T) {
	t.Helper()
	past := history{}
	for _, id := range test.signed {
		past.Signatures = append(past.Signatures, &signingv1.SigningEvent{Type: event.RecipientSigned, Recipient: by(id)})
	}
	test.source.Region = cmp.Or(test.source.Region, "US")
	p := plan(test.source, test.event, &pack.Document{Status: test.status, Sender: test.sender, Recipients: test.people}, past)
	var lines, missed, waiting []string
	ids := map[string]bool{}
	for _, n := range p.Made {
		lines = append(lines, line(n))
		ids[n.GetId()] = true
	}
	for _, u := range p.Waiting {
		waiting = append(waiting, report(u))
	}
	for _, u := range slices.Concat(p.Suppressed, p.Waiting) {
		ids[u.Message.GetId()] = true
		if u.Message.GetTo().GetEmail()+u.Message.GetTo().GetMobile()+u.Message.GetTo().GetFirstName() != "" {
			t.Errorf("an address or a name in %v", u.Message)
		}
	}
	for _, u := range p.Suppressed {
		missed = append(missed, report(u))
	}
	if !slices.Equal(lines, test.want) {
		t.Errorf("messages\n  %s\nwant\n  %s", strings.Join(lines, "\n  "), strings.Join(test.want, "\n  "))
	}
	if !slices.Equal(missed, test.suppressed) {
		t.Errorf("suppressed %v, want %v", missed, test.suppressed)
	}
	if !slices.Equal(waiting, test.wait) {
		t.Errorf("waiting %v, want %v", waiting, test.wait)
	}
	if len(ids) != len(p.Made)+len(p.Suppressed)+len(p.Waiting) {
		t.Errorf("%d ids for %d messages", len(ids), len(p.Made)+len(p.Suppressed)+len(p.Waiting))
	}
}

func TestInvitations(t *testing.T) {
	t.Parallel()
	all := []pack.Recipient{ann, bob, cyd}
	toAll := []string{
		"invitation by sms to +13175550001, sign at https://p.example/ann",
		"invitation by email to bob@example.com, sign at https://p.example/bob",
		"invitation by sms to +61412345678, sign at https://p.example/cyd",
		"invitation by email to cyd@example.com, sign at https://p.example/cyd",
	}
	first, second, third := with(ann, byEmail, place(1)), with(bob, place(2)), with(cyd, byEmail, place(3))
	for _, test := range []planTest{
		{name: "sent invites all people on the channels that they want", event: happened(event.DocumentSent, nil), people: all, want: toAll},
		{name: "created invites all people too", event: happened(event.DocumentCreated, nil), people: all, want: toAll},
		{
			name: "no person who has signed according to the API or the log, who declined, or whom the provider invites", event: happened(event.DocumentSent, nil),
			people: []pack.Recipient{with(ann, signed), bob, with(cyd, uninvited), with(ann, declined, func(r *pack.Recipient) { r.ID = "dee" })}, signed: []string{"bob"},
		},
		{
			name: "a link without an address is resolved at the click", event: happened(event.DocumentSent, nil), status: pack.StatusOpen,
			people: []pack.Recipient{with(bob, unresolved)},
			want:   []string{"invitation by email to bob@example.com, sign at the click"},
		},
		{
			name: "no link without an id for the request", event: happened(event.DocumentSent, nil), status: pack.StatusOpen,
			people:     []pack.Recipient{with(bob, unresolved, anonymous)},
			suppressed: []string{"invitation by email to : no-link"},
		},
		{
			name: "the link may come later if the provider only lists addresses", event: happened(event.DocumentSent, nil), people: []pack.Recipient{with(bob, unresolved), ann},
			want: []string{"invitation by sms to +13175550001, sign at https://p.example/ann"},
			wait: []string{"invitation by email to bob: no-link"},
		},
		{
			name: "in order, only the person whose turn it is", event: happened(event.DocumentSent, nil), people: []pack.Recipient{third, second, first},
			want: []string{"invitation by email to ann@example.com, sign at https://p.example/ann"},
		},
		{
			name: "in order after signatures that the API or the log knows", event: happened(event.DocumentSent, nil), people: []pack.Recipient{with(first, signed), second, third}, signed: []string{"bob"},
			want: []string{"invitation by email to cyd@example.com, sign at https://p.example/cyd"},
		},
		{
			name: "a signature invites the person whose turn comes with it", event: happened(event.RecipientSigned, by("ann")), people: []pack.Recipient{first, second, third},
			source: config.Source{Notify: config.Notify{Kinds: []string{"invitation"}}},
			want:   []string{"invitation by email to bob@example.com, sign at https://p.example/bob"},
		},
		{
			name: "not before the whole group has signed", event: happened(event.RecipientSigned, by("ann")), people: []pack.Recipient{first, with(bob, place(1)), third},
			source: config.Source{Notify: config.Notify{Kinds: []string{"invitation"}}},
		},
		{
			name: "the whole group has signed by the log", event: happened(event.RecipientSigned, by("ann")), people: []pack.Recipient{first, with(bob, place(1)), third}, signed: []string{"bob"},
			source: config.Source{Notify: config.Notify{Kinds: []string{"invitation"}}},
			want:   []string{"invitation by email to cyd@example.com, sign at https://p.example/cyd"},
		},
		{
			name: "a late signature invites the next group", event: happened(event.RecipientSigned, by("ann")), people: []pack.Recipient{first, with(second, signed), third},
			source: config.Source{Notify: config.Notify{Kinds: []string{"invitation"}}},
			want:   []string{"invitation by email to cyd@example.com, sign at https://p.example/cyd"},
		},
		{
			name: "no person whose turn had come before", event: happened(event.RecipientSigned, by("ann")), people: []pack.Recipient{with(first, place(0)), with(second, place(0))},
			source: config.Source{Notify: config.Notify{Kinds: []string{"invitation"}}},
		},
		{
			name: "a signature without a person starts the turns that may start", event: happened(event.RecipientSigned, nil), people: []pack.Recipient{with(first, signed), second, third},
			source: config.Source{Notify: config.Notify{Kinds: []string{"invitation"}}},
			want:   []string{"invitation by email to bob@example.com, sign at https://p.example/bob"},
		},
		{
			name: "two people with one address are two, one listed twice is one", event: happened(event.DocumentSent, nil),
			people: []pack.Recipient{bob, with(bob, func(r *pack.Recipient) { r.ID = "bea" }), bob},
			want: []string{
				"invitation by email to bob@example.com, sign at https://p.example/bob",
				"invitation by email to bob@example.com, sign at https://p.example/bob",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) { t.Parallel(); test.run(t) })
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	all := []pack.Recipient{ann, bob, cyd}
	one := []string{
		"progress by sms to +61412345678, \"Ann Lee\" signed, 1 missing",
		"progress by email to cyd@example.com, \"Ann Lee\" signed, 1 missing",
	}
	progress := config.Source{Notify: config.Notify{Kinds: []string{"progress"}}}
	for _, test := range []planTest{
		{
			name: "the others get the number of missing signatures", event: happened(event.RecipientSigned, by("ann")), people: all,
			want: []string{
				"progress by email to bob@example.com, \"Ann Lee\" signed, 2 missing",
				"progress by sms to +61412345678, \"Ann Lee\" signed, 2 missing",
				"progress by email to cyd@example.com, \"Ann Lee\" signed, 2 missing",
			},
		},
		{
			name: "counts the signatures of the API and the log, no person twice", event: happened(event.RecipientSigned, by("ann")),
			people: []pack.Recipient{with(ann, signed), with(bob, signed), cyd}, signed: []string{"ann"},
			want: append([]string{"progress by email to bob@example.com, \"Ann Lee\" signed, 1 missing"}, one...),
		},
		{
			name: "counts the log's signers that the API does not know", event: happened(event.RecipientSigned, &signingv1.Recipient{Id: "x", FirstName: "Eric", LastName: "Smith"}),
			people: []pack.Recipient{bob, ann}, signed: []string{"x"},
			want: []string{
				"progress by email to bob@example.com, \"Eric Smith\" signed, 1 missing",
				"progress by sms to +13175550001, \"Eric Smith\" signed, 1 missing",
			},
		},
		{
			name: "the actor is found by address if not by id", event: happened(event.RecipientSigned, &signingv1.Recipient{Id: "x", Email: "BOB@example.com"}),
			people: []pack.Recipient{bob, ann},
			want:   []string{"progress by sms to +13175550001, \"Bob\" signed, 1 missing"},
		},
		{
			name: "an unknown person signed", event: happened(event.RecipientSigned, nil), people: []pack.Recipient{ann, with(bob, nameless)}, signed: []string{"event/1"},
			want: []string{
				"progress by sms to +13175550001, \"\" signed, 1 missing",
				"progress by email to bob@example.com, \"\" signed, 1 missing",
			},
		},
		{name: "none with a single signer", event: happened(event.RecipientSigned, by("ann")), people: []pack.Recipient{ann}},
		{
			name: "none with the last signature", event: happened(event.RecipientSigned, by("ann")),
			people: []pack.Recipient{ann, with(bob, signed)}, signed: []string{"ann"},
		},
		{
			name: "people of a later group get nothing yet", event: happened(event.RecipientSigned, by("ann")), source: progress,
			people: []pack.Recipient{ann, bob, with(cyd, place(1))},
			want:   []string{"progress by email to bob@example.com, \"Ann Lee\" signed, 2 missing"},
		},
		{
			name: "the person whose turn comes gets only the invitation", event: happened(event.RecipientSigned, by("ann")),
			people: []pack.Recipient{with(bob, signed), ann, with(cyd, byEmail, place(1)), with(cyd, byEmail, place(2), func(r *pack.Recipient) { r.ID = "dee" })},
			want: []string{
				"progress by email to bob@example.com, \"Ann Lee\" signed, 2 missing",
				"invitation by email to cyd@example.com, sign at https://p.example/cyd",
			},
		},
		{
			name: "a person who signed out of order is notified", event: happened(event.RecipientSigned, by("ann")), source: progress,
			people: []pack.Recipient{ann, with(bob, signed, place(2)), with(cyd, place(1))},
			want:   []string{"progress by email to bob@example.com, \"Ann Lee\" signed, 1 missing"},
		},
	} {
		t.Run(test.name, func(t *testing.T) { t.Parallel(); test.run(t) })
	}
}

func TestEndings(t *testing.T) {
	t.Parallel()
	toSender := config.Source{Notify: config.Notify{Sender: config.Sender{Email: "Contracts <contracts@acme.example>", Mobile: "317 555 0100"}}}
	acme := pack.Sender{Name: "Pat Ng", Email: "pat@acme.example"}
	later := with(cyd, byEmail, place(1))
	for _, test := range []planTest{
		{
			name: "completed notifies all, with the download or else the signing page", event: happened(event.DocumentCompleted, nil), people: []pack.Recipient{with(ann, signed), with(bob, signed)},
			want: []string{
				"completed by sms to +13175550001, download at https://p.example/ann",
				"completed by email to bob@example.com, download at https://p.example/bob.pdf",
			},
		},
		{
			name: "completed, and the link is resolved at the click", event: happened(event.DocumentCompleted, nil), status: pack.StatusCompleted, people: []pack.Recipient{with(bob, unresolved, uninvited)},
			want: []string{"completed by email to bob@example.com, download at the click"},
		},
		{
			name: "completed, and the API has no call for an address", event: happened(event.DocumentCompleted, nil), people: []pack.Recipient{with(bob, unresolved)},
			wait: []string{"completed by email to bob: no-link"},
		},
		{
			name: "declined notifies the sender and the people who knew the document, but not the person who declined", event: happened(event.RecipientDeclined, by("bob")), source: toSender, people: []pack.Recipient{with(ann, signed), bob, later},
			want: []string{
				"declined by sms to +13175550001, of Bob",
				"declined by sms to +13175550100, the sender, of Bob",
				"declined by email to contracts@acme.example, the sender, of Bob",
			},
		},
		{
			name: "declined by the person from the API", event: happened(event.DocumentDeclined, nil), sender: acme, people: []pack.Recipient{with(bob, declined), later},
			want: []string{"declined by email to pat@acme.example, the sender, of Bob"},
		},
		{
			name: "declined by the person from the callback", event: happened(event.DocumentDeclined, by("bob")), sender: acme, people: []pack.Recipient{with(bob, nameless), ann},
			want: []string{
				"declined by sms to +13175550001",
				"declined by email to pat@acme.example, the sender",
			},
		},
		{
			name: "declined by an unknown person", event: happened(event.DocumentDeclined, nil), sender: acme, people: []pack.Recipient{bob},
			want: []string{
				"declined by email to bob@example.com",
				"declined by email to pat@acme.example, the sender",
			},
		},
		{
			name: "voided notifies the sender and the people who knew the document", event: happened(event.DocumentVoided, nil), sender: acme, people: []pack.Recipient{with(bob, signed), with(ann, place(1)), with(cyd, place(2))},
			want: []string{
				"voided by email to bob@example.com",
				"voided by sms to +13175550001",
				"voided by email to pat@acme.example, the sender",
			},
		},
		{
			name: "expired notifies the same people; a sender who signs gets one message", event: happened(event.DocumentExpired, nil), sender: pack.Sender{Email: "BOB@example.com"}, people: []pack.Recipient{bob, ann},
			want: []string{
				"expired by email to bob@example.com",
				"expired by sms to +13175550001",
			},
		},
		{
			name: "undeliverable notifies only the sender", event: happened(event.RecipientUndeliverable, by("ann")), sender: acme, people: []pack.Recipient{ann, bob},
			want: []string{"undeliverable by email to pat@acme.example, the sender, correct at the click, of Ann Lee"},
		},
		{
			name: "undeliverable to an unknown person", event: happened(event.RecipientUndeliverable, nil), sender: acme, people: []pack.Recipient{ann, bob},
			want: []string{"undeliverable by email to pat@acme.example, the sender"},
		},
		{
			name: "a person whom the provider invites, and cannot correct", event: happened(event.RecipientUndeliverable, by("ann")), sender: acme, people: []pack.Recipient{with(ann, uninvited)},
			want: []string{"undeliverable by email to pat@acme.example, the sender, of Ann Lee"},
		},
		{
			name: "a person whom the provider invites, and can correct", event: happened(event.RecipientUndeliverable, by("ann")), sender: acme, people: []pack.Recipient{with(ann, uninvited)},
			source: config.Source{Provider: "pleasesign"},
			want:   []string{"undeliverable by email to pat@acme.example, the sender, correct at the click, of Ann Lee"},
		},
		{name: "a person who has signed was reached", event: happened(event.RecipientUndeliverable, by("ann")), sender: acme, people: []pack.Recipient{with(ann, signed), bob}},
		{
			name: "the sender has no address", event: happened(event.RecipientUndeliverable, by("ann")), people: []pack.Recipient{ann},
			suppressed: []string{"undeliverable by unspecified to the sender: no-sender-address"},
		},
		{
			name: "the address of the settings precedes that of the API", event: happened(event.RecipientUndeliverable, by("ann")), sender: acme, people: []pack.Recipient{ann},
			source: config.Source{Notify: config.Notify{Sender: config.Sender{Mobile: "317 555 0100"}}},
			want:   []string{"undeliverable by sms to +13175550100, the sender, correct at the click, of Ann Lee"},
		},
		{
			name: "the sender has a channel that is off", event: happened(event.RecipientUndeliverable, by("ann")), sender: acme, people: []pack.Recipient{ann},
			source:     config.Source{Notify: config.Notify{Channels: []string{"sms"}}},
			suppressed: []string{"undeliverable by email to the sender: channel-off"},
		},
	} {
		t.Run(test.name, func(t *testing.T) { t.Parallel(); test.run(t) })
	}
}

func TestChannelsAndAddresses(t *testing.T) {
	t.Parallel()
	all := []pack.Recipient{ann, bob, cyd}
	for _, test := range []planTest{
		{
			name: "a source excludes channels; a person without a message is reported", event: happened(event.DocumentSent, nil), people: all,
			source: config.Source{Notify: config.Notify{Channels: []string{"email"}}},
			want: []string{
				"invitation by email to bob@example.com, sign at https://p.example/bob",
				"invitation by email to cyd@example.com, sign at https://p.example/cyd",
			},
			suppressed: []string{"invitation by sms to ann: channel-off"},
		},
		{
			name: "a source narrows the kinds", event: happened(event.RecipientSigned, by("ann")), people: []pack.Recipient{ann, bob, with(cyd, place(1))}, signed: []string{"bob"},
			source: config.Source{Notify: config.Notify{Kinds: []string{"progress"}}},
			want:   []string{"progress by email to bob@example.com, \"Ann Lee\" signed, 1 missing"},
		},
		{
			name: "a person without a usable address on a channel gets it on the other", event: happened(event.DocumentSent, nil),
			people: []pack.Recipient{
				with(cyd, func(r *pack.Recipient) { r.Mobile = "555-1234 (Bob)" }),
				with(bob, func(r *pack.Recipient) { r.Email = "bob at example" }),
				with(ann, func(r *pack.Recipient) { r.Mobile = "" }),
			},
			want:       []string{"invitation by email to cyd@example.com, sign at https://p.example/cyd"},
			suppressed: []string{"invitation by sms to cyd: number-incomplete", "invitation by email to bob: address-invalid", "invitation by sms to ann: no-address"},
		},
		{
			name: "numbers without a country code are the source's", event: happened(event.DocumentSent, nil), source: config.Source{Region: "AU"},
			people: []pack.Recipient{with(ann, func(r *pack.Recipient) { r.Mobile = "0412 345 678" })},
			want:   []string{"invitation by sms to +61412345678, sign at https://p.example/ann"},
		},
		{
			name: "a person who wants no messages gets none, and the log has the reason", event: happened(event.DocumentSent, nil),
			people: []pack.Recipient{
				with(cyd, func(r *pack.Recipient) { r.Wants = nil }),
				with(bob, func(r *pack.Recipient) { r.Email, r.Wants = "", nil }),
			},
			suppressed: []string{"invitation by unspecified to cyd: no-channel", "invitation by unspecified to bob: no-address"},
		},
		{
			name: "a link that is no address of the web", event: happened(event.DocumentSent, nil),
			people: []pack.Recipient{
				with(ann, func(r *pack.Recipient) { r.SigningURL = "javascript:alert(1)" }),
				with(bob, func(r *pack.Recipient) { r.SigningURL = "..." }),
				with(cyd, byEmail, func(r *pack.Recipient) { r.SigningURL = "https://sign.example@evil.example/" }),
			},
			suppressed: []string{"invitation by sms to ann: link-invalid", "invitation by email to bob: link-invalid", "invitation by email to cyd: link-invalid"},
		},
		{
			name: "a download that is no address of the web, and the signing page is one", event: happened(event.DocumentCompleted, nil),
			people:     []pack.Recipient{with(bob, func(r *pack.Recipient) { r.DownloadURL = "/pdf" }), with(ann, func(r *pack.Recipient) { r.DownloadURL, r.SigningURL = "/pdf", "" })},
			want:       []string{"completed by email to bob@example.com, download at https://p.example/bob"},
			suppressed: []string{"completed by sms to ann: link-invalid"},
		},
		{
			name: "a person who opted out of a channel, or has a landline, gets it on the other", event: happened(event.DocumentSent, nil),
			people: []pack.Recipient{
				with(cyd, func(r *pack.Recipient) { r.Blocked = noSMS(pack.OptedOut) }),                             // wants both
				with(ann, func(r *pack.Recipient) { r.Blocked, r.Email = noSMS(pack.Landline), "ann@example.com" }), // wants a text, but the number is a landline; has an e-mail address
				with(bob, func(r *pack.Recipient) { r.Blocked, r.Mobile = noEmail(pack.OptedOut), "317 555 0009" }), // wants e-mail, but opted out; has a number
				with(ann, func(r *pack.Recipient) { r.ID, r.Blocked = "dee", noSMS(pack.OptedOut) }),                // has no other channel
				with(cyd, func(r *pack.Recipient) {
					r.ID, r.Wants = "eve", onSMS
					r.Blocked = map[notifyv1.Channel]pack.Undeliverable{event.SMS: pack.OptedOut, event.Email: pack.OptedOut}
				}), // wants no messages
				with(ann, func(r *pack.Recipient) { r.ID, r.Blocked, r.Email = "fay", noSMS(pack.Landline), "fay at example" }), // has an invalid address
			},
			want: []string{
				"invitation by email to cyd@example.com, sign at https://p.example/cyd",
				"invitation by email to ann@example.com, sign at https://p.example/ann",
				"invitation by sms to +13175550009, sign at https://p.example/bob",
			},
			suppressed: []string{
				"invitation by sms to cyd: opted-out", "invitation by sms to ann: landline", "invitation by email to bob: opted-out",
				"invitation by sms to dee: opted-out", "invitation by sms to eve: opted-out",
				"invitation by sms to fay: landline", "invitation by email to fay: address-invalid",
			},
		},
		{
			name: "a note beside the number excludes texts", event: happened(event.DocumentSent, nil),
			people: []pack.Recipient{
				with(ann, func(r *pack.Recipient) { r.Mobile, r.Email = "317-555-0001 (landline)", "ann@example.com" }),
				with(cyd, func(r *pack.Recipient) { r.Mobile = "317-555-0002 / email only" }),
			},
			want: []string{
				"invitation by email to ann@example.com, sign at https://p.example/ann",
				"invitation by email to cyd@example.com, sign at https://p.example/cyd",
			},
			suppressed: []string{"invitation by sms to ann: landline", "invitation by sms to cyd: landline"},
		},
		{
			name: "the other channel is off", event: happened(event.DocumentSent, nil), source: config.Source{Notify: config.Notify{Channels: []string{"sms"}}},
			people:     []pack.Recipient{with(ann, func(r *pack.Recipient) { r.Blocked, r.Email = noSMS(pack.OptedOut), "ann@example.com" })},
			suppressed: []string{"invitation by sms to ann: opted-out", "invitation by email to ann: channel-off"},
		},
		{
			name: "a reason against an unwanted channel does not count", event: happened(event.DocumentSent, nil),
			people: []pack.Recipient{with(bob, func(r *pack.Recipient) { r.Blocked, r.Mobile = noSMS(pack.OptedOut), "317 555 0009" })},
			want:   []string{"invitation by email to bob@example.com, sign at https://p.example/bob"},
		},
		{
			name: "no signers yet", event: happened(event.DocumentSent, nil),
			wait: []string{"invitation by unspecified to : no-signers"},
		},
		{
			name: "no signers yet, and one has signed", event: happened(event.RecipientSigned, by("ann")),
			wait: []string{"progress by unspecified to : no-signers", "invitation by unspecified to : no-signers"},
		},
		{
			name: "no signers yet, and all have signed", event: happened(event.DocumentCompleted, nil),
			wait: []string{"completed by unspecified to : no-signers"},
		},
	} {
		t.Run(test.name, func(t *testing.T) { t.Parallel(); test.run(t) })
	}
}

func TestAMessageHasTheDataForItsTemplates(t *testing.T) {
	t.Parallel()
	source := config.Source{SenderName: "PactSafe", Locale: "en-AU", Region: "US"}
	messages := plan(source, happened(event.DocumentSent, nil), &pack.Document{Title: "Offer", Recipients: []pack.Recipient{ann}}, history{}).Made
	if len(messages) != 1 {
		t.Fatalf("%d messages", len(messages))
	}
	n := messages[0]
	if n.GetDocumentTitle() != "Offer" || n.GetSenderName() != "PactSafe" || n.GetLocale() != "en-AU" || n.GetDocumentId() != "doc" ||
		n.GetEventId() != "0123456789abcdefghijklmnop" || n.GetTo().GetRecipientId() != "ann" || n.GetTo().GetFirstName() != "Ann" || n.GetTo().GetEmail() != "" {
		t.Errorf("notification %v", n)
	}
	messages = plan(source, happened(event.DocumentVoided, nil), &pack.Document{Sender: pack.Sender{Name: "Pat van Ng", Email: "pat@acme.example"}}, history{}).Made
	if len(messages) != 1 || messages[0].GetTo().GetFirstName() != "Pat" || messages[0].GetTo().GetLastName() != "van Ng" || messages[0].GetTo().GetRecipientId() != "" {
		t.Errorf("to the sender: %v", messages)
	}
}

// A reminder reaches its person alone, and only while the provider waits for that person's signature.
func TestRemindersReachWhoMaySignNow(t *testing.T) {
	t.Parallel()
	reminded := with(bob, func(r *pack.Recipient) { r.RemindedByProvider = true })
	for name, row := range map[string]struct {
		people []pack.Recipient
		source config.Source
		want   string // the reason against it
	}{
		"waits":                            {[]pack.Recipient{ann, bob}, us, ""},
		"after another signature":          {[]pack.Recipient{with(ann, signed, place(1)), with(bob, place(2))}, us, ""},
		"signed":                           {[]pack.Recipient{ann, with(bob, signed)}, us, event.OverSigned},
		"declined":                         {[]pack.Recipient{ann, with(bob, func(r *pack.Recipient) { r.Declined = true })}, us, event.OverDeclined},
		"another signs first":              {[]pack.Recipient{with(ann, place(1)), with(bob, place(2))}, us, recipient.NotTheirTurn},
		"removed from the document":        {[]pack.Recipient{ann}, us, recipient.NotListed},
		"the provider reminds":             {[]pack.Recipient{ann, reminded}, us, recipient.ProviderReminds},
		"both remind, by the settings":     {[]pack.Recipient{ann, reminded}, config.Source{Region: "US", Reminders: config.Reminders{ProviderToo: true}}, ""},
		"the provider sent the invitation": {[]pack.Recipient{ann, with(bob, func(r *pack.Recipient) { r.Invite = false })}, us, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := plan(row.source, happened(event.ReminderDue, by("bob")), &pack.Document{Recipients: row.people}, history{})
			for _, n := range p.Made {
				if n.GetKind() != notifyv1.Kind_KIND_REMINDER || n.GetTo().GetRecipientId() != "bob" || n.GetLink() == nil {
					t.Errorf("message %v, want reminders to bob with a link", n)
				}
			}
			reason := ""
			if len(p.Suppressed) > 0 {
				reason = p.Suppressed[0].Reason
			}
			if reason != row.want || (len(p.Made) > 0) != (row.want == "") || len(p.Suppressed)+len(p.Waiting) > 1 {
				t.Errorf("%d messages, not made because of %q, want %q", len(p.Made), reason, row.want)
			}
		})
	}
}

// A kind that the planner does not know would be dropped without a trace.
func TestEachKindIsPlannedAfterItsEvents(t *testing.T) {
	t.Parallel()
	document := &pack.Document{
		Sender: pack.Sender{Email: "sender@example.com"},
		Recipients: []pack.Recipient{
			with(ann, signed, place(1)), with(cyd, signed, place(1)), with(bob, place(2)), // ann's signature was the last of the first two
		},
	}
	for _, kind := range event.Kinds {
		if kind.Replies { // the SMS sender makes it
			continue
		}
		for _, eventType := range kind.After {
			actor := "ann"
			if slices.Contains([]string{event.RecipientUndeliverable, event.RecipientDeclined, event.RecipientCorrected, event.ReminderDue, event.ResendRequested}, eventType) {
				actor = "bob"
			}
			past := history{Past: event.Past{Signatures: []*signingv1.SigningEvent{
				{Type: event.RecipientSigned, Recipient: by("ann")}, {Type: event.RecipientSigned, Recipient: by("cyd")},
			}}}
			e := happened(eventType, by(actor))
			if eventType == event.NotificationFallback {
				e = lost(kind.Kind, "bob")
			}
			if eventType == event.ResendRequested {
				e.Attributes = map[string]string{event.AttributeChannels: "sms,email"}
			}
			p := plan(us, e, document, past)
			if !slices.ContainsFunc(p.Made, func(n *notifyv1.Notification) bool { return n.GetKind() == kind.Kind }) {
				t.Errorf("%s: no message %s; messages %v, suppressed %v, waiting %v", eventType, event.KindName(kind.Kind), p.Made, p.Suppressed, p.Waiting)
			}
		}
	}
}
