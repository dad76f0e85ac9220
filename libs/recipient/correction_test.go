package recipient_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The details of a correction are stored in one spelling, and every mistake is named.
func TestDetailsAreChecked(t *testing.T) {
	t.Parallel()
	pleasesign, _ := providers.ByName("pleasesign")
	for name, row := range map[string]struct {
		rules    *pack.Corrects
		to, want pack.Details
		mistakes []string
	}{
		"in one spelling": {
			nil, pack.Details{FirstName: " Jane\u200b ", LastName: "Doe", Email: "mailto:jane@Example.com", Mobile: "(0491) 570-313"},
			pack.Details{FirstName: "Jane", LastName: "Doe", Email: "jane@Example.com", Mobile: "+61491570313"}, nil,
		},
		"a number is enough for our own messages": {nil, pack.Details{Mobile: "+1 317 555 1234"}, pack.Details{Mobile: "+13175551234"}, nil},
		"nothing":                          {nil, pack.Details{}, pack.Details{}, []string{"email: " + recipient.MistakeNoAddress}},
		"nothing, for a provider's rules":  {pleasesign.Corrects, pack.Details{}, pack.Details{}, []string{"first_name: " + recipient.MistakeNeeded, "last_name: " + recipient.MistakeNeeded, "email: " + recipient.MistakeNeeded}},
		"two addresses, and half a number": {nil, pack.Details{Email: "a@example.com, b@example.com", Mobile: "12 34"}, pack.Details{}, []string{"email: " + recipient.MistakeEmails, "mobile: " + recipient.MistakeShort}},
		"a long name":                      {nil, pack.Details{FirstName: strings.Repeat("é", 101), Email: "a@example.com"}, pack.Details{}, []string{"first_name: " + recipient.MistakeLong}},
		"a foreign number":                 {pleasesign.Corrects, pack.Details{FirstName: "J", LastName: "D", Email: "a@example.com", Mobile: "+1 317 555 1234"}, pack.Details{}, []string{"mobile: PleaseSign takes Australian mobile numbers only, such as 0491 570 313"}},
		"a landline":                       {nil, pack.Details{Mobile: "0491 570 313 (landline)"}, pack.Details{}, []string{"mobile: " + recipient.MistakeLandline}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, mistakes := recipient.CheckDetails(row.to, row.rules, "AU")
			var texts []string
			for _, m := range mistakes {
				texts = append(texts, m.Field+": "+m.Text)
			}
			if !slices.Equal(texts, row.mistakes) || len(mistakes) == 0 && got != row.want {
				t.Errorf("%v with %q, want %v with %q", got, texts, row.want, row.mistakes)
			}
		})
	}
}

// A correction replaces the addresses that it was about, and says on which channels the person is reached.
func TestAPersonIsCorrected(t *testing.T) {
	t.Parallel()
	type channels = []notifyv1.Channel
	listed := pack.Recipient{ID: "s1", FirstName: "Jan", Email: "jane@wrong.com", Wants: channels{event.Email}}
	correction := func(to pack.Details, email, mobile string) event.Correction {
		return event.Correction{ID: "c1", Person: recipient.Corrected("s1", to), PreviousEmail: email, PreviousMobile: mobile}
	}
	for name, row := range map[string]struct {
		listed pack.Recipient
		by     event.Correction
		want   pack.Recipient
	}{
		"the address": {
			listed, correction(pack.Details{FirstName: "Jane", Email: "jane@example.com"}, listed.Email, ""),
			pack.Recipient{ID: "s1", FirstName: "Jane", Email: "jane@example.com", Wants: channels{event.Email}},
		},
		"a number beside the address": {
			listed, correction(pack.Details{Email: "jane@example.com", Mobile: "+61491570313"}, listed.Email, ""),
			pack.Recipient{ID: "s1", Email: "jane@example.com", Mobile: "+61491570313", Wants: channels{event.SMS, event.Email}},
		},
		"a number in place of the address": {
			listed, correction(pack.Details{Mobile: "+61491570313"}, listed.Email, ""),
			pack.Recipient{ID: "s1", Mobile: "+61491570313", Wants: channels{event.SMS}},
		},
		"the provider has a newer address": {
			listed, correction(pack.Details{FirstName: "Jane", Email: "jane@example.com"}, "jane@older.example", ""),
			pack.Recipient{ID: "s1", FirstName: "Jane", Email: "jane@wrong.com", Wants: channels{event.Email}},
		},
		"a new number is no landline": {
			pack.Recipient{ID: "s1", Mobile: "0", Wants: channels{event.SMS}, Blocked: map[notifyv1.Channel]pack.Undeliverable{event.SMS: pack.Landline}},
			correction(pack.Details{Mobile: "+61491570313"}, "", "0"),
			pack.Recipient{ID: "s1", Mobile: "+61491570313", Wants: channels{event.SMS}, Blocked: map[notifyv1.Channel]pack.Undeliverable{}},
		},
		"at the provider": {
			listed, event.Correction{ID: "c1", AtProvider: true, Person: &signingv1.Recipient{Id: "s1", Email: "jane@example.com"}}, listed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := recipient.Person{Recipient: row.listed}
			p.Correct(row.by)
			if diff := cmp.Diff(row.want, p.Recipient); diff != "" || p.Correction != "c1" {
				t.Errorf("correction %q: %s", p.Correction, diff)
			}
		})
	}
}
