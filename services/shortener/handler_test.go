package shortener_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/shortener"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// fakeAPI is a provider's API; a test defines its Open.
type fakeAPI struct {
	pack.API
	open func(context.Context) (*pack.Target, error)

	mu        sync.Mutex
	requested []pack.Link
}

func (f *fakeAPI) Open(ctx context.Context, l pack.Link) (*pack.Target, error) {
	f.mu.Lock()
	f.requested = append(f.requested, l)
	f.mu.Unlock()
	return f.open(ctx)
}

func (f *fakeAPI) links() []pack.Link {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]pack.Link(nil), f.requested...)
}

// sourcesOf returns one source with this API.
func sourcesOf(api pack.API) providers.Sources {
	return providers.Sources{{Name: "acme", Provider: "clickwrap"}: {API: api}}
}

func fails(err error) *fakeAPI {
	return &fakeAPI{open: func(context.Context) (*pack.Target, error) { return nil, err }}
}

func leadsTo(url string) *fakeAPI {
	return &fakeAPI{open: func(context.Context) (*pack.Target, error) { return &pack.Target{URL: url}, nil }}
}

// reply is a response of the handler, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // if the body was truncated
}

const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"

// request makes one request, with a phone's User-Agent unless headers (a name, a value, and so on) contain another, and follows no
// redirect.
func request(t *testing.T, method, url string, headers ...string) reply {
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
	return reply{got.StatusCode, got.Header, string(body), err}
}

// local returns the address of a short link at the bench's own listener.
func local(b *servicetest.Bench, short string) string {
	return b.Listen() + strings.TrimPrefix(short, public)
}

// linkTo shortens one link to a target, empty for a link that the provider resolves at the click, and returns its address at the bench's own
// listener.
func linkTo(t *testing.T, b *servicetest.Bench, to string) string {
	t.Helper()
	publish(t, b, leading("n1", "s1", to, 1))
	return local(b, shortened(t, b, 1)["n1"])
}

func checkHeaders(t *testing.T, got reply) {
	t.Helper()
	h := got.header
	if h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Robots-Tag") == "" ||
		h.Get("Strict-Transport-Security") != "max-age=31536000" || // public_url is https
		!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-") {
		t.Errorf("headers %v", h)
	}
}

// checkPage checks that the response is a page without a redirect that contains a text.
func checkPage(t *testing.T, got reply, status int, text string) {
	t.Helper()
	checkHeaders(t, got)
	if got.status != status || got.header.Get("Location") != "" || !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") ||
		!strings.Contains(got.body, text) || !strings.Contains(got.body, "<h1") || !strings.Contains(got.body, "<title>") || strings.Contains(got.body, "secret") {
		t.Errorf("want %d with %q, got %d %v\n%s", status, text, got.status, got.header, got.body)
	}
}

func checkRedirect(t *testing.T, got reply, status int, to string) {
	t.Helper()
	checkHeaders(t, got)
	if got.status != status || got.header.Get("Location") != to || got.body != "" {
		t.Errorf("want %d to %s, got %+v", status, to, got)
	}
}

// checkOpenings waits until the log has this number of openings, and checks that it has no more.
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
	if n := b.Count(flow.Signing, "signing.v1.*.*.link.opened.>"); n != count {
		t.Errorf("the log has %d openings, want %d", n, count)
	}
	return events
}

// checkCounted checks the value of a metric's series. The series is the values of its labels, in the order of their names.
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

func TestAShortLinkRedirectsAndItsOpeningIsLogged(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	url := linkTo(t, b, target)
	for range 2 {
		checkRedirect(t, request(t, http.MethodGet, url), http.StatusFound, target)
	}
	ids := map[string]bool{}
	for _, e := range checkOpenings(t, b, 2) {
		ids[e.GetId()] = true
		if e.GetDocument().GetId() != "doc 1" || e.GetRecipient().GetId() != "s1" || e.GetNotice().GetKind() != "invitation" ||
			e.GetVerification() != signingv1.Verification_VERIFICATION_INTERNAL || e.GetOccurredAt() == nil || e.GetAttributes()["purpose"] != "sign" ||
			e.GetAttributes()["certainty"] != "fetched" || e.GetNotice().GetChannel() != "sms" {
			t.Errorf("event %v", e)
		}
	}
	if len(ids) != 2 {
		t.Errorf("two openings have %d ids", len(ids))
	}
}

