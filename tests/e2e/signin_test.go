package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// An account whose application signs in: until the owner has signed in, messages wait, and readiness says why. After the sign-in they leave.
func TestSourceSignsIn(t *testing.T) {
	t.Parallel()
	h := testenv.Infrastructure(t, func(e *testenv.Env) string {
		return strings.Replace(testenv.SandboxSettings(e), "key: demo-key, secret: demo-secret, per_minute: 6000}",
			`oauth: {client_id: app, client_secret: of-the-app, base_url: "`+e.SandboxURL+`"}, per_minute: 6000}`, 1)
	})
	for _, name := range []string{"sandbox", "ingest", "enricher"} {
		h.StartService(t, name, name)
	}
	ready := func() string {
		response, err := http.Get(h.Processes["enricher"].AdminURL() + "/readyz?verbose")
		if err != nil {
			return err.Error()
		}
		defer func() { _ = response.Body.Close() }()
		body, _ := io.ReadAll(response.Body)
		return response.Status + " " + string(body)
	}
	h.Play(t, "pleasesign", "two-signers")
	h.Until(t, "readiness says that a person must sign in", func() bool {
		is := ready()
		return strings.HasPrefix(is, "200") && strings.Contains(is, "nobody has signed in") && strings.Contains(is, "pleasesign/demo")
	})
	if n := h.Count(t, flow.Signing, event.TypeFilter(event.NotificationRequested)); n != 0 {
		t.Errorf("%d messages without access", n)
	}
	redirect := "http://" + testenv.FreeAddress(t) + "/oauth/callback"
	signIn := func(button string) (page string, err error) {
		command := h.Prepared(t.Context(), t, "source", "sign-in", "--reason=set-up", "--redirect="+redirect, "pleasesign/demo")
		var stderr strings.Builder
		command.Stderr = &stderr
		stdout, err := command.StdoutPipe()
		if err == nil {
			err = command.Start()
		}
		if err != nil {
			return "", err
		}
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			_, address, found := strings.Cut(lines.Text(), "http://")
			if !found {
				continue
			}
			response, err := http.PostForm("http://"+address, url.Values{"allow": {button}}) // as the form on its page
			if err != nil {
				t.Error(err)
				continue
			}
			body, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			page = response.Status + " " + string(body)
		}
		if err := command.Wait(); err != nil {
			return page, fmt.Errorf("%w: %s", err, stderr.String())
		}
		return page, nil
	}
	if _, err := signIn("no"); err == nil || !strings.Contains(err.Error(), "the person refused") {
		t.Errorf("a refused sign-in: %v", err)
	}
	if page, err := signIn("yes"); err != nil || !strings.HasPrefix(page, "200") || !strings.Contains(page, "You can close this page") {
		t.Fatalf("the sign-in: %v, the page: %s", err, page)
	}
	h.Until(t, "the messages leave", func() bool { return h.Count(t, flow.Signing, event.TypeFilter(event.NotificationRequested)) > 0 })
	if is := ready(); !strings.HasPrefix(is, "200") || strings.Contains(is, "signed in") {
		t.Errorf("readiness afterwards: %s", is)
	}
	if out, err := h.Command(t, "source", "sign-out", "--reason=test", "--yes", "pleasesign/demo"); err != nil {
		t.Errorf("sign-out: %v\n%s", err, out)
	}
	h.Until(t, "readiness knows of the sign-out", func() bool { return strings.Contains(ready(), "nobody has signed in") })
	if out, err := h.Command(t, "source", "sign-in", "--reason=x", "--redirect=http://sign.acme.example:80/x", "pleasesign/demo"); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("a redirect elsewhere: %v\n%s", err, out)
	}
	if out, err := h.Command(t, "source", "sign-in", "--reason=x", "clickwrap/demo"); err == nil || !strings.Contains(err.Error(), "needs no sign-in") {
		t.Errorf("a source without OAuth: %v\n%s", err, out)
	}
}
