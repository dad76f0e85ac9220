package shortener

import (
	"slices"
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
			form, err := b.keep(t.Context(), e, "sms", outsideForm{By: "bitly", Of: "https://own/" + e.code, Short: "https://bit.ly/" + string(rune('a'+i))})
			if err != nil {
				t.Error(err)
			}
			forms[i] = form.Short
		})
	}
	close(start)
	done.Wait()

	b := book{bucket: bucket, life: time.Hour, now: time.Now}
	for i, code := range codes {
		opened, err := b.open(t.Context(), code)
		if code != codes[0] || forms[i] != forms[0] || err != nil || opened.Target != wanted.Target || opened.Outside["sms"].Short != forms[0] {
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

// The log gets one event a day for each kind of program, whichever replica receives the request.
func TestEachKindOfProgramIsNotedOnceADay(t *testing.T) {
	t.Parallel()
	b := book{bucket: newBucket(t), life: time.Hour, now: time.Now}
	e, err := b.give(t.Context(), "x", link{Document: "doc"})
	if err != nil {
		t.Fatal(err)
	}
	const replicas = 8
	first := make(chan string, 100)
	note := func(client, day string) {
		news, err := b.fetched(t.Context(), e, client, day) // with the entry as it was when the link was new
		if err != nil {
			t.Error(err)
		}
		if news {
			first <- client + " " + day
		}
	}
	var done sync.WaitGroup
	for range replicas {
		done.Go(func() { note("slack", "2026-11-27") })
		done.Go(func() { note("browser", "2026-11-27") })
	}
	done.Wait()
	note("slack", "2026-11-28")
	note("slack", "2026-11-28")
	close(first)
	var got []string
	for f := range first {
		got = append(got, f)
	}
	slices.Sort(got)
	if want := []string{"browser 2026-11-27", "slack 2026-11-27", "slack 2026-11-28"}; !slices.Equal(got, want) {
		t.Errorf("first fetches %v, want %v", got, want)
	}
}

// A newer message changes what the pages say, an older one that comes late does not.
func TestPagesSayWhatTheNewestMessageSaid(t *testing.T) {
	t.Parallel()
	b := book{bucket: newBucket(t), life: time.Hour, now: time.Now}
	for _, c := range []struct {
		at          int64
		title, want string
	}{{100, "Draft", "Draft"}, {200, "Final", "Final"}, {150, "Late", "Final"}} {
		e, err := b.give(t.Context(), "x", link{Document: "doc", Told: time.Unix(c.at, 0), shown: shown{Title: c.title}})
		if err != nil || e.Title != c.want {
			t.Errorf("%q at %d: the link has %q, %v", c.title, c.at, e.Title, err)
		}
		if kept, err := b.open(t.Context(), e.code); err != nil || kept.Title != c.want {
			t.Errorf("%q at %d: the bucket has %q, %v", c.title, c.at, kept.Title, err)
		}
	}
}

// An entry from before there were suffixes and titles opens as before.
func TestEntryOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	bucket := newBucket(t)
	old := `{"target":"https://provider.example/r","source":"acme","provider":"clickwrap","document":"d","purpose":"sign","kind":"invitation",` +
		`"made_at":"2026-11-01T00:00:00Z","expires_at":"2027-01-01T00:00:00Z","outside":{"by":"bitly","of":"https://own/l/x","short":"https://bit.ly/x"}}`
	if _, err := bucket.Create(t.Context(), "code.abcdefghijklmn", []byte(old)); err != nil {
		t.Fatal(err)
	}
	e, err := book{bucket: bucket, now: at(time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC))}.open(t.Context(), "abcdefghijklmn")
	if err != nil || e.Target != "https://provider.example/r" || len(e.Outside) != 0 || e.Kind != "invitation" {
		t.Errorf("%+v, %v", e, err)
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