// The provider's link may work only once, so it is requested when the button is pressed, by any client.
func TestTheProviderIsCalledWhenTheButtonIsPressed(t *testing.T) {
	t.Parallel()
	api := leadsTo("https://provider.example/once?secret=1")
	b := bench(t, sourcesOf(api))
	url := linkTo(t, b, "")
	for _, headers := range [][]string{nil, {"User-Agent", chrome, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, {"Sec-Purpose", "prefetch"}} {
		got := request(t, http.MethodGet, url, headers...) // the first time, and when a person returns
		if headers == nil || headers[0] == "User-Agent" {
			checkPage(t, got, http.StatusOK, `<form method="post"><button>Review and sign</button></form>`)
		}
		if head := request(t, http.MethodHead, url, headers...); head.header.Get("Location") != "" || head.body != "" {
			t.Errorf("HEAD: %+v", head)
		}
	}
	if n := len(api.links()); n != 0 {
		t.Errorf("the provider got %d requests before the button was pressed", n)
	}
	checkOpenings(t, b, 0)

	for range 2 { // each of two presses gets its own redirect
		checkRedirect(t, request(t, http.MethodPost, url, "Sec-Fetch-Site", "same-origin", "Origin", "null"), http.StatusSeeOther, "https://provider.example/once?secret=1")
	}
	for _, e := range checkOpenings(t, b, 2) {
		if e.GetAttributes()["certainty"] != "clicked" || e.GetNotice().GetChannel() != "sms" {
			t.Errorf("event %v", e)
		}
	}
	want := pack.Link{Document: "doc 1", Recipient: "s1", Purpose: pack.Sign}
	if got := api.links(); len(got) != 2 || got[0] != want || got[1] != want {
		t.Errorf("the provider got requests for %v, want %v twice", got, want)
	}
	code := url[strings.LastIndexByte(url, '/')+1:][:14]
	if kept, err := shortener.Stored(t.Context(), b.Env.JS, code); err != nil || !strings.Contains(kept, "doc 1") || strings.Contains(kept, "provider.example") {
		t.Errorf("the bucket keeps %s: %v", kept, err)
	}
}

// A page of another site that contains the code cannot press the button for the person.
func TestTheButtonIsOnOurPage(t *testing.T) {
	t.Parallel()
	api := leadsTo(target)
	b := bench(t, sourcesOf(api))
	url := linkTo(t, b, "")
	checkPage(t, request(t, http.MethodPost, url, "Sec-Fetch-Site", "cross-site"), http.StatusOK, "Review and sign")
	if n := len(api.links()); n != 0 {
		t.Errorf("the provider got %d requests", n)
	}
	checkOpenings(t, b, 0)
	for i, site := range []string{"same-origin", "none", ""} { // old browsers do not send the header
		checkRedirect(t, request(t, http.MethodPost, url, "Sec-Fetch-Site", site), http.StatusSeeOther, target)
		checkOpenings(t, b, i+1)
	}
}

const chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"

func TestRobotsHaveNoEffect(t *testing.T) {
	t.Parallel()
	api := leadsTo(target)
	b := bench(t, sourcesOf(api))
	dynamic := linkTo(t, b, "")
	publish(t, b, leading("n2", "s2", target, 1))
	static := local(b, shortened(t, b, 2)["n2"])

	for _, url := range []string{dynamic, static} {
		for _, headers := range [][]string{
			{"User-Agent", "WhatsApp/2.23.20.0"},
			{"User-Agent", "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"},
			{"User-Agent", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
			{"User-Agent", "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com"},
			{"User-Agent", "Go-http-client/1.1"},
			{"User-Agent", ""},
		} {
			got := request(t, http.MethodGet, url, headers...)
			checkPage(t, got, http.StatusOK, "Continue")
			if strings.Contains(got.body, "Employment") || strings.Contains(got.body, "PactSafe") || strings.Contains(got.body, "doc 1") {
				t.Errorf("the page reveals the target of the link:\n%s", got.body)
			}
		}
		head := request(t, http.MethodHead, url)
		checkHeaders(t, head)
		if head.status != http.StatusOK || head.header.Get("Location") != "" {
			t.Errorf("HEAD: %+v", head)
		}
		// A browser drops a failed response, and makes a new request at the click.
		for _, headers := range [][]string{{"Sec-Purpose", "prefetch;prerender"}, {"Purpose", "prefetch"}, {"X-Moz", "prefetch"}} {
			checkPage(t, request(t, http.MethodGet, url, headers...), http.StatusServiceUnavailable, "Continue")
		}
	}
	checkCounted(t, b, "signrelay_shortener_opened_total", "robot", 14)
	checkCounted(t, b, "signrelay_shortener_opened_total", "prefetch", 6)
	if n := len(api.links()); n != 0 {
		t.Errorf("robots caused %d requests to the provider", n)
	}
	checkOpenings(t, b, 0)

	// The control: people are redirected, also a person who was classified as a robot and pressed the button.
	checkRedirect(t, request(t, http.MethodGet, static), http.StatusFound, target)
	checkRedirect(t, request(t, http.MethodPost, dynamic, "User-Agent", ""), http.StatusSeeOther, target)
	checkRedirect(t, request(t, http.MethodPost, static, "User-Agent", ""), http.StatusSeeOther, target)
	if n := len(api.links()); n != 1 {
		t.Errorf("the provider got %d requests", n)
	}
	checkOpenings(t, b, 3)
}

// A fetch without a redirect is in the log: one event for each link, kind of program and day.
func TestFetchesAreInTheLogOnceADay(t *testing.T) {
	t.Parallel()
	b := bench(t, sourcesOf(leadsTo(target)))
	dynamic := linkTo(t, b, "")
	publish(t, b, leading("n2", "s2", target, 1))
	static := local(b, shortened(t, b, 2)["n2"])
	for range 3 {
		for _, url := range []string{dynamic, static} {
			request(t, http.MethodGet, url, "User-Agent", "WhatsApp/2.23.20.0")
			request(t, http.MethodGet, url, "User-Agent", "WhatsApp/2.24.1 A")
			request(t, http.MethodGet, url, "User-Agent", "")
			request(t, http.MethodHead, url)
			request(t, http.MethodGet, url, "Sec-Purpose", "prefetch")
		}
		request(t, http.MethodGet, dynamic) // the other link redirects a person, which is an opening
	}
	want := map[string]int{"whatsapp s1": 1, "nameless s1": 1, "other s1": 1, "prefetch s1": 1, "browser s1": 1, "whatsapp s2": 1, "nameless s2": 1, "other s2": 1, "prefetch s2": 1}
	got := map[string]int{}
	for _, m := range b.Await(flow.Signing, "signing.v1.acme.clickwrap.link.fetched."+event.DocumentToken("doc 1"), len(want)) {
		e, err := event.Decode(m.Data())
		if err != nil {
			t.Fatal(err)
		}
		got[e.GetAttributes()["client"]+" "+e.GetRecipient().GetId()]++
		if e.GetNotice().GetChannel() != "sms" || e.GetNotice().GetKind() != "invitation" || e.GetAttributes()["purpose"] != "sign" {
			t.Errorf("event %v", e)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("fetched by %v, want %v", got, want)
	}
	checkOpenings(t, b, 0)
}

// A person has one link, and its code contains the channel of the message. Codes of earlier versions have no suffix, and work too.
func TestAnOpeningHasItsChannel(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	publish(t, b, invitation("n1", "s1", notifyv1.Channel_CHANNEL_SMS))
	publish(t, b, invitation("n2", "s1", notifyv1.Channel_CHANNEL_EMAIL))
	links := shortened(t, b, 2)
	sms, email := local(b, links["n1"]), local(b, links["n2"])
	for i, c := range []struct{ url, channel string }{{sms, "sms"}, {email, "email"}, {sms[:len(sms)-1], ""}} {
		checkRedirect(t, request(t, http.MethodGet, c.url), http.StatusFound, target)
		openings := checkOpenings(t, b, i+1)
		if got := openings[len(openings)-1].GetNotice().GetChannel(); got != c.channel {
			t.Errorf("%q was opened by %q, want %q", c.url, got, c.channel)
		}
	}
}

// Phones and mail programs may include text after the link in the address. It does no harm.
func TestTextAfterACode(t *testing.T) {
	t.Parallel()
	b := bench(t, nil, func(s *shortenersettings.Shortener) { s.PerMinute = 1000 })
	url := linkTo(t, b, target)
	for _, code := range []string{url, url[:len(url)-1]} {
		for _, behind := range []string{
			"", ".", ")", ",", ">", "%3E", "%20", "+", "/", ").", "!", "%22", "'", ";", ":", "*", "_", "]", "%7D", "%E2%80%9D", "%C2%BB", "%E2%80%A6",
			"%0A", "%0D%0A", "%09", "%C2%A0", "%E2%80%8B", "%2520", "&gt;", "%26quot%3B", "./", "?", "?utm_source=x", "=", "%ef%bb%bf", "%FF", ")%3E.%20",
		} {
			checkRedirect(t, request(t, http.MethodGet, code+behind), http.StatusFound, target)
			if t.Failed() {
				t.Fatalf("after the code: %q", behind)
			}
		}
		for _, behind := range []string{"a", "2", "x.", "/x", ".x", "%20x", "0", "ss", "%C3%A9", strings.Repeat(".", 17), strings.Repeat("%20", 300)} {
			if got := request(t, http.MethodGet, code+behind); got.status != http.StatusNotFound {
				t.Errorf("%q after the code: %d", behind, got.status)
			}
		}
	}
}

// A page is in the browser's language if there is a translation, otherwise in the language of the messages.
func TestPagesInTheVisitorsLanguage(t *testing.T) {
	t.Parallel()
	b := bench(t, sourcesOf(leadsTo(target)))
	english := linkTo(t, b, "")
	n := leading("n2", "s2", "", 1)
	n.Locale = "de-AT"
	publish(t, b, n)
	german := local(b, shortened(t, b, 2)["n2"])
	none := german[:len(german)-15] + "aaaaaaaaaaaaaa"
	for _, c := range []struct{ url, accepted, text, language string }{
		{english, "", "Review and sign", "en"},
		{english, "de-CH,de;q=0.9,en;q=0.8", "Prüfen und unterschreiben", "de"},
		{english, "fr-FR,fr;q=0.9", "Review and sign", "en"},
		{english, "fr-FR,fr;q=0.9,de;q=0.1", "Prüfen und unterschreiben", "de"},
		{english, "*", "Review and sign", "en"},
		{english, "en;q=0, \x80 nonsense;;q=9", "Review and sign", "en"},
		{german, "", "Prüfen und unterschreiben", "de"},
		{german, "fr", "Prüfen und unterschreiben", "de"},
		{german, "en-GB", "Review and sign", "en"},
		{none, "", "This link does not work", "en"},
		{none, "de", "Dieser Link funktioniert nicht", "de"},
	} {
		got := request(t, http.MethodGet, c.url, "Accept-Language", c.accepted)
		if !strings.Contains(got.body, c.text) || !strings.Contains(got.body, `<html lang="`+c.language+`">`) {
			t.Errorf("for %q:\n%s", c.accepted, got.body)
		}
	}
}

// A page names the document, its sender, and the reason for the link. Outside text is neither run nor linked.
func TestPagesNameTheDocumentAndTheSender(t *testing.T) {
	t.Parallel()
	b := bench(t, sourcesOf(fails(&pack.NotOpenError{Reason: pack.Ended})))
	n := leading("n1", "s1", "", 1)
	n.DocumentTitle = "<script>alert(1)</script> https://evil.example/x\u202e" + strings.Repeat("x", 200)
	n.SenderName = "Acme & Sons"
	publish(t, b, n)
	url := local(b, shortened(t, b, 1)["n1"])
	page := request(t, http.MethodGet, url)
	checkPage(t, page, http.StatusOK, "Acme &amp; Sons sent you this link. If you did not expect it, you can close this page")
	for _, got := range []reply{page, request(t, http.MethodPost, url)} {
		if !strings.Contains(got.body, "&lt;script&gt;alert(1)&lt;/script&gt; https: evil. example/x") || !strings.Contains(got.body, " – Acme &amp; Sons</title>") {
			t.Errorf("the page does not name the document and the sender:\n%s", got.body)
		}
		if strings.Contains(got.body, "<script") || strings.Contains(got.body, "https://") || strings.Contains(got.body, "\u202e") || strings.Contains(got.body, strings.Repeat("x", 100)) {
			t.Errorf("the page contains an outside text unchanged:\n%s", got.body)
		}
	}
}

// Each page has all its texts in each language.
func TestEachPageHasItsTextsInEachLanguage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err   error
		texts map[string]string
	}{
		{&pack.NotOpenError{Reason: pack.AlreadySigned}, map[string]string{"en": "You have already signed", "de": "Sie haben schon unterschrieben"}},
		{&pack.NotOpenError{Reason: pack.Ended}, map[string]string{"en": "This document is closed", "de": "Dieses Dokument ist geschlossen"}},
		{&pack.NotOpenError{Reason: pack.Gone}, map[string]string{"en": "no longer there", "de": "gibt es nicht mehr"}},
		{&pack.NotOpenError{Reason: pack.NotYet}, map[string]string{"en": "Please come back later.", "de": "Bitte kommen Sie später wieder."}},
		{&pack.NotOpenError{Reason: pack.NotYet, In: 1}, map[string]string{"en": "in about one minute", "de": "in etwa einer Minute"}},
		{&pack.NotOpenError{Reason: pack.NotYet, In: 61 * time.Minute}, map[string]string{"en": "in about 2 hours", "de": "in etwa 2 Stunden"}},
		{errors.New("any other"), map[string]string{"en": "cannot be reached", "de": "nicht erreichbar"}},
	} {
		b := bench(t, sourcesOf(fails(test.err)))
		url := linkTo(t, b, "")
		for language, text := range test.texts {
			if got := request(t, http.MethodPost, url, "Accept-Language", language); !strings.Contains(got.body, text) || !strings.Contains(got.body, "<h1>") || strings.Contains(got.body, "<h1></h1>") {
				t.Errorf("%v in %s:\n%s", test.err, language, got.body)
			}
		}
	}
}

func TestDocumentItself(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ given, want, name string }{
		{"application/pdf", "application/pdf", "document.pdf"},
		{"text/html; charset=utf-8", "text/html", "document"},
		{"no type\r\nX-Evil: 1", "application/octet-stream", "document"},
	} {
		for _, size := range []int64{13, -1} {
			b := bench(t, sourcesOf(&fakeAPI{open: func(context.Context) (*pack.Target, error) {
				return &pack.Target{Body: io.NopCloser(strings.NewReader("%PDF-1.7 text")), ContentType: c.given, Size: size}, nil
			}}))
			got := request(t, http.MethodPost, linkTo(t, b, ""))
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

func TestATruncatedDocumentIsNotSentAsWhole(t *testing.T) {
	t.Parallel()
	b := bench(t, sourcesOf(&fakeAPI{open: func(context.Context) (*pack.Target, error) {
		return &pack.Target{Body: broken{strings.NewReader(strings.Repeat("half", 4096))}, ContentType: "application/pdf", Size: -1}, nil
	}}))
	if got := request(t, http.MethodPost, linkTo(t, b, "")); got.err == nil {
		t.Errorf("%d bytes were received as the whole document", len(got.body))
	}
	checkOpenings(t, b, 0)
}

func TestPagesOfLinksWithoutATarget(t *testing.T) {
	t.Parallel()
	secret := errors.New("GET https://provider.example/?key=secret")
	for _, c := range []struct {
		name   string
		err    error
		status int
		text   string
		retry  string
	}{
		{"already signed", &pack.NotOpenError{Reason: pack.AlreadySigned}, 200, "already signed", ""},
		{"ended", &pack.NotOpenError{Reason: pack.Ended}, 410, "closed", ""},
		{"gone", &pack.NotOpenError{Reason: pack.Gone}, 410, "no longer there", ""},
		{"not yet, without a time", &pack.NotOpenError{Reason: pack.NotYet}, 503, "come back later", "60"},
		{"not yet", &pack.NotOpenError{Reason: pack.NotYet, In: 4 * time.Hour}, 503, "in about 4 hours", "14400"},
		{"our own limit", (&limit.LaterError{After: 90 * time.Second}).Outcome(&pack.CallError{Op: "x", Err: secret}), 503, "right now", "90"},
		{"throttled", outcome.Failure(outcome.Provider, "", outcome.RetryAfter(2*time.Minute, &pack.CallError{Op: "x", Status: 429, Err: secret})), 503, "right now", "120"},
		{"no response", outcome.Failure(outcome.Provider, "", &pack.CallError{Op: "x", Err: secret}), 503, "right now", "30"},
		{"refused", outcome.Refused(outcome.Provider, "", &pack.CallError{Op: "x", Status: 400, Err: secret}), 503, "right now", "30"},
		{"credentials", outcome.NeedsOperator(outcome.Account, "", &pack.CallError{Op: "x", Status: 401, Err: secret}), 503, "right now", "30"},
		{"any other", secret, 503, "right now", "30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := bench(t, sourcesOf(fails(c.err)))
			got := request(t, http.MethodPost, linkTo(t, b, ""))
			checkPage(t, got, c.status, c.text)
			if got.header.Get("Retry-After") != c.retry {
				t.Errorf("Retry-After %q, want %q", got.header.Get("Retry-After"), c.retry)
			}
			checkOpenings(t, b, 0)
		})
	}
}

func TestNoRedirectToAnAddressThatIsNotHTTP(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"javascript:alert('secret')", "//provider.example/secret", "mailto:secret@provider.example"} {
		b := bench(t, sourcesOf(leadsTo(bad)))
		checkPage(t, request(t, http.MethodPost, linkTo(t, b, "")), http.StatusServiceUnavailable, "right now")
		checkOpenings(t, b, 0)
	}
}

func TestUnknownLinks(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	url := linkTo(t, b, target)
	base := url[:strings.LastIndexByte(url, '/')+1]
	first := request(t, http.MethodGet, base+"aaaaaaaaaaaaaa")
	checkPage(t, first, http.StatusNotFound, "does not work")
	for _, code := range []string{"", "A", strings.Repeat("a", 5000), "a%20b", "%2e%2e%2fx", "pair.x", "*", "aaaaaaaaaaaaaas", "aaaaaaaaaaaaaax", "x/y/z"} {
		if got := request(t, http.MethodGet, base+code); got.status != first.status || got.body != first.body {
			t.Errorf("%.20s: %+v", code, got)
		}
	}
	if got := request(t, http.MethodPut, url); got.status != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %d", got.status)
	}
	checkOpenings(t, b, 0)
}

