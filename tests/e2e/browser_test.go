package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/browser"
	"github.com/signrelay/signrelay/tests/testenv"
)

// phonePage is a page in a real browser, as wide as a phone.
type phonePage struct{ *browser.Browser }

func newBrowser(t *testing.T) phonePage {
	t.Helper()
	return phonePage{browser.New(t, 390, 844, true)}
}

// currentText returns the text at a selector now; empty if there is no such element, or while another page loads.
func (b phonePage) currentText(selector string) string {
	ctx, cancel := context.WithTimeout(b.Context, 5*time.Second)
	defer cancel()
	var text string
	if err := chromedp.Run(ctx, chromedp.Text(selector, &text, chromedp.ByQuery)); err != nil {
		return ""
	}
	return text
}

// requireFits requires that the page is no wider than the phone and that the browser reported no error.
func (b phonePage) requireFits() {
	b.T.Helper()
	var width int
	b.Do(chromedp.Evaluate(`document.documentElement.scrollWidth`, &width))
	if width > 390 {
		b.T.Errorf("the page is %d pixels wide on a phone of 390", width)
	}
	if errors := b.Errors(); len(errors) > 0 {
		b.T.Errorf("the browser's console: %q", errors)
	}
}

// On the sandbox's page, one click plays a story, its texts and e-mails appear without a reload, a fault is set and cancelled, and the
// messages can be deleted.
func TestSandboxInBrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	h := testenv.Standalone(t)
	b.Do(chromedp.Navigate(h.SandboxURL + "/"))
	if got := b.Text("#inbox"); !strings.Contains(got, "No messages yet.") {
		t.Errorf("at first: %q", got)
	}
	b.Do(chromedp.Click(`button[data-provider="clickwrap"][data-story="two-signers"]`, chromedp.ByQuery))
	h.Until(t, "ten messages are shown", func() bool { return b.count(".bubble, .email") == 10 })
	for _, want := range []string{
		`Eric Smith has signed "E-Waiver Form". One more signature is needed to complete the document.`,
		`"E-Waiver Form" has been accepted by all parties`, "eric.smith@example.com",
	} {
		if !strings.Contains(b.Text("#inbox"), want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if got := b.Text("#result"); !strings.Contains(got, "4 callbacks accepted.") {
		t.Errorf("the story's status is %q", got)
	}
	b.requireFits()

	b.Do(
		chromedp.Evaluate(`document.querySelector("#faults").closest("details").open = true`, nil),
		chromedp.SetValue(`[name=target]`, "vonage", chromedp.ByQuery), chromedp.SetValue(`[name=mode]`, "refuse", chromedp.ByQuery),
		chromedp.Click("#faults button:not([type])", chromedp.ByQuery), chromedp.WaitVisible("#queued li", chromedp.ByQuery),
	)
	if got := b.Text("#queued"); got != "vonage: refuse, 1 call" {
		t.Errorf("queued: %q", got)
	}
	b.Do(chromedp.Click("#clear-faults", chromedp.ByQuery), chromedp.WaitNotPresent("#queued li", chromedp.ByQuery))
	b.requireFits()

	b.Do(chromedp.Click("#clear", chromedp.ByQuery))
	h.Until(t, "the page is empty", func() bool { return b.count(".bubble, .email") == 0 })
	b.requireFits()
}

// count returns the number of elements.
func (b phonePage) count(selector string) int {
	b.T.Helper()
	var n int
	b.Do(chromedp.Evaluate(fmt.Sprintf(`document.querySelectorAll(%q).length`, selector), &n))
	return n
}

// A link that works once is behind a button, and for a robot every link is. The button opens the provider's page, although the page's
// policy restricts forms.
func TestLinkButtonInBrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	h := testenv.Standalone(t)
	h.Play(t, "esign-v1", "long-night")
	h.Play(t, "pleasesign", "declined")
	h.Play(t, "clickwrap", "resend")
	h.Until(t, "each document has an invitation", func() bool {
		messages := h.Messages(t)
		return linkIn(messages, "Consulting Agreement") != "" && linkIn(messages, "Partnership Agreement") != "" && linkIn(messages, "Data Processing Addendum") != ""
	})
	opened := func() int { return h.Count(t, flow.Signing, "signing.v1.*.*.link.opened.>") }

	for n := range 2 { // it works again for a second visit
		b.Do(emulation.SetUserAgentOverride(phone), chromedp.Navigate(linkIn(h.Messages(t), "Data Processing Addendum")))
		b.requireFits()
		if got := b.Text("main"); !strings.Contains(got, "Data Processing Addendum") || !strings.Contains(got, "Legalesign sent you this link") || opened() != n {
			t.Errorf("the page reads %q, and the link was opened %d times", got, opened())
		}
		b.Do(chromedp.Reload(), chromedp.Click("main button", chromedp.ByQuery))
		h.Until(t, "the provider's page is shown", func() bool { return strings.Contains(b.currentText("h1"), "Review & sign") })
		h.Until(t, "the log has the opening", func() bool { return opened() == n+1 })
	}

	b.Do(emulation.SetUserAgentOverride("WhatsApp/2.23.20"), chromedp.Navigate(linkIn(h.Messages(t), "Consulting Agreement")))
	if got := b.Text("h1"); got != "Open your document" {
		t.Errorf("a robot sees %q", got)
	}
	b.requireFits()
	b.Do(chromedp.Click("button", chromedp.ByQuery))
	h.Until(t, "the provider's page is shown", func() bool { return strings.Contains(b.currentText("h1"), "Consulting Agreement") })
	b.requireFits()

	b.Do(emulation.SetUserAgentOverride(phone), chromedp.Navigate(linkIn(h.Messages(t), "Partnership Agreement")), chromedp.Click("button", chromedp.ByQuery))
	h.Until(t, "the page names the reason", func() bool { return b.currentText("h1") == "This document is closed" })
}

// linkIn returns the link in the first message about a document; empty if there is none yet.
func linkIn(messages []testenv.Message, title string) string {
	for _, m := range messages {
		if _, links := withoutLinks(m.Text); strings.Contains(m.Text, title) && len(links) > 0 {
			return links[0]
		}
	}
	return ""
}
