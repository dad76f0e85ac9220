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

// book is the bucket of short links. A link has three entries: the link itself by its code; the code by whom and what the link
// is for, so that who asks again gets the same one; and a trace by its code, which tells an expired link from one that never was.
// The first two go when the link expires. See locks for how they are kept.
type book struct {
	js     jetstream.JetStream
	bucket jetstream.KeyValue
	locks  locks
	expire bool          // the broker removes entries that expire
	life   time.Duration // of a link
	now    func() time.Time
}

// openBook opens the bucket as Provision made it.
func openBook(ctx context.Context, js jetstream.JetStream, ring keyring.Ring, life time.Duration, log *slog.Logger) (book, error) {
	bucket, err := js.KeyValue(ctx, flow.Links)
	if err != nil {
		return book{}, fmt.Errorf("open bucket %s: %w", flow.Links, err)
	}
	is, err := bucket.Status(ctx)
	if err != nil {
		return book{}, fmt.Errorf("open bucket %s: %w", flow.Links, err)
	}
	weakUntil, err := flow.UnsealedUntil(is.Metadata())
	switch {
	case err != nil:
		return book{}, err
	case ring.Set() && weakUntil.IsZero():
		log.WarnContext(ctx, "links that were made without the master key are accepted without limit: run `signrelay provision` with master_key")
	case !ring.Set() && !weakUntil.IsZero():
		log.ErrorContext(ctx, "master_key is missing, and links were made with it: these do not open")
	}
	return book{js: js, bucket: bucket, locks: newLocks(ring, weakUntil), expire: is.LimitMarkerTTL() > 0, life: life, now: time.Now}, nil
}

// entry is a link as the book has it.
type entry struct {
	link
	code     string
	key      string // in the bucket
	revision uint64
}

// codeLength excludes the suffix for the channel (see code.go). A code has 14 characters of 5 bits, all from crypto/rand: with
// 70 bits, guessing a link is infeasible. A phone's keyboard gives the letters a-z and the digits 2-7 without a shift, and none
// looks like another.
const codeLength = 14

var (
	errUnknown = errors.New("no such link")
	errExpired = errors.New("the link has expired")
	// errUnreadable means that an entry was not written by us, or was damaged. It quotes nothing of it.
	errUnreadable = errors.New("an entry of the bucket of links cannot be read")
	// errRaced means that another replica changed an entry between our look at it and our change.
	errRaced = errors.New("another replica changed the link at the same time")
)

// races is how often one call looks again. Each race is won by somebody, and few replicas make one person's link at once.
const races = 20

// give returns the one entry of a pair; it makes it where there is none that still opens for long. A newer target takes
// the place of an older one under the same code.
func (b book) give(ctx context.Context, pair string, l link) (entry, error) {
	for range races {
		e, err := b.tryGive(ctx, pair, l)
		if !errors.Is(err, errRaced) {
			return e, err
		}
	}
	return entry{}, errRaced
}

func (b book) tryGive(ctx context.Context, pair string, l link) (entry, error) {
	places := b.locks.person(pair)
	given, err := b.find(ctx, places)
	if err != nil && !errors.Is(err, errUnknown) && !errors.Is(err, errUnreadable) {
		return entry{}, err
	}
	seen := given.revision // 0 where there is none
	if given.key != places[0].key {
		seen = 0 // that one stays where it is, and is not found any more
	}
	if err != nil {
		return b.enter(ctx, places, seen, l)
	}
	e, err := b.read(ctx, string(given.value))
	switch {
	case errors.Is(err, errUnknown), errors.Is(err, errUnreadable): // the bucket drops the code a moment before the pair
		return b.enter(ctx, places, seen, l)
	case err != nil:
		return entry{}, err
	case b.ageing(e.link):
		return b.enter(ctx, places, seen, l)
	case l.Told.Before(e.Told), l.Target == e.Target && l.shown == e.shown:
		return e, nil
	}
	e.Target, e.Told, e.shown = l.Target, l.Told, l.shown
	return b.write(ctx, e)
}