// A link with a lifetime of a nanosecond has expired when it is opened. The next message gets a new one.
func TestAnExpiredLinkIsReportedAndReplaced(t *testing.T) {
	t.Parallel()
	b := bench(t, nil, func(s *shortenersettings.Shortener) { s.ExpireAfter = 1 })
	checkPage(t, request(t, http.MethodGet, linkTo(t, b, target)), http.StatusGone, "expired")
	publish(t, b, leading("n2", "s1", target, 1))
	if links := shortened(t, b, 2); links["n1"] == links["n2"] {
		t.Errorf("an expired link was sent again: %v", links)
	}
	checkOpenings(t, b, 0)
}

// A client that guesses codes is refused, but does not block signers at the same address. A signer who opens one link repeatedly does not
// block other links.
func TestAGuessingClientBlocksNoSigner(t *testing.T) {
	t.Parallel()
	b := bench(t, nil, func(s *shortenersettings.Shortener) { s.PerMinute = 3 })
	own := linkTo(t, b, target)
	publish(t, b, leading("n2", "s2", target, 1))
	another := local(b, shortened(t, b, 2)["n2"])
	refused := 0
	for _, guess := range []string{"aaaaaaaaaaaaaa", "x", "bbbbbbbbbbbbbb", "cccccccccccccc", "pair.x", "dddddddddddddd"} {
		if got := request(t, http.MethodGet, b.Listen()+"/l/"+guess); got.status == http.StatusTooManyRequests {
			checkPage(t, got, http.StatusTooManyRequests, "Too many")
			refused++
		}
	}
	if refused != 3 {
		t.Errorf("%d of 6 guesses were refused, want 3", refused)
	}
	for range 5 {
		request(t, http.MethodGet, own)
	}
	checkPage(t, request(t, http.MethodGet, own), http.StatusTooManyRequests, "Too many")
	for range 3 {
		checkRedirect(t, request(t, http.MethodGet, another), http.StatusFound, target)
	}
}

