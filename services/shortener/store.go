package shortener

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
)

// store is the bucket of short links. A link has two entries: the link itself, by its code; and the code, by the link's person and purpose, so
// that the same person gets the same link again. The broker removes both when the link expires. If links expire before the bucket removes its
// entries, there is a third one: a trace, by the code, which distinguishes an expired link from one that never existed. See sealer for their
// keys and encryption.
type store struct {
	js     jetstream.JetStream
	bucket jetstream.KeyValue
	sealer sealer
	expire bool          // the broker removes entries that expire
	life   time.Duration // of a link
	traces bool          // a link expires before the bucket removes its trace
	now    func() time.Time
}

// openStore opens the bucket that provisioning has made.
func openStore(ctx context.Context, js jetstream.JetStream, ring keyring.Ring, life time.Duration, log *slog.Logger) (store, error) {
	bucket, err := js.KeyValue(ctx, flow.Links)
	if err != nil {
		return store{}, fmt.Errorf("open bucket %s: %w", flow.Links, err)
	}
	is, err := bucket.Status(ctx)
	if err != nil {
		return store{}, fmt.Errorf("open bucket %s: %w", flow.Links, err)
	}
	weakUntil, err := flow.UnsealedUntil(is.Metadata())
	switch {
	case err != nil:
		return store{}, err
	case ring.Set() && weakUntil.IsZero():
		log.WarnContext(ctx, "links that were made without the master key are accepted without limit: run `signrelay provision` with master_key")
	case !ring.Set() && !weakUntil.IsZero():
		log.ErrorContext(ctx, "master_key is missing: links that were made with it do not open")
	}
	s := store{js: js, bucket: bucket, sealer: newSealer(ring, weakUntil), expire: is.LimitMarkerTTL() > 0, life: life, now: time.Now}
	s.traces = is.TTL() == 0 || life < is.TTL()
	if kept, ok := is.(*jetstream.KeyValueBucketStatus); ok {
		s.sealer.strong = noWeak(kept.StreamInfo().State, weakUntil, s.now())
	}
	return s, nil
}

// noWeak reports whether the bucket has no trusted weak entry, and never will have one: the time until which one could be written has passed,
// and all its entries are newer.
func noWeak(bucket jetstream.StreamState, weakUntil, now time.Time) bool {
	return !weakUntil.IsZero() && now.After(weakUntil) && (bucket.Msgs == 0 || !bucket.FirstTime.Before(weakUntil))
}

// entry is a link as the bucket stores it.
type entry struct {
	link
	code     string
	key      string // in the bucket
	revision uint64
}

// codeLength excludes the suffix for the channel (see code.go). A code has 14 characters of 5 bits, all from crypto/rand: with 70 bits,
// guessing a link is infeasible. A phone's keyboard has the letters a-z and the digits 2-7 without a shift, and none of them looks like
// another.
const codeLength = 14

var (
	errUnknown = errors.New("no such link")
	errExpired = errors.New("the link has expired")
	// errUnreadable means that another program wrote an entry, or that the entry is damaged. Its text quotes nothing of the entry.
	errUnreadable = errors.New("an entry in the bucket of links cannot be read")
	// errRaced means that another replica changed an entry after we read it and before we changed it.
	errRaced = errors.New("another replica changed the link at the same time")
)

// getOrCreate returns the entry of a pair. It makes a new one if there is none, or if the existing one expires soon. A newer target replaces
// an older one under the same code.
func (s store) getOrCreate(ctx context.Context, pair string, l link) (entry, error) {
	for range flow.UpdateAttempts {
		e, err := s.tryGetOrCreate(ctx, pair, l)
		if !errors.Is(err, errRaced) {
			return e, err
		}
	}
	return entry{}, errRaced
}

func (s store) tryGetOrCreate(ctx context.Context, pair string, l link) (entry, error) {
	places := s.sealer.person(pair)
	given, err := s.find(ctx, places)
	if err != nil && !errors.Is(err, errUnknown) && !errors.Is(err, errUnreadable) {
		return entry{}, err
	}
	seen := given.revision // 0 for none
	if given.key != places[0].key {
		seen = 0 // the old entry stays, and the new one hides it
	}
	if err != nil {
		return s.create(ctx, places, seen, l)
	}
	e, err := s.read(ctx, string(given.value))
	switch {
	case errors.Is(err, errUnknown), errors.Is(err, errUnreadable): // the bucket may remove the code just before the pair
		return s.create(ctx, places, seen, l)
	case err != nil:
		return entry{}, err
	case s.ageing(e.link):
		return s.create(ctx, places, seen, l)
	case l.OccurredAt.Before(e.OccurredAt), l.Target == e.Target && l.shown == e.shown:
		return e, nil
	}
	e.Target, e.OccurredAt, e.shown = l.Target, l.OccurredAt, l.shown
	return s.write(ctx, e)
}

