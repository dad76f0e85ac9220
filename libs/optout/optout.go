// Package optout stores to whom no message may be sent any more: a number after STOP, a person on a document after a click on the page of a
// short link, and a person at an address from before a correction. The bucket holds no number and no id, only keyed hashes of them.
package optout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
)

// Store is the bucket OPTOUTS. Replicas do not keep copies of it: a sender reads it for each message, so that an opt-out counts at once
// (docs/adr/0036).
type Store struct {
	bucket jetstream.KeyValue
	log    event.Log
	keys   keyring.Keys
}

// Open opens the bucket that provisioning has made.
func Open(ctx context.Context, js jetstream.JetStream, ring keyring.Ring) (Store, error) {
	bucket, err := js.KeyValue(ctx, flow.OptOuts)
	if err != nil {
		return Store{}, fmt.Errorf("open bucket %s: %w", flow.OptOuts, err)
	}
	return Store{bucket: bucket, log: event.Log{JS: js, Stream: "KV_" + flow.OptOuts}, keys: purposeKeys(ring)}, nil
}

// Who is one who may opt out: see Number and Person.
type Who struct{ family, text string }

// Number is a phone number, for the texts of one source. An empty source means the texts of all sources. The number may have any form with a
// country code.
func Number(number, source string) Who {
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, number)
	return Who{"number.", "number/" + source + "/" + digits}
}

// Person is a person on a document, for all messages about the document.
func Person(who event.Signer) Who {
	return ofSigner("person", who)
}

func ofSigner(family string, who event.Signer) Who {
	return Who{family + ".", family + "/" + strings.Join([]string{
		who.Source, who.Provider, strconv.Quote(who.Document), strconv.Quote(who.Recipient),
	}, "/")}
}

// Keys returns the keys of an entry in the bucket, of the newest master key first.
func Keys(ring keyring.Ring, who Who) []string { return keysOf(purposeKeys(ring), who) }

func purposeKeys(ring keyring.Ring) keyring.Keys { return ring.For("optouts") }

func (s Store) keysOf(who Who) []string { return keysOf(s.keys, who) }

func keysOf(keys keyring.Keys, who Who) []string {
	all := keys.Names(who.text)
	for i := range all {
		all[i] = who.family + all[i]
	}
	return all
}

// State is the latest wish of one who may opt out.
type State struct {
	Out     bool      `json:"out"`
	At      time.Time `json:"at"`      // when the person wrote it, by the vendor's clock
	Message string    `json:"message"` // the id of the text or the click
	// Changed is true if it was the opposite of the wish before it. Only then the person gets a confirmation.
	Changed bool `json:"changed,omitempty"`
}

// after reports whether s is the later wish. The vendor's times have seconds; of two opposite wishes in one second, the opt-out counts.
func (s State) after(other State) bool {
	return s.At.After(other.At) || s.At.Equal(other.At) && s.Out && !other.Out
}

// Result is the result of a change.
type Result int

// The results of a change.
const (
	Changed   Result = iota // the wish is stored, and it is the opposite of the wish before it
	Confirmed               // the wish is stored, and it is the same as before
	Outdated                // a later wish is stored, so nothing changed
)

// Change stores a wish, unless a later one is stored. A message that was stored before has the result that it had then. also lists the wishes
// of the same person with another scope.
func (s Store) Change(ctx context.Context, to State, who Who, also ...Who) (Result, error) {
	for range flow.UpdateAttempts {
		before, err := s.latest(ctx, append([]Who{who}, also...))
		switch {
		case err != nil:
			return 0, err
		case before.Message != "" && before.Message == to.Message && before.Changed:
			return Changed, nil
		case before.Message != "" && before.Message == to.Message:
			return Confirmed, nil
		case before.Message != "" && !to.after(before):
			return Outdated, nil
		}
		to.Changed = to.Out != before.Out
		err = s.write(ctx, s.keysOf(who)[0], to)
		switch {
		case err == nil && to.Changed:
			return Changed, nil
		case err == nil:
			return Confirmed, nil
		case !flow.Raced(err) && !errors.Is(err, errNewer):
			return 0, fmt.Errorf("store an opt-out: %w", err)
		}
	}
	return 0, fmt.Errorf("store an opt-out: other replicas changed it at the same time, %d times in a row", flow.UpdateAttempts)
}

// errNewer means that another replica stored a later wish after the caller read the entry.
var errNewer = errors.New("a later wish is stored")

// write stores a wish under a key, unless the key has a later one.
func (s Store) write(ctx context.Context, key string, to State) error {
	value, err := json.Marshal(to)
	if err != nil {
		return err
	}
	found, err := s.bucket.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		_, err = s.bucket.Create(ctx, key, value)
		return err
	case err != nil:
		return err
	}
	if is, err := decode(found.Value()); err != nil || is.Message == to.Message || !to.after(is) {
		return errors.Join(err, errNewer)
	}
	_, err = s.bucket.Update(ctx, key, value, found.Revision())
	return err
}

// Out reports whether at least one of the groups does not want messages. The wishes of a group are those of one person with several scopes: the
// latest counts. All are read in one request.
func (s Store) Out(ctx context.Context, groups ...[]Who) (bool, error) {
	states, err := s.read(ctx, groups...)
	return err == nil && states.out(time.Time{}, groups...), err
}

// states are the latest wishes that were read.
type states map[Who]State

// out reports whether at least one of the groups does not want messages. Wishes before a time do not count.
func (all states) out(since time.Time, groups ...[]Who) bool {
	for _, group := range groups {
		if is := newest(all, group); is.Out && !is.At.Before(since) {
			return true
		}
	}
	return false
}

func (s Store) latest(ctx context.Context, group []Who) (State, error) {
	all, err := s.read(ctx, group)
	return newest(all, group), err
}

func newest(all states, group []Who) (is State) {
	for _, who := range group {
		if found := all[who]; found.Message != "" && (is.Message == "" || found.after(is)) {
			is = found
		}
	}
	return is
}

// read returns the latest wish of each, under any of the master keys.
func (s Store) read(ctx context.Context, groups ...[]Who) (states, error) {
	const prefix = "$KV." + flow.OptOuts + "."
	subjects, whose := []string{}, map[string]Who{}
	for _, group := range groups {
		for _, who := range group {
			for _, key := range s.keysOf(who) {
				subjects, whose[prefix+key] = append(subjects, prefix+key), who
			}
		}
	}
	all := states{}
	for m, err := range s.log.Last(ctx, subjects...) {
		if err != nil {
			return nil, fmt.Errorf("read opt-outs: %w", err)
		}
		if m.Header.Get("KV-Operation") != "" { // an operator removed the entry
			continue
		}
		is, err := decode(m.Data)
		if err != nil {
			return nil, err
		}
		who := whose[m.Subject]
		if before, known := all[who]; !known || is.after(before) {
			all[who] = is
		}
	}
	return all, nil
}

// decode does not quote a value in its error, because another program may have written it.
func decode(value []byte) (is State, err error) {
	if err := json.Unmarshal(value, &is); err != nil || is.Message == "" {
		return State{}, errors.New("an entry in the bucket of opt-outs cannot be read")
	}
	return is, nil
}
