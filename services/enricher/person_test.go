package enricher

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// home returns a signer without an id, as in the guide: two people of a household share both addresses.
func home(link string) pack.Recipient {
	return pack.Recipient{Email: "Home@Example.com ", Mobile: "+13175551234", Wants: onBoth, Invite: true, SigningURL: link}
}

// Two people at one address get two links, and the counts are right.
func TestTwoPeopleAtOneAddress(t *testing.T) {
	t.Parallel()
	husband, wife := home("https://p.example/husband"), home("https://p.example/wife")
	all := []string{
		"invitation by sms to +13175551234, sign at https://p.example/husband",
		"invitation by email to Home@Example.com, sign at https://p.example/husband",
		"invitation by sms to +13175551234, sign at https://p.example/wife",
		"invitation by email to Home@Example.com, sign at https://p.example/wife",
	}
	for _, test := range []planTest{
		{name: "both are invited", event: happened(event.DocumentSent, nil), people: []pack.Recipient{husband, wife}, want: all},
		{name: "a person whom the provider lists twice is invited once", event: happened(event.DocumentSent, nil), people: []pack.Recipient{husband, wife, husband}, want: all},
		{
			name: "one is invited, the other has no link yet", event: happened(event.DocumentSent, nil), people: []pack.Recipient{husband, home("")},
			want: all[:2], wait: []string{"invitation by sms to : no-link", "invitation by email to : no-link"},
		},
		{
			name: "neither has a link yet", event: happened(event.DocumentSent, nil), people: []pack.Recipient{home(""), home("")},
			wait: []string{
				"invitation by sms to : no-link", "invitation by email to : no-link", "invitation by sms to : no-link", "invitation by email to : no-link",
			},
		},
		{
			name: "one of them has signed, and it is unknown who", event: happened(event.RecipientSigned, by("s1")), people: []pack.Recipient{husband, wife}, signed: []string{"s1"},
			want: []string{
				"progress by sms to +13175551234, \"\" signed, 1 missing", "progress by email to Home@Example.com, \"\" signed, 1 missing",
				"progress by sms to +13175551234, \"\" signed, 1 missing", "progress by email to Home@Example.com, \"\" signed, 1 missing",
			},
		},
		{
			name: "one of them has signed, by the API", event: happened(event.RecipientSigned, by("s1")), people: []pack.Recipient{with(husband, signed), wife}, signed: []string{"s1"},
			want: []string{
				"progress by sms to +13175551234, \"\" signed, 1 missing", "progress by email to Home@Example.com, \"\" signed, 1 missing",
				"progress by sms to +13175551234, \"\" signed, 1 missing", "progress by email to Home@Example.com, \"\" signed, 1 missing",
			},
		},
		{name: "both have signed", event: happened(event.RecipientSigned, by("s2")), people: []pack.Recipient{husband, wife}, signed: []string{"s1", "s2"}},
	} {
		t.Run(test.name, func(t *testing.T) { t.Parallel(); test.run(t) })
	}
}

// On a retry, the provider lists a household in another order. The messages stay the same: each id has the same link.
func TestAHouseholdsMessagesAreNotSwapped(t *testing.T) {
	t.Parallel()
	people := []pack.Recipient{home("https://p.example/husband"), ann, home("https://p.example/wife"), bob}
	links := func(order []int) map[string]string {
		var listed []pack.Recipient
		for _, i := range order {
			listed = append(listed, people[i])
		}
		found := map[string]string{}
		for _, n := range plan(us, once(event.DocumentSent, "", 1), &pack.Document{Recipients: listed}, history{}).Made {
			found[n.GetId()] = n.GetLink().GetTarget()
		}
		return found
	}
	want := links([]int{0, 1, 2, 3})
	if len(want) != 6 {
		t.Fatalf("%d messages: %v", len(want), want)
	}
	for _, order := range permutations(len(people)) {
		if got := links(order); !maps.Equal(got, want) {
			t.Errorf("%v: %v, want %v", order, got, want)
		}
	}
}

