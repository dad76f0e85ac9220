package shortener

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
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

// codeLength is 14 characters of 5 bits, all from crypto/rand: 70 bits, so that nobody finds a link by trying. The
// letters a-z and digits 2-7 are what a phone's keyboard gives without a shift, and none looks like another.
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
	case l.Target == e.Target || l.Told.Before(e.Told):
		return e, nil
	}
	e.Target, e.Told = l.Target, l.Told
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

// keep keeps an outside form beside the link. Where another replica kept one for the same link first, that one counts.
func (b book) keep(ctx context.Context, e entry, form outsideForm) (entry, error) {
	for range races {
		if e.Outside.By == form.By && e.Outside.Of == form.Of {
			return e, nil
		}
		changed := e
		changed.Outside = form
		kept, err := b.write(ctx, changed)
		if !errors.Is(err, errRaced) {
			return kept, err
		}
		if e, err = b.read(ctx, e.code); err != nil {
			return entry{}, err
		}
	}
	return entry{}, errRaced
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

// open returns the link behind a code as a signer brings it, or errUnknown, or errExpired.
func (b book) open(ctx context.Context, code string) (link, error) {
	if !wellFormed(code) {
		return link{}, errUnknown
	}
	e, err := b.read(ctx, code)
	if err == nil && !b.now().Before(e.ExpiresAt) {
		return link{}, errExpired
	}
	return e.link, err
}

// wellFormed spares the bucket what cannot be a code; some of it is no legal key either.
func wellFormed(code string) bool {
	return len(code) == codeLength && strings.Trim(code, "abcdefghijklmnopqrstuvwxyz234567") == ""
}