// ageing reports whether less than half of a link's lifetime is left. Then a message gets a new link, so that a reminder shortly before the
// end does not contain a link that has expired when it is read. The old link works until its end.
func (s store) ageing(l link) bool {
	return l.ExpiresAt.Sub(s.now()) < s.lifeOf(l)/2
}

// lifeOf returns the time for which a link works.
func (s store) lifeOf(l link) time.Duration {
	if l.corrects() {
		return min(s.life, correctFor)
	}
	return s.life
}

// create makes a new code and stores it in the newest of the person's places. seen is the revision of the entry that the caller read there, 0
// for none. If two replicas do this at the same time, the first succeeds, and the other gets errRaced.
func (s store) create(ctx context.Context, places []place, seen uint64, l link) (entry, error) {
	l.MadeAt = s.now().UTC().Truncate(time.Second)
	l.ExpiresAt = l.MadeAt.Add(s.lifeOf(l))
	// The code's entries are stored first, because a person's entry must never contain a code without a link. A crash between the writes
	// leaves a code that is in no message.
	e, err := s.write(ctx, entry{link: l, code: strings.ToLower(rand.Text()[:codeLength])})
	if err != nil {
		return entry{}, err
	}
	if s.traces || s.lifeOf(l) < s.life {
		if err := s.trace(ctx, e); err != nil {
			return entry{}, err
		}
	}
	_, err = s.put(ctx, places[0].key, []byte(e.code), seen, l.ExpiresAt)
	switch {
	case err == nil:
		return e, nil
	case !errors.Is(err, errRaced):
		return entry{}, fmt.Errorf("store the person of a short link: %w", err)
	}
	// If only the response was lost, the person's entry has our code. Otherwise our code is in no message. It expires if it cannot be purged.
	if given, err := s.find(ctx, places[:1]); err == nil && string(given.value) != e.code {
		_ = s.bucket.Purge(ctx, e.key)
	}
	return entry{}, errRaced
}

// keepOutside stores an outside form with the link, and returns it. If another replica has stored one for the same link before, it returns
// that one.
func (s store) keepOutside(ctx context.Context, e entry, channel string, form outsideForm) (outsideForm, error) {
	_, err := s.change(ctx, e, func(l *link) bool {
		if kept := l.Outside[channel]; kept.By == form.By && kept.Of == form.Of {
			form = kept
			return false
		}
		l.Outside = with(l.Outside, channel, form)
		return true
	})
	return form, err
}

// order notes the order for which a link for corrections was used, unless another order than the caller has seen was noted meanwhile.
func (s store) order(ctx context.Context, e entry, order string) (first bool, err error) {
	return s.change(ctx, e, func(l *link) bool {
		if l.Order != e.Order {
			return false
		}
		l.Order = order
		return true
	})
}

// fetched records that a kind of program fetched the link on a day, and reports whether it is the first time on that day.
func (s store) fetched(ctx context.Context, e entry, client, day string) (first bool, err error) {
	return s.change(ctx, e, func(l *link) bool {
		if l.Fetched[client] == day {
			return false
		}
		l.Fetched = with(l.Fetched, client, day)
		return true
	})
}

// with returns a copy of a map with one more entry, so that the map that was read stays unchanged.
func with[V any](m map[string]V, key string, value V) map[string]V {
	copied := maps.Clone(m)
	if copied == nil {
		copied = map[string]V{}
	}
	copied[key] = value
	return copied
}

// change changes a link, tries again if another replica was faster, and reports whether it changed anything.
func (s store) change(ctx context.Context, e entry, change func(*link) bool) (changed bool, err error) {
	for range flow.UpdateAttempts {
		next := e
		if !change(&next.link) {
			return false, nil
		}
		if _, err = s.write(ctx, next); !errors.Is(err, errRaced) {
			return err == nil, err
		}
		if e, err = s.read(ctx, e.code); err != nil {
			return false, err
		}
	}
	return false, errRaced
}

