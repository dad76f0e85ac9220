package console_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/services/console"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
)

const goodPassword = "correct horse battery"

// line is made once: each hash takes 100 ms.
var line = sync.OnceValue(func() string {
	text, err := console.UserLine("mara", goodPassword, []string{"look", "operate"})
	if err != nil {
		panic(err)
	}
	return text
})

// bench is a console with a real broker.
type bench struct {
	*servicetest.Bench
	t   *testing.T
	url string
}

func open(t *testing.T, change func(*consolesettings.Console)) *bench {
	t.Helper()
	realtest.Server(t, "NATS")
	cfg := config.Default().With(consolesettings.Section)
	cfg.Sources = []config.Source{providers.NewSource("pleasesign", "onboarding", "webhook.secrets=test")}
	if change != nil {
		change(consolesettings.Section.In(&cfg))
	}
	return (&bench{Bench: servicetest.New(t, cfg), t: t}).restart()
}

// restart returns a new console of the same installation, whose first sample is taken at its first page.
func (b *bench) restart() *bench {
	b.t.Helper()
	return &bench{Bench: b.Bench, t: b.t, url: serve(b.t, b.Env)}
}

// serve returns the address of a new console.
func serve(t *testing.T, env service.Env) string {
	t.Helper()
	s, err := console.New(env)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return server.URL
}

// browser is a client with cookies that follows no redirect.
func (b *bench) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (b *bench) do(c *http.Client, method, path string, form url.Values, accept string) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response, string(body)
}

func (b *bench) get(c *http.Client, path string) (*http.Response, string) {
	b.t.Helper()
	return b.do(c, http.MethodGet, path, nil, "text/html")
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

func (b *bench) token(page string) string {
	b.t.Helper()
	m := tokenField.FindStringSubmatch(page)
	if m == nil {
		b.t.Fatal("the page has no form with a token")
	}
	return m[1]
}

// signIn signs in with a password and returns the response.
func (b *bench) signIn(c *http.Client, name, password, next string) *http.Response {
	b.t.Helper()
	_, page := b.get(c, "/signin?next="+url.QueryEscape(next))
	response, _ := b.do(c, http.MethodPost, "/signin", url.Values{"token": {b.token(page)}, "name": {name}, "password": {password}, "next": {next}}, "text/html")
	return response
}

func TestFlowSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	response, page := b.get(b.browser(), "/")
	if response.StatusCode != http.StatusOK || !strings.Contains(page, "<h1>No action needed</h1>") {
		t.Fatalf("an empty installation: status %d, page:\n%s", response.StatusCode, page)
	}
	if _, err := b.Env.JS.Publish(t.Context(), flow.StageNamed(flow.Enricher).DeadSubject(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	later := b.restart()
	if _, page = later.get(later.browser(), "/"); !strings.Contains(page, "1 dead letter waits for you</h1>") {
		t.Fatalf("the page does not name the dead letter:\n%s", page)
	}
	_, body := later.do(later.browser(), http.MethodGet, "/", nil, "application/json")
	var data struct {
		Headline string
		Findings []struct{ Runbook string }
	}
	if err := json.Unmarshal([]byte(body), &data); err != nil || len(data.Findings) != 1 || data.Findings[0].Runbook != "SignrelayDeadLetters" {
		t.Fatalf("JSON: %v, %s", err, body)
	}
}

func TestPasswordSignsIn(t *testing.T) {
	t.Parallel()
	b := open(t, func(c *consolesettings.Console) { c.Users = line() })
	c := b.browser()
	if response, _ := b.get(c, "/sources?time=utc"); response.StatusCode != http.StatusSeeOther || response.Header.Get("Location") != "/signin?next=%2Fsources%3Ftime%3Dutc" {
		t.Fatalf("without a sign-in: status %d to %q", response.StatusCode, response.Header.Get("Location"))
	}
	if response := b.signIn(c, "mara", "a wrong password", "/"); response.StatusCode != http.StatusUnauthorized {
		t.Fatalf("a wrong password: status %d", response.StatusCode)
	}
	if response := b.signIn(c, "MARA", goodPassword, "/sources?time=utc"); response.StatusCode != http.StatusSeeOther || response.Header.Get("Location") != "/sources?time=utc" {
		t.Fatalf("the right password: status %d to %q", response.StatusCode, response.Header.Get("Location"))
	}
	if response, page := b.get(c, "/sources"); response.StatusCode != http.StatusOK || !strings.Contains(page, "onboarding") {
		t.Fatalf("after the sign-in: status %d, page:\n%s", response.StatusCode, page)
	}
	_, page := b.get(c, "/me")
	b.do(c, http.MethodPost, "/signout", url.Values{"token": {b.token(page)}}, "text/html")
	if response, _ := b.get(c, "/sources"); response.StatusCode != http.StatusSeeOther {
		t.Fatalf("after the sign-out: status %d", response.StatusCode)
	}
}

func TestSourceShowsItsKeysAndIsReconciled(t *testing.T) {
	t.Parallel()
	b := open(t, func(c *consolesettings.Console) { c.LocalRoles = []string{"operate"} })
	state, err := b.Env.JS.KeyValue(t.Context(), flow.State)
	if err != nil {
		t.Fatal(err)
	}
	use, err := json.Marshal(flow.KeyUse{Setting: "webhook.secrets[0]", Fingerprint: "sha256:00", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := state.Put(t.Context(), flow.KeyUseOf("pleasesign", "onboarding", "webhook.secrets[0]"), use); err != nil {
		t.Fatal(err)
	}
	_, page := b.get(b.browser(), "/sources/pleasesign/onboarding")
	for _, want := range []string{"webhook.secrets[0]", "/webhooks/pleasesign/onboarding", "The last authentic callback came"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	response, body := b.do(b.browser(), http.MethodPost, "/sources/pleasesign/onboarding", url.Values{"token": {b.token(page)}}, "text/html")
	if response.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "The reason is empty") {
		t.Errorf("reconcile without a reason: status %d", response.StatusCode)
	}
	response, _ = b.do(b.browser(), http.MethodPost, "/sources/pleasesign/onboarding", url.Values{"token": {b.token(page)}, "why": {"ticket 17"}}, "text/html")
	if response.StatusCode != http.StatusSeeOther {
		t.Fatalf("reconcile now: status %d", response.StatusCode)
	}
	if _, err := state.Get(t.Context(), flow.ReconcileAsked("pleasesign", "onboarding")); err != nil {
		t.Fatalf("no request is stored: %v", err)
	}
	if response, _ := b.get(b.browser(), "/sources/pleasesign/other"); response.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown source: status %d", response.StatusCode)
	}
}

func TestSubscribersShowWhoReadsTheLog(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	_, err := b.Env.JS.CreateOrUpdateConsumer(t.Context(), flow.Signing, jetstream.ConsumerConfig{Durable: "billing", FilterSubject: "signing.v1.*.*.document.completed.>"})
	if err != nil {
		t.Fatal(err)
	}
	_, page := b.get(b.browser(), "/subscribers")
	if !strings.Contains(page, "1 team reads the log") || !strings.Contains(page, "signing.v1.*.*.document.completed.&gt;") {
		t.Fatalf("page:\n%s", page)
	}
}

func TestUnknownKeysAreRefused(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	response, body := b.do(b.browser(), http.MethodGet, "/sources?sorce=x", nil, "application/json")
	if response.StatusCode != http.StatusBadRequest || response.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(body, "sorce") {
		t.Fatalf("status %d, %s, %s", response.StatusCode, response.Header.Get("Content-Type"), body)
	}
}
