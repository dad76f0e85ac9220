package rebrandly_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

var rebrandlyKey = http.Header{"Apikey": {"rb-key"}, "Workspace": {"W1"}, "Content-Type": {"application/json"}}

const long = "https://sign.acme.example/l/abcdefgh"

// shortened is Rebrandly's response, by its literal names.
type shortened struct {
	ID          string
	ShortURL    string `json:"shortUrl"`
	HTTPS       *bool  `json:"https"`
	Destination string
	Slashtag    string
	DomainName  string
	Code        string
	Property    string
}

func rebrandly(w sandboxtest.World, body string) sandboxtest.Response {
	w.T.Helper()
	return w.Do("POST", "/v1/links", body, rebrandlyKey)
}

// Only a request with the account's key gets the account.
func TestTheAccountIsReturned(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	sandboxtest.WantStatus(t, w.Do("GET", "/v1/account", "", rebrandlyKey), 200)
	sandboxtest.WantStatus(t, w.Do("GET", "/v1/account", "", http.Header{"Content-Type": {"application/json"}}), 401)
}

func TestRebrandlyUsesASlashtagOnce(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	const body = `{"destination":"` + long + `","slashtag":"Tag_1-x","title":"A link","domain":{"fullName":"go.acme.example"}}`
	made := rebrandly(w, body)
	sandboxtest.WantStatus(t, made, 200)
	link := sandboxtest.Read[shortened](t, made)
	if link.ShortURL != w.HTTPAddr()+"/r/Tag_1-x" || link.HTTPS == nil || *link.HTTPS || link.Destination != long || link.DomainName != "go.acme.example" {
		t.Errorf("response %s", made.Body)
	}
	w.WantLeads("http://"+link.ShortURL, long)

	again := rebrandly(w, strings.Replace(body, long, long+"x", 1))
	sandboxtest.WantStatus(t, again, 403)
	if reply := sandboxtest.Read[shortened](t, again); reply.Code != "AlreadyExists" || reply.Property != "slashtag" {
		t.Errorf("again: response %s", again.Body)
	}
	found := w.Do("GET", "/v1/links?domain.fullName=go.acme.example&slashtag=Tag_1-x", "", rebrandlyKey)
	if list := sandboxtest.Read[[]shortened](t, found); len(list) != 1 || list[0].Destination != long || list[0].ID != link.ID {
		t.Errorf("found %s", found.Body)
	}
	for _, query := range []string{"domain.fullName=go.acme.example&slashtag=none", "slashtag=Tag_1-x"} { // the other link is of another domain
		if list := w.Do("GET", "/v1/links?"+query, "", rebrandlyKey); list.Body != "[]\n" {
			t.Errorf("%s: found %s", query, list.Body)
		}
	}
	sandboxtest.WantStatus(t, w.Do("GET", "/v1/links/"+link.ID, "", rebrandlyKey), 200)
	sandboxtest.WantStatus(t, w.Do("GET", "/v1/links/none", "", rebrandlyKey), 404)
}

func TestInvalidRequestsAreRefusedAsByRebrandly(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	for body, code := range map[string]string{
		`{}`:                                  "RequiredField",
		`{"destination":"sign.acme.example"}`: "InvalidFormat",
		`{"destination":"` + long + strings.Repeat("x", 2048) + `"}`:                  "InvalidLength",
		`{"destination":"` + long + `","slashtag":"a/b"}`:                             "PatternMismatch",
		`{"destination":"` + long + `","slashtag":"` + strings.Repeat("x", 41) + `"}`: "PatternMismatch",
		`{"destination":"` + long + `","title":"ab"}`:                                 "InvalidLength",
		`{"destination":"` + long + `","domain":{"fullName":"x.y"}}`:                  "NotFound",
	} {
		a := rebrandly(w, body)
		sandboxtest.WantStatus(t, a, 403)
		if reply := sandboxtest.Read[shortened](t, a); reply.Code != code || reply.Property == "" {
			t.Errorf("%.60s: response %s, want %s", body, a.Body, code)
		}
	}
	sandboxtest.WantStatus(t, rebrandly(w, `not JSON`), 400)
	for _, header := range []http.Header{
		{}, {"Apikey": {"wrong"}, "Workspace": {"W1"}}, {"Authorization": {"rb-key"}, "Workspace": {"W1"}},
	} {
		sandboxtest.WantStatus(t, w.Do("POST", "/v1/links", `{"destination":"`+long+`"}`, header), 401)
	}
	sandboxtest.WantStatus(t, w.Do("POST", "/v1/links", `{"destination":"`+long+`"}`, http.Header{"Apikey": {"rb-key"}}), 403)
	sandboxtest.WantStatus(t, rebrandly(w, `{"destination":"`+long+`"}`), 200) // the control
}

func TestEveryFault(t *testing.T) {
	t.Parallel()
	sandboxtest.API{Target: "rebrandly", Good: 200, Call: func(w sandboxtest.World) (sandboxtest.Response, error) {
		return w.Try(w.T.Context(), "POST", "/v1/links", `{"destination":"`+long+`"}`, rebrandlyKey)
	}}.Fails(t)
}