// A proxy that the settings do not name is counted and logged once, and the doctor reports it.
func TestAnUnknownProxyIsReported(t *testing.T) {
	t.Parallel()
	const counter = "signrelay_shortener_unnamed_proxy_total"
	for name, c := range map[string]struct {
		trusted []string
		headers []string
		want    float64
	}{
		"no proxy":             {nil, nil, 0},
		"not named":            {nil, []string{"X-Forwarded-For", "192.0.2.7"}, 3},
		"not named, RFC 7239":  {nil, []string{"Forwarded", "for=192.0.2.7"}, 3},
		"another one is named": {[]string{"10.0.0.0/8"}, []string{"X-Forwarded-For", "192.0.2.7"}, 3},
		"named":                {[]string{"127.0.0.0/8"}, []string{"X-Forwarded-For", "192.0.2.7"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bench(t, nil, func(s *shortenersettings.Shortener) { s.TrustedProxies = c.trusted })
			url := linkTo(t, b, target)
			for range 2 {
				if got := request(t, http.MethodGet, url, c.headers...); got.header.Get(shortener.ProxyHeader) != "" {
					t.Error("a visitor can see the proxies' configuration")
				}
			}
			got := request(t, http.MethodGet, b.Listen()+"/l/"+shortener.DoctorCode, c.headers...)
			if reported := got.header.Get(shortener.ProxyHeader) == shortener.ProxyUnnamed; reported != (c.want > 0) || got.status != http.StatusNotFound {
				t.Errorf("the doctor gets %d %v", got.status, got.header)
			}
			checkCounted(t, b, counter, "", c.want)
		})
	}
}

