// Package providertest is the conformance suite of the packs: rules for every provider and every input. A pack's test is two lines,
// providertest.Run and providertest.Fuzz; the pack's recordings are the input.
package providertest

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Setup configures the suite for a pack's recordings.
type Setup struct {
	// Source accepts every recording.
	Source config.Source
	// Strangers are the same source with another public key: each refuses every recording with a signature. The suite itself adds
	// sources with another secret of the webhook.
	Strangers []config.Source
	// Credentials names the headers, query parameters and form fields that authenticate a request: without one of them, the pack refuses the
	// request or returns a weaker verification.
	Credentials []string
	// Sign completes a recording that needs a signature with the test's key; nil if all recordings are complete.
	Sign func(testing.TB, pack.Request) pack.Request
	// Lengthen adds one byte to the signed part of the body; nil if the signature covers the whole body.
	Lengthen func(testing.TB, pack.Request) pack.Request
	// Challenges are requests with which the provider verifies an address: one or more for each method of each route with a Challenge.
	Challenges []pack.Request
}

// receivedAt replaces the clock; golden files contain it.
var receivedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Run runs the suite on every recording of the pack.
func Run(t *testing.T, p pack.Pack, s Setup) {
	t.Helper()
	t.Run("routes", func(t *testing.T) {
		t.Parallel()
		checkRoutes(t, p, s)
	})
	t.Run("tests", func(t *testing.T) {
		t.Parallel()
		checkTests(t, p, s)
	})
	names := recordings(t, p)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recording(t, p, s, name)
		})
	}
}

func recording(t *testing.T, p pack.Pack, s Setup, name string) {
	w := webhook(t, p, s.Source)
	r := request(t, p, s, name)

	t.Run("its route exists", func(t *testing.T) {
		i := slices.IndexFunc(p.Routes, func(d pack.Route) bool { return d.Path == r.Route })
		if i < 0 || !slices.Contains(p.Routes[i].Methods, r.Method) {
			t.Errorf("no route %q accepts %s", r.Route, r.Method)
		}
	})

	authentic, err := w.Verify(r)
	if err != nil {
		t.Fatal("refused unchanged:", err)
	}
	verified := authentic.By
	if verified <= signingv1.Verification_VERIFICATION_NONE || verified > signingv1.Verification_VERIFICATION_RSA {
		t.Fatal("verified by", verified)
	}
	events, err := w.Normalize(r, verified)
	if err != nil {
		t.Fatal("unreadable unchanged:", err)
	}

	t.Run("legal", func(t *testing.T) { checkLegal(t, s.Source, p, events) })
	t.Run("stamped", func(t *testing.T) {
		for _, e := range events {
			if e.GetVerification() != verified || !e.GetReceivedAt().AsTime().Equal(receivedAt) {
				t.Errorf("has verification %v, received at %v", e.GetVerification(), e.GetReceivedAt().AsTime())
			}
		}
	})
	t.Run("normalized twice", func(t *testing.T) { checkSameTwice(t, w, r, verified, events) })
	t.Run("golden", func(t *testing.T) { checkGolden(t, name, events) })
	t.Run("nothing lost", func(t *testing.T) { checkNothingLost(t, s, r, events) })
	t.Run("type is in provider_type", func(t *testing.T) {
		for _, e := range events {
			if e.GetProviderType() == "" {
				t.Errorf("%s has no provider_type", e.GetType())
			}
		}
	})

	t.Run("responses", func(t *testing.T) {
		checkIsCallback(t, p, r)
		checkResponses(t, p, r)
	})
	t.Run("one byte more", func(t *testing.T) { checkLonger(t, s, w, r, verified) })
	t.Run("without a credential", func(t *testing.T) { checkStripped(t, s, w, r, verified) })
	t.Run("another key", func(t *testing.T) { checkStrangers(t, p, s, r, verified) })
	t.Run("while a secret is rotated", func(t *testing.T) { checkRotation(t, p, s, r, verified) })
	t.Run("cut off", func(t *testing.T) { checkCutOff(t, w, r, verified, events) })
}

func checkSameTwice(t *testing.T, w pack.Webhook, r pack.Request, v signingv1.Verification, events []*signingv1.SigningEvent) {
	again, err := w.Normalize(r, v)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(marshal(t, events), marshal(t, again)) {
		t.Error(cmp.Diff(events, again, protocmp.Transform()))
	}
	// A retry arrives later and reports the same fact.
	later := r
	later.ReceivedAt = r.ReceivedAt.Add(time.Hour)
	if again, err = w.Normalize(later, v); err != nil {
		t.Fatal(err)
	}
	for i := range events {
		if again[i].GetId() != events[i].GetId() {
			t.Errorf("event %d has another id an hour later", i)
		}
	}
}

