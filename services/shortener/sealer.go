package shortener

import (
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/signrelay/signrelay/libs/keyring"
)

// Kinds of entries: the prefixes of the keys in the bucket.
const (
	ofCode    = "link."   // a link, by its code
	ofPerson  = "person." // a person's code, by the person and the purpose
	ofExpired = "was."    // the trace of a link that the broker removes when it expires, by its code
)

// sealer hides the content of the bucket from its readers: keys are MACs, values are encrypted. So a list of the keys, or an entry, reveals
// no code, no signing address and no title.
//
// An entry is weak if everyone with write access to the bucket could have made it: the plain text of earlier versions, and, with a master
// key, the entries from before the master key.
type sealer struct {
	names, values       keyring.Keys
	oldNames, oldValues keyring.Keys // the keys without a master key; nil if these are the current keys
	// weakUntil is the time before which a weak entry must have been written to be trusted, by the broker's clock; zero trusts it at any
	// time.
	weakUntil time.Time
	// strong is true if the bucket has no trusted weak entry. Then none is looked up, which saves two of three requests for a new person.
	strong bool
}

func newSealer(ring keyring.Ring, weakUntil time.Time) sealer {
	s := sealer{names: ring.For("link-code"), values: ring.For("link-value")}
	if ring.Set() {
		none := keyring.New(nil)
		s.oldNames, s.oldValues, s.weakUntil = none.For("link-code"), none.For("link-value"), weakUntil
	}
	return s
}

// place is a possible key of an entry in the bucket, with the decryption of its value.
type place struct {
	key  string
	open func(value []byte) ([]byte, error)
	weak bool
}

// places returns the possible keys of an entry, the newest first. The entry is written to the newest. plain is the key that earlier versions
// used.
func (s sealer) places(of, what, plain string) []place {
	var all []place
	add := func(names, values keyring.Keys, weak bool) {
		for _, mac := range names.MACs(of + what) {
			key := keyOf(of, mac)
			all = append(all, place{key, func(value []byte) ([]byte, error) { return values.Open(value, []byte(key)) }, weak})
		}
	}
	add(s.names, s.values, false)
	if s.strong {
		return all
	}
	if s.oldNames != nil {
		add(s.oldNames, s.oldValues, true)
	}
	if plain != "" {
		all = append(all, place{plain, func(value []byte) ([]byte, error) { return value, nil }, true})
	}
	return all
}

// code returns the places of a code's link. Versions without master_key stored it under the code itself, in plain text. Their entries expire
// within 90 days after the upgrade. A later release can remove the plain keys, here and in person.
func (s sealer) code(code string) []place { return s.places(ofCode, code, "code."+code) }

// person returns the places of a person's code, like code.
func (s sealer) person(pair string) []place { return s.places(ofPerson, pair, "pair."+pair) }

// expired returns the places of the trace of an expired link.
func (s sealer) expired(code string) []place { return s.places(ofExpired, code, "") }

// seal encrypts the value of a key.
func (s sealer) seal(key string, value []byte) []byte { return s.values.Seal(value, []byte(key)) }

// counts reports whether an entry of the place that was written then is trusted.
func (s sealer) counts(p place, written time.Time) bool {
	return !p.weak || s.weakUntil.IsZero() || written.Before(s.weakUntil)
}

func keyOf(of string, mac [sha256.Size]byte) string {
	return of + base64.RawURLEncoding.EncodeToString(mac[:])
}