// write stores a link in the newest place of its code, unless another replica changed the link after it was read.
func (s store) write(ctx context.Context, e entry) (entry, error) {
	record, err := json.Marshal(e.link)
	if err != nil {
		return entry{}, fmt.Errorf("encode a link: %w", err)
	}
	if newest := s.sealer.code(e.code)[0].key; e.key != newest {
		e.key, e.revision = newest, 0 // an older version, or one with an older master key, may have stored it in an old place
	}
	e.revision, err = s.put(ctx, e.key, record, e.revision, e.ExpiresAt)
	if err != nil {
		return entry{}, fmt.Errorf("store a short link: %w", err)
	}
	return e, nil
}

// trace stores the data for the page of the expired link. It remains after the link, for as long as the bucket keeps entries.
func (s store) trace(ctx context.Context, e entry) error {
	record, err := json.Marshal(link{shown: shown{Locale: e.Locale}, ExpiresAt: e.ExpiresAt})
	if err != nil {
		return fmt.Errorf("encode a link: %w", err)
	}
	if _, err := s.put(ctx, s.sealer.expired(e.code)[0].key, record, 0, time.Time{}); err != nil {
		return fmt.Errorf("store the expiry of a short link: %w", err)
	}
	return nil
}

// put seals a value and stores it until the given time. If that is zero, the value stays for as long as the bucket keeps entries. It fails
// with errRaced if the entry's revision is not the one that was seen, 0 for none.
func (s store) put(ctx context.Context, key string, value []byte, seen uint64, until time.Time) (revision uint64, err error) {
	lasts := time.Duration(0) // the bucket's own
	if s.expire && !until.IsZero() {
		lasts = max(until.Sub(s.now()).Truncate(time.Second)+time.Second, time.Second) // the broker counts seconds
	}
	value = s.sealer.seal(key, value)
	if seen == 0 {
		revision, err = s.bucket.Create(ctx, key, value, jetstream.KeyTTL(lasts))
	} else {
		options := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(seen)}
		if lasts > 0 {
			options = append(options, jetstream.WithMsgTTL(lasts)) // the bucket's Update has no option for it
		}
		var ack *jetstream.PubAck
		if ack, err = s.js.PublishMsg(ctx, &nats.Msg{Subject: "$KV." + flow.Links + "." + key, Data: value}, options...); err == nil {
			revision = ack.Sequence
		}
	}
	if refused := new(jetstream.APIError); errors.As(err, &refused) &&
		(refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return 0, errRaced
	}
	return revision, err
}

// found is an entry of the bucket with its decrypted value.
type found struct {
	key      string
	value    []byte
	revision uint64
}

// find returns the first trusted entry in the places, or errUnknown. If its value cannot be read, it returns the entry without the value, and
// errUnreadable.
func (s store) find(ctx context.Context, places []place) (found, error) {
	for _, p := range places {
		is, err := s.bucket.Get(ctx, p.key)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			continue
		case err != nil:
			return found{}, fmt.Errorf("read the bucket of links: %w", err)
		case !s.sealer.counts(p, is.Created()):
			continue
		}
		value, err := p.open(is.Value())
		if err != nil {
			err = errUnreadable
		}
		return found{p.key, value, is.Revision()}, err
	}
	return found{}, errUnknown
}

// read returns the entry of a code, or errUnknown.
func (s store) read(ctx context.Context, code string) (entry, error) {
	is, err := s.find(ctx, s.sealer.code(code))
	if err != nil {
		return entry{}, err
	}
	e := entry{code: code, key: is.key, revision: is.revision}
	if err := json.Unmarshal(is.value, &e.link); err != nil {
		return entry{}, errUnreadable // the decoder's error may quote a target
	}
	return e, nil
}

// open returns the entry of a code, or errUnknown. For an expired link it returns errExpired, and the remaining part of the entry.
func (s store) open(ctx context.Context, code string) (entry, error) {
	e, err := s.read(ctx, code)
	if errors.Is(err, errUnknown) {
		return s.expired(ctx, code)
	}
	if err == nil && !s.now().Before(e.ExpiresAt) {
		err = errExpired
	}
	return e, err
}

// expired returns errExpired for a code whose link the broker has removed.
func (s store) expired(ctx context.Context, code string) (entry, error) {
	trace, err := s.find(ctx, s.sealer.expired(code))
	if err != nil {
		return entry{}, err
	}
	e := entry{code: code, key: trace.key, revision: trace.revision}
	if err := json.Unmarshal(trace.value, &e.link); err != nil {
		return entry{}, errUnreadable
	}
	if s.now().Before(e.ExpiresAt) { // removed by hand, or never completely made
		return entry{}, errUnknown
	}
	return e, errExpired
}
