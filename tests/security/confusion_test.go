package security

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// A token is valid only in the place that its provider uses, and only if it occurs once. No header changes the meaning of an authentic request.
func confusingHeaders(t *testing.T, s *stand) {
	const source = "confused"
	secret := token(source)
	cw := clickwrap(source, clickwrapSent("confused-1"))
	bare := cw.with(func(c *callback) { c.header.Del("Pactsafe-Webhook-Token") })
	ps := pleasesign(source, pleasesignSent("confused-2"))
	all := s.esignAll(source, esignSent("confused-3"))
	set := func(c callback, name string, values ...string) callback {
		return c.with(func(c *callback) { c.header[name] = values })
	}
	query := func(c callback, text string) callback { return c.with(func(c *callback) { c.query = text }) }
	for name, c := range map[string]callback{
		"clickwrap: in the query":                  query(bare, "Pactsafe-Webhook-Token="+secret+"&token="+secret),
		"clickwrap: in a cookie":                   set(bare, "Cookie", "Pactsafe-Webhook-Token="+secret),
		"clickwrap: as a bearer":                   set(bare, "Authorization", "Bearer "+secret),
		"clickwrap: under another name":            set(bare, "X-Pactsafe-Webhook-Token", secret),
		"clickwrap: with underscores":              set(bare, "Pactsafe_Webhook_Token", secret),
		"clickwrap: in the body":                   bare.with(func(c *callback) { c.body = strings.Replace(c.body, "{", `{"Pactsafe-Webhook-Token":"`+secret+`",`, 1) }),
		"clickwrap: a wrong one and the right one": set(cw, "Pactsafe-Webhook-Token", "wrong", secret),
		"clickwrap: the right one and a wrong one": set(cw, "Pactsafe-Webhook-Token", secret, "wrong"),
		"clickwrap: the right one twice":           set(cw, "Pactsafe-Webhook-Token", secret, secret),
		"clickwrap: both in one":                   set(cw, "Pactsafe-Webhook-Token", secret+", "+secret),
		"clickwrap: GET with it in the query":      query(callback{method: http.MethodGet, path: cw.path}, "event_type=request_sent&request=confused-4&id=e&Pactsafe-Webhook-Token="+secret),
		"pleasesign: twice":                        set(ps, "X-Pleasesign-Signature", hmacOf(secret, ps.body), "0"),
		"pleasesign: in the query":                 query(set(ps, "X-Pleasesign-Signature"), "X-Pleasesign-Signature="+hmacOf(secret, ps.body)),
		"esign: the token twice":                   query(all, "token="+secret+"&token="+secret),
		"esign: the token and an empty one":        query(all, "token="+secret+"&token="),
		"esign: the token as an array":             query(all, "token[]="+secret),
		"esign: behind a semicolon":                query(all, "x=1;token="+secret),
		"esign: the token in a header":             set(query(all, ""), "Token", secret),
		"esign: the token in the form":             query(all, "").with(func(c *callback) { c.body += "&token=" + secret }),
		"esign: the form in the query":             all.with(func(c *callback) { c.query += "&" + c.body; c.body = "" }),
		"esign: data twice":                        all.with(func(c *callback) { c.body += "&data=" + url.QueryEscape(esignSent("confused-5")) }),
		"esign: signed twice":                      all.with(func(c *callback) { c.body += "&signed=x" }),
	} {
		s.refuses(t, name, c, http.StatusUnauthorized)
	}
	for name, c := range map[string]callback{
		"two content types":                 set(cw, "Content-Type", "application/json", "text/xml"),
		"two content types in one":          set(cw, "Content-Type", "application/json, text/xml"),
		"a form for JSON":                   set(cw, "Content-Type", "application/x-www-form-urlencoded"),
		"JSON for a form":                   set(all, "Content-Type", "application/json"),
		"an encoding":                       set(cw, "Content-Encoding", "gzip"),
		"no encoding and one":               set(cw, "Content-Encoding", "identity", "gzip"),
		"no encoding and one in one header": set(cw, "Content-Encoding", "identity, gzip"),
	} {
		s.refuses(t, name, c, http.StatusUnsupportedMediaType)
	}
	for _, method := range []string{"PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD", "PROPFIND"} {
		for _, path := range []string{cw.path, ps.path, all.path} {
			s.refuses(t, method, cw.with(func(c *callback) { c.method, c.path = method, path }), http.StatusMethodNotAllowed)
		}
	}
	s.refuses(t, "GET on a path for POST", ps.with(func(c *callback) { c.method = http.MethodGet }), http.StatusMethodNotAllowed)
	if n := s.stored(t, "signing.v1."+source+".>"); n != 0 {
		t.Errorf("the log holds %d events", n)
	}

	// No header changes the method, host or path of an authentic callback.
	fooled := cw.with(func(c *callback) {
		c.query = "event_type=request_complete&request=confused-9&id=e9"
		for _, name := range []string{"X-Http-Method", "X-Http-Method-Override", "X-Method-Override"} {
			c.header[name] = []string{"GET"}
		}
		c.header["X-Original-Url"] = []string{"/webhooks/pleasesign/other"}
		c.header["X-Rewrite-Url"] = []string{"/webhooks/pleasesign/other"}
		c.header["X-Forwarded-Prefix"] = []string{"/other"}
	})
	s.accepts(t, "a POST that claims to be GET", fooled)
	if n := s.stored(t, "signing.v1."+source+".clickwrap.document.sent.confused-1"); n != 1 {
		t.Errorf("its body is in the log %d times", n)
	}
	if n := s.stored(t, "signing.v1.*.*.*.*.confused-9"); n != 0 {
		t.Error("its query was read although it is a POST")
	}
	s.accepts(t, "pleasesign", ps)
	s.accepts(t, "esign", all)
}

