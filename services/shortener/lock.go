package shortener

import (
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/signrelay/signrelay/libs/keyring"
)

// What an entry is about. The prefixes are those of the keys in the bucket.
const (
	ofCode    = "link."   // a link, by its code
	ofPerson  = "person." // the code that a person was given, by whom and what it is for
	ofExpired = "was."    // a link that the broker has removed because it expired, by its code
)

// locks hide what the bucket holds from who can read it: keys are MACs, values are sealed. So neither a list of the keys nor an
// entry gives a code, a signing address or a title.
//
// Entries that anyone who can write to the bucket could have made are weak: what earlier versions wrote in plain text, and, where
// there is a master key, what was written before there was one.
type locks struct {
	names, values       keyring.Keys
	oldNames, oldValues keyring.Keys // without a master key; nil where names are these
	// weakUntil is when a weak entry must have been written to count, by the broker's clock; zero for any time.
	weakUntil time.Time
}

func newLocks(ring keyring.Ring, weakUntil time.Time) locks {
	l := locks{names: ring.For("link-code"), values: ring.For("link-value")}
	if ring.Set() {
		none := keyring.New(nil)
		l.oldNames, l.oldValues, l.weakUntil = none.For("link-code"), none.For("link-value"), weakUntil
	}
	return l
}

// place is where an entry may be in the bucket, and how its value is read there.
type place struct {
	key  string
	open func(value []byte) ([]byte, error)
	weak bool
}

// places are where the entry may be, the newest first, which is where it is written. plain is the key that earlier versions used.
func (l locks) places(of, what, plain string) []place {
	var all []place
	add := func(names, values keyring.Keys, weak bool) {
		for _, mac := range names.MACs(of + what) {
			key := keyOf(of, mac)
			all = append(all, place{key, func(value []byte) ([]byte, error) { return values.Open(value, []byte(key)) }, weak})
		}
	}
	add(l.names, l.values, false)
	if l.oldNames != nil {
		add(l.oldNames, l.oldValues, true)
	}
	if plain != "" {
		all = append(all, place{plain, func(value []byte) ([]byte, error) { return value, nil }, true})
	}
	return all
}

// code is where the link of a code may be. Versions without master_key kept it under the code itself, in plain text. Their entries
// are gone 90 days after the upgrade: the release after that can drop the plain keys, here and in person.
func (l locks) code(code string) []place { return l.places(ofCode, code, "code."+code) }

// person is where the code of a person may be, as code says.
func (l locks) person(pair string) []place { return l.places(ofPerson, pair, "pair."+pair) }

// expired is where the trace of an expired link is.
func (l locks) expired(code string) []place { return l.places(ofExpired, code, "") }

// seal encrypts the value of a key.
func (l locks) seal(key string, value []byte) []byte { return l.values.Seal(value, []byte(key)) }

// counts reports whether an entry of the place that was written then may be believed.
func (l locks) counts(p place, written time.Time) bool {
	return !p.weak || l.weakUntil.IsZero() || written.Before(l.weakUntil)
}

func keyOf(of string, mac [sha256.Size]byte) string {
	return of + base64.RawURLEncoding.EncodeToString(mac[:])
}
