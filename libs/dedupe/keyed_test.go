package dedupe_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/dedupe/dedupetest"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/realtest"
)

var (
	key      = strings.Repeat("k", 32)
	otherKey = strings.Repeat("o", 32)
)

func with(masters ...string) dedupe.Options {
	o := usual
	o.Ring = keyring.New(masters)
	return o
}

func TestRedisWithAMasterKeyConforms(t *testing.T) {
	t.Parallel()
	dedupetest.Run(t, func(t *testing.T) func(dedupe.Options) dedupe.Store {
		js := broker(t)
		client := redisClient(t, realtest.Redis(t).URL)
		return func(o dedupe.Options) dedupe.Store {
			o.Ring = keyring.New([]string{key})
			return guarded(t, js, dedupe.NewRedis(client, o), o)
		}
	})
}

// names returns the keys of ids in Redis.
func names(t *testing.T, client *redis.Client) []string {
	t.Helper()
	found, err := client.Keys(t.Context(), usual.Namespace+":*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A key's name reveals nothing about its id, and differs under another master key. Its length determines how much memory a callback needs in Redis.
func TestNamesNeedTheMasterKey(t *testing.T) {
	t.Parallel()
	js := broker(t)
	client := redisClient(t, realtest.Redis(t).URL)
	const id = "0123456789abcdefghijklmnop"
	seen := map[string]bool{}
	for _, o := range []dedupe.Options{with(key), with(otherKey)} {
		if _, err := guarded(t, js, dedupe.NewRedis(client, o), o).Claim(t.Context(), dedupe.NewOwner(), id); err != nil {
			t.Fatal(err)
		}
		for _, name := range names(t, client) {
			seen[name] = true
			if len(name) != len("test:")+12 || strings.Contains(name, id[:4]) {
				t.Errorf("the key is named %q", name)
			}
		}
	}
	if len(seen) != 2 {
		t.Errorf("names under two master keys: %v", seen)
	}
}

// An attacker with a password of Redis can overwrite a key that it sees. No such entry makes the id confirmed.
func TestNoConfirmationIsForged(t *testing.T) {
	t.Parallel()
	js := broker(t)
	client := redisClient(t, realtest.Redis(t).URL)
	s := guarded(t, js, dedupe.NewRedis(client, with(key)), with(key))
	if err := s.Confirm(t.Context(), dedupe.Done{ID: "plain"}, dedupe.Done{ID: "rich", Result: []byte("result")}); err != nil {
		t.Fatal(err)
	}
	forged := map[string]string{
		"as without a master key": "1", "with a result as without a master key": `1[{"s":"signing.v1.x"}]`,
		"empty": "", "a reply of the script": "c", "another": "p", "a third": "h", "no claim": "c|", "marked": "=1",
		"a number": "10000", "a negative number": "-1", "a number in another form": "07", "sealed with no key": "s", "sealed wrongly": "s" + strings.Repeat("x", 40),
		"of an older version, with a bar": "c1|1|1",
	}
	for i, name := range names(t, client) { // those of other ids
		entry, err := client.Get(t.Context(), name).Result()
		if err != nil {
			t.Fatal(err)
		}
		forged["copied "+strconv.Itoa(i)] = entry
	}
	for what, entry := range forged {
		wantState(t, s, what, dedupe.Claimed)
		for _, name := range names(t, client) {
			if claim, err := client.Get(t.Context(), name).Result(); err != nil {
				t.Fatal(err)
			} else if strings.HasPrefix(claim, "c") {
				if err := client.Set(t.Context(), name, entry, time.Hour).Err(); err != nil {
					t.Fatal(err)
				}
			}
		}
		wantState(t, s, what, dedupe.Pending)
		wantState(t, s, what, dedupe.Held) // it has an owner now
		if err := s.Confirm(t.Context(), dedupe.Done{ID: what}); err != nil {
			t.Fatal(err)
		}
		wantState(t, s, what, dedupe.Confirmed)
	}
	wantState(t, s, "plain", dedupe.Confirmed)
	wantState(t, s, "rich", dedupe.Confirmed)
}

// Without a master key the names are those of earlier versions, so entries that those stored are found.
func TestEntriesOfEarlierVersionsAreFound(t *testing.T) {
	t.Parallel()
	js := broker(t)
	store(t, js)
	client := redisClient(t, realtest.Redis(t).URL)
	began := time.Now().Add(-2 * usual.Remember).Unix()
	for name, entry := range map[string]string{
		"signrelay:epoch": "1@" + strconv.FormatInt(began, 10), "test:done": "1", "test:rich": "1result", "test:held": "cx|99999999999999", "test:lapsed": "p|0",
	} {
		if err := client.Set(t.Context(), name, entry, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
	s := guarded(t, js, dedupe.NewRedis(client, usual), usual)
	for id, want := range map[string]dedupe.State{
		"done": dedupe.Confirmed, "rich": dedupe.Confirmed, "held": dedupe.Held, "lapsed": dedupe.Pending, "new": dedupe.Claimed,
	} {
		wantState(t, s, id, want)
	}
	if n := client.Exists(t.Context(), "test:new").Val(); n != 1 {
		t.Error("a new id has another form of name")
	}
}

// Setting, changing or removing the master key starts an empty store. An id that was done before is then Pending, not Claimed. The same holds
// for ids of replicas with the other key while the change is rolled out replica by replica.
func TestAnotherMasterKeyStartsAnEmptyStore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, after dedupe.Options }{
		"set":                  {usual, with(key)},
		"changed":              {with(key), with(otherKey)},
		"rotated":              {with(key), with(otherKey, key)},
		"removed":              {with(key), usual},
		"of other replicas":    {with(otherKey, key), with(key, otherKey)},
		"set before a restore": {with(key), with(strings.ToUpper(key))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := broker(t)
			client := redisClient(t, realtest.Redis(t).URL)
			older := guarded(t, js, dedupe.NewRedis(client, c.before), c.before)
			wantState(t, older, "first", dedupe.Claimed)
			for n := range 3 { // rolled out: each replica works in turn
				id := "by the older " + strconv.Itoa(n)
				do(t, js, older, id)
				newer := guarded(t, js, dedupe.NewRedis(client, c.after), c.after)
				wantGap(t, newer, id)
				id = "by the newer " + strconv.Itoa(n)
				do(t, js, newer, id)
				wantState(t, newer, id, dedupe.Confirmed)
				wantState(t, guarded(t, js, dedupe.NewRedis(client, c.after), c.after), id, dedupe.Confirmed) // it survives a restart
				wantGap(t, older, id)
			}
		})
	}
}

// do stores an event as ingest does: claim, append to the log, confirm.
func do(t *testing.T, js jetstream.JetStream, s dedupe.Store, id string) {
	t.Helper()
	if _, err := s.Claim(t.Context(), dedupe.NewOwner(), id); err != nil {
		t.Fatal(err)
	}
	store(t, js)
	if err := s.Confirm(t.Context(), dedupe.Done{ID: id}); err != nil {
		t.Fatal(err)
	}
}

// wantGap fails unless the id is Pending because of a gap that lasts until now.
func wantGap(t *testing.T, s dedupe.Store, id string) {
	t.Helper()
	claims, err := s.Claim(t.Context(), dedupe.NewOwner(), id)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if c := claims[0]; c.State != dedupe.Pending || !c.Gap || c.Span.Since.After(now) || (!c.Span.Until.IsZero() && c.Span.Until.Before(now)) {
		t.Errorf("%q: %+v, want a gap until now", id, c)
	}
}

// An attacker with a password of Redis writes an epoch to hide that all entries are lost. The guard rejects it.
func TestNoEpochIsForged(t *testing.T) {
	t.Parallel()
	long := strconv.FormatInt(time.Now().Add(-2*usual.Remember).Unix(), 10)
	for what, epoch := range map[string]string{
		"as without a master key": "0@" + long, "without a MAC": "0@" + long + "@", "with a wrong one": "0@" + long + "@AAAAAAAAAAAAAAAA", "empty": "", "text": "x",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			js := broker(t)
			client := redisClient(t, realtest.Redis(t).URL)
			s := guarded(t, js, dedupe.NewRedis(client, with(key)), with(key))
			do(t, js, s, what)
			if err := client.FlushDB(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			if err := client.Set(t.Context(), "signrelay:epoch", epoch, 0).Err(); err != nil {
				t.Fatal(err)
			}
			wantGap(t, s, what)
			if err := s.Confirm(t.Context(), dedupe.Done{ID: what}); err != nil {
				t.Fatal(err)
			}
			wantState(t, s, what, dedupe.Confirmed)
		})
	}
}
