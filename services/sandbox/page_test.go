package sandbox_test

import (
	"strings"
	"testing"
)

func TestThePageShowsPhonesLettersAndStories(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	empty := w.get("/")
	wantStatus(t, empty, 200)
	for _, want := range []string{
		"Nothing yet.", `name="viewport" content="width=device-width`,
		`data-provider="clickwrap" data-story="seed"`, `data-story="one-signer"`, `data-story="two-signers"`,
	} {
		if !strings.Contains(empty.body, want) {
			t.Errorf("the empty page lacks %q", want)
		}
	}
	w.sms(smsForm("text", "Please sign: https://s.example/x?a=1&b=2."))
	post(t, w, alternative, "jane.roe@example.com")
	page := w.get("/").body
	for _, want := range []string{
		"<h3>13175551234</h3>",
		`Please sign: <a href="https://s.example/x?a=1&amp;b=2" target="_blank" rel="noreferrer">https://s.example/x?a=1&amp;b=2</a>.`,
		"&#34;PS Employment Agreement&#34; wartet über", "<dd>jane.roe@example.com</dd>", `href="/letters/2"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "Nothing yet.") {
		t.Error("the page still says that nothing came")
	}
}

func TestHostileMessagesAreShownAsText(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	const hostile = `<script>alert(1)</script><img src=x onerror=alert(2)> javascript:alert(3) https://s.example/"onmouseover="alert(4)`
	w.sms(smsForm("text", hostile, "type", "unicode", "from", "<b>x</b>"))
	post(t, w, "From: \"<i>mallory</i>\" <m@acme.example>\r\nSubject: <h1>big</h1>\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n"+
		"--x\r\n\r\n"+hostile+"\r\n--x\r\nContent-Type: text/html\r\n\r\n"+hostile+"\r\n--x--\r\n", "j@example.com")
	a := w.get("/")
	for _, never := range []string{"<script>alert", "<img", "<b>x", "<i>mallory", "<h1>big", `href="javascript`, `"onmouseover`, `onmouseover="`} {
		if strings.Contains(a.body, never) {
			t.Errorf("the page holds %q", never)
		}
	}
	if got := strings.Count(a.body, "&lt;script&gt;alert(1)&lt;/script&gt;"); got != 2 {
		t.Errorf("the text is shown %d times, want in the bubble and in the letter", got)
	}
	policy := a.header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "script-src 'nonce-") || strings.Contains(policy, "script-src 'unsafe-inline'") {
		t.Errorf("the page's policy is %q", policy)
	}

	letter := w.get("/letters/2")
	wantStatus(t, letter, 200)
	if !strings.Contains(letter.body, "<script>alert(1)</script>") {
		t.Errorf("the letter's HTML is not as it came: %s", letter.body)
	}
	if policy := letter.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "sandbox; default-src 'none'") {
		t.Errorf("the letter's policy is %q", policy)
	}
	for _, path := range []string{"/letters/1", "/letters/3", "/letters/x"} { // a text message, none, and no number
		wantStatus(t, w.get(path), 404)
	}
}
