package bitly_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

var bitlyKey = http.Header{"Authorization": {"Bearer bitly-token"}, "Content-Type": {"application/json"}}

const long = "https://sign.acme.example/l/abcdefgh"

// shortened is Bitly's response, with its literal names.
type shortened struct {
	Link    string
	LongURL string `json:"long_url"`
	ID      string
	Message string
	Errors  []struct{ Field string }
}

func bitly(w sandboxtest.World, body string) sandboxtest.Response {
	w.T.Helper()
	return w.Do("POST", "/v4/shorten", body, bitlyKey)
}

// Only a request with the account's token gets the account.
func TestTheAccountIsReturned(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	sandboxtest.WantStatus(t, w.Do("GET", "/v4/user", "", bitlyKey), 200)
	sandboxtest.WantStatus(t, w.Do("GET", "/v4/user", "", http.Header{"Content-Type": {"application/json"}}), 403)
}

func TestBitlyReturnsTheSameLinkForAnAddress(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	const body = `{"long_url":"` + long + `","domain":"acme.link","group_guid":"G1","force_new_link":false}`
	made := bitly(w, body)
	sandboxtest.WantStatus(t, made, 201)
	link := sandboxtest.Read[shortened](t, made)
	if !strings.HasPrefix(link.Link, w.Link("/b/")) || link.LongURL != long || !strings.HasPrefix(link.ID, "acme.link/") {
		t.Errorf("response %s", made.Body)
	}
	again := bitly(w, body)
	sandboxtest.WantStatus(t, again, 200)
	if sandboxtest.Read[shortened](t, again).Link != link.Link {
		t.Errorf("the second response has %s", again.Body)
	}
	other := sandboxtest.Read[shortened](t, bitly(w, `{"long_url":"`+long+`x","domain":"acme.link","group_guid":"G1"}`))
	if other.Link == link.Link {
		t.Error("another address got the same link")
	}
	w.WantLeads(link.Link, long)
	w.WantLeads(other.Link, long+"x")
	sandboxtest.WantStatus(t, w.Get("/b/none"), 404)
}

func TestInvalidRequestsAreRefusedAsByBitly(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	for body, status := range map[string]int{
		`not JSON`:                                                          422,
		`{"domain":"bit.ly"}`:                                               400,
		`{"long_url":"sign.acme.example"}`:                                  400,
		`{"long_url":"` + long + `","domain":"x.y"}`:                        400,
		`{"long_url":"` + long + `","group_guid":"G2"}`:                     403,
		`{"long_url":"` + long + `","domain":"bit.ly","group_guid":"G1"}`:   201,
		`{"long_url":"` + long + `/2","domain":"acme.link","tags":["any"]}`: 201,
	} {
		a := bitly(w, body)
		sandboxtest.WantStatus(t, a, status)
		if reply := sandboxtest.Read[shortened](t, a); status == 400 && (reply.Message == "" || len(reply.Errors) != 1) {
			t.Errorf("%s: response %s", body, a.Body)
		}
	}
	for _, authorization := range []string{"", "Bearer wrong", "bitly-token"} {
		header := http.Header{"Authorization": {authorization}}
		sandboxtest.WantStatus(t, w.Do("POST", "/v4/shorten", `{"long_url":"`+long+`"}`, header), 403)
	}
}

func TestEveryFault(t *testing.T) {
	t.Parallel()
	sandboxtest.API{Target: "bitly", Good: 201, Call: func(w sandboxtest.World) (sandboxtest.Response, error) {
		return w.Try(w.T.Context(), "POST", "/v4/shorten", `{"long_url":"`+long+`","force_new_link":true}`, bitlyKey)
	}}.Fails(t)
}
