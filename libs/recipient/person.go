// Package recipient makes the messages to the people of a document: it distinguishes the people, finds the channels and addresses on which each
// of them can be reached, and gives each message its id. Its callers decide which person gets which kind of message, and when.
package recipient

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Person is one recipient of a document.
type Person struct {
	pack.Recipient
	Key          string        // identifies the person in the ids of messages
	Correction   string        // the id of the person's latest recipient.corrected; empty for none
	destinations []destination // one for each channel on which the person gets messages
	others       []destination // one for each channel that can replace another one and on which the person can be reached
}

// Distinct returns a document's people, each once.
//
// The provider's id identifies a recipient. Without an id, the addresses and the name identify the recipient if no other recipient of the
// document has the same ones. This key must not change, or an upgrade would send all messages again. If several recipients share addresses
// and name, the signing address identifies them too. If that is missing as well, the key is the position among the recipients with the same
// data. So a key never moves from one person to another, for any order of the provider's list.
func Distinct(recipients []pack.Recipient) []Person {
	sharing := map[string]int{} // the number of people with that address and name
	listed := map[string]bool{}
	for _, r := range recipients {
		address := addressKey(r)
		if r.ID == "" && !listed[address+r.SigningURL] {
			listed[address+r.SigningURL] = r.SigningURL != ""
			sharing[address]++
		}
	}
	seen := make(map[string]bool, len(recipients))
	places := map[string]int{}
	var people []Person
	for _, r := range recipients {
		key := r.ID
		if key == "" {
			key = addressKey(r)
			switch {
			case sharing[key] == 1:
			case r.SigningURL != "":
				key += "/link/" + hashed(r.SigningURL)
			default:
				places[key]++
				key += "/place/" + strconv.Itoa(places[key])
			}
		}
		if !seen[key] {
			seen[key] = true
			people = append(people, Person{Recipient: r, Key: key})
		}
	}
	return people
}

// addressKey identifies a recipient without an id.
func addressKey(r pack.Recipient) string {
	return "address/" + hashed(strings.ToLower(strings.TrimSpace(r.Email)), strings.TrimSpace(r.Mobile), r.FirstName, r.LastName)
}

func hashed(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Actor finds the person who acted: by id, otherwise by an address or a name that only one of the people has. It returns -1 for no match.
func Actor(people []Person, happened *signingv1.SigningEvent) int {
	acted := happened.GetRecipient()
	for _, same := range []func(Person) bool{
		func(p Person) bool { return acted.GetId() != "" && p.ID == acted.GetId() },
		func(p Person) bool {
			return acted.GetEmail() != "" && strings.EqualFold(strings.TrimSpace(p.Email), strings.TrimSpace(acted.GetEmail()))
		},
		func(p Person) bool {
			name := fullName(acted.GetFirstName(), acted.GetLastName())
			return name != "" && strings.EqualFold(fullName(p.FirstName, p.LastName), name)
		},
	} {
		if who := Only(people, same); who >= 0 {
			return who
		}
	}
	return -1
}

// Only returns the one person who matches, or -1 if none or several match.
func Only(people []Person, fits func(Person) bool) int {
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

// ActorName returns the actor's name from the API, otherwise from the callback, otherwise "": the templates have a text for an unknown
// person.
func ActorName(people []Person, who int, happened *signingv1.SigningEvent) string {
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
