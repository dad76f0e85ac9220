package shortener

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/servicetest"
)

func newBroker(t *testing.T) jetstream.JetStream {
	t.Helper()
	return servicetest.New(t, config.Default()).Env.JS
}

// newTestStore opens the store with these master keys, the newest first.
func newTestStore(t *testing.T, js jetstream.JetStream, life time.Duration, masters ...string) store {
	t.Helper()
	b, err := openStore(t.Context(), js, keyring.New(masters), life, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// flowLinks returns the bucket's row in the map.
func flowLinks(t *testing.T) flow.Bucket {
	t.Helper()
	return flow.Buckets[slices.IndexFunc(flow.Buckets, func(b flow.Bucket) bool { return b.Name == flow.Links })]
}

func (s store) at(now time.Time) store {
	s.now = func() time.Time { return now }
	return s
}

// Many replicas make one person's link at the same time, and give it an outside form. All get the same link, and the bucket contains only
// this one.
func TestConcurrentReplicasStoreOneCode(t *testing.T) {
	t.Parallel()
	js := newBroker(t)
	wanted := link{Target: "https://provider.example/r", Source: "acme", Provider: "clickwrap", Document: "doc", Recipient: "s1", Purpose: "sign"}
	const replicas = 16
	codes, forms := make([]string, replicas), make([]string, replicas)
	start := make(chan struct{})
	var done sync.WaitGroup
	for i := range replicas {
		done.Go(func() {
			<-start
			b := newTestStore(t, js, time.Hour)
			e, err := b.getOrCreate(t.Context(), "x", wanted)
			if err != nil {
				t.Error(err)
				return
			}
			codes[i] = e.code
			form, err := b.keepOutside(t.Context(), e, "sms", outsideForm{By: "bitly", Of: "https://own/" + e.code, Short: "https://bit.ly/" + string(rune('a'+i))})
			if err != nil {
				t.Error(err)
			}
			forms[i] = form.Short
		})
	}
	close(start)
	done.Wait()

	b := newTestStore(t, js, time.Hour)
	for i, code := range codes {
		opened, err := b.open(t.Context(), code)
		if code != codes[0] || forms[i] != forms[0] || err != nil || opened.Target != wanted.Target || opened.Outside["sms"].Short != forms[0] {
			t.Errorf("code %q, form %q; the first are %q, %q; the entry is %v, %v", code, forms[i], codes[0], forms[0], opened, err)
		}
	}
	keys, err := b.bucket.Keys(t.Context())
	leading := 0
	for _, key := range keys {
		if !strings.HasPrefix(key, ofExpired) { // there are traces of codes that are in no message
			leading++
		}
	}
	if err != nil || leading != 2 {
		t.Errorf("the bucket has %q, want the code and the person: %v", keys, err)
	}
}

func TestALinkIsReplacedInTheSecondHalfOfItsLife(t *testing.T) {
	t.Parallel()
	b := newTestStore(t, newBroker(t), 24*time.Hour)
	born := time.Unix(1_800_000_000, 0)
	give := func(age time.Duration) string {
		e, err := b.at(born.Add(age)).getOrCreate(t.Context(), "x", link{Document: "doc"})
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
		if _, err := b.at(born.Add(c.age)).open(t.Context(), c.code); err != c.want { //nolint:errorlint // they are not wrapped
			t.Errorf("%s at %v: %v, want %v", c.code, c.age, err, c.want)
		}
	}
}

// The log gets one event a day for each kind of program, for all replicas together.
func TestEachKindOfProgramIsRecordedOnceADay(t *testing.T) {
	t.Parallel()
	b := newTestStore(t, newBroker(t), time.Hour)
	e, err := b.getOrCreate(t.Context(), "x", link{Document: "doc"})
	if err != nil {
		t.Fatal(err)
	}
	const replicas = 8
	first := make(chan string, 100)
	record := func(client, day string) {
		news, err := b.fetched(t.Context(), e, client, day) // with the entry from when the link was new
		if err != nil {
			t.Error(err)
		}
		if news {
			first <- client + " " + day
		}
	}
	var done sync.WaitGroup
	for range replicas {
		done.Go(func() { record("slack", "2026-11-27") })
		done.Go(func() { record("browser", "2026-11-27") })
	}
	done.Wait()
	record("slack", "2026-11-28")
	record("slack", "2026-11-28")
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

// A newer message changes the pages. An older message that arrives late does not.
func TestPagesShowTheNewestMessage(t *testing.T) {
	t.Parallel()
	b := newTestStore(t, newBroker(t), time.Hour)
	for _, c := range []struct {
		at          int64
		title, want string
	}{{100, "Draft", "Draft"}, {200, "Final", "Final"}, {150, "Late", "Final"}} {
		e, err := b.getOrCreate(t.Context(), "x", link{Document: "doc", OccurredAt: time.Unix(c.at, 0), shown: shown{Title: c.title}})
		if err != nil || e.Title != c.want {
			t.Errorf("%q at %d: the link has %q, %v", c.title, c.at, e.Title, err)
		}
		if kept, err := b.open(t.Context(), e.code); err != nil || kept.Title != c.want {
			t.Errorf("%q at %d: the bucket has %q, %v", c.title, c.at, kept.Title, err)
		}
	}
}

// In a bucket that had the master key from the beginning, a new person's link of the default lifetime costs one read and two writes: no weak entry
// can exist, and the bucket would remove a trace together with the link.
func TestTheCostOfANewLink(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		life          time.Duration
		sealed        bool
		reads, writes int
	}{
		"the default":                           {flowLinks(t).MaxAge, true, 1, 2},
		"a link that expires before its trace":  {time.Hour, true, 1, 3},
		"a bucket that may have weaker entries": {flowLinks(t).MaxAge, false, 3, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := newBroker(t)
			if c.sealed {
				if err := js.DeleteKeyValue(t.Context(), flow.Links); err != nil {
					t.Fatal(err)
				}
				if err := (flow.Provisioner{JS: js, Replicas: 1, Sealed: true}).Run(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			b := newTestStore(t, js, c.life, firstMaster)
			count := map[string]*nats.Subscription{}
			for _, subject := range []string{"$JS.API.DIRECT.GET.KV_LINKS.>", "$KV.LINKS.>"} {
				subscription, err := js.Conn().SubscribeSync(subject)
				if err != nil {
					t.Fatal(err)
				}
				count[subject] = subscription
			}
			if _, err := b.getOrCreate(t.Context(), "x", link{Document: "doc"}); err != nil {
				t.Fatal(err)
			}
			if err := js.Conn().Flush(); err != nil {
				t.Fatal(err)
			}
			reads, _, err := count["$JS.API.DIRECT.GET.KV_LINKS.>"].Pending()
			writes, _, errWrites := count["$KV.LINKS.>"].Pending()
			if err != nil || errWrites != nil || reads != c.reads || writes != c.writes {
				t.Errorf("%d reads, %d writes; want %d, %d; %v, %v", reads, writes, c.reads, c.writes, err, errWrites)
			}
		})
	}
}

// A weak entry is trusted if it was written before a time. Nothing looks for one if the bucket has none that old and gets no more.
func TestNoWeakEntryIsLookedUpWhereNoneCanExist(t *testing.T) {
	t.Parallel()
	until := time.Unix(1_800_000_000, 0)
	for name, c := range map[string]struct {
		msgs       uint64
		first, now time.Time
		until      time.Time
		want       bool
	}{
		"a new bucket":                             {0, time.Time{}, until.Add(time.Second), until, true},
		"all entries are newer":                    {9, until, until.Add(time.Second), until, true},
		"an older entry":                           {9, until.Add(-1), until.Add(time.Hour), until, false},
		"an older version may still write entries": {0, time.Time{}, until, until, false},
		"provisioned without a master key":         {0, time.Time{}, until, time.Time{}, false},
	} {
		if got := noWeak(jetstream.StreamState{Msgs: c.msgs, FirstTime: c.first}, c.until, c.now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A code that the bucket has removed before its pair is replaced, under the same pair.
func TestAPairWithoutItsCodeGetsANewCode(t *testing.T) {
	t.Parallel()
	b := newTestStore(t, newBroker(t), time.Hour)
	first, err := b.getOrCreate(t.Context(), "x", link{Document: "doc"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.bucket.Purge(t.Context(), first.key); err != nil {
		t.Fatal(err)
	}
	second, err := b.getOrCreate(t.Context(), "x", link{Document: "doc"})
	if err != nil || second.code == first.code {
		t.Errorf("%q after %q, %v", second.code, first.code, err)
	}
	third, err := b.getOrCreate(t.Context(), "x", link{Document: "doc"})
	if err != nil || third.code != second.code {
		t.Errorf("%q after %q, %v", third.code, second.code, err)
	}
}
