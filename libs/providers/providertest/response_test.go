package providertest

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/providers/clickwrap"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// recorder collects the failures of a check.
type recorder struct {
	testing.TB
	failures []string
}

func (*recorder) Helper()             {}
func (r *recorder) Error(args ...any) { r.failures = append(r.failures, fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, a ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, a...))
}

// The suite finds each mistake in what a pack declares about responses and challenges.
func TestMistakesInResponsesAreFound(t *testing.T) {
	t.Parallel()
	text := func(body string) *pack.Response {
		return &pack.Response{Status: 200, ContentType: "text/plain", Body: body}
	}
	echo := func(r pack.Request) *pack.Response {
		if r.Query.Has("challenge") {
			return text(r.Query.Get("challenge"))
		}
		return nil
	}
	calls := 0
	for name, c := range map[string]struct {
		change  func(*pack.Route, *Setup)
		mistake string // empty for none
	}{
		"nothing wrong": {func(*pack.Route, *Setup) {}, ""},
		"a path":        {func(r *pack.Route, _ *Setup) { r.Path = "all" }, "slash"},
		"an error for a callback": {func(r *pack.Route, _ *Setup) {
			r.Respond = func(pack.Request, pack.Result) *pack.Response { return &pack.Response{Status: 500} }
		}, "response to quarantined: status 500"},
		"a response that changes": {func(r *pack.Route, _ *Setup) {
			r.Respond = func(pack.Request, pack.Result) *pack.Response { calls++; return text(strconv.Itoa(calls)) }
		}, "two differ"},
		"a page for a challenge": {func(r *pack.Route, _ *Setup) {
			r.Challenge.Respond = func(pack.Request) *pack.Response {
				return &pack.Response{Status: 200, ContentType: "text/html", Body: "x"}
			}
		}, "text/html"},
		"no example":                     {func(_ *pack.Route, s *Setup) { s.Challenges = nil }, "Setup.Challenges has no GET"},
		"no such challenge":              {func(_ *pack.Route, s *Setup) { s.Challenges[0].Query = nil }, "does not recognize"},
		"an undeclared method":           {func(r *pack.Route, _ *Setup) { r.Challenge.Methods = []string{"POST"} }, "no route declares it"},
		"signed, without its credential": {func(_ *pack.Route, s *Setup) { s.Challenges[0].Header = http.Header{} }, "it is signed, and refused"},
		"callbacks are taken for challenges": {func(r *pack.Route, _ *Setup) {
			r.Challenge.Methods, r.Challenge.Respond = []string{"GET", "POST"}, func(pack.Request) *pack.Response { return text("x") }
		}, "takes this callback for a challenge"},
	} {
		p, s := clickwrap.Pack, Setup{
			Source:      clickwrap.Settings.New("demo").With("webhook.secrets=12345"),
			Credentials: []string{"Pactsafe-Webhook-Token"},
			Challenges:  []pack.Request{{Method: "GET", Header: http.Header{"Pactsafe-Webhook-Token": {"12345"}}, Query: url.Values{"challenge": {"7f3a"}}}},
		}
		route := p.Routes[0]
		route.Respond = func(pack.Request, pack.Result) *pack.Response { return text("Callback received") }
		route.Challenge = &pack.Challenge{Methods: []string{"GET"}, Signed: true, Respond: echo}
		c.change(&route, &s)
		p.Routes = []pack.Route{route}

		found := &recorder{TB: t}
		checkRoutes(found, p, s)
		for _, recording := range recordings(t, p) {
			r := request(t, p, s, recording)
			checkIsCallback(found, p, r)
			checkResponses(found, p, r)
		}
		if all := strings.Join(found.failures, "; "); (all == "") != (c.mistake == "") || !strings.Contains(all, c.mistake) {
			t.Errorf("%s: found %q, want %q", name, all, c.mistake)
		}
	}
}
