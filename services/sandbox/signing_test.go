package sandbox_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// press presses a button on a signing page, as a browser there does.
func (w world) press(page, button string) answer {
	w.t.Helper()
	return w.do("POST", page, url.Values{"do": {button}}.Encode(), http.Header{
		"Content-Type": formHeader["Content-Type"], "Origin": {"http://" + w.HTTPAddr()}, "Sec-Fetch-Site": {"same-origin"},
	})
}

// pageOf is where a person's link leads; which is the person's place.
func (w world) pageOf(provider, document string, which int) string {
	w.t.Helper()
	switch provider {
	case "clickwrap":
		return strings.TrimPrefix(w.request(document).Signers[which].RequestURL, w.url(""))
	case "pleasesign":
		a := w.do("GET", "/recipient/"+w.pleasesign(document).Recipients[which].ID+"/signingurl", "", pleasesignKeys)
		wantStatus(w.t, a, 200)
		return strings.TrimPrefix(read[addressed](w.t, a).URL, w.url(""))
	default:
		a := w.esign("/signer/" + w.esignDocument(document).SignerObjects[which].UUID + "/new-link/")
		wantStatus(w.t, a, 201)
		return w.get(strings.TrimPrefix(a.header.Get("Location"), w.url(""))).header.Get("Location")
	}
}

// The stories that leave somebody who can still sign.
func TestADocumentIsSignedByHand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		provider, story string
		document        int
		signers         []int // who sign, in order
		events          []string
	}{
		{"clickwrap", "resend", 0, []int{1, 0}, []string{"recipient.signed", "recipient.signed", "document.completed"}},
		{"pleasesign", "bounced", 0, []int{0}, []string{"recipient.opened", "recipient.signed"}},
		{"esign-v1", "long-night", 1, []int{0}, []string{"recipient.opened", "recipient.signed", "document.completed", "document.completed"}},
	} {
		in := newIngest(t)
		w := open(t, in.URL)
		id := w.playOf(c.provider, c.story).Documents[c.document]
		played := len(in.calls)
		for _, signer := range c.signers {
			page := w.pageOf(c.provider, id, signer)
			before := w.get(page)
			if !strings.Contains(before.body, `<button name="do" value="sign">`) {
				t.Fatalf("%s: the page has no button: %s", c.provider, before.body)
			}
			pressed := w.press(page, "sign")
			wantStatus(t, pressed, 303)
			after := w.get(pressed.header.Get("Location"))
			if after.status != 200 || strings.Contains(after.body, "<button") {
				t.Errorf("%s: after signing the page is %d %s", c.provider, after.status, after.body)
			}
			told := len(in.calls)
			wantStatus(t, w.press(page, "sign"), 409) // nobody signs twice
			if len(in.calls) != told {
				t.Errorf("%s: signing twice was told", c.provider)
			}
		}
		var kinds []string
		for _, e := range normalized(t, in.calls[played:]) {
			kinds = append(kinds, e.kind)
			if e.document != "" && e.document != id {
				t.Errorf("%s: an event is of %s", c.provider, e.document)
			}
		}
		if !slices.Equal(kinds, c.events) {
			t.Errorf("%s: signing by hand told %q, want %q", c.provider, kinds, c.events)
		}
	}
}

func TestADocumentIsDeclinedByHand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		provider, story string
		document        int
		events          []string
	}{
		{"clickwrap", "resend", 0, []string{"recipient.declined"}},
		{"pleasesign", "bounced", 0, []string{"recipient.opened", "document.declined", "recipient.declined"}},
		{"esign-v1", "long-night", 1, []string{"recipient.opened", "recipient.declined", "document.declined"}},
	} {
		in := newIngest(t)
		w := open(t, in.URL)
		id := w.playOf(c.provider, c.story).Documents[c.document]
		played := len(in.calls)
		page := w.pageOf(c.provider, id, 0)
		wantStatus(t, w.press(page, "decline"), 303)
		var kinds []string
		for _, e := range normalized(t, in.calls[played:]) {
			kinds = append(kinds, e.kind)
		}
		if !slices.Equal(kinds, c.events) {
			t.Errorf("%s: declining by hand told %q, want %q", c.provider, kinds, c.events)
		}
		if after := w.get(page); !strings.Contains(after.body, "has declined to sign") || strings.Contains(after.body, "<button") {
			t.Errorf("%s: after declining the page is %s", c.provider, after.body)
		}
	}
}

func TestWhoseTurnHasNotComeCannotSign(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	tried := false
	in.meets = func(_ http.ResponseWriter, c call) bool {
		if id, _ := c.fields["document_id"].(string); c.fields["event"] == "document.created" {
			tried = true
			page := w.pageOf("pleasesign", id, 1)
			if a := w.press(page, "sign"); a.status != 409 || !strings.Contains(a.body, "not yet Jack Wilson&#39;s turn") {
				t.Errorf("the second signer was answered %d %s", a.status, a.body)
			}
		}
		return false
	}
	w.playOf("pleasesign", "ordered-signing")
	if !tried {
		t.Error("document.created did not come")
	}
}

func TestAPageElsewhereCannotSign(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	page := w.pageOf("clickwrap", w.play("resend").Documents[0], 0)
	before := len(in.calls)
	foreign := http.Header{"Content-Type": formHeader["Content-Type"], "Origin": {"https://elsewhere.example"}, "Sec-Fetch-Site": {"cross-site"}}
	wantStatus(t, w.do("POST", page, "do=sign", foreign), 403)
	wantStatus(t, w.press(page, "shred"), 400)
	wantStatus(t, w.press("/sign/none/none", "sign"), 404)
	if len(in.calls) != before {
		t.Errorf("%d callbacks were sent", len(in.calls)-before)
	}
	policy := w.get(page).header
	if !strings.Contains(policy.Get("Content-Security-Policy"), "form-action 'self'") || policy.Get("Referrer-Policy") != "same-origin" {
		t.Errorf("the page's policies are %q", policy)
	}
	wantStatus(t, w.press(page, "sign"), 303)
}

func TestThePageSaysWhenSignrelayWasNotTold(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	w := open(t, in.URL)
	page := w.pageOf("clickwrap", w.play("resend").Documents[0], 0)
	in.meets = func(w http.ResponseWriter, _ call) bool { w.WriteHeader(http.StatusUnauthorized); return true }
	a := w.press(page, "sign")
	wantStatus(t, a, 502)
	if !strings.Contains(a.body, "request_signed was answered 401") || !strings.Contains(a.body, "Eric Smith has signed.") {
		t.Errorf("the page shows %s", a.body)
	}
}
