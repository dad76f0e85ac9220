package pleasesign_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// pageOf returns the path of a recipient's link.
func pageOf(w sandboxtest.World, document string, which int) string {
	w.T.Helper()
	a := w.Do("GET", "/recipient/"+pleasesign(w, document).Recipients[which].ID+"/signingurl", "", pleasesignKeys)
	sandboxtest.WantStatus(w.T, a, 200)
	return strings.TrimPrefix(sandboxtest.Read[addressed](w.T, a).URL, w.Link(""))
}

func TestSigningPage(t *testing.T) {
	t.Parallel()
	sandboxtest.Signing{
		Provider: "pleasesign", Story: "bounced", Document: 0, Signers: []int{0},
		Signed: []string{"recipient.opened", "recipient.signed"}, Declined: []string{"recipient.opened", "document.declined", "recipient.declined"}, Page: pageOf,
	}.Run(t)
}

func TestASignerCannotSignBeforeTheTurn(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	tried := false
	in.Meets = func(_ http.ResponseWriter, c sandboxtest.Call) bool {
		if id, _ := c.Fields["document_id"].(string); c.Fields["event"] == "document.created" {
			tried = true
			page := pageOf(w, id, 1)
			if a := w.Press(page, "sign"); a.Status != 409 || !strings.Contains(a.Body, "not yet Jack Wilson&#39;s turn") {
				t.Errorf("the second signer got %d %s", a.Status, a.Body)
			}
		}
		return false
	}
	w.Play("pleasesign", "ordered-signing")
	if !tried {
		t.Error("document.created was not received")
	}
}
