package pack_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

func TestResponsesThatAPackMayMake(t *testing.T) {
	t.Parallel()
	text := func(change func(*pack.Response)) pack.Response {
		r := pack.Response{Status: 200, ContentType: "text/plain", Body: "Callback received"}
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		response pack.Response
		mistake  string // empty for none
	}{
		"a fixed text":          {text(func(*pack.Response) {}), ""},
		"with a charset":        {text(func(r *pack.Response) { r.ContentType = "text/plain; charset=utf-8" }), ""},
		"JSON":                  {text(func(r *pack.Response) { r.ContentType = "application/json" }), ""},
		"nothing":               {pack.Response{Status: 204}, ""},
		"a header":              {text(func(r *pack.Response) { r.Header = http.Header{"X-Client-Id": {"42"}} }), ""},
		"a refusal":             {text(func(r *pack.Response) { r.Status = 400 }), "status 400"},
		"a redirect":            {text(func(r *pack.Response) { r.Status = 302 }), "status 302"},
		"no status":             {text(func(r *pack.Response) { r.Status = 0 }), "status 0"},
		"a page":                {text(func(r *pack.Response) { r.ContentType = "text/html" }), "text/html"},
		"a text without a type": {text(func(r *pack.Response) { r.ContentType = "" }), "content type"},
		"a type without a text": {text(func(r *pack.Response) { r.Body = "" }), "without a body"},
		"204 with a text":       {text(func(r *pack.Response) { r.Status = 204 }), "204"},
		"a long text":           {text(func(r *pack.Response) { r.Body = strings.Repeat("x", 5000) }), "5000 bytes"},
		"two lines":             {text(func(r *pack.Response) { r.Header = http.Header{"X-Client-Id": {"4\r\n2"}} }), "line break"},
		"no value":              {text(func(r *pack.Response) { r.Header = http.Header{"X-Client-Id": {}} }), "no value"},
		"a header's letters":    {text(func(r *pack.Response) { r.Header = http.Header{"x-client-id": {"42"}} }), "canonical"},
		"the server's":          {text(func(r *pack.Response) { r.Header = http.Header{"Content-Length": {"42"}} }), "server"},
		"a cookie":              {text(func(r *pack.Response) { r.Header = http.Header{"Set-Cookie": {"a=b"}} }), "server"},
	} {
		if err := c.response.Check(); (err != nil) != (c.mistake != "") || err != nil && !strings.Contains(err.Error(), c.mistake) {
			t.Errorf("%s: %v, want %q", name, err, c.mistake)
		}
	}
}

func TestRoutesThatAPackMayDeclare(t *testing.T) {
	t.Parallel()
	echo := func(pack.Request) *pack.Response { return nil }
	route := func(change func(*pack.Route)) pack.Route {
		r := pack.Route{Methods: []string{"POST"}, ContentTypes: []string{"application/json"}}
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		route   pack.Route
		mistake string
	}{
		"callbacks":   {route(func(*pack.Route) {}), ""},
		"with a path": {route(func(r *pack.Route) { r.Path = "/all" }), ""},
		"a challenge": {route(func(r *pack.Route) {
			r.Challenge = &pack.Challenge{Methods: []string{"GET", "POST", "OPTIONS"}, Respond: echo}
		}), ""},
		"another path":       {route(func(r *pack.Route) { r.Path = "all/" }), "slash"},
		"another method":     {route(func(r *pack.Route) { r.Methods = []string{"PUT"} }), `"PUT"`},
		"no method":          {route(func(r *pack.Route) { r.Methods = nil }), "no method"},
		"no media type":      {route(func(r *pack.Route) { r.ContentTypes = []string{"Application/JSON"} }), "media type"},
		"a challenge's":      {route(func(r *pack.Route) { r.Challenge = &pack.Challenge{Methods: []string{"HEAD"}, Respond: echo} }), `"HEAD"`},
		"without a method":   {route(func(r *pack.Route) { r.Challenge = &pack.Challenge{Respond: echo} }), "needs a method"},
		"without a response": {route(func(r *pack.Route) { r.Challenge = &pack.Challenge{Methods: []string{"GET"}} }), "needs a method"},
	} {
		if err := c.route.Check(); (err != nil) != (c.mistake != "") || err != nil && !strings.Contains(err.Error(), c.mistake) {
			t.Errorf("%s: %v, want %q", name, err, c.mistake)
		}
	}
	both := route(func(r *pack.Route) {
		r.Challenge = &pack.Challenge{Methods: []string{"POST", "OPTIONS"}, Respond: echo}
	})
	if got := both.Accepts(); !slices.Equal(got, []string{"POST", "OPTIONS"}) {
		t.Errorf("accepts %q", got)
	}
}
