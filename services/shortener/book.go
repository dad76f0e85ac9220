package shortener

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// book is the bucket of short links. Each link has two entries: code.<code> has the link, and pair.<hash> the code that
// was given to this person for this document and purpose, so that whoever asks again gets the same one.
type book struct {
	bucket jetstream.KeyValue
	life   time.Duration // of a link
	now    func() time.Time
}

// entry is a link as it stands in the book.
type entry struct {
	link
	code     string
	revision uint64
}

// codeLength excludes the suffix for the channel (see code.go). A code has 14 characters of 5 bits, all from crypto/rand: with
// 70 bits, guessing a link is infeasible. A phone's keyboard gives the letters a-z and the digits 2-7 without a shift, and none
// looks like another.
const codeLength = 14

var (
	errUnknown = errors.New("no such link")
	errExpired = errors.New("the link has expired")
	// errRaced means that another replica changed an entry between our look at it and our change.
	errRaced = errors.New("another replica changed the link at the same time")
)

// races is how often one call looks again. Each race is won by somebody, and few replicas make one person's link at once.
const races = 20

// give returns the one entry of a pair; it makes it where there is none that still opens for long. A newer target takes
// the place of an older one under the same code.
func (b book) give(ctx context.Context, pair string, l link) (entry, error) {
	for range races {
		e, err := b.tryGive(ctx, "pair."+pair, l)
		if !errors.Is(err, errRaced) {
			return e, err
		}
	}
	return entry{}, errRaced
}

func (b book) tryGive(ctx context.Context, pair string, l link) (entry, error) {
	given, err := b.bucket.Get(ctx, pair)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return b.enter(ctx, pair, 0, l)
	}
	if err != nil {
		return entry{}, fmt.Errorf("look for a short link: %w", err)
	}
	e, err := b.read(ctx, string(given.Value()))
	switch {
	case errors.Is(err, errUnknown): // the bucket drops the code a moment before the pair
		return b.enter(ctx, pair, given.Revision(), l)
	case err != nil:
		return entry{}, err
	case b.ageing(e.link):
		return b.enter(ctx, pair, given.Revision(), l)
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

// enter makes a new code and enters it under the pair, whose revision it saw, 0 for none. Of two replicas that do so at
// once the first wins, and the other learns so.
func (b book) enter(ctx context.Context, pair string, seen uint64, l link) (entry, error) {
	l.MadeAt = b.now().UTC().Truncate(time.Second)
	l.ExpiresAt = l.MadeAt.Add(b.life)
	record, err := json.Marshal(l)
	if err != nil {
		return entry{}, fmt.Errorf("encode a link: %w", err)
	}
	// The code's entry comes first: a pair must never lead to a code that nothing stands behind. What a crash between
	// the two leaves behind is a code that nobody was told.
	e := entry{link: l, code: strings.ToLower(rand.Text()[:codeLength])}
	if e.revision, err = b.bucket.Create(ctx, "code."+e.code, record); err != nil {
		return entry{}, fmt.Errorf("store a short link: %w", err)
	}
	if seen == 0 {
		_, err = b.bucket.Create(ctx, pair, []byte(e.code))
	} else {
		_, err = b.bucket.Update(ctx, pair, []byte(e.code), seen)
	}
	switch {
	case err == nil:
		return e, nil
	case !errors.Is(err, jetstream.ErrKeyExists) && !errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return entry{}, fmt.Errorf("store whose short link it is: %w", err)
	}
	// It is ours where only the answer to its entry was lost. Else it was told to nobody, and where it cannot be purged
	// it ages out.
	if given, err := b.bucket.Get(ctx, pair); err == nil && string(given.Value()) != e.code {
		_ = b.bucket.Purge(ctx, "code."+e.code)
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

// write stores a changed link, unless somebody else changed it after it was read.
func (b book) write(ctx context.Context, e entry) (entry, error) {
	record, err := json.Marshal(e.link)
	if err != nil {
		return entry{}, fmt.Errorf("encode a link: %w", err)
	}
	revision, err := b.bucket.Update(ctx, "code."+e.code, record, e.revision)
	switch {
	case errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return entry{}, errRaced
	case err != nil:
		return entry{}, fmt.Errorf("change a short link: %w", err)
	}
	e.revision = revision
	return e, nil
}

// read returns the entry of a code, or errUnknown.
func (b book) read(ctx context.Context, code string) (entry, error) {
	found, err := b.bucket.Get(ctx, "code."+code)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return entry{}, errUnknown
	}
	if err != nil {
		return entry{}, fmt.Errorf("read a short link: %w", err)
	}
	e := entry{code: code, revision: found.Revision()}
	if err := json.Unmarshal(found.Value(), &e.link); err != nil {
		return entry{}, errors.New("a short link cannot be decoded") // the decoder's own words may quote a target
	}
	return e, nil
}

// open returns the entry of a code, or errUnknown. Of a link that has expired it returns both the entry and errExpired.
func (b book) open(ctx context.Context, code string) (entry, error) {
	e, err := b.read(ctx, code)
	if err == nil && !b.now().Before(e.ExpiresAt) {
		err = errExpired
	}
	return e, err
}