// checkLonger applies only to signatures: a token authenticates the sender, not each byte.
func checkLonger(t *testing.T, s Setup, w pack.Webhook, r pack.Request, v signingv1.Verification) {
	if v != signingv1.Verification_VERIFICATION_HMAC && v != signingv1.Verification_VERIFICATION_RSA {
		return
	}
	longer := r
	if s.Lengthen != nil {
		longer = s.Lengthen(t, r)
	} else {
		longer.Body = append(slices.Clone(r.Body), ' ')
	}
	if len(longer.Body) <= len(r.Body) {
		t.Fatal("Lengthen added nothing")
	}
	wantRefused(t, w, longer)
}

func checkStripped(t testing.TB, s Setup, w pack.Webhook, r pack.Request, v signingv1.Verification) {
	stripped := 0
	for _, name := range s.Credentials {
		less, found := without(r, name)
		if !found {
			continue
		}
		stripped++
		switch weaker, err := w.Verify(less); {
		case err == nil && weaker.By >= v:
			t.Errorf("without %s still verified by %v", name, weaker.By)
		case err != nil && !errors.Is(err, pack.ErrUnauthentic):
			t.Errorf("without %s: %v is not ErrUnauthentic", name, err)
		}
	}
	if stripped == 0 {
		t.Errorf("the recording has none of the credentials %q", s.Credentials)
	}
	bare := r
	bare.Header, bare.Query = http.Header{"Content-Type": r.Header["Content-Type"]}, url.Values{}
	wantRefused(t, w, bare)
	// A credential counts only in its own place: a token in the query is not a token in a header, nor the reverse.
	swapped := r
	swapped.Header, swapped.Query = bare.Header.Clone(), url.Values{}
	for _, name := range s.Credentials {
		for _, value := range r.Header.Values(name) {
			swapped.Query.Add(name, value)
		}
		for _, value := range r.Query[name] {
			swapped.Header.Add(name, value)
		}
	}
	wantRefused(t, w, swapped)
}

func checkStrangers(t *testing.T, p pack.Pack, s Setup, r pack.Request, v signingv1.Verification) {
	var strangers []config.Source
	if v > signingv1.Verification_VERIFICATION_TOKEN {
		strangers = slices.Clone(s.Strangers)
	}
	for _, is := range credentials(s.Source) {
		if is.Secret {
			strangers = append(strangers, s.Source.With(is.Key+"=another-secret"))
		}
	}
	if len(strangers) == 0 {
		t.Fatal("Setup has no Strangers")
	}
	for _, other := range strangers {
		wantRefused(t, webhook(t, p, other), r)
	}
}

// checkRotation checks that the old and the new secret are accepted together, in either order.
func checkRotation(t *testing.T, p pack.Pack, s Setup, r pack.Request, v signingv1.Verification) {
	var rotated []config.Source
	for _, is := range credentials(s.Source) {
		separator := "\n"
		if is.List {
			separator = ","
		}
		both := func(one, other string) {
			rotated = append(rotated, s.Source.With(is.Key+"="+one+separator+other))
		}
		now := strings.Join(is.Values, separator)
		if is.Secret {
			both("new", now)
			both(now, "old")
			if is.Lines {
				both(now+"\r", "old\n")
			}
			continue
		}
		for _, stranger := range s.Strangers {
			if other := stranger.Text(is.Key); other != "" && other != s.Source.Text(is.Key) {
				both(other, now)
				both(now, other)
			}
		}
	}
	if len(rotated) == 0 {
		t.Error("the source has no secret that can be rotated")
	}
	for i, source := range rotated {
		if got, err := webhook(t, p, source).Verify(r); err != nil || got.By != v {
			t.Errorf("rotation %d: %v, %v", i, got, err)
		}
	}
}

// credentials returns the secrets and certificates with which the source verifies callbacks.
func credentials(source config.Source) []config.SourceSetting {
	return slices.DeleteFunc(source.Settings(), func(is config.SourceSetting) bool {
		return !strings.HasPrefix(is.Key, "webhook.") || !is.File || len(is.Values) == 0
	})
}

// checkCutOff truncates the body: a part must not be accepted as the whole.
func checkCutOff(t *testing.T, w pack.Webhook, r pack.Request, v signingv1.Verification, events []*signingv1.SigningEvent) {
	if len(r.Body) == 0 {
		return
	}
	whole := marshal(t, events)
	for _, keep := range []int{len(r.Body) - 1, len(r.Body) / 2, 1, 0} {
		cut := r
		cut.Body = r.Body[:keep]
		if _, err := w.Verify(cut); err != nil {
			if !errors.Is(err, pack.ErrUnauthentic) {
				t.Errorf("%d bytes: %v is not ErrUnauthentic", keep, err)
			}
			continue
		}
		got, err := w.Normalize(cut, v)
		if err != nil {
			checkUnreadable(t, err)
			continue
		}
		if bytes.Equal(whole, marshal(t, got)) {
			t.Errorf("%d of %d bytes were accepted as a whole body", keep, len(r.Body))
		}
	}
}

