package security

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// phone is what a signer's browser calls itself; who is nobody is taken for a robot, and sent nowhere.
const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"

// click presses the button of a link's page, as a signer does.
func (s *stand) click(t *testing.T, link string) answer {
	t.Helper()
	a, err := ask(http.MethodPost, link, http.Header{"User-Agent": {phone}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.status >= 400 {
		s.answers.keep(fmt.Sprint(a.header, a.text))
	}
	return a
}

// nowhere is what must never be where a link leads: no page on the web, or another one than it seems.
func nowhere(canary string) []string {
	return []string{
		"javascript:alert(1)", "JavaScript:alert(1)", "\tjavascript:alert(1)", "java\nscript:alert(1)", "data:text/html,<script>alert(1)</script>",
		"vbscript:x", "file:///etc/passwd", "ftp://files.example/x", "mailto:x@evil.example", "tel:+1900", "intent://x#Intent;end", "blob:https://x/y",
		"//" + canary + "/x", "/\\" + canary + "/x", "\\\\" + canary + "\\x", "/sign/relative", "sign.example/x", "https:///x", "http:x", "https:/" + canary, "http://",
		"http://x\r\nSet-Cookie: a=b", "http://exa mple.example/", "http://[::1", "http://%zz/", ":", "?x", "#x",
	}
}

// Only an address on the web gets behind a link, whatever the provider's API says; in a message it is never.
func hostileTargets(t *testing.T, s *stand) {
	const source = "links"
	bad := nowhere(s.world.canary.Host)
	people := []signer{{ID: "good", Email: "good@signer.example", SigningURL: "https://sign.provider.example/good?secret=1"}}
	for i, target := range bad {
		people = append(people, signer{ID: fmt.Sprintf("p%d", i), Email: fmt.Sprintf("p%d@signer.example", i), SigningURL: target})
	}
	s.world.tell("/v1.1/requests/targets", request("Targets", people...))
	s.accepts(t, "the document", clickwrap(source, clickwrapSent("targets")))
	s.settled(t, "targets", len(people))

	letters := s.world.lettersWith("Targets")
	if len(letters) == 0 {
		t.Fatal("the good address was not sent")
	}
	led := false
	for _, l := range letters {
		short := regexp.MustCompile(regexp.QuoteMeta(s.links()) + `[a-z2-7]{14}`).FindString(l.raw)
		a := s.click(t, short)
		if to := a.header.Get("Location"); to != "" && to != "https://sign.provider.example/good?secret=1" {
			t.Errorf("the link of %s leads to %q", l.to, to)
		}
		led = led || a.header.Get("Location") != ""
		for _, target := range append(bad, "provider.example") {
			if len(target) > 8 && strings.Contains(l.raw, target) {
				t.Errorf("the letter to %s has %q in it", l.to, target)
			}
		}
	}
	if !led {
		t.Error("the good address is behind no link")
	}
}

// Where a provider is asked at the click, it sends nobody to what is no page on the web, and its API is not followed.
func hostileAnswersAtTheClick(t *testing.T, s *stand) {
	const source = "links"
	s.world.tell("/document/click-ps", paper("Click-ps", person{ID: "click-ps-1", Email: "click@signer.example"}))
	s.world.tell("/api/v1/document/click-es/", deed("Click-es", party{ID: "click-es-1", Email: "click@signer.example"}))
	s.accepts(t, "pleasesign", pleasesign(source, pleasesignSent("click-ps")))
	s.accepts(t, "esign", s.esignAll(source, esignSent("click-es")))
	s.settled(t, "click-ps", 1)
	s.settled(t, "click-es", 1)
	link := func(title string) string {
		return regexp.MustCompile(regexp.QuoteMeta(s.links()) + `[a-z2-7]{14}`).FindString(s.world.lettersWith(title)[0].raw)
	}
	for _, target := range append(nowhere(s.world.canary.Host), "https://sign.provider.example/now") {
		s.world.tell("/recipient/click-ps-1/signingurl", map[string]string{"url": target})
		s.world.answer("/api/v1/signer/click-es-1/new-link/", func(rw http.ResponseWriter, _ *http.Request) {
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
	// An API that answers with a redirect is not followed to the next server with our credentials, nor is the signer sent
	// where only its PDF would be.
	s.world.answer("/recipient/click-ps-1/signingurl", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, s.world.canary.URL+"/signingurl", http.StatusFound)
	})
	s.world.answer("/api/v1/signer/click-es-1/new-link/", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, s.world.canary.URL+"/new-link", http.StatusTemporaryRedirect)
	})
	for _, title := range []string{"Click-ps", "Click-es"} {
		if a := s.click(t, link(title)); a.header.Get("Location") != "" || a.status != http.StatusServiceUnavailable {
			t.Errorf("%s, redirected: %d to %q", title, a.status, a.header.Get("Location"))
		}
	}
	s.world.canary.silent(t)
}
