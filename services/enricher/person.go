package enricher

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// personKey is what makes a recipient one person on a document: the provider's id. Where it gives none, the addresses
// and the name do: two people who share an address are still two.
func personKey(r pack.Recipient) string {
	if r.ID != "" {
		return r.ID
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{
		strings.ToLower(strings.TrimSpace(r.Email)), strings.TrimSpace(r.Mobile), r.FirstName, r.LastName,
	}, "\x00")))
	return "address/" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// distinct leaves out who is listed twice.
func distinct(recipients []pack.Recipient) []pack.Recipient {
	seen := make(map[string]bool, len(recipients))
	var people []pack.Recipient
	for _, r := range recipients {
		if key := personKey(r); !seen[key] {
			seen[key] = true
			people = append(people, r)
		}
	}
	return people
}

// actor finds the person who acted: by id, else by an address or a name that only one of the people has. It returns -1
// where nobody fits.
func actor(people []pack.Recipient, happened *signingv1.SigningEvent) int {
	acted := happened.GetRecipient()
	for _, same := range []func(pack.Recipient) bool{
		func(p pack.Recipient) bool { return acted.GetId() != "" && p.ID == acted.GetId() },
		func(p pack.Recipient) bool {
			return acted.GetEmail() != "" && strings.EqualFold(strings.TrimSpace(p.Email), strings.TrimSpace(acted.GetEmail()))
		},
		func(p pack.Recipient) bool {
			name := fullName(acted.GetFirstName(), acted.GetLastName())
			return name != "" && strings.EqualFold(fullName(p.FirstName, p.LastName), name)
		},
	} {
		if who := only(people, same); who >= 0 {
			return who
		}
	}
	return -1
}

// only returns the one person who fits, or -1 where none or several do.
func only(people []pack.Recipient, fits func(pack.Recipient) bool) int {
	who := -1
	for i, p := range people {
		if !fits(p) {
			continue
		}
		if who >= 0 {
			return -1
		}
		who = i
	}
	return who
}

// actorName is the actor's name as the API has it, else as the callback told it, else empty: the texts have their own
// word for somebody.
func actorName(people []pack.Recipient, who int, happened *signingv1.SigningEvent) string {
	if who >= 0 {
		if name := fullName(people[who].FirstName, people[who].LastName); name != "" {
			return name
		}
	}
	return fullName(happened.GetRecipient().GetFirstName(), happened.GetRecipient().GetLastName())
}

func fullName(first, last string) string {
	return strings.TrimSpace(strings.TrimSpace(first) + " " + strings.TrimSpace(last))
}
