package sandbox_test

import (
	"strings"
	"testing"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

func TestThePageShowsPhonesEmailsAndStories(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	empty := w.Get("/")
	sandboxtest.WantStatus(t, empty, 200)
	for _, want := range []string{
		"No messages yet.", `name="viewport" content="width=device-width`,
		`data-provider="clickwrap" data-story="seed"`, `data-story="one-signer"`, `data-story="two-signers"`,
	} {
		if !strings.Contains(empty.Body, want) {
			t.Errorf("the empty page lacks %q", want)
		}
	}
	w.SMS(sandboxtest.SMSForm("text", "Please sign: https://s.example/x?a=1&b=2."))
	sandboxtest.Mail(t, w, sandboxtest.Alternative, "jane.roe@example.com")
	page := w.Get("/").Body
	for _, want := range []string{
		"<h3>13175551234</h3>",
		`Please sign: <a href="https://s.example/x?a=1&amp;b=2" target="_blank" rel="noreferrer">https://s.example/x?a=1&amp;b=2</a>.`,
		"&#34;PS Employment Agreement&#34; wartet über", "<dd>jane.roe@example.com</dd>", `href="/emails/2"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "No messages yet.") {
		t.Error("the page still reports no messages")
	}
}

func TestHostileMessagesAreShownAsText(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	const hostile = `<script>alert(1)</script><img src=x onerror=alert(2)> javascript:alert(3) https://s.example/"onmouseover="alert(4)`
	w.SMS(sandboxtest.SMSForm("text", hostile, "type", "unicode", "from", "<b>x</b>"))
	sandboxtest.Mail(t, w, "From: \"<i>mallory</i>\" <m@acme.example>\r\nSubject: <h1>big</h1>\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n"+
		"--x\r\n\r\n"+hostile+"\r\n--x\r\nContent-Type: text/html\r\n\r\n"+hostile+"\r\n--x--\r\n", "j@example.com")
	a := w.Get("/")
	for _, never := range []string{"<script>alert", "<img", "<b>x", "<i>mallory", "<h1>big", `href="javascript`, `"onmouseover`, `onmouseover="`} {
		if strings.Contains(a.Body, never) {
			t.Errorf("the page contains %q", never)
		}
	}
	if got := strings.Count(a.Body, "&lt;script&gt;alert(1)&lt;/script&gt;"); got != 2 {
		t.Errorf("the text is shown %d times, want in the bubble and in the e-mail", got)
	}
	policy := a.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "script-src 'nonce-") || strings.Contains(policy, "script-src 'unsafe-inline'") {
		t.Errorf("the page's policy is %q", policy)
	}

	email := w.Get("/emails/2")
	sandboxtest.WantStatus(t, email, 200)
	if !strings.Contains(email.Body, "<script>alert(1)</script>") {
		t.Errorf("the HTML of the e-mail was changed: %s", email.Body)
	}
	if policy := email.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "sandbox; default-src 'none'") {
		t.Errorf("the policy of the e-mail is %q", policy)
	}
	for _, path := range []string{"/emails/1", "/emails/3", "/emails/x"} { // a text message, none, and no number
		sandboxtest.WantStatus(t, w.Get(path), 404)
	}
}
