package shortener

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
)

const (
	firstMaster  = "first-master-key-0123456789abcdef"
	secondMaster = "second-master-key-0123456789abcde"
)

var clickwrapLink = link{
	Target: "https://sign.provider.example/7f3e9a", Source: "acme", Provider: "clickwrap", Document: "doc-1", Recipient: "s1", Purpose: "sign",
	Kind: "invitation", shown: shown{Title: "Termination", Sender: "Acme", Locale: "de"},
}

// everything returns the content of the bucket: keys and values with their history.
func everything(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	s, err := js.Stream(t.Context(), "KV_"+flow.Links)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for sequence := uint64(1); sequence <= s.CachedInfo().State.LastSeq; sequence++ {
		m, err := s.GetMsg(t.Context(), sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %s\n", m.Subject, m.Data)
	}
	return all.String()
}

// No key and no value reveals a code, an address or a part of a title, with a master key or without.
func TestTheBucketRevealsNothing(t *testing.T) {
	t.Parallel()
	for name, masters := range map[string][]string{"a master key": {firstMaster}, "none": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := newBroker(t)
			b := newTestStore(t, js, time.Hour, masters...)
			e, err := b.getOrCreate(t.Context(), "whom", clickwrapLink)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.fetched(t.Context(), e, "slack", "2026-11-28"); err != nil {
				t.Fatal(err)
			}
			kept := everything(t, js)
			for _, secret := range []string{e.code, "provider.example", "7f3e9a", "Termination", "Acme", "acme", "doc-1", "whom"} {
				if strings.Contains(kept, secret) {
					t.Errorf("the bucket contains %q:\n%s", secret, kept)
				}
			}
			if strings.Count(kept, "$KV.LINKS.") != 3 {
				t.Errorf("not three entries:\n%s", kept)
			}
			if opened, err := b.open(t.Context(), e.code); err != nil || opened.Target != clickwrapLink.Target || opened.Title != "Termination" {
				t.Errorf("%+v, %v", opened, err)
			}
			// The master key is necessary. Without it, or with another one, no link opens.
			other := newTestStore(t, js, time.Hour, secondMaster)
			if _, err := other.open(t.Context(), e.code); masters != nil && !errors.Is(err, errUnknown) {
				t.Errorf("opened with another master key: %v", err)
			}
		})
	}
}

