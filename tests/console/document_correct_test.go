package console_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/signrelay/signrelay/tests/testenv"
)

// An operator corrects a person in the console, by the keyboard and without scripts. The form names the mistakes, the plan says what happens, and the
// page says what became of it. The person gets the invitation at the new address.
func TestOperatorCorrectsAPerson(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	b := newBrowser(t)
	h := testenv.Standalone(t)
	id := h.Play(t, "clickwrap", "seed")[1] // one of two has signed
	h.Until(t, "the invitation was sent", func() bool { return len(h.Messages(t)) > 0 })
	h.WaitIdle(t)
	page := "http://" + h.Address("SIGNRELAY_CONSOLE_ADDR") + "/documents/clickwrap/demo/" + url.PathEscape(id)
	looks := func(what string) {
		t.Helper()
		for _, size := range []struct{ width, height int64 }{{1280, 900}, {360, 740}} {
			for _, scheme := range []string{"light", "dark"} {
				var width int64
				b.Do(
					emulation.SetDeviceMetricsOverride(size.width, size.height, 1, size.width < 500),
					emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
					chromedp.Evaluate(`document.documentElement.scrollWidth`, &width),
				)
				if width > size.width {
					t.Errorf("%s is %d pixels wide at %d", what, width, size.width)
				}
				for _, fault := range b.faults(axe) {
					t.Errorf("%s, %d, %s: %s", what, size.width, scheme, fault)
				}
			}
		}
	}
	b.Do(chromedp.Navigate(page+"?do=correct"), chromedp.WaitVisible("#last_name", chromedp.ByQuery))
	looks("the form")
	// The keyboard: the fields come one after the other, and Enter sends the form.
	b.Do(
		chromedp.Focus("#email", chromedp.ByQuery), chromedp.Evaluate(`document.querySelector("#email").select()`, nil), chromedp.KeyEvent("nobody"),
		chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Backspace), chromedp.KeyEvent("12"), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#email-mistake", chromedp.ByQuery),
	)
	looks("the form with mistakes")
	for field, want := range map[string]string{"email": "not an e-mail address", "mobile": "It "} {
		if text := b.Text("#" + field + "-mistake"); !strings.Contains(text, want) {
			t.Errorf("beside %s is %q", field, text)
		}
		var about string
		b.Do(chromedp.AttributeValue("#"+field+`[aria-invalid="true"]`, "aria-describedby", &about, nil, chromedp.ByQuery))
		if about != field+"-mistake" {
			t.Errorf("%s is described by %q", field, about)
		}
	}
	b.Do(emulation.SetDeviceMetricsOverride(1280, 900, 1, false), emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(page+"?do=correct"), chromedp.WaitVisible("#last_name", chromedp.ByQuery))
	for field, text := range map[string]string{"first_name": "Samira", "email": "samira.lee@example.com", "mobile": ""} {
		b.Do(chromedp.SendKeys("#"+field, kb.End+strings.Repeat(kb.Backspace, 60)+text, chromedp.ByQuery))
	}
	b.Do(chromedp.Click(`form:has(#last_name) button`, chromedp.ByQuery), chromedp.WaitVisible("form.plan", chromedp.ByQuery))
	if text := b.Text("form.plan"); !strings.Contains(text, "Samira") || !strings.Contains(text, "samira.lee@example.com") || !strings.Contains(text, "The messages of Signrelay go to the corrected person") {
		t.Errorf("the plan: %s", text)
	}
	b.Do(chromedp.SendKeys("#why", "TICKET-9", chromedp.ByQuery), chromedp.Click("form.plan button", chromedp.ByQuery), chromedp.WaitVisible("#job", chromedp.ByQuery))
	h.Until(t, "the new invitation has arrived", func() bool { return sentTo(h.Messages(t), "samira.lee@example.com") == 1 })
	h.WaitIdle(t)
	var reloaded string
	h.Until(t, "the page says the outcome", func() bool {
		b.Do(chromedp.Reload(), chromedp.WaitVisible("#job", chromedp.ByQuery))
		reloaded = b.Text("body")
		return strings.Contains(b.Text("#job"), "The person is corrected for the messages of Signrelay, not at Clickwrap.")
	})
	for _, want := range []string{"Samira", "An operator asked for a correction of", "was corrected for the messages of Signrelay", "TICKET-9"} {
		if !strings.Contains(reloaded, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	b.Do(emulation.SetScriptExecutionDisabled(false), chromedp.Navigate(page), chromedp.WaitVisible("#h-events", chromedp.ByQuery))
	looks("the document after the correction")
	// The command line says who the person is, and corrects the person, too.
	_, err := h.Command(t, "recipient", "resend", "--reason=TICKET-10", "--yes", id)
	if err == nil || !strings.Contains(err.Error(), "--recipient is required. The people of the document:") {
		t.Fatalf("without a person: %v", err)
	}
	words, waits := strings.Fields(err.Error()), ""
	for i, word := range words {
		if word == "told" {
			waits = words[i-1]
		}
	}
	out, err := h.Command(t, "recipient", "correct", "--recipient="+waits, "--email=sam.lee@example.com", "--reason=TICKET-10", "--yes", id)
	if err != nil || !strings.Contains(out, "The person is corrected for the messages of Signrelay") {
		t.Fatalf("%v: %s", err, out)
	}
	h.Until(t, "the invitation at the next address has arrived", func() bool { return sentTo(h.Messages(t), "sam.lee@example.com") > 0 })
	if out, err = h.Command(t, "recipient", "resend", "--recipient="+waits, "--reason=TICKET-11", "--yes", id); err != nil || !strings.Contains(out, "The invitation is on its way once more by e-mail.") {
		t.Errorf("%v: %s", err, out)
	}
	h.WaitIdle(t)
	if n := sentTo(h.Messages(t), "samira.lee@example.com"); n != 1 {
		t.Errorf("%d messages went to the address before the second correction, want 1", n)
	}
}

func sentTo(all []testenv.Message, address string) (n int) {
	for _, m := range all {
		if strings.Contains(m.To, address) {
			n++
		}
	}
	return n
}
