package security

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
)

// Without the secret, no callback is accepted, for any signed content and any place of the signature. All refusals are equal, so a forger cannot learn from them.
func forgedCallbacks(t *testing.T, s *stand) {
	const source = "forged"
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	cw := clickwrap(source, clickwrapSent("forged-1"))
	ps := pleasesign(source, pleasesignSent("forged-2"))
	all := s.esignAll(source, esignSent("forged-3"))
	done := s.esignSigned(source, `{"resource_uri":"/api/v1/document/forged-4/","name":"Lease"}`)
	header := func(name string, values ...string) func(*callback) {
		return func(c *callback) { c.header[name] = values }
	}
	body := func(change func(string) string) func(*callback) {
		return func(c *callback) { c.body = change(c.body) }
	}
	field := func(name, value string) func(*callback) {
		return func(c *callback) {
			form, _ := url.ParseQuery(c.body)
			form.Set(name, value)
			c.body = form.Encode()
		}
	}
	bits := func(text string) string { return string(text[0]^1) + text[1:] }

	refusals := map[string]string{}
	for name, forged := range map[string]callback{
		"clickwrap: no token":               cw.with(func(c *callback) { c.header.Del("Pactsafe-Webhook-Token") }),
		"clickwrap: empty token":            cw.with(header("Pactsafe-Webhook-Token", "")),
		"clickwrap: another's token":        cw.with(header("Pactsafe-Webhook-Token", token("other"))),
		"clickwrap: half a token":           cw.with(header("Pactsafe-Webhook-Token", token(source)[:8])),
		"clickwrap: a token and more":       cw.with(header("Pactsafe-Webhook-Token", token(source)+"x")),
		"clickwrap: the token in capitals":  cw.with(header("Pactsafe-Webhook-Token", strings.ToUpper(token(source)))),
		"clickwrap: a token's hash":         cw.with(header("Pactsafe-Webhook-Token", hmacOf("", token(source)))),
		"pleasesign: no signature":          ps.with(func(c *callback) { c.header.Del("X-Pleasesign-Signature") }),
		"pleasesign: the key itself":        ps.with(header("X-Pleasesign-Signature", token(source))),
		"pleasesign: another's key":         ps.with(header("X-Pleasesign-Signature", hmacOf(token("other"), ps.body))),
		"pleasesign: the empty key":         ps.with(header("X-Pleasesign-Signature", hmacOf("", ps.body))),
		"pleasesign: over nothing":          ps.with(header("X-Pleasesign-Signature", hmacOf(token(source), ""))),
		"pleasesign: half a signature":      ps.with(header("X-Pleasesign-Signature", hmacOf(token(source), ps.body)[:32])),
		"pleasesign: one byte changed":      ps.with(body(func(b string) string { return strings.Replace(b, "forged-2", "forged-9", 1) })),
		"pleasesign: one bit changed":       ps.with(body(bits)),
		"pleasesign: one byte more":         ps.with(body(func(b string) string { return b + " " })),
		"pleasesign: one byte less":         ps.with(body(func(b string) string { return b[:len(b)-1] })),
		"pleasesign: another line ending":   ps.with(body(func(b string) string { return strings.Replace(b, ",", ",\r\n", 1) })),
		"pleasesign: a byte order mark":     ps.with(body(func(b string) string { return "\ufeff" + b })),
		"pleasesign: in UTF-16":             ps.with(body(inUTF16)),
		"pleasesign: declared as Latin-1":   ps.with(header("Content-Type", "application/json; charset=iso-8859-1")).with(body(bits)),
		"pleasesign: packed":                ps.with(body(packed)),
		"esign all: no token":               all.with(func(c *callback) { c.query = "" }),
		"esign all: another's token":        all.with(func(c *callback) { c.query = "token=" + token("other") }),
		"esign all: no signature":           all.with(field("signed", "")),
		"esign all: a stranger's signature": all.with(field("signed", signed(stranger, esignSent("forged-3")))),
		"esign all: over other items":       all.with(field("data", esignSent("forged-9"))),
		"esign all: over nothing":           all.with(field("signed", signed(s.key, ""))),
		"esign signed: another document":    done.with(field("json_signed", `{"resource_uri":"/api/v1/document/forged-9/"}`)),
		"esign signed: a stranger's":        done.with(header("X-Signed", signed(stranger, `{"resource_uri":"/api/v1/document/forged-4/","name":"Lease"}`))),
		"esign signed: garbage":             done.with(header("X-Signed", "!")),
	} {
		a := s.refuses(t, name, forged, http.StatusUnauthorized)
		refusals[a.text+a.header.Get("Content-Type")] = name
	}
	if len(refusals) != 1 {
		t.Errorf("refusals can be distinguished: %v", refusals)
	}
	s.refuses(t, "pleasesign: compressed, declared", ps.with(body(packed)).with(header("Content-Encoding", "gzip")), http.StatusUnsupportedMediaType)

	if n := s.stored(t, "signing.v1."+source+".>"); n != 0 {
		t.Errorf("the log holds %d forged events", n)
	}
	if n := s.quarantined(t, source); n != 0 {
		t.Errorf("the quarantine holds %d forged callbacks", n)
	}
	for name, honest := range map[string]callback{"clickwrap": cw, "pleasesign": ps, "esign all": all, "esign signed": done} {
		s.accepts(t, name, honest)
	}
	if n := s.stored(t, "signing.v1."+source+".>"); n < 4 {
		t.Errorf("the log holds %d honest events, want 4 and their following events", n)
	}
}