// A source has one path: its provider's path with the name in the settings. No other spelling finds it.
func confusingPaths(t *testing.T, s *stand) {
	honest := clickwrap("paths", clickwrapSent("paths-1"))
	for _, path := range []string{
		"/webhooks/clickwrap/unknown", "/webhooks/clickwrap/", "/webhooks/clickwrap", "/webhooks/", "/webhooks", "/",
		"/webhooks/docusign/paths", "/webhooks/pleasesign/plain",
		"/webhooks/clickwrap/plain", // a source of another provider
		"/webhooks/clickwrap/PATHS", "/webhooks/Clickwrap/paths", "/WEBHOOKS/clickwrap/paths",
		"/webhooks/clickwrap/paths//", "/webhooks/clickwrap/paths/all", "/webhooks/clickwrap/paths;v=1", "/webhooks/clickwrap/paths,other",
		"/webhooks/clickwrap/%2e%2e/clickwrap/paths", "/webhooks/clickwrap/..%2fclickwrap%2fpaths", "/webhooks%2fclickwrap%2fpaths",
		"/webhooks/clickwrap/paths%2f", "/webhooks/clickwrap/paths%00", "/webhooks/clickwrap/paths%20", "/webhooks/clickwrap/paths%0d%0aX:1",
		"/webhooks/clickwrap/.%2fpaths", "/webhooks/clickwrap/paths%2e", "/webhooks/clickwrap/%252e%252e", "/webhooks/clickwrap/p%c3%a4ths",
		"/webhooks/clickwrap/{source}", "/webhooks/clickwrap/*", "/webhooks/clickwrap/%3e", "/webhooks/clickwrap/p%61ths%3fx",
		"/webhooks/clickwrap/p%61ths", "/webhooks/%63lickwrap/paths", "/%77ebhooks/clickwrap/paths", "/webhooks/clickwrap/%70%61%74%68%73", "/webhooks/clickwrap/path%73/",
		"/webhooks/clickwrap/paths;", "/webhooks;x/clickwrap/paths", "/webhooks/clickwrap/paths.", "/webhooks/clickwrap/paths/.", "/webhooks/clickwrap/paths/..",
		"/webhooks/clickwrap/../clickwrap/paths", "/webhooks//clickwrap/paths", "//webhooks/clickwrap/paths", "/./webhooks/clickwrap/paths",
		"//evil.example/../webhooks/clickwrap/paths",
		// Operators' routes are on another listener.
		"/metrics", "/livez", "/readyz", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars",
	} {
		a := s.send(t, honest.with(func(c *callback) { c.path = path }))
		if a.status < 300 {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
		if to := a.header.Get("Location"); to != "" {
			t.Errorf("%s leads elsewhere: %d %s", path, a.status, to)
		}
		if strings.Contains(a.text, "goroutine") {
			t.Errorf("%s reveals the program", path)
		}
	}
	if n := s.stored(t, "signing.v1.*.*.*.*.paths-1"); n != 0 {
		t.Errorf("the log holds %d events", n)
	}
	s.accepts(t, "the unchanged path", honest)
	if n := s.stored(t, "signing.v1.paths.clickwrap.document.sent.paths-1"); n != 1 {
		t.Errorf("the log holds it %d times", n)
	}
}

// A request's trace belongs to its sender: it does not affect our records, and we do not forward its values.
func foreignTraces(t *testing.T, s *stand) {
	const source = "traced"
	bearing := func(c callback) callback {
		return c.with(func(c *callback) {
			c.header["Traceparent"] = []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
			c.header["Tracestate"] = []string{"evil=str4nge,other=str4nge"}
			c.header["Baggage"] = []string{"user=str4nge"}
			c.header["B3"] = []string{"80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"}
		})
	}
	s.accepts(t, "clickwrap", bearing(clickwrap(source, clickwrapSent("traced-1"))))
	s.accepts(t, "pleasesign", bearing(pleasesign(source, pleasesignSent("traced-2"))))
	s.accepts(t, "esign", bearing(s.esignAll(source, esignSent("traced-3"))))
	quarantined := bearing(clickwrap(source, `{"event_type":`))
	if a := s.send(t, quarantined); a.fields["status"] != "quarantined" {
		t.Errorf("%d %s", a.status, a.text)
	}
	found := 0
	for _, stream := range []string{"SIGNING", "QUARANTINE"} {
		s.each(t, stream, "*.v1."+source+".>", func(m *jetstream.RawStreamMsg) {
			found++
			for name, values := range m.Header {
				if name == "Signrelay-Header" { // the request's own, as evidence
					continue
				}
				for _, value := range values {
					if strings.Contains(value, "str4nge") || strings.Contains(value, "0af7651916cd43dd8448eb211c80319c") || strings.Contains(value, "80f198ee56343ba8") {
						t.Errorf("%s has %s: %s", m.Subject, name, value)
					}
				}
			}
		})
	}
	if found < 4 {
		t.Errorf("%d messages instead of 4", found)
	}
}
