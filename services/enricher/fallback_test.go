package enricher

import (
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/fallback"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// lost returns the notification.fallback of an invitation or reminder by SMS, to the e-mail; that of a message of another kind goes to the sender.
func lost(kind notifyv1.Kind, person string) *signingv1.SigningEvent {
	e := happened(event.NotificationFallback, by(person))
	from, to := "sms", "email"
	if !event.KindOf(kind).Asks {
		kind, to = notifyv1.Kind_KIND_INVITATION, fallback.ToSender
	}
	e.Verification = signingv1.Verification_VERIFICATION_INTERNAL
	e.Notice = &signingv1.Notice{Kind: event.KindName(kind), Channel: from}
	e.Attributes = map[string]string{fallback.AttributeReason: fallback.Failed, fallback.AttributeFrom: from, fallback.AttributeTo: to}
	return e
}

func toSMS(e *signingv1.SigningEvent) *signingv1.SigningEvent {
	e.Notice.Channel, e.Attributes[fallback.AttributeFrom], e.Attributes[fallback.AttributeTo] = "email", "email", "sms"
	return e
}

func toSender(e *signingv1.SigningEvent) *signingv1.SigningEvent {
	e.Attributes[fallback.AttributeTo] = fallback.ToSender
	return e
}

// The other channel of a lost message, by the person's addresses, the provider's response and the settings.
func TestTheMessageOfAFallback(t *testing.T) {
	t.Parallel()
	const invitation, reminder = notifyv1.Kind_KIND_INVITATION, notifyv1.Kind_KIND_REMINDER
	pat := pack.Sender{Name: "Pat", Email: "pat@acme.example"}
	toPat := []string{"undeliverable by email to pat@acme.example, the sender, correct at the click, of Ito"}
	onlySMS := config.Source{Notify: config.Notify{Channels: []string{"sms"}}}
	for _, test := range []planTest{
		{
			name: "the e-mail", event: lost(invitation, "cyd"), people: []pack.Recipient{ann, cyd},
			want: []string{"invitation by email to cyd@example.com, sign at https://p.example/cyd"},
		},
		{
			name: "a reminder", event: lost(reminder, "cyd"), people: []pack.Recipient{ann, cyd},
			want: []string{"reminder by email to cyd@example.com, sign at https://p.example/cyd"},
		},
		{
			name: "the text", event: toSMS(lost(invitation, "cyd")), people: []pack.Recipient{ann, cyd},
			want: []string{"invitation by sms to +61412345678, sign at https://p.example/cyd"},
		},
		{
			name: "the settings exclude the channel", source: onlySMS, event: lost(invitation, "cyd"), people: []pack.Recipient{cyd},
			want: []string{"invitation by email to cyd@example.com, sign at https://p.example/cyd"},
		},
		{
			name: "the person wants only texts", event: lost(invitation, "cyd"),
			people: []pack.Recipient{with(cyd, func(r *pack.Recipient) { r.Wants = onSMS })},
			want:   []string{"invitation by email to cyd@example.com, sign at https://p.example/cyd"},
		},
		{
			name: "the provider sent its own invitation", event: toSMS(lost(invitation, "cyd")), people: []pack.Recipient{with(cyd, uninvited)},
			want: []string{"invitation by sms to +61412345678, sign at https://p.example/cyd"},
		},
		{
			name: "no other address", event: lost(invitation, "cyd"), sender: pat,
			people: []pack.Recipient{with(cyd, func(r *pack.Recipient) { r.Email = "" })},
			want:   toPat, suppressed: []string{"invitation by email to cyd: no-address"},
		},
		{
			name: "an address that cannot be used", event: lost(invitation, "cyd"), sender: pat,
			people: []pack.Recipient{with(cyd, func(r *pack.Recipient) { r.Email = "n/a" })},
			want:   toPat, suppressed: []string{"invitation by email to cyd: address-invalid"},
		},
		{
			name: "the person opted out of the other channel", event: lost(invitation, "cyd"), sender: pat,
			people: []pack.Recipient{with(cyd, func(r *pack.Recipient) { r.Blocked = noEmail(pack.OptedOut) })},
			want:   toPat, suppressed: []string{"invitation by email to cyd: opted-out"},
		},
		{name: "both channels lost it", event: toSender(lost(invitation, "cyd")), sender: pat, people: []pack.Recipient{cyd}, want: toPat},
		{
			name: "both, and the sender has no address", event: toSender(lost(invitation, "cyd")), people: []pack.Recipient{cyd},
			suppressed: []string{"undeliverable by unspecified to the sender: no-sender-address"},
		},
		{
			name: "the sender's channel is off", source: onlySMS, event: toSender(lost(invitation, "cyd")), sender: pat, people: []pack.Recipient{cyd},
			suppressed: []string{"undeliverable by email to the sender: channel-off"},
		},
		{
			name: "signed at the provider", event: lost(invitation, "cyd"), sender: pat, people: []pack.Recipient{with(cyd, signed), ann},
			suppressed: []string{"invitation by unspecified to cyd: signed"},
		},
		{
			name: "declined at the provider", event: lost(invitation, "cyd"), sender: pat, people: []pack.Recipient{with(cyd, declined), ann},
			suppressed: []string{"invitation by unspecified to cyd: declined"},
		},
		{
			name: "another person signs first", event: lost(invitation, "cyd"), sender: pat, people: []pack.Recipient{with(ann, place(1)), with(cyd, place(2))},
			suppressed: []string{"invitation by unspecified to cyd: not-their-turn"},
		},
		{
			name: "no longer on the document", event: lost(invitation, "cyd"), sender: pat, people: []pack.Recipient{ann},
			suppressed: []string{"invitation by unspecified to cyd: not-listed"},
		},
		{
			name: "the sender wants no such message", source: config.Source{Notify: config.Notify{Kinds: []string{"invitation"}}},
			event: toSender(lost(invitation, "cyd")), sender: pat, people: []pack.Recipient{cyd},
		},
		{
			name: "no link yet", event: lost(invitation, "cyd"), sender: pat, people: []pack.Recipient{with(cyd, unresolved)}, status: pack.StatusUnknown,
			wait: []string{"invitation by email to cyd: no-link"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t)
		})
	}
}