// A link works until it expires, and its person keeps it, through all changes of the master key. This holds for links of this version and of
// earlier ones.
func TestLinksWorkAfterKeyChanges(t *testing.T) {
	t.Parallel()
	older := func(t *testing.T, js jetstream.JetStream) string { // as earlier versions wrote
		t.Helper()
		bucket, err := js.KeyValue(t.Context(), flow.Links)
		if err != nil {
			t.Fatal(err)
		}
		l := clickwrapLink
		l.MadeAt, l.ExpiresAt = time.Now(), time.Now().Add(time.Hour)
		record, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		const code = "abcdefghijklmn"
		for key, value := range map[string]string{"code." + code: string(record), "pair.whom": code} {
			if _, err := bucket.Create(t.Context(), key, []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		return code
	}
	by := func(masters ...string) func(*testing.T, jetstream.JetStream) string {
		return func(t *testing.T, js jetstream.JetStream) string {
			t.Helper()
			e, err := newTestStore(t, js, time.Hour, masters...).getOrCreate(t.Context(), "whom", clickwrapLink)
			if err != nil {
				t.Fatal(err)
			}
			return e.code
		}
	}
	for name, c := range map[string]struct {
		made func(*testing.T, jetstream.JetStream) string
		then []string // master keys
	}{
		"an upgrade without a master key":       {older, nil},
		"an upgrade with a master key":          {older, []string{firstMaster}},
		"the first master key":                  {by(), []string{firstMaster}},
		"the first master key, in rotation":     {by(), []string{secondMaster, firstMaster}},
		"a rotation":                            {by(firstMaster), []string{secondMaster, firstMaster}},
		"a new key that is not used yet":        {by(firstMaster), []string{firstMaster, secondMaster}},
		"a rotation that is taken back":         {by(secondMaster, firstMaster), []string{firstMaster, secondMaster}},
		"nothing":                               {by(firstMaster), []string{firstMaster}},
		"an upgrade with two keys, in rotation": {older, []string{secondMaster, firstMaster}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := newBroker(t)
			code := c.made(t, js)
			b := newTestStore(t, js, time.Hour, c.then...)
			for _, step := range []string{"opened", "given again", "changed", "changed again"} {
				switch step {
				case "given again":
					if e, err := b.getOrCreate(t.Context(), "whom", clickwrapLink); err != nil || e.code != code {
						t.Errorf("the person gets %q, %v", e.code, err)
					}
				case "changed", "changed again":
					e, err := b.open(t.Context(), code)
					if err != nil {
						t.Fatal(err)
					}
					if first, err := b.fetched(t.Context(), e, step, "2026-11-28"); err != nil || !first {
						t.Errorf("%v %v", first, err)
					}
				}
				if e, err := b.open(t.Context(), code); err != nil || e.Target != clickwrapLink.Target || e.Title != "Termination" {
					t.Errorf("%s: %+v, %v", step, e.link, err)
				}
			}
			// A newer message has a newer address. Replicas without the newest key see both.
			newer := clickwrapLink
			newer.Target, newer.OccurredAt = "https://sign.provider.example/newer", time.Now()
			if e, err := b.getOrCreate(t.Context(), "whom", newer); err != nil || e.code != code {
				t.Errorf("the person gets %q, %v", e.code, err)
			}
			if e, err := b.open(t.Context(), code); err != nil || e.Target != newer.Target || len(e.Fetched) != 2 {
				t.Errorf("%+v, %v", e.link, err)
			}
		})
	}
}

// A writer to the bucket without the master key can neither make a link that opens nor change one.
func TestForgedEntriesAreRejected(t *testing.T) {
	t.Parallel()
	js := newBroker(t)
	provision(t, js)
	// Weak entries are trusted until a deadline, which has passed in this test.
	b := newTestStore(t, js, time.Hour, firstMaster)
	b.sealer.weakUntil = time.Now().Add(-time.Minute)
	mine, err := b.getOrCreate(t.Context(), "mine", clickwrapLink)
	if err != nil {
		t.Fatal(err)
	}
	theirs := clickwrapLink
	theirs.Document, theirs.Target = "doc-2", "https://sign.provider.example/theirs"
	other, err := b.getOrCreate(t.Context(), "theirs", theirs)
	if err != nil {
		t.Fatal(err)
	}
	evil := clickwrapLink
	evil.Target, evil.ExpiresAt = "https://evil.example/", time.Now().Add(time.Hour)
	record, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	const planted = "aaaaaaaaaaaaaa"
	unkeyed, elsewhere := newSealer(keyring.New(nil), time.Time{}), newSealer(keyring.New([]string{secondMaster}), time.Time{})
	place := func(of func(string) []place, what string) string { return of(what)[0].key }
	theirValue, err := b.bucket.Get(t.Context(), other.key)
	if err != nil {
		t.Fatal(err)
	}
	theirCode, err := b.bucket.Get(t.Context(), place(b.sealer.person, "theirs"))
	if err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct {
		key   string
		value []byte
		code  string // these must not get a target from it
	}{
		"a plain one of an earlier version":         {"code." + planted, record, planted},
		"one without a master key":                  {place(unkeyed.code, planted), unkeyed.seal(place(unkeyed.code, planted), record), planted},
		"one of another master key":                 {place(elsewhere.code, planted), elsewhere.seal(place(elsewhere.code, planted), record), planted},
		"a plain value in its right place":          {place(b.sealer.code, planted), record, planted},
		"an unkeyed value in its right place":       {place(b.sealer.code, planted), unkeyed.seal(place(b.sealer.code, planted), record), planted},
		"another link's value":                      {place(b.sealer.code, planted), theirValue.Value(), planted},
		"another link's value in place of this one": {mine.key, theirValue.Value(), mine.code},
		"a value that is cut off":                   {mine.key, theirValue.Value()[:10], mine.code},
		"nothing":                                   {mine.key, nil, mine.code},
		"a plain trace of an expired one":           {place(b.sealer.expired, planted), record, planted},
		"the value of a link as a trace of one":     {place(b.sealer.expired, planted), theirValue.Value(), planted},
	} {
		if _, err := b.bucket.Put(t.Context(), c.key, c.value); err != nil {
			t.Fatal(err)
		}
		if e, err := b.open(t.Context(), c.code); !errors.Is(err, errUnknown) && !errors.Is(err, errUnreadable) {
			t.Errorf("%s: %+v, %v", name, e.link, err)
		}
	}

	// A person who gets another person's code could read that person's document.
	for name, c := range map[string]struct {
		key   string
		value []byte
	}{
		"another's sealed code":                          {place(b.sealer.person, "mine"), theirCode.Value()},
		"another's code in plain":                        {place(b.sealer.person, "mine"), []byte(other.code)},
		"another's code in its old place":                {"pair.mine", []byte(other.code)},
		"another's code, sealed by no key":               {place(unkeyed.person, "mine"), unkeyed.seal(place(unkeyed.person, "mine"), []byte(other.code))},
		"a code of the attacker's own":                   {"pair.mine", []byte(planted)},
		"a text that is no code":                         {place(b.sealer.person, "mine"), []byte("\x00")},
		"another's code, sealed by no key, in its place": {place(b.sealer.person, "mine"), unkeyed.seal(place(b.sealer.person, "mine"), []byte(other.code))},
	} {
		if _, err := b.bucket.Put(t.Context(), c.key, c.value); err != nil {
			t.Fatal(err)
		}
		if e, err := b.getOrCreate(t.Context(), "mine", clickwrapLink); err != nil || e.code == other.code || e.code == planted || e.Target != clickwrapLink.Target {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	// The control: the other link is unchanged, and a new link opens.
	if e, err := b.open(t.Context(), other.code); err != nil || e.Target != theirs.Target {
		t.Errorf("%+v, %v", e, err)
	}
	e, err := b.getOrCreate(t.Context(), "mine", clickwrapLink)
	if err != nil {
		t.Fatal(err)
	}
	if e, err = b.open(t.Context(), e.code); err != nil || e.Target != clickwrapLink.Target {
		t.Errorf("%+v, %v", e, err)
	}
}

// When an operator provisions with the master key, the time begins from which only sealed entries are trusted.
func TestWeakEntriesAreTrustedUntilTheDeadline(t *testing.T) {
	t.Parallel()
	js := newBroker(t) // provisioned without a master key
	if b := newTestStore(t, js, time.Hour, firstMaster); !b.sealer.weakUntil.IsZero() {
		t.Errorf("no time was set, but it is %v", b.sealer.weakUntil)
	}
	before := time.Now()
	for range 2 { // it does not change
		if err := (flow.Provisioner{JS: js, Replicas: 1, Sealed: true}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	provision(t, js) // also without the key
	week := 7 * 24 * time.Hour
	if until := newTestStore(t, js, time.Hour, firstMaster).sealer.weakUntil; until.Before(before.Add(week)) || until.After(time.Now().Add(week)) {
		t.Errorf("earlier entries are trusted until %v", until)
	}
	if until := newTestStore(t, js, time.Hour).sealer.weakUntil; !until.IsZero() {
		t.Errorf("without a master key: %v", until)
	}
	// A new bucket has no earlier entries.
	if err := js.DeleteKeyValue(t.Context(), flow.Links); err != nil {
		t.Fatal(err)
	}
	if err := (flow.Provisioner{JS: js, Replicas: 1, Sealed: true}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if until := newTestStore(t, js, time.Hour, firstMaster).sealer.weakUntil; until.IsZero() || until.After(time.Now()) {
		t.Errorf("in a new bucket earlier entries are trusted until %v", until)
	}
}

func provision(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
}

// The broker removes an address when its link expires, after any number of changes of the entry. The page of an expired link remains.
func TestAnAddressIsRemovedWithItsLink(t *testing.T) {
	t.Parallel()
	js := newBroker(t)
	b := newTestStore(t, js, 2*time.Second, firstMaster) // the broker's own clock cannot be moved
	e, err := b.getOrCreate(t.Context(), "whom", clickwrapLink)
	if err != nil {
		t.Fatal(err)
	}
	for _, day := range []string{"2026-11-27", "2026-11-28"} {
		if _, err := b.fetched(t.Context(), e, "slack", day); err != nil {
			t.Fatal(err)
		}
	}
	watch, err := b.bucket.WatchAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gone := map[string]bool{}
	for len(gone) < 2 {
		select {
		case u := <-watch.Updates():
			if u != nil && u.Operation() != jetstream.KeyValuePut {
				gone[u.Key()] = true
			}
		case <-t.Context().Done():
			t.Fatal("the broker removes no entry")
		case <-time.After(time.Minute):
			t.Fatalf("the broker has removed only %v", gone)
		}
	}
	if !gone[e.key] || !gone[b.sealer.person("whom")[0].key] {
		t.Errorf("removed: %v", gone)
	}
	b = b.at(time.Now().Add(time.Hour))
	if left, err := b.open(t.Context(), e.code); !errors.Is(err, errExpired) || left.Target != "" || left.Locale != "de" {
		t.Errorf("%+v, %v", left, err)
	}
	keys, err := b.bucket.Keys(t.Context())
	if err != nil || !slices.Equal(keys, []string{b.sealer.expired(e.code)[0].key}) {
		t.Errorf("remaining: %q, %v", keys, err)
	}
	if _, err := b.open(t.Context(), "aaaaaaaaaaaaaa"); !errors.Is(err, errUnknown) {
		t.Errorf("a code that never existed: %v", err)
	}
	again, err := b.getOrCreate(t.Context(), "whom", clickwrapLink)
	if err != nil || again.code == e.code {
		t.Errorf("%+v, %v", again, err)
	}
}

// The log reports a master key that does not fit the bucket.
func TestTheLogReportsKeysThatDoNotFit(t *testing.T) {
	t.Parallel()
	js := newBroker(t)
	logged := func(masters ...string) string {
		t.Helper()
		var out strings.Builder
		if _, err := openStore(t.Context(), js, keyring.New(masters), time.Hour, slog.New(slog.NewTextHandler(&out, nil))); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if s := logged(); s != "" {
		t.Errorf("without a master key, as before: %s", s)
	}
	if s := logged(firstMaster); !strings.Contains(s, "signrelay provision") {
		t.Errorf("provisioned without it: %q", s)
	}
	if err := (flow.Provisioner{JS: js, Replicas: 1, Sealed: true}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := logged(firstMaster); s != "" {
		t.Errorf("provisioned with it: %s", s)
	}
	if s := logged(); !strings.Contains(s, "master_key is missing") {
		t.Errorf("the key is missing: %q", s)
	}
}
