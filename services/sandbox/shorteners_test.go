package sandbox_test

import (
	"net/http"
	"strings"
	"testing"
)

var (
	bitlyKey     = http.Header{"Authorization": {"Bearer bitly-token"}, "Content-Type": {"application/json"}}
	rebrandlyKey = http.Header{"Apikey": {"rb-key"}, "Workspace": {"W1"}, "Content-Type": {"application/json"}}
)

const long = "https://sign.acme.example/l/abcdefgh"

// shortened are both shorteners' answers, by their literal names.
type shortened struct {
	Link        string // Bitly's
	LongURL     string `json:"long_url"`
	ID          string
	Message     string
	Errors      []struct{ Field string }
	ShortURL    string `json:"shortUrl"` // Rebrandly's
	HTTPS       *bool  `json:"https"`
	Destination string
	Slashtag    string
	DomainName  string
	Code        string
	Property    string
}

func (w world) bitly(body string) answer {
	w.t.Helper()
	return w.do("POST", "/v4/shorten", body, bitlyKey)
}

func (w world) rebrandly(body string) answer {
	w.t.Helper()
	return w.do("POST", "/v1/links", body, rebrandlyKey)
}

func (w world) wantLeads(short, to string) {
	w.t.Helper()
	if a := w.get(strings.TrimPrefix(short, w.url(""))); a.status != 302 || a.header.Get("Location") != to {
		w.t.Errorf("%s leads %d to %q, want %q", short, a.status, a.header.Get("Location"), to)
	}
}

// Who asks who he is hears it, and nobody else does.
func TestShortenersKnowTheirAccounts(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	wantStatus(t, w.do("GET", "/v4/user", "", bitlyKey), 200)
	wantStatus(t, w.do("GET", "/v4/user", "", rebrandlyKey), 403)
	wantStatus(t, w.do("GET", "/v1/account", "", rebrandlyKey), 200)
	wantStatus(t, w.do("GET", "/v1/account", "", bitlyKey), 401)
}

func TestBitlyGivesOneAddressOneLink(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	const body = `{"long_url":"` + long + `","domain":"acme.link","group_guid":"G1","force_new_link":false}`
	made := w.bitly(body)
	wantStatus(t, made, 201)
	link := read[shortened](t, made)
	if !strings.HasPrefix(link.Link, w.url("/b/")) || link.LongURL != long || !strings.HasPrefix(link.ID, "acme.link/") {
		t.Errorf("answered %s", made.body)
	}
	again := w.bitly(body)
	wantStatus(t, again, 200)
	if read[shortened](t, again).Link != link.Link {
		t.Errorf("again it is %s", again.body)
	}
	other := read[shortened](t, w.bitly(`{"long_url":"`+long+`x","domain":"acme.link","group_guid":"G1"}`))
	if other.Link == link.Link {
		t.Error("another address got the same link")
	}
	w.wantLeads(link.Link, long)
	w.wantLeads(other.Link, long+"x")
	wantStatus(t, w.get("/b/none"), 404)
}

func TestBitlyRefusesWhatItWouldRefuse(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	for body, status := range map[string]int{
		`not JSON`:                                                          422,
		`{"domain":"bit.ly"}`:                                               400,
		`{"long_url":"sign.acme.example"}`:                                  400,
		`{"long_url":"` + long + `","domain":"x.y"}`:                        400,
		`{"long_url":"` + long + `","group_guid":"G2"}`:                     403,
		`{"long_url":"` + long + `","domain":"bit.ly","group_guid":"G1"}`:   201,
		`{"long_url":"` + long + `/2","domain":"acme.link","tags":["any"]}`: 201,
	} {
		a := w.bitly(body)
		wantStatus(t, a, status)
		if said := read[shortened](t, a); status == 400 && (said.Message == "" || len(said.Errors) != 1) {
			t.Errorf("%s: answered %s", body, a.body)
		}
	}
	for _, authorization := range []string{"", "Bearer wrong", "bitly-token"} {
		header := http.Header{"Authorization": {authorization}}
		wantStatus(t, w.do("POST", "/v4/shorten", `{"long_url":"`+long+`"}`, header), 403)
	}
}

func TestRebrandlyGivesASlashtagOnce(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	const body = `{"destination":"` + long + `","slashtag":"Tag_1-x","title":"A link","domain":{"fullName":"go.acme.example"}}`
	made := w.rebrandly(body)
	wantStatus(t, made, 200)
	link := read[shortened](t, made)
	if link.ShortURL != w.HTTPAddr()+"/r/Tag_1-x" || link.HTTPS == nil || *link.HTTPS || link.Destination != long || link.DomainName != "go.acme.example" {
		t.Errorf("answered %s", made.body)
	}
	w.wantLeads("http://"+link.ShortURL, long)

	again := w.rebrandly(strings.Replace(body, long, long+"x", 1))
	wantStatus(t, again, 403)
	if said := read[shortened](t, again); said.Code != "AlreadyExists" || said.Property != "slashtag" {
		t.Errorf("again: answered %s", again.body)
	}
	found := w.do("GET", "/v1/links?domain.fullName=go.acme.example&slashtag=Tag_1-x", "", rebrandlyKey)
	if list := read[[]shortened](t, found); len(list) != 1 || list[0].Destination != long || list[0].ID != link.ID {
		t.Errorf("found %s", found.body)
	}
	for _, query := range []string{"domain.fullName=go.acme.example&slashtag=none", "slashtag=Tag_1-x"} { // the other is of another domain
		if list := w.do("GET", "/v1/links?"+query, "", rebrandlyKey); list.body != "[]\n" {
			t.Errorf("%s: found %s", query, list.body)
		}
	}
	wantStatus(t, w.do("GET", "/v1/links/"+link.ID, "", rebrandlyKey), 200)
	wantStatus(t, w.do("GET", "/v1/links/none", "", rebrandlyKey), 404)
}

func TestRebrandlyRefusesWhatItWouldRefuse(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	for body, code := range map[string]string{
		`{}`:                                  "RequiredField",
		`{"destination":"sign.acme.example"}`: "InvalidFormat",
		`{"destination":"` + long + strings.Repeat("x", 2048) + `"}`:                  "InvalidLength",
		`{"destination":"` + long + `","slashtag":"a/b"}`:                             "PatternMismatch",
		`{"destination":"` + long + `","slashtag":"` + strings.Repeat("x", 41) + `"}`: "PatternMismatch",
		`{"destination":"` + long + `","title":"ab"}`:                                 "InvalidLength",
		`{"destination":"` + long + `","domain":{"fullName":"x.y"}}`:                  "NotFound",
	} {
		a := w.rebrandly(body)
		wantStatus(t, a, 403)
		if said := read[shortened](t, a); said.Code != code || said.Property == "" {
			t.Errorf("%.60s: answered %s, want %s", body, a.body, code)
		}
	}
	wantStatus(t, w.rebrandly(`not JSON`), 400)
	for _, header := range []http.Header{
		{}, {"Apikey": {"wrong"}, "Workspace": {"W1"}}, {"Authorization": {"rb-key"}, "Workspace": {"W1"}},
	} {
		wantStatus(t, w.do("POST", "/v1/links", `{"destination":"`+long+`"}`, header), 401)
	}
	wantStatus(t, w.do("POST", "/v1/links", `{"destination":"`+long+`"}`, http.Header{"Apikey": {"rb-key"}}), 403)
	wantStatus(t, w.rebrandly(`{"destination":"`+long+`"}`), 200) // the control
}
