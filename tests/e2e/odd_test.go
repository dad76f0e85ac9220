package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/tests/testenv"
)

// Every third response and callback of the outside parties is unusual but allowed, and each person still gets each message once. During the
// pause, services repeat a call that was refused for a second, before its document changes: a message that is out of date is not sent.
func TestStoriesWithUnusualResponses(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t, "SIGNRELAY_SANDBOX_ODD=33", "SIGNRELAY_SANDBOX_ODD_SEED=20261128")
	for _, name := range []string{"clickwrap/two-signers", "pleasesign/two-signers", "esign-v1/two-signers", "pleasesign/bounced"} {
		i := slices.IndexFunc(stories, func(s story) bool { return s.provider+"/"+s.name == name })
		s := stories[i]
		h.ClearMessages(t)
		body := `{"provider":"` + s.provider + `","story":"` + s.name + `","pause_ms":2500}`
		response, err := http.Post(h.SandboxURL+"/api/play", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if _ = response.Body.Close(); response.StatusCode != http.StatusOK {
			t.Fatalf("play %s: %s", name, response.Status)
		}
		s.awaitMessages(t, h) // the shortener asks the provider when a link is opened; the provider may refuse calls for a second
	}
}
