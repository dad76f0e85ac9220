package recipient

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Two signers with an id.
var (
	ann = pack.Recipient{ID: "ann", FirstName: "Ann", LastName: "Lee", Mobile: "(317) 555-0001", SigningURL: "https://p.example/ann"}
	bob = pack.Recipient{ID: "bob", FirstName: "Bob", Email: "bob@example.com", SigningURL: "https://p.example/bob"}
)

// home returns a signer without an id, as in the guide: two people of a household share both addresses.
func home(link string) pack.Recipient {
	return pack.Recipient{Email: "Home@Example.com ", Mobile: "+13175551234", Invite: true, SigningURL: link}
}

func with(r pack.Recipient, changes ...func(*pack.Recipient)) pack.Recipient {
	for _, change := range changes {
		change(&r)
	}
	return r
}

func nameless(r *pack.Recipient) { r.FirstName, r.LastName = "", "" }

func keys(recipients ...pack.Recipient) []string {
	var all []string
	for _, who := range Distinct(recipients) {
		all = append(all, who.Key)
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
	for _, who := range Distinct(listed) {
		at := who.Email + "/" + who.FirstName + "/" + who.SigningURL
		if who.ID != "" {
			at = "id " + who.ID
		}
		found[at] = append(found[at], who.Key)
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
