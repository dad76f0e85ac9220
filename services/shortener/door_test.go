package shortener_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// fakeAPI is a provider's API that opens links as a test says.
type fakeAPI struct {
	pack.API
	open func(context.Context) (*pack.Target, error)

	mu    sync.Mutex
	asked []pack.Link
}

func (f *fakeAPI) Open(ctx context.Context, l pack.Link) (*pack.Target, error) {
	f.mu.Lock()
	f.asked = append(f.asked, l)
	f.mu.Unlock()
	return f.open(ctx)
}

func (f *fakeAPI) links() []pack.Link {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]pack.Link(nil), f.asked...)
}

// asking is the sources of a bench whose one source is asked through api.
func asking(api pack.API) providers.Sources {
	return providers.Sources{{Name: "acme", Provider: "clickwrap"}: {API: api}}
}

func fails(err error) *fakeAPI {
	return &fakeAPI{open: func(context.Context) (*pack.Target, error) { return nil, err }}
}

func leadsTo(url string) *fakeAPI {
	return &fakeAPI{open: func(context.Context) (*pack.Target, error) { return &pack.Target{URL: url}, nil }}
}

// answer is one of the door, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // where the body broke off
}

const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"

// ask makes one request, as a person's telephone unless headers (a name, a value, and so on) say otherwise, and follows no
// redirect.
func ask(t *testing.T, method, url string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", phone)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	got, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = got.Body.Close() }()
	body, err := io.ReadAll(got.Body)
	return answer{got.StatusCode, got.Header, string(body), err}
}

// local is a short link as the bench's own door serves it.
func local(b *servicetest.Bench, short string) string {
	return b.Door() + strings.TrimPrefix(short, public)
}

// door shortens one link that leads to a target, or empty for one that the provider is asked about, and returns it as the
// local door serves it.
func door(t *testing.T, b *servicetest.Bench, to string) string {
	t.Helper()
	publish(t, b, leading("n1", "s1", to, 1))
	return local(b, shortened(t, b, 1)["n1"])
}

func checkHeaders(t *testing.T, got answer) {
	t.Helper()
	h := got.header
	if h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Robots-Tag") == "" ||
		!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("headers %v", h)
	}
}

// checkPage wants a page for people that sends them nowhere and says something.
func checkPage(t *testing.T, got answer, status int, says string) {
	t.Helper()
	checkHeaders(t, got)
	if got.status != status || got.header.Get("Location") != "" || !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") ||
		!strings.Contains(got.body, says) || !strings.Contains(got.body, "<h1>") || strings.Contains(got.body, "secret") {
		t.Errorf("want %d that says %q, got %d %v\n%s", status, says, got.status, got.header, got.body)
	}
}

func checkRedirect(t *testing.T, got answer, status int, to string) {
	t.Helper()
	checkHeaders(t, got)
	if got.status != status || got.header.Get("Location") != to || got.body != "" {
		t.Errorf("want %d to %s, got %+v", status, to, got)
	}
}

// checkOpenings waits until the log has so many openings, and wants no others.
func checkOpenings(t *testing.T, b *servicetest.Bench, count int) []*signingv1.SigningEvent {
	t.Helper()
	var events []*signingv1.SigningEvent
	if count > 0 {
		for _, m := range b.Await(flow.Signing, "signing.v1.acme.clickwrap.link.opened."+event.DocumentToken("doc 1"), count) {
			e, err := event.Decode(m.Data())
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, e)
		}
	}
	if n := b.Count(flow.Signing, "signing.v1.>"); n != count {
		t.Errorf("the log has %d events, want %d", n, count)
	}
	return events
}

// checkCounted wants a metric's series, written as its labels' values in the order of their names, to stand at a count.
func checkCounted(t *testing.T, b *servicetest.Bench, name, series string, want float64) {
	t.Helper()
	families, err := b.Env.Metrics.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name {
				counts[strings.Join(values, " ")] = m.GetCounter().GetValue()
			}
		}
	}
	if counts[series] != want {
		t.Errorf("%s counts %v, want %v of %q", name, counts, want, series)
	}
}

func TestShortLinkLeadsToItsTargetAndTheLogHearsOfIt(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	url := door(t, b, target)
	for range 2 {
		checkRedirect(t, ask(t, http.MethodGet, url), http.StatusFound, target)
	}
	ids := map[string]bool{}
	for _, e := range checkOpenings(t, b, 2) {
		ids[e.GetId()] = true
		if e.GetDocument().GetId() != "doc 1" || e.GetRecipient().GetId() != "s1" || e.GetNotice().GetKind() != "invitation" ||
			e.GetVerification() != signingv1.Verification_VERIFICATION_INTERNAL || e.GetOccurredAt() == nil || e.GetAttributes()["purpose"] != "sign" {
			t.Errorf("event %v", e)
		}
	}
	if len(ids) != 2 {
		t.Errorf("two openings have %d ids", len(ids))
	}
}