func inUTF16(text string) string {
	var b strings.Builder
	b.WriteString("\xff\xfe")
	for _, unit := range utf16.Encode([]rune(text)) {
		b.WriteByte(byte(unit))
		b.WriteByte(byte(unit >> 8))
	}
	return b.String()
}

func packed(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

// A callback that is authentic for one path is not authentic for another one: for another source or provider, or for the same provider's other path, which expects another form of the signed bytes.
func signaturesOnAnotherPath(t *testing.T, s *stand) {
	at := func(c callback, path string) callback { return c.with(func(c *callback) { c.path = path }) }
	for name, c := range map[string]callback{
		"clickwrap, another source":                at(clickwrap("other", clickwrapSent("path-1")), "/webhooks/clickwrap/confused"),
		"pleasesign, another source":               at(pleasesign("other", pleasesignSent("path-2")), "/webhooks/pleasesign/confused"),
		"esign, another source":                    at(s.esignAll("other", esignSent("path-3")), "/webhooks/esign-v1/confused/all"),
		"a clickwrap token at pleasesign":          at(clickwrap("other", clickwrapSent("path-4")), "/webhooks/pleasesign/other"),
		"a pleasesign HMAC at clickwrap":           at(pleasesign("other", pleasesignSent("path-5")), "/webhooks/clickwrap/other"),
		"esign: the header of signed, sent to all": at(s.esignSigned("other", `{"resource_uri":"/api/v1/document/path-6/"}`), "/webhooks/esign-v1/other/all"),
		"esign: another source's RSA alone":        at(s.esignAll("other", esignSent("path-7")), "/webhooks/esign-v1/plain/all"),
	} {
		s.refuses(t, name, c, http.StatusUnauthorized)
	}
	s.refuses(t, "a clickwrap body at the wrong content type",
		at(clickwrap("other", clickwrapSent("path-8")), "/webhooks/esign-v1/other/all"), http.StatusUnsupportedMediaType)

	// The signature is valid, and it covers a list where an object is expected, or an object where a list is.
	list, object := esignSent("path-9"), `{"resource_uri":"/api/v1/document/path-10/"}`
	for name, c := range map[string]callback{
		"the items of all as one document":        s.esignSigned("other", list),
		"the document of signed as a list of all": s.esignAll("other", object),
	} {
		if a := s.send(t, c); a.status != http.StatusAccepted || a.fields["status"] != "quarantined" {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	if n := s.stored(t, "signing.v1.other.>"); n != 0 {
		t.Errorf("the log holds %d events", n)
	}
	s.accepts(t, "the same on its own path", s.esignAll("other", list))
}

// A recorded authentic callback has no second effect, with any change that the signature allows.
func replayedCallbacks(t *testing.T, s *stand) {
	const source = "replayed"
	s.world.respondJSON("/v1.1/requests/replayed-cw", clickwrapRequest("Replayed-cw", signer{ID: "p1", Email: "replayed@signer.example", Mobile: "+13175550101"}))
	s.world.respondJSON("/document/replayed-ps", pleasesignDocument("Replayed-ps", person{ID: "p2", Email: "replayed@signer.example", Mobile: "61491570006"}))
	s.world.respondJSON("/api/v1/document/replayed-es/", esignDocument("Replayed-es", party{ID: "p3", Email: "replayed@signer.example", Tel: "+447700900123"}))
	recorded := map[string]callback{
		"Replayed-cw": clickwrap(source, clickwrapSent("replayed-cw")),
		"Replayed-ps": pleasesign(source, pleasesignSent("replayed-ps")),
		"Replayed-es": s.esignAll(source, esignSent("replayed-es")),
	}
	for title, c := range recorded {
		s.accepts(t, title, c)
	}
	for title := range recorded {
		s.Until(t, title+" has a text and an e-mail", func() bool {
			return len(s.world.textsWith(title)) == 1 && len(s.world.emailsWith(title)) == 1
		})
	}

	dress := map[string]func(*callback){
		"unchanged":              func(*callback) {},
		"with other headers":     func(c *callback) { c.header["X-Request-Id"] = []string{"another"} },
		"without a content type": func(c *callback) { c.header.Del("Content-Type") },
		"for another host":       func(c *callback) { c.header["X-Forwarded-Host"] = []string{"other.example"} },
		"with another trace": func(c *callback) {
			c.header["Traceparent"] = []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
		},
		"with more in the query": func(c *callback) { c.query += "&again=1" },
		"with another date":      func(c *callback) { c.header["Date"] = []string{"Thu, 01 Jan 2026 00:00:00 GMT"} },
		"as PUT":                 func(c *callback) { c.header["X-Http-Method-Override"] = []string{"PUT"} },
	}
	for title, c := range recorded {
		for how, change := range dress {
			if title == "Replayed-es" && how == "with more in the query" {
				c.query = strings.TrimPrefix(c.query, "&")
			}
			if a := s.send(t, c.with(change)); a.status != http.StatusOK || a.fields["status"] != "duplicate" {
				t.Errorf("%s %s: %d %s", title, how, a.status, a.text)
			}
		}
	}
	// Clickwrap's other method reports the same fact.
	form := url.Values{"event_type": {"request_sent"}, "request": {"replayed-cw"}, "activity": {"a-replayed-cw"}, "id": {"e-replayed-cw"}}
	byGet := callback{method: http.MethodGet, path: "/webhooks/clickwrap/" + source, query: form.Encode(), header: http.Header{"Pactsafe-Webhook-Token": {token(source)}}}
	if a := s.send(t, byGet); a.status != http.StatusOK {
		t.Errorf("by GET: %d %s", a.status, a.text)
	}

	// When a later document's message has been sent, a message caused by the repetitions would have been sent too.
	s.world.respondJSON("/v1.1/requests/replayed-last", clickwrapRequest("Replayed-last", signer{ID: "p1", Email: "replayed@signer.example", Mobile: "+13175550101"}))
	s.accepts(t, "another document", clickwrap(source, clickwrapSent("replayed-last")))
	s.Until(t, "another document has messages", func() bool {
		return len(s.world.textsWith("Replayed-last")) == 1 && len(s.world.emailsWith("Replayed-last")) == 1
	})
	got := map[string]int{}
	for title := range recorded {
		got[title] = len(s.world.textsWith(title)) + len(s.world.emailsWith(title))
	}
	if diff := cmp.Diff(map[string]int{"Replayed-cw": 2, "Replayed-ps": 2, "Replayed-es": 2}, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	for _, document := range []string{"replayed-cw", "replayed-ps", "replayed-es"} {
		if n := s.stored(t, "signing.v1."+source+".*.document.*."+document); n != 1 {
			t.Errorf("the log holds %s %d times", document, n)
		}
	}
}
