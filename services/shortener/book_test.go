package shortener

import (
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/servicetest"
)

func newBucket(t *testing.T) jetstream.KeyValue {
	t.Helper()
	bucket, err := servicetest.New(t, config.Default()).Env.JS.KeyValue(t.Context(), flow.Links)
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

func at(now time.Time) func() time.Time { return func() time.Time { return now } }

// Many replicas make the link of one person at the same moment, and give it an outside form: they all get one, and only one
// stands in the book.
func TestRacingReplicasAgreeOnOneCode(t *testing.T) {
	t.Parallel()
	bucket := newBucket(t)
	wanted := link{Target: "https://provider.example/r", Source: "acme", Provider: "clickwrap", Document: "doc", Recipient: "s1", Purpose: "sign"}
	const replicas = 16
	codes, forms := make([]string, replicas), make([]string, replicas)
	start := make(chan struct{})
	var done sync.WaitGroup
	for i := range replicas {
		done.Go(func() {
			<-start
			b := book{bucket: bucket, life: time.Hour, now: time.Now}
			e, err := b.give(t.Context(), "x", wanted)
			if err != nil {
				t.Error(err)
				return
			}
			codes[i] = e.code
			if e, err = b.keep(t.Context(), e, outsideForm{By: "bitly", Of: "https://own/" + e.code, Short: "https://bit.ly/" + string(rune('a'+i))}); err != nil {
				t.Error(err)
			}
			forms[i] = e.Outside.Short
		})
	}
	close(start)
	done.Wait()

	b := book{bucket: bucket, life: time.Hour, now: time.Now}
	for i, code := range codes {
		opened, err := b.open(t.Context(), code)
		if code != codes[0] || forms[i] != forms[0] || err != nil || opened.Target != wanted.Target || opened.Outside.Short != forms[0] {
			t.Errorf("code %q, form %q; the first are %q, %q; behind it is %v, %v", code, forms[i], codes[0], forms[0], opened, err)
		}
	}
	keys, err := bucket.Keys(t.Context())
	if err != nil || len(keys) != 2 {
		t.Errorf("%d entries in the book, want the code and the pair: %v", len(keys), err)
	}
}

func TestLinkIsMadeAnewInTheSecondHalfOfItsLife(t *testing.T) {
	t.Parallel()
	bucket := newBucket(t)
	born := time.Unix(1_800_000_000, 0)
	give := func(age time.Duration) string {
		e, err := book{bucket: bucket, life: 24 * time.Hour, now: at(born.Add(age))}.give(t.Context(), "x", link{Document: "doc"})
		if err != nil {
			t.Fatal(err)
		}
		return e.code
	}
	first, second, third := give(0), give(11*time.Hour), give(13*time.Hour)
	if first != second || second == third {
		t.Errorf("at 0 h, 11 h and 13 h of 24: %s, %s, %s", first, second, third)
	}
	for _, c := range []struct {
		code string
		age  time.Duration
		want error
	}{{first, 23 * time.Hour, nil}, {first, 24 * time.Hour, errExpired}, {third, 24 * time.Hour, nil}, {third, 37 * time.Hour, errExpired}} {
		if _, err := (book{bucket: bucket, now: at(born.Add(c.age))}).open(t.Context(), c.code); err != c.want { //nolint:errorlint // they are not wrapped
			t.Errorf("%s at %v: %v, want %v", c.code, c.age, err, c.want)
		}
	}
}

// What the bucket has dropped before its pair is made anew, under the same pair.
func TestPairWhoseCodeIsGone(t *testing.T) {
	t.Parallel()
	bucket := newBucket(t)
	b := book{bucket: bucket, life: time.Hour, now: time.Now}
	first, err := b.give(t.Context(), "x", link{Document: "doc"})
	if err != nil {
		t.Fatal(err)
	}
	if err := bucket.Purge(t.Context(), "code."+first.code); err != nil {
		t.Fatal(err)
	}
	second, err := b.give(t.Context(), "x", link{Document: "doc"})
	if err != nil || second.code == first.code {
		t.Errorf("%q after %q, %v", second.code, first.code, err)
	}
	third, err := b.give(t.Context(), "x", link{Document: "doc"})
	if err != nil || third.code != second.code {
		t.Errorf("%q after %q, %v", third.code, second.code, err)
	}
}