// ageing tells whether less than half of a link's life is left. Then a message gets a new one: a reminder that comes just
// before the invitation's link expires must not carry a link that is dead when it is read. The old one opens to its end.
func (b book) ageing(l link) bool {
	return l.ExpiresAt.Sub(b.now()) < b.life/2
}

// enter makes a new code and enters it in the newest of the person's places, where it saw an entry of this revision, 0 for none. Of two
// replicas that do so at once the first wins, and the other learns so.
func (b book) enter(ctx context.Context, places []place, seen uint64, l link) (entry, error) {
	l.MadeAt = b.now().UTC().Truncate(time.Second)
	l.ExpiresAt = l.MadeAt.Add(b.life)
	// The code's entries come first: a person's must never lead to a code that nothing stands behind. What a crash between
	// them leaves behind is a code that nobody was told.
	e, err := b.write(ctx, entry{link: l, code: strings.ToLower(rand.Text()[:codeLength])})
	if err != nil {
		return entry{}, err
	}
	if err := b.trace(ctx, e); err != nil {
		return entry{}, err
	}
	_, err = b.put(ctx, places[0].key, []byte(e.code), seen, l.ExpiresAt)
	switch {
	case err == nil:
		return e, nil
	case !errors.Is(err, errRaced):
		return entry{}, fmt.Errorf("store whose short link it is: %w", err)
	}
	// It is ours where only the answer to its entry was lost. Else it was told to nobody, and where it cannot be purged
	// it ages out.
	if given, err := b.find(ctx, places[:1]); err == nil && string(given.value) != e.code {
		_ = b.bucket.Purge(ctx, e.key)
	}
	return entry{}, errRaced
}

// keep keeps an outside form beside the link, and returns it. Where another replica kept one for the same link first, that
// one counts.
func (b book) keep(ctx context.Context, e entry, channel string, form outsideForm) (outsideForm, error) {
	_, err := b.change(ctx, e, func(l *link) bool {
		if kept := l.Outside[channel]; kept.By == form.By && kept.Of == form.Of {
			form = kept
			return false
		}
		l.Outside = with(l.Outside, channel, form)
		return true
	})
	return form, err
}

// fetched records that a kind of program fetched the link on a day, and reports whether it is the first time on that day.
func (b book) fetched(ctx context.Context, e entry, client, day string) (first bool, err error) {
	return b.change(ctx, e, func(l *link) bool {
		if l.Fetched[client] == day {
			return false
		}
		l.Fetched = with(l.Fetched, client, day)
		return true
	})
}

// with is a copy of a map with one more entry: the entry that was read stays as it was.
func with[V any](m map[string]V, key string, value V) map[string]V {
	copied := maps.Clone(m)
	if copied == nil {
		copied = map[string]V{}
	}
	copied[key] = value
	return copied
}

// change changes a link, tries again if another replica was faster, and reports whether there was a change to make.
func (b book) change(ctx context.Context, e entry, change func(*link) bool) (changed bool, err error) {
	for range races {
		next := e
		if !change(&next.link) {
			return false, nil
		}
		if _, err = b.write(ctx, next); !errors.Is(err, errRaced) {
			return err == nil, err
		}
		if e, err = b.read(ctx, e.code); err != nil {
			return false, err
		}
	}
	return false, errRaced
}

// write stores a link in the newest place for its code, unless somebody else changed it after it was read.
func (b book) write(ctx context.Context, e entry) (entry, error) {
	record, err := json.Marshal(e.link)
	if err != nil {
		return entry{}, fmt.Errorf("encode a link: %w", err)
	}
	if newest := b.locks.code(e.code)[0].key; e.key != newest {
		e.key, e.revision = newest, 0 // an older version, or one with an older master key, finds it where it was
	}
	e.revision, err = b.put(ctx, e.key, record, e.revision, e.ExpiresAt)
	if err != nil {
		return entry{}, fmt.Errorf("store a short link: %w", err)
	}
	return e, nil
}

