package enricher

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// home returns a signer without an id, as in the guide: two people of a household share both addresses.
func home(link string) pack.Recipient {
	return pack.Recipient{Email: "Home@Example.com ", Mobile: "+13175551234", Wants: onBoth, Invite: true, SigningURL: link}
}

func keys(recipients ...pack.Recipient) []string {
	var all []string
	for _, who := range distinct(recipients) {
		all = append(all, who.key)
	}
	return all
}

// A person who shares no address keeps the key of all earlier versions. With another key, all messages would be sent again.
func TestKeysThatMustNotChange(t *testing.T) {
	t.Parallel()
	const household, eric = "address/Y3j6mTFeFhe6m2Rk1zWfJc0xFE_flG06DalXsvM3hPA", "address/su7EP16vvbHGw2Ajp9rtsmiNn14ELLcROCaUZfwL7JY"
	named := pack.Recipient{Email: "eric@example.com", FirstName: "Eric", LastName: "Smith"}
	other := with(home("https://p.example/3"), func(r *pack.Recipient) { r.FirstName = "Ann" })
	for _, test := range []struct {
		name   string
		people []pack.Recipient
		want   []string
	}{
		{"an id", []pack.Recipient{ann, with(bob, nameless)}, []string{"ann", "bob"}},
		{"no id", []pack.Recipient{home("https://p.example/1"), named}, []string{household, eric}},
		{"no id and no link", []pack.Recipient{named, home("")}, []string{eric, household}},
		{"another link", []pack.Recipient{home("https://p.example/2"), with(home(""), func(r *pack.Recipient) { r.ID = "x" })}, []string{household, "x"}},
		{"listed twice", []pack.Recipient{home("https://p.example/1"), home("https://p.example/1"), named}, []string{household, eric}},
	} {
		if got := keys(test.people...); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q", test.name, got)
		}
	}
	if got := keys(home("https://p.example/1"), other); got[0] != household || got[1] == household {
		t.Errorf("with another name: %q", got)
	}
}

// A person does not depend on the listing. In every order, and with repetitions, each person keeps the same key, and no other
// person has it.
func TestAPersonDoesNotDependOnTheListing(t *testing.T) {
	t.Parallel()
	recipient := rapid.Custom(func(t *rapid.T) pack.Recipient {
		return pack.Recipient{
			ID:         rapid.SampledFrom([]string{"", "", "", "a", "b"}).Draw(t, "id"),
			Email:      rapid.SampledFrom([]string{"", "home@example.com"}).Draw(t, "email"),
			FirstName:  rapid.SampledFrom([]string{"", "", "Ann"}).Draw(t, "name"),
			SigningURL: rapid.SampledFrom([]string{"", "https://p.example/1", "https://p.example/2"}).Draw(t, "link"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		listed := rapid.SliceOfN(recipient, 1, 6).Draw(t, "listed")
		again := rapid.Permutation(listed).Draw(t, "again")
		if double := rapid.IntRange(-1, len(again)-1).Draw(t, "double"); double >= 0 && again[double].ID+again[double].SigningURL != "" {
			again = append(again, again[double]) // a recipient with an id or a link is listed twice
		}
		first, second := byPerson(listed), byPerson(again)
		if !maps.EqualFunc(first, second, slices.Equal) {
			t.Fatalf("%v, then %v", first, second)
		}
		seen := map[string]bool{}
		for _, all := range first {
			for _, key := range all {
				if seen[key] {
					t.Fatalf("two people have the key %s: %v", key, first)
				}
				seen[key] = true
			}
		}
		if len(seen) != persons(listed) {
			t.Fatalf("%d people of %v", len(seen), listed)
		}
	})
}

// byPerson returns the keys of people who have the same data.
func byPerson(listed []pack.Recipient) map[string][]string {
	found := map[string][]string{}
	for _, who := range distinct(listed) {
		at := who.Email + "/" + who.FirstName + "/" + who.SigningURL
		if who.ID != "" {
			at = "id " + who.ID
		}
		found[at] = append(found[at], who.key)
		slices.Sort(found[at])
	}
	return found
}

// persons counts the people: one for each id, one for each link of an address, and one for each entry without either.
func persons(listed []pack.Recipient) int {
	seen := map[string]bool{}
	for i, r := range listed {
		switch {
		case r.ID != "":
			seen["id "+r.ID] = true
		case r.SigningURL != "":
			seen[r.Email+"/"+r.FirstName+"/"+r.SigningURL] = true
		default:
			seen[strconv.Itoa(i)] = true
		}
	}
	return len(seen)
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
		for _, n := range plan(us, once(event.DocumentSent, "", 1), &pack.Document{Recipients: listed}, history{}).messages {
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
			for _, n := range plan(us, happened(event.DocumentSent, nil), &pack.Document{Recipients: test.people}, history{}).messages {
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
	before := plan(us, sent, document(unresolved), summarize([]*signingv1.SigningEvent{sent}))
	if len(before.waiting) != 1 || len(before.messages) != 2 {
		t.Fatalf("%d messages wait, %d are planned", len(before.waiting), len(before.messages))
	}
	gaveUp := before.waiting[0].message.GetId()
	for name, test := range map[string]struct {
		link     func(*pack.Recipient)
		linkless string
		want     bool
	}{
		"the link is available":                     {func(*pack.Recipient) {}, gaveUp, true},
		"the link is not available":                 {unresolved, gaveUp, false},
		"was invited":                               {func(*pack.Recipient) {}, "", false},
		"another person had no link":                {func(*pack.Recipient) {}, "other", false},
		"no signer was listed, and this one is now": {func(*pack.Recipient) {}, plan(us, sent, &pack.Document{}, summarize(nil)).waiting[0].message.GetId(), true},
	} {
		past := summarize([]*signingv1.SigningEvent{sent, signature})
		past.linkless = map[string]bool{test.linkless: test.linkless != ""}
		invited := map[string]bool{}
		for _, n := range plan(us, signature, document(test.link), past).messages {
			if n.GetLink() != nil {
				invited[n.GetId()] = true
			}
		}
		if invited[gaveUp] != test.want {
			t.Errorf("%s: invited is %v", name, invited[gaveUp])
		}
	}
}