func TestProviderIsAskedAtTheClick(t *testing.T) {
	t.Parallel()
	api := leadsTo("https://provider.example/once?secret=1")
	b := bench(t, asking(api))
	url := door(t, b, "")
	if len(api.links()) != 0 {
		t.Error("asked before anybody clicked")
	}
	for range 2 {
		checkRedirect(t, ask(t, http.MethodGet, url), http.StatusFound, "https://provider.example/once?secret=1")
	}
	checkOpenings(t, b, 2)
	want := pack.Link{Document: "doc 1", Recipient: "s1", Purpose: pack.Sign}
	if asked := api.links(); len(asked) != 2 || asked[0] != want || asked[1] != want {
		t.Errorf("asked for %v, want %v twice", asked, want)
	}
	bucket, err := b.Env.JS.KeyValue(t.Context(), flow.Links)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := bucket.Keys(t.Context())
	if err != nil || len(keys) != 2 {
		t.Fatalf("keys %v, %v", keys, err)
	}
	for _, key := range keys {
		if e, err := bucket.Get(t.Context(), key); err != nil || strings.Contains(string(e.Value()), "provider.example") {
			t.Errorf("the bucket keeps the address: %v", err)
		}
	}
}

func TestRobotsUseNothingUp(t *testing.T) {
	t.Parallel()
	api := leadsTo(target)
	b := bench(t, asking(api))
	asked := door(t, b, "")
	publish(t, b, leading("n2", "s2", target, 1))
	static := local(b, shortened(t, b, 2)["n2"])

	for _, url := range []string{asked, static} {
		for _, headers := range [][]string{
			{"User-Agent", "WhatsApp/2.23.20.0"},
			{"User-Agent", "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"},
			{"User-Agent", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
			{"User-Agent", "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com"},
			{"User-Agent", "Go-http-client/1.1"},
			{"User-Agent", ""},
		} {
			got := ask(t, http.MethodGet, url, headers...)
			checkPage(t, got, http.StatusOK, "Continue")
			if strings.Contains(got.body, "doc 1") || strings.Contains(got.body, "provider") {
				t.Errorf("the page tells what is behind the link:\n%s", got.body)
			}
		}
		head := ask(t, http.MethodHead, url)
		checkHeaders(t, head)
		if head.status != http.StatusOK || head.header.Get("Location") != "" {
			t.Errorf("HEAD: %+v", head)
		}
		// A browser drops what failed, and asks again at the click.
		for _, headers := range [][]string{{"Sec-Purpose", "prefetch;prerender"}, {"Purpose", "prefetch"}, {"X-Moz", "prefetch"}} {
			checkPage(t, ask(t, http.MethodGet, url, headers...), http.StatusServiceUnavailable, "Continue")
		}
	}
	checkCounted(t, b, "signrelay_shortener_opened_total", "robot", 14)
	checkCounted(t, b, "signrelay_shortener_opened_total", "prefetch", 6)
	if n := len(api.links()); n != 0 {
		t.Errorf("robots had the provider asked %d times", n)
	}
	checkOpenings(t, b, 0)

	// The control: people get through, also those who were taken for a robot and pressed the button.
	checkRedirect(t, ask(t, http.MethodGet, asked), http.StatusFound, target)
	checkRedirect(t, ask(t, http.MethodPost, static, "User-Agent", ""), http.StatusSeeOther, target)
	if n := len(api.links()); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	checkOpenings(t, b, 2)
}

func TestDocumentItself(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ given, want, name string }{
		{"application/pdf", "application/pdf", "document.pdf"},
		{"text/html; charset=utf-8", "text/html", "document"},
		{"no type\r\nX-Evil: 1", "application/octet-stream", "document"},
	} {
		for _, size := range []int64{13, -1} {
			b := bench(t, asking(&fakeAPI{open: func(context.Context) (*pack.Target, error) {
				return &pack.Target{Body: io.NopCloser(strings.NewReader("%PDF-1.7 text")), ContentType: c.given, Size: size}, nil
			}}))
			got := ask(t, http.MethodGet, door(t, b, ""))
			checkHeaders(t, got)
			if got.status != http.StatusOK || got.body != "%PDF-1.7 text" || got.err != nil || got.header.Get("Content-Type") != c.want ||
				got.header.Get("Content-Disposition") != `attachment; filename="`+c.name+`"` || got.header.Get("X-Content-Type-Options") != "nosniff" ||
				got.header.Get("X-Evil") != "" || (size > 0) != (got.header.Get("Content-Length") == "13") {
				t.Errorf("%s, %d bytes: %+v", c.given, size, got)
			}
			checkOpenings(t, b, 1)
		}
	}
}

// broken is a body that ends in the middle.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("cut off at https://provider.example/secret")
	}
	return n, err
}
func (broken) Close() error { return nil }

func TestDocumentThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	t.Parallel()
	b := bench(t, asking(&fakeAPI{open: func(context.Context) (*pack.Target, error) {
		return &pack.Target{Body: broken{strings.NewReader(strings.Repeat("half", 4096))}, ContentType: "application/pdf", Size: -1}, nil
	}}))
	if got := ask(t, http.MethodGet, door(t, b, "")); got.err == nil {
		t.Errorf("%d bytes came as if they were all", len(got.body))
	}
	checkOpenings(t, b, 0)
}