// trace leaves behind what the page of the expired link needs. It outlives the link by as long as the bucket keeps entries.
func (b book) trace(ctx context.Context, e entry) error {
	record, err := json.Marshal(link{shown: shown{Locale: e.Locale}, ExpiresAt: e.ExpiresAt})
	if err != nil {
		return fmt.Errorf("encode a link: %w", err)
	}
	if _, err := b.put(ctx, b.locks.expired(e.code)[0].key, record, 0, time.Time{}); err != nil {
		return fmt.Errorf("store when a short link expires: %w", err)
	}
	return nil
}

// put seals a value and stores it until then, or for as long as the bucket keeps entries. It fails with errRaced where the entry is not
// of the revision that was seen, 0 for none.
func (b book) put(ctx context.Context, key string, value []byte, seen uint64, until time.Time) (revision uint64, err error) {
	lasts := time.Duration(0) // as the bucket says
	if b.expire && !until.IsZero() {
		lasts = max(until.Sub(b.now()).Truncate(time.Second)+time.Second, time.Second) // the broker counts seconds
	}
	value = b.locks.seal(key, value)
	if seen == 0 {
		revision, err = b.bucket.Create(ctx, key, value, jetstream.KeyTTL(lasts))
	} else {
		options := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(seen)}
		if lasts > 0 {
			options = append(options, jetstream.WithMsgTTL(lasts)) // which the bucket's Update cannot say
		}
		var ack *jetstream.PubAck
		if ack, err = b.js.PublishMsg(ctx, &nats.Msg{Subject: "$KV." + flow.Links + "." + key, Data: value}, options...); err == nil {
			revision = ack.Sequence
		}
	}
	if refused := new(jetstream.APIError); errors.As(err, &refused) &&
		(refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return 0, errRaced
	}
	return revision, err
}

// found is an entry of the bucket, with its value in plain.
type found struct {
	key      string
	value    []byte
	revision uint64
}

// find returns the newest entry that is in one of the places and counts, or errUnknown. Where its value cannot be read, it returns it
// without the value, and errUnreadable.
func (b book) find(ctx context.Context, places []place) (found, error) {
	for _, p := range places {
		is, err := b.bucket.Get(ctx, p.key)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			continue
		case err != nil:
			return found{}, fmt.Errorf("read the bucket of links: %w", err)
		case !b.locks.counts(p, is.Created()):
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
func (b book) read(ctx context.Context, code string) (entry, error) {
	is, err := b.find(ctx, b.locks.code(code))
	if err != nil {
		return entry{}, err
	}
	e := entry{code: code, key: is.key, revision: is.revision}
	if err := json.Unmarshal(is.value, &e.link); err != nil {
		return entry{}, errUnreadable // the decoder's own words may quote a target
	}
	return e, nil
}

// open returns the entry of a code, or errUnknown. Of a link that has expired it returns errExpired, and what is left of the entry.
func (b book) open(ctx context.Context, code string) (entry, error) {
	e, err := b.read(ctx, code)
	if errors.Is(err, errUnknown) {
		return b.expired(ctx, code)
	}
	if err == nil && !b.now().Before(e.ExpiresAt) {
		err = errExpired
	}
	return e, err
}

// expired returns errExpired for a code whose link the broker has removed.
func (b book) expired(ctx context.Context, code string) (entry, error) {
	trace, err := b.find(ctx, b.locks.expired(code))
	if err != nil {
		return entry{}, err
	}
	e := entry{code: code, key: trace.key, revision: trace.revision}
	if err := json.Unmarshal(trace.value, &e.link); err != nil {
		return entry{}, errUnreadable
	}
	if b.now().Before(e.ExpiresAt) { // removed by hand, or never completely made
		return entry{}, errUnknown
	}
	return e, errExpired
}
