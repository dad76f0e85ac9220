package security

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// phone is the User-Agent of a signer's browser. The shortener handles a client without a User-Agent as a robot, and does not redirect it.
const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"

// click presses the button of a link's page, as a signer does.
func (s *stand) click(t *testing.T, link string) response {
	t.Helper()
	a, err := call(http.MethodPost, link, http.Header{"User-Agent": {phone}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.status >= 400 {
		s.responses.keep(fmt.Sprint(a.header, a.text))
	}
	return a
}

// nowhere lists addresses that a link must never open: they are no web pages, or look like another page.
func nowhere(canary string) []string {
	return []string{
		"javascript:alert(1)", "JavaScript:alert(1)", "\tjavascript:alert(1)", "java\nscript:alert(1)", "data:text/html,<script>alert(1)</script>",
		"vbscript:x", "file:///etc/passwd", "ftp://files.example/x", "mailto:x@evil.example", "tel:+1900", "intent://x#Intent;end", "blob:https://x/y",
		"//" + canary + "/x", "/\\" + canary + "/x", "\\\\" + canary + "\\x", "/sign/relative", "sign.example/x", "https:///x", "http:x", "https:/" + canary, "http://",
		"http://x\r\nSet-Cookie: a=b", "http://exa mple.example/", "http://[::1", "http://%zz/", ":", "?x", "#x",
	}
}

// For every response of the provider's API, a link opens only a web address, and a message never contains the provider's address.
func hostileTargets(t *testing.T, s *stand) {
	const source = "links"
	bad := nowhere(s.world.canary.Host)
	people := []signer{{ID: "good", Email: "good@signer.example", SigningURL: "https://sign.provider.example/good?secret=1"}}
	for i, target := range bad {
		people = append(people, signer{ID: fmt.Sprintf("p%d", i), Email: fmt.Sprintf("p%d@signer.example", i), SigningURL: target})
	}
	s.world.respondJSON("/v1.1/requests/targets", clickwrapRequest("Targets", people...))
	s.accepts(t, "the document", clickwrap(source, clickwrapSent("targets")))
	s.settled(t, "targets", len(people))

	emails := s.world.emailsWith("Targets")
	if len(emails) == 0 {
		t.Fatal("the good address was not sent")
	}
	led := false
	for _, l := range emails {
		short := regexp.MustCompile(regexp.QuoteMeta(s.links()) + `[a-z2-7]{14}`).FindString(l.raw)
		a := s.click(t, short)
		if to := a.header.Get("Location"); to != "" && to != "https://sign.provider.example/good?secret=1" {
			t.Errorf("the link of %s leads to %q", l.to, to)
		}
		led = led || a.header.Get("Location") != ""
		for _, target := range append(bad, "provider.example") {
			if len(target) > 8 && strings.Contains(l.raw, target) {
				t.Errorf("the e-mail to %s contains %q", l.to, target)
			}
		}
	}
	if !led {
		t.Error("no link leads to the good address")
	}
}

// If the provider is asked at the click, its response never leads a signer to an address that is not a web page, and we do not follow redirects of its API.
func hostileResponsesAtTheClick(t *testing.T, s *stand) {
	const source = "links"
	s.world.respondJSON("/document/click-ps", pleasesignDocument("Click-ps", person{ID: "click-ps-1", Email: "click@signer.example"}))
	s.world.respondJSON("/api/v1/document/click-es/", esignDocument("Click-es", party{ID: "click-es-1", Email: "click@signer.example"}))
	s.accepts(t, "pleasesign", pleasesign(source, pleasesignSent("click-ps")))
	s.accepts(t, "esign", s.esignAll(source, esignSent("click-es")))
	s.settled(t, "click-ps", 1)
	s.settled(t, "click-es", 1)
	link := func(title string) string {
		return regexp.MustCompile(regexp.QuoteMeta(s.links()) + `[a-z2-7]{14}`).FindString(s.world.emailsWith(title)[0].raw)
	}
	for _, target := range append(nowhere(s.world.canary.Host), "https://sign.provider.example/now") {
		s.world.respondJSON("/recipient/click-ps-1/signingurl", map[string]string{"url": target})
		s.world.response("/api/v1/signer/click-es-1/new-link/", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Location", target)
			rw.WriteHeader(http.StatusCreated)
		})
		want, status := "", http.StatusServiceUnavailable
		if strings.HasPrefix(target, "https://sign.provider.example") {
			want, status = target, http.StatusSeeOther
		}
		for _, title := range []string{"Click-ps", "Click-es"} {
			if a := s.click(t, link(title)); a.header.Get("Location") != want || a.status != status || a.header.Get("Set-Cookie") != "" {
				t.Errorf("%s: %q: %d to %q", title, target, a.status, a.header.Get("Location"))
			}
		}
	}
	// If an API responds with a redirect, we do not send our credentials to the next server, and do not redirect the signer if only a PDF is
	// expected.
	s.world.response("/recipient/click-ps-1/signingurl", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, s.world.canary.URL+"/signingurl", http.StatusFound)
	})
	s.world.response("/api/v1/signer/click-es-1/new-link/", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, s.world.canary.URL+"/new-link", http.StatusTemporaryRedirect)
	})
	for _, title := range []string{"Click-ps", "Click-es"} {
		if a := s.click(t, link(title)); a.header.Get("Location") != "" || a.status != http.StatusServiceUnavailable {
			t.Errorf("%s, redirected: %d to %q", title, a.status, a.header.Get("Location"))
		}
	}
	s.world.canary.silent(t)
}