// The message of a fallback is not a copy of the first message, and the sender is notified once of a person and sending.
func TestTheIdsOfAFallback(t *testing.T) {
	t.Parallel()
	document := &pack.Document{Recipients: []pack.Recipient{cyd, ann}, Sender: pack.Sender{Email: "pat@acme.example"}}
	ids := func(e *signingv1.SigningEvent, id string) []string {
		e.Id = id
		var all []string
		for _, n := range plan(us, e, document, history{}).Made {
			all = append(all, n.GetId())
		}
		return all
	}
	first := map[string]bool{}
	for _, id := range ids(happened(event.DocumentSent, nil), "sent") {
		first[id] = true
	}
	again := ids(lost(notifyv1.Kind_KIND_INVITATION, "cyd"), "fallback")
	if len(again) != 1 || first[again[0]] {
		t.Errorf("the message %q is one of the first messages %v", again, first)
	}
	one := ids(toSender(lost(notifyv1.Kind_KIND_INVITATION, "cyd")), "fallback")
	two := ids(toSender(lost(notifyv1.Kind_KIND_REMINDER, "cyd")), "later")
	provider := ids(happened(event.RecipientUndeliverable, by("cyd")), "bounced")
	other := ids(toSender(lost(notifyv1.Kind_KIND_INVITATION, "ann")), "other")
	if len(one) != 1 || one[0] != two[0] || one[0] != provider[0] || one[0] == other[0] {
		t.Errorf("the sender gets %q, %q and %q about one person, and %q about another", one, two, provider, other)
	}
}