// checkLegal checks events of a pack, from recordings and from fuzzing.
func checkLegal(tb testing.TB, source config.Source, p pack.Pack, events []*signingv1.SigningEvent) {
	tb.Helper()
	if len(events) == 0 {
		tb.Fatal("neither events nor an error")
	}
	seen := map[string]bool{}
	for i, e := range events {
		if !idPattern.MatchString(e.GetId()) {
			tb.Errorf("event %d: id %q", i, e.GetId())
		}
		if seen[e.GetId()] {
			tb.Errorf("event %d: id %s is a duplicate", i, e.GetId())
		}
		seen[e.GetId()] = true
		if !typePattern.MatchString(e.GetType()) {
			tb.Errorf("event %d: type %q", i, e.GetType())
		}
		if e.GetSource() != source.Name || e.GetProvider() != p.Name {
			tb.Errorf("event %d: from %s/%s", i, e.GetSource(), e.GetProvider())
		}
		subject := event.Subject(e)
		if tokens := strings.Split(subject, "."); len(tokens) != 7 || slices.ContainsFunc(tokens, illegalToken) {
			tb.Errorf("event %d: subject %q", i, subject)
		}
		if at := e.GetOccurredAt(); at != nil && at.CheckValid() != nil {
			tb.Errorf("event %d: occurred at %v", i, at.CheckValid())
		}
		if _, err := proto.Marshal(e); err != nil { // a string that is not UTF-8 could never be published
			tb.Errorf("event %d: %v", i, err)
		}
	}
}

var (
	idPattern     = regexp.MustCompile(`^[0-9a-v]{26}$`)
	typePattern   = regexp.MustCompile(`^[a-z]+\.[a-z-]+$`)
	tokenPattern  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,172}$`)
	reasonPattern = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
)

func illegalToken(token string) bool { return !tokenPattern.MatchString(token) }

func checkUnreadable(tb testing.TB, err error) {
	tb.Helper()
	var u *pack.UnreadableError
	if !errors.As(err, &u) {
		tb.Fatalf("%T is no *pack.UnreadableError: %v", err, err)
	}
	if !reasonPattern.MatchString(u.Reason) {
		tb.Errorf("reason %q is not a valid metric label", u.Reason)
	}
	if u.Detail == "" || len(u.Detail) > 200 {
		tb.Errorf("detail has %d bytes", len(u.Detail))
	}
}

func wantRefused(t testing.TB, w pack.Webhook, r pack.Request) {
	t.Helper()
	switch v, err := w.Verify(r); {
	case err == nil:
		t.Errorf("verified by %v", v)
	case !errors.Is(err, pack.ErrUnauthentic):
		t.Errorf("%v is not ErrUnauthentic", err)
	case v != pack.Verified{}:
		t.Errorf("refused, but verified by %v", v)
	}
}

func recordings(tb testing.TB, p pack.Pack) []string {
	tb.Helper()
	files, err := fs.Glob(p.Samples, "*.http")
	if err != nil || len(files) == 0 {
		tb.Fatalf("%d recordings, %v", len(files), err)
	}
	for i := range files {
		files[i] = strings.TrimSuffix(files[i], ".http")
	}
	return files
}

func request(tb testing.TB, p pack.Pack, s Setup, name string) pack.Request {
	tb.Helper()
	sample, err := pack.ReadSample(p.Samples, name)
	if err != nil {
		tb.Fatal(err)
	}
	r := sample.Request
	r.ReceivedAt = receivedAt
	if s.Sign != nil {
		r = s.Sign(tb, r)
	}
	return r
}

func webhook(tb testing.TB, p pack.Pack, s config.Source) pack.Webhook {
	tb.Helper()
	w, err := p.Webhook(s)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func marshal(tb testing.TB, events []*signingv1.SigningEvent) []byte {
	tb.Helper()
	var all []byte
	for _, e := range events {
		var err error
		if all, err = (proto.MarshalOptions{Deterministic: true}).MarshalAppend(all, e); err != nil {
			tb.Fatal(err)
		}
	}
	return all
}

// without removes a credential from every place in the request.
func without(r pack.Request, name string) (less pack.Request, found bool) {
	if len(r.Header.Values(name)) > 0 {
		r.Header, found = r.Header.Clone(), true
		r.Header.Del(name)
	}
	if r.Query.Has(name) {
		query := url.Values{}
		for key, values := range r.Query {
			if key != name {
				query[key] = values
			}
		}
		r.Query, found = query, true
	}
	if form := formOf(r); form.Has(name) {
		found = true
		form.Del(name)
		r.Body = []byte(form.Encode())
		r.Header = r.Header.Clone()
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r, found
}