func TestOpeningsOfALinkAreLimited(t *testing.T) {
	t.Parallel()
	b := bench(t, nil, func(s *shortenersettings.Shortener) { s.PerMinute = 3 })
	url := linkTo(t, b, target)
	for range 3 {
		checkRedirect(t, request(t, http.MethodGet, url), http.StatusFound, target)
	}
	for _, headers := range [][]string{nil, {"X-Forwarded-For", "203.0.113.7"}} {
		got := request(t, http.MethodGet, url, headers...)
		checkPage(t, got, http.StatusTooManyRequests, "Too many")
		if got.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	checkOpenings(t, b, 3)
}

func TestASignerIsRedirectedWithoutTheLog(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	url := linkTo(t, b, target)
	if err := b.Env.JS.DeleteStream(t.Context(), flow.Signing); err != nil {
		t.Fatal(err)
	}
	checkRedirect(t, request(t, http.MethodGet, url), http.StatusFound, target)
}

func TestTheHandlerWithoutItsBucket(t *testing.T) {
	t.Parallel()
	b := bench(t, nil)
	url := linkTo(t, b, target)
	if err := b.Env.JS.DeleteKeyValue(t.Context(), flow.Links); err != nil {
		t.Fatal(err)
	}
	got := request(t, http.MethodGet, url)
	checkPage(t, got, http.StatusServiceUnavailable, "Try again")
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