// A message to a shared address names its person: by the name, or by the position if the name is not unique.
func TestSharedAddresses(t *testing.T) {
	t.Parallel()
	called := func(first string) func(*pack.Recipient) { return func(r *pack.Recipient) { r.FirstName = first } }
	for _, test := range []struct {
		name   string
		people []pack.Recipient
		want   []string // of each message: the number of people at its address, and the position
	}{
		{"none", []pack.Recipient{ann, bob}, []string{"0 0", "0 0"}},
		{"names", []pack.Recipient{with(ann, called("Ann")), with(ann, called("Eric"), func(r *pack.Recipient) { r.ID = "eric" })}, []string{"2 0", "2 0"}},
		{"one name", []pack.Recipient{ann, with(ann, func(r *pack.Recipient) { r.ID = "2" }), with(ann, called("Eric"), func(r *pack.Recipient) { r.ID = "3" })}, []string{"3 1", "3 2", "3 0"}},
		{"no names", []pack.Recipient{home("https://p.example/1"), home("https://p.example/2")}, []string{"2 1", "2 1", "2 2", "2 2"}},
		{"spelled differently", []pack.Recipient{ann, with(ann, called("Eric"), func(r *pack.Recipient) { r.ID, r.Mobile = "2", "+1 317-555-0001 (home)" })}, []string{"2 0", "2 0"}},
		{"one channel of two", []pack.Recipient{cyd, with(bob, func(r *pack.Recipient) { r.Email = "CYD@example.com" })}, []string{"0 0", "2 0", "2 0"}},
		{"an address that is no longer used", []pack.Recipient{ann, with(ann, func(r *pack.Recipient) { r.ID, r.Blocked = "2", noSMS(pack.OptedOut) })}, []string{"0 0"}},
		{"in order, not yet invited", []pack.Recipient{ann, with(ann, called("Eric"), place(1), func(r *pack.Recipient) { r.ID = "2" })}, []string{"2 0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, n := range plan(us, happened(event.DocumentSent, nil), &pack.Document{Recipients: test.people}, history{}).Made {
				got = append(got, strconv.Itoa(int(n.GetTo().GetSharedBy()))+" "+strconv.Itoa(int(n.GetTo().GetSharedPlace())))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// A signature invites a recipient who was not invited for lack of a link, if the link is there now. It invites no other
// recipient.
func TestASignatureInvitesARecipientWhoHadNoLink(t *testing.T) {
	t.Parallel()
	document := func(link func(*pack.Recipient)) *pack.Document {
		return &pack.Document{Recipients: []pack.Recipient{with(bob, signed), with(ann, link), cyd}}
	}
	sent, signature := once(event.DocumentSent, "", 1), once(event.RecipientSigned, "bob", 5)
	before := plan(us, sent, document(unresolved), pastOf([]*signingv1.SigningEvent{sent}))
	if len(before.Waiting) != 1 || len(before.Made) != 2 {
		t.Fatalf("%d messages wait, %d are planned", len(before.Waiting), len(before.Made))
	}
	gaveUp := before.Waiting[0].Message.GetId()
	for name, test := range map[string]struct {
		link     func(*pack.Recipient)
		linkless string
		want     bool
	}{
		"the link is available":                     {func(*pack.Recipient) {}, gaveUp, true},
		"the link is not available":                 {unresolved, gaveUp, false},
		"was invited":                               {func(*pack.Recipient) {}, "", false},
		"another person had no link":                {func(*pack.Recipient) {}, "other", false},
		"no signer was listed, and this one is now": {func(*pack.Recipient) {}, plan(us, sent, &pack.Document{}, pastOf(nil)).Waiting[0].Message.GetId(), true},
	} {
		past := pastOf([]*signingv1.SigningEvent{sent, signature})
		past.linkless = map[string]bool{test.linkless: test.linkless != ""}
		invited := map[string]bool{}
		for _, n := range plan(us, signature, document(test.link), past).Made {
			if n.GetLink() != nil {
				invited[n.GetId()] = true
			}
		}
		if invited[gaveUp] != test.want {
			t.Errorf("%s: invited is %v", name, invited[gaveUp])
		}
	}
}
