package clickwrap_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// pageOf returns the path of a signer's link.
func pageOf(w sandboxtest.World, document string, which int) string {
	w.T.Helper()
	return strings.TrimPrefix(request(w, document).Signers[which].RequestURL, w.Link(""))
}

func TestSigningPage(t *testing.T) {
	t.Parallel()
	sandboxtest.Signing{
		Provider: "clickwrap", Story: "resend", Document: 0, Signers: []int{1, 0},
		Signed: []string{"recipient.signed", "recipient.signed", "document.completed"}, Declined: []string{"recipient.declined"}, Page: pageOf,
	}.Run(t)
}

func TestAnotherSitesPageCannotSign(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	page := pageOf(w, w.Play("clickwrap", "resend").Documents[0], 0)
	before := len(in.Calls)
	foreign := http.Header{"Content-Type": sandboxtest.FormHeader["Content-Type"], "Origin": {"https://elsewhere.example"}, "Sec-Fetch-Site": {"cross-site"}}
	sandboxtest.WantStatus(t, w.Do("POST", page, "do=sign", foreign), 403)
	sandboxtest.WantStatus(t, w.Press(page, "shred"), 400)
	sandboxtest.WantStatus(t, w.Press("/sign/none/none", "sign"), 404)
	if len(in.Calls) != before {
		t.Errorf("%d callbacks were sent", len(in.Calls)-before)
	}
	policy := w.Get(page).Header
	if !strings.Contains(policy.Get("Content-Security-Policy"), "form-action 'self'") || policy.Get("Referrer-Policy") != "same-origin" {
		t.Errorf("the page's policies are %q", policy)
	}
	sandboxtest.WantStatus(t, w.Press(page, "sign"), 303)
}

func TestTheSigningPageReportsARefusedCallback(t *testing.T) {
	t.Parallel()
	in := sandboxtest.NewIngest(t)
	w := sandboxtest.Open(t, in.URL)
	page := pageOf(w, w.Play("clickwrap", "resend").Documents[0], 0)
	in.Meets = func(w http.ResponseWriter, _ sandboxtest.Call) bool {
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	a := w.Press(page, "sign")
	sandboxtest.WantStatus(t, a, 502)
	if !strings.Contains(a.Body, "the response to request_signed is 401") || !strings.Contains(a.Body, "Eric Smith has signed.") {
		t.Errorf("the page shows %s", a.Body)
	}
}