func TestWhatPeopleReadWhenThereIsNothingToOpen(t *testing.T) {
	t.Parallel()
	secret := errors.New("GET https://provider.example/?key=secret")
	for _, c := range []struct {
		name   string
		err    error
		status int
		says   string
		retry  string
	}{
		{"already signed", &pack.NotOpenError{Reason: pack.AlreadySigned}, 200, "already signed", ""},
		{"ended", &pack.NotOpenError{Reason: pack.Ended}, 410, "closed", ""},
		{"gone", &pack.NotOpenError{Reason: pack.Gone}, 410, "no longer there", ""},
		{"not yet, nobody knows when", &pack.NotOpenError{Reason: pack.NotYet}, 503, "come back later", "60"},
		{"not yet", &pack.NotOpenError{Reason: pack.NotYet, In: 4 * time.Hour}, 503, "in about 4 hours", "14400"},
		{"our own limit", &pack.CallError{Op: "x", Err: &limit.LaterError{After: 90 * time.Second}}, 503, "right now", "90"},
		{"throttled", &pack.CallError{Op: "x", Status: 429, RetryAfter: 2 * time.Minute, Err: secret}, 503, "right now", "120"},
		{"no answer", &pack.CallError{Op: "x", Err: secret}, 503, "right now", "30"},
		{"refused", &pack.CallError{Op: "x", Status: 400, Then: pack.GiveUp, Err: secret}, 503, "right now", "30"},
		{"credentials", &pack.CallError{Op: "x", Status: 401, Then: pack.Stop, Err: secret}, 503, "right now", "30"},
		{"any other", secret, 503, "right now", "30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := bench(t, asking(fails(c.err)))
			got := ask(t, http.MethodGet, door(t, b, ""))
			checkPage(t, got, c.status, c.says)
			if got.header.Get("Retry-After") != c.retry {
				t.Errorf("Retry-After %q, want %q", got.header.Get("Retry-After"), c.retry)
			}
			checkOpenings(t, b, 0)
		})
	}
}

func TestNobodyIsSentToWhatIsNoWebAddress(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"javascript:alert('secret')", "//provider.example/secret", "mailto:secret@provider.example"} {
		b := bench(t, asking(leadsTo(bad)))
		checkPage(t, ask(t, http.MethodGet, door(t, b, "")), http.StatusServiceUnavailable, "right now")
		checkOpenings(t, b, 0)
	}
}

func TestUnknownLinks(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	url := door(t, b, target)
	base := url[:strings.LastIndexByte(url, '/')+1]
	first := ask(t, http.MethodGet, base+"aaaaaaaaaaaaaa")
	checkPage(t, first, http.StatusNotFound, "does not work")
	for _, code := range []string{"A", strings.Repeat("a", 5000), "a%20b", "%2e%2e%2fx", "pair.x", "*"} {
		if got := ask(t, http.MethodGet, base+code); got.status != first.status || got.body != first.body {
			t.Errorf("%.20s: %+v", code, got)
		}
	}
	if got := ask(t, http.MethodPut, url); got.status != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %d", got.status)
	}
	checkOpenings(t, b, 0)
}

// A link that lives for a nanosecond has expired when it is opened; the next message gets a new one.
func TestExpiredLinkSaysSoAndIsMadeAnew(t *testing.T) {
	t.Parallel()
	b := bench(t, nil, func(s *config.Shortener) { s.ExpireAfter = 1 })
	checkPage(t, ask(t, http.MethodGet, door(t, b, target)), http.StatusGone, "expired")
	publish(t, b, leading("n2", "s1", target, 1))
	if links := shortened(t, b, 2); links["n1"] == links["n2"] {
		t.Errorf("a dead link was sent again: %v", links)
	}
	checkOpenings(t, b, 0)
}

func TestOneClientOpensSoManyLinksAMinute(t *testing.T) {
	t.Parallel()
	b := bench(t, nil, func(s *config.Shortener) { s.PerMinute = 3 })
	url := door(t, b, target)
	for range 3 {
		checkRedirect(t, ask(t, http.MethodGet, url), http.StatusFound, target)
	}
	for _, headers := range [][]string{nil, {"X-Forwarded-For", "203.0.113.7"}} {
		got := ask(t, http.MethodGet, url, headers...)
		checkPage(t, got, http.StatusTooManyRequests, "Too many")
		if got.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	checkOpenings(t, b, 3)
}

func TestSignerIsRedirectedThoughTheLogIsAway(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	url := door(t, b, target)
	if err := b.Env.JS.DeleteStream(t.Context(), flow.Signing); err != nil {
		t.Fatal(err)
	}
	checkRedirect(t, ask(t, http.MethodGet, url), http.StatusFound, target)
}

func TestDoorSaysWhenItCannotLook(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	url := door(t, b, target)
	if err := b.Env.JS.DeleteKeyValue(t.Context(), flow.Links); err != nil {
		t.Fatal(err)
	}
	got := ask(t, http.MethodGet, url)
	checkPage(t, got, http.StatusServiceUnavailable, "Try again")
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
