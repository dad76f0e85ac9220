package security

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/tests/house"
)

// guesses is how many links one client may open in a minute here.
const guesses = 40

// The doors of a whole Signrelay in one process, as a newcomer runs it: what is for operators is not where strangers are.
func TestDoors(t *testing.T) {
	t.Parallel()
	h := house.Standalone(t, fmt.Sprintf("SIGNRELAY_SHORTENER_PER_MINUTE=%d", guesses))
	admin := regexp.MustCompile(`"admin door is open".*?"addr":"([^"]+)"`).FindStringSubmatch(h.Processes["signrelay"].Output())
	if admin == nil {
		t.Fatal("the admin door is not open")
	}
	t.Run("operators'", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/metrics", "/livez", "/readyz", "/readyz?verbose", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars"} {
			if a := get(t, h.IngestURL+path); a.status != http.StatusNotFound {
				t.Errorf("%s at the public door: %d", path, a.status)
			}
			if a := get(t, "http://"+admin[1]+path); a.status != http.StatusOK && path != "/debug/vars" {
				t.Errorf("%s at the admin door: %d", path, a.status)
			}
		}
		for _, path := range []string{"/api/messages", "/api/play", "/api/faults", "/sms/json", "/v1.1/requests/x", "/letters/1"} {
			if a := get(t, h.IngestURL+path); a.status != http.StatusNotFound {
				t.Errorf("%s at the public door: %d", path, a.status)
			}
		}
		for _, listener := range []string{admin[1], h.SandboxURL, h.NATSURL, h.Address("SIGNRELAY_SMTP_ADDR")} {
			if !strings.Contains(listener, "127.0.0.1") {
				t.Errorf("%s is not on loopback alone", listener)
			}
		}
	})
	t.Run("the sandbox's, from a page elsewhere", func(t *testing.T) { sandboxFromElsewhere(t, h) })
	t.Run("links, guessed", func(t *testing.T) { guessedLinks(t, h) })
}

func get(t *testing.T, target string, headers ...string) answer {
	t.Helper()
	header := http.Header{"User-Agent": {phone}}
	for i := 0; i < len(headers); i += 2 {
		header[headers[i]] = []string{headers[i+1]}
	}
	a, err := ask(http.MethodGet, target, header, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A page elsewhere that is open in the operator's browser must not play, forget, break or sign anything here.
func sandboxFromElsewhere(t *testing.T, h *house.House) {
	t.Helper()
	documents := h.Play(t, "clickwrap", "one-signer")
	if len(documents) == 0 {
		t.Fatal("nothing was played")
	}
	h.Until(t, "the messages have come", func() bool { return len(h.Messages(t)) > 0 })
	for name, header := range map[string]http.Header{
		"another site":        {"Sec-Fetch-Site": {"cross-site"}},
		"a sister's site":     {"Sec-Fetch-Site": {"same-site"}},
		"an old browser":      {"Origin": {"https://evil.example"}},
		"nobody's origin":     {"Origin": {"null"}},
		"a host like its own": {"Origin": {"https://evil.example"}, "X-Forwarded-Host": {"evil.example"}},
	} {
		for _, c := range []struct{ method, path, body string }{
			{"POST", "/api/play", `{"provider":"clickwrap","story":"one-signer"}`},
			{"POST", "/api/faults", `{"party":"vonage","count":1,"kind":"refuse"}`},
			{"DELETE", "/api/messages", ""},
			{"DELETE", "/api/faults", ""},
			{"POST", "/sign/" + documents[0] + "/x", "action=sign"},
		} {
			a, err := ask(c.method, h.SandboxURL+c.path, header, strings.NewReader(c.body))
			if err != nil || a.status != http.StatusForbidden {
				t.Errorf("%s: %s %s: %d %v", name, c.method, c.path, a.status, err)
			}
		}
	}
	if len(h.Messages(t)) == 0 {
		t.Error("the messages are gone")
	}
	if a, err := ask("DELETE", h.SandboxURL+"/api/messages", http.Header{"Sec-Fetch-Site": {"same-origin"}}, nil); err != nil || a.status != http.StatusNoContent {
		t.Errorf("from its own page: %d %v", a.status, err)
	}
	if a := get(t, h.SandboxURL+"/"); a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("the page's headers: %v", a.header)
	}
}

// A made-up code is answered the same whatever it looks like, so that nothing can be learnt from trying; and trying ends soon.
func guessedLinks(t *testing.T, h *house.House) {
	t.Helper()
	h.Play(t, "clickwrap", "one-signer")
	var code string
	h.Until(t, "a link has come", func() bool {
		for _, m := range h.Messages(t) {
			if _, behind, ok := strings.Cut(m.Text, "/l/"); ok {
				code = behind[:14]
			}
		}
		return code != ""
	})
	links := h.IngestURL + "/l/"
	if a := get(t, links+code); a.status != http.StatusFound || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("a real code: %d %v", a.status, a.header)
	}
	near := code[:13] + "a"
	if near == code {
		near = code[:13] + "b"
	}
	pages := map[string]string{}
	for _, guess := range []string{
		near, "aaaaaaaaaaaaaa", code[:13], code + "a", strings.ToUpper(code), "code." + code, "pair.x", "%2e%2e", code + "%00", code + "%2fx", "*", "%3e", "%c3%a9",
		strings.Repeat("a", 4_000), "%3cscript%3e",
	} {
		a := get(t, links+guess)
		if a.status != http.StatusNotFound {
			t.Errorf("%.30s: %d", guess, a.status)
		}
		a.header.Del("Date")
		pages[a.text+fmt.Sprint(a.header)] = guess
	}
	if len(pages) != 1 {
		t.Errorf("guesses can be told apart: %v", pages)
	}
	// Who says that he asks for others is not believed: no proxy of ours stands before this door.
	limited := 0
	for i := range 2 * guesses {
		a := get(t, links+"aaaaaaaaaaaaaa", "X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i), "X-Real-Ip", fmt.Sprintf("198.51.100.%d", i), "Forwarded", fmt.Sprintf("for=198.51.100.%d", i))
		if a.status == http.StatusTooManyRequests {
			limited++
			if a.header.Get("Retry-After") == "" {
				t.Error("too many, and no word of when to come again")
			}
		}
	}
	if limited < guesses/2 {
		t.Errorf("%d of %d guesses beyond the limit were refused", limited, 2*guesses)
	}
	// Who guesses locks out no signer at the same address, as behind a proxy that is not named.
	if a := get(t, links+code); a.status != http.StatusFound || a.header.Get("Location") == "" {
		t.Errorf("a real code beyond the limit of guesses: %d", a.status)
	}
	if a := get(t, links+"aaaaaaaaaaaaaa"); a.status != http.StatusTooManyRequests {
		t.Errorf("another guess then: %d", a.status)
	}
}
