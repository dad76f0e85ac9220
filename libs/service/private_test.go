package service

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A browser sends the name in its address bar as Host, also after the name resolves to another address.
func TestAPrivateListenerKnowsItsNames(t *testing.T) {
	t.Parallel()
	guarded := Private("admin.hosts", []string{"ingest", "Signrelay-Ingest.signing.svc", "trailing.example."}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for host, want := range map[string]int{
		"":                                200, // HTTP/1.0; no browser
		"127.0.0.1":                       200,
		"127.0.0.1:9090":                  200,
		"10.42.0.17:9090":                 200, // Prometheus and the kubelet use a pod's address
		"[::1]:9090":                      200,
		"[::1]":                           200,
		"[fd00::17]:9090":                 200,
		"[::ffff:127.0.0.1]:9090":         200,
		"localhost:9090":                  200,
		"LOCALHOST:9090":                  200,
		"localhost.:9090":                 200,
		"sandbox.localhost:8082":          200,
		"ingest:9090":                     200,
		"INGEST":                          200,
		"ingest.:9090":                    200,
		"signrelay-ingest.signing.svc":    200,
		"trailing.example:9090":           200,
		"evil.example":                    421,
		"evil.example:9090":               421,
		"127.0.0.1.nip.io:9090":           421,
		"127.0.0.1.evil.example":          421,
		"localhost.evil.example":          421,
		"notlocalhost":                    421,
		"localhost:80.evil.example":       421,
		"evil.example.localhost.com":      421,
		"ingest.evil.example":             421,
		"xingest":                         421,
		"2130706433":                      421, // browsers write it as 127.0.0.1
		"0x7f000001:9090":                 421,
		"127.1:9090":                      421,
		"[evil.example]:9090":             421,
		"evil.example:127.0.0.1":          421,
		"127.0.0.1:9090@evil.example":     421,
		"evil.example#127.0.0.1":          421,
		"signrelay-ingest.signing.svc.de": 421,
		"\u2113ocalhost":                  421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if guarded.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
		if h := w.Header(); h.Get("X-Frame-Options") != "DENY" || h.Get("Content-Security-Policy") == "" || h.Get("Access-Control-Allow-Origin") != "" ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" {
			t.Errorf("%q: %v", host, h)
		}
	}
}

// A page of another site may only make a browser open our address in a window.
func TestAPrivateListenerRefusesPagesOfOtherSites(t *testing.T) {
	t.Parallel()
	guarded := Private("admin.hosts", nil, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for name, c := range map[string]struct {
		method, site, mode, dest, origin string
		want                             int
	}{
		"curl":                                    {"GET", "", "", "", "", 200},
		"curl with a POST":                        {"POST", "", "", "", "", 200},
		"an address that a person typed":          {"GET", "none", "navigate", "document", "", 200},
		"a page of the same site":                 {"GET", "same-origin", "cors", "empty", "", 200},
		"a form of the same site":                 {"POST", "same-origin", "navigate", "document", "http://127.0.0.1:8082", 200},
		"a link on another site":                  {"GET", "cross-site", "navigate", "document", "", 200},
		"a short link on another port":            {"GET", "same-site", "navigate", "document", "", 200},
		"fetch on another site":                   {"GET", "cross-site", "cors", "empty", "https://evil.example", 403},
		"fetch without a readable response":       {"GET", "cross-site", "no-cors", "empty", "", 403},
		"an image on another site":                {"GET", "cross-site", "no-cors", "image", "", 403},
		"a script on another site":                {"GET", "same-site", "no-cors", "script", "", 403},
		"a frame on another site":                 {"GET", "cross-site", "navigate", "iframe", "", 403},
		"an object on another site":               {"GET", "cross-site", "navigate", "object", "", 403},
		"a websocket on another site":             {"GET", "cross-site", "websocket", "websocket", "https://evil.example", 403},
		"a form on another site":                  {"POST", "cross-site", "navigate", "document", "https://evil.example", 403},
		"a form on another port":                  {"POST", "same-site", "navigate", "document", "http://127.0.0.1:3000", 403},
		"an old browser's form":                   {"POST", "", "", "", "https://evil.example", 403},
		"an old browser's form without an origin": {"POST", "", "", "", "null", 403},
		"an old browser's DELETE":                 {"DELETE", "", "", "", "http://127.0.0.1:3000", 403},
		"an old browser, its own form":            {"POST", "", "", "", "http://127.0.0.1:8082", 200},
	} {
		r := httptest.NewRequest(c.method, "http://127.0.0.1:8082/api/play", nil)
		for header, value := range map[string]string{"Sec-Fetch-Site": c.site, "Sec-Fetch-Mode": c.mode, "Sec-Fetch-Dest": c.dest, "Origin": c.origin} {
			if value != "" {
				r.Header.Set(header, value)
			}
		}
		w := httptest.NewRecorder()
		if guarded.ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("%s: %d, want %d", name, w.Code, c.want)
		}
	}
}
