package service

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// No response is a redirect. Each request without a route is counted, and logged without any part of the request.
func TestAListenerNeverRedirects(t *testing.T) {
	t.Parallel()
	logged, metrics := new(strings.Builder), prometheus.NewRegistry()
	r := NewRoutes()
	r.count(unroutedCounter(metrics), "links", slog.New(slog.NewTextHandler(logged, nil)))
	r.HandleFunc("GET /l/{code}", func(w http.ResponseWriter, req *http.Request) { fmt.Fprint(w, "link "+req.PathValue("code")) })
	r.HandleFunc("/tree/", func(w http.ResponseWriter, req *http.Request) { fmt.Fprint(w, "tree "+req.URL.EscapedPath()) })
	r.HandleFunc("/tree", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "trunk") })
	paths, methods := 0.0, 0.0
	for _, c := range []struct {
		target string
		status int
		says   string
	}{
		{"GET /l/abc", 200, "link abc"},
		{"GET //l/abc", 404, ""},
		{"GET /l/abc?x=//", 200, "link abc"},
		{"GET /%6c/a%62c", 404, ""},
		{"GET /l/a%62c", 404, ""},
		{"GET /l/a%2Fb", 404, ""},
		{"GET /l/%61bc?token=str4nge", 404, ""},
		{"GET /%2F/l/abc", 404, ""},
		{"GET /l%2fabc", 404, ""},
		{"GET /l/%2e%2e/l/abc", 404, ""},
		{"GET /l/abc%00", 404, ""},
		{"GET /l/\u00e4bc", 404, ""},
		{"GET /L/abc", 404, ""},
		{"GET /l;v=1/abc", 404, ""},
		{"GET //l/abc?token=str4nge", 404, ""},
		{"GET http://example.com/l/abc", 200, "link abc"}, // the absolute form, which RFC 9112 requires a server to accept
		{"GET http://example.com//l/abc", 404, ""},
		{"CONNECT example.com:443", 404, ""},
		{"GET /tree", 200, "trunk"},
		{"GET //tree", 404, ""},
		{"GET /tree/", 200, "tree /tree/"},
		{"GET /tree//a", 404, ""},
		{"GET /tree/a//", 404, ""},
		{"GET /tree/%2F%2Fa", 404, ""},
		{"POST /l/abc", 405, ""},
		{"PUT /l/abc", 405, ""},
		{"GET /", 404, ""},
		{"GET //", 404, ""},
		{"GET /l", 404, ""},
		{"GET /l/", 404, ""},
		{"GET /l/abc/", 404, ""},
		{"GET /str4nge", 404, ""},
		{"GET /./l/abc", 404, ""},
		{"GET /tree/../l/abc", 404, ""},
		{"GET /tree/a/..", 404, ""},
		{"GET /../../str4nge", 404, ""},
		{"GET /l/abc/.", 404, ""},
		{"OPTIONS *", 404, ""},
		{"GET http://example.com", 404, ""},
	} {
		method, target, _ := strings.Cut(c.target, " ")
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(method, target, nil))
		if w.Code != c.status || w.Header().Get("Location") != "" || c.says != "" && w.Body.String() != c.says || strings.Contains(w.Body.String(), "str4nge") {
			t.Errorf("%s: %d %v %s", c.target, w.Code, w.Header(), w.Body)
		}
		switch c.status {
		case 404:
			paths++
		case 405:
			methods++
			if w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s: allows %v", c.target, w.Header())
			}
		}
	}
	want := fmt.Sprintf(`
		# HELP signrelay_http_unrouted_total Requests at a service's public listener that no route matches, by the part that does not match: path or method.
		# TYPE signrelay_http_unrouted_total counter
		signrelay_http_unrouted_total{reason="method",service="links"} %v
		signrelay_http_unrouted_total{reason="path",service="links"} %v
	`, methods, paths)
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if text := logged.String(); float64(strings.Count(text, "request without a route")) != paths+methods || strings.Contains(text, "str4nge") {
		t.Errorf("logged: %s", text)
	}

	r.TakeEscapes("/") // like the sandbox, which replaces other servers
	for target, want := range map[string]string{"/l/a%2Fb": "link a/b", "/tree/%2F%2Fa": "tree /tree/%2F%2Fa", "//l/a": "No route of this listener matches the path.\n"} {
		w := httptest.NewRecorder()
		if r.ServeHTTP(w, httptest.NewRequest("GET", target, nil)); w.Body.String() != want || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}

	r.HandleUnrouted(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	w := httptest.NewRecorder()
	if r.ServeHTTP(w, httptest.NewRequest("GET", "/str4nge", nil)); w.Code != http.StatusTeapot {
		t.Errorf("the handler of unrouted requests did not get it: %d", w.Code)
	}
}
