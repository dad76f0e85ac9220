package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

// browser is a page in a real browser, as wide as a phone.
type browser struct {
	t   *testing.T
	ctx context.Context

	mutex         sync.Mutex
	consoleErrors []string // the errors in the browser's console
}

// newBrowser starts Chromium. Without Chromium the test is skipped; in CI it fails.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	realtest.Server(t, "Chromium")
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		realtest.Missing(t, "no Chromium: install the package chromium")
	}
	// Not t.TempDir: Chromium's helper processes write for a moment after it has ended.
	folder, err := os.MkdirTemp("", "signrelay-browser-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(folder))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's own sandbox does not work for root
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...) // t's context ends before the clean-up
	ctx, _ := chromedp.NewContext(allocator)
	b := &browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		end()
		_ = os.RemoveAll(folder) // files of a helper process
	})
	chromedp.ListenTarget(ctx, func(event any) {
		b.mutex.Lock()
		defer b.mutex.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.consoleErrors = append(b.consoleErrors, e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			if e.Entry.Level == log.LevelError {
				b.consoleErrors = append(b.consoleErrors, e.Entry.Text)
			}
		}
	})
	// The context of the first call is the browser's own, so it has no time limit.
	if err := chromedp.Run(ctx, emulation.SetDeviceMetricsOverride(390, 844, 1, true)); err != nil {
		t.Fatal(err)
	}
	return b
}

// do runs actions in order. An element that does not appear within the time limit ends the test.
func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.t.Fatalf("in the browser: %v", err)
	}
}

// text returns the text at a selector.
func (b *browser) text(selector string) string {
	b.t.Helper()
	var text string
	b.do(chromedp.Text(selector, &text, chromedp.ByQuery))
	return text
}

// currentText returns the text at a selector now; empty if there is no such element, or while another page loads.
func (b *browser) currentText(selector string) string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	var text string
	if err := chromedp.Run(ctx, chromedp.Text(selector, &text, chromedp.ByQuery)); err != nil {
		return ""
	}
	return text
}

// requireFits requires that the page is no wider than the phone and that the browser reported no error.
func (b *browser) requireFits() {
	b.t.Helper()
	var width int
	b.do(chromedp.Evaluate(`document.documentElement.scrollWidth`, &width))
	if width > 390 {
		b.t.Errorf("the page is %d pixels wide on a phone of 390", width)
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if len(b.consoleErrors) > 0 {
		b.t.Errorf("the browser's console: %q", b.consoleErrors)
	}
}

// On the sandbox's page, one click plays a story, its texts and e-mails appear without a reload, a fault is set and cancelled, and the
// messages can be deleted.
func TestSandboxInBrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	h := testenv.Standalone(t)
	b.do(chromedp.Navigate(h.SandboxURL + "/"))
	if got := b.text("#inbox"); !strings.Contains(got, "No messages yet.") {
		t.Errorf("at first: %q", got)
	}
	b.do(chromedp.Click(`button[data-provider="clickwrap"][data-story="two-signers"]`, chromedp.ByQuery))
	h.Until(t, "ten messages are shown", func() bool { return b.count(".bubble, .email") == 10 })
	for _, want := range []string{
		`Eric Smith has signed "E-Waiver Form". One more signature is needed to complete the document.`,
		`"E-Waiver Form" has been accepted by all parties`, "eric.smith@example.com",
	} {
		if !strings.Contains(b.text("#inbox"), want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if got := b.text("#result"); !strings.Contains(got, "4 callbacks accepted.") {
		t.Errorf("the story's status is %q", got)
	}
	b.requireFits()

	b.do(
		chromedp.Evaluate(`document.querySelector("#faults").closest("details").open = true`, nil),
		chromedp.SetValue(`[name=target]`, "vonage", chromedp.ByQuery), chromedp.SetValue(`[name=mode]`, "refuse", chromedp.ByQuery),
		chromedp.Click("#faults button:not([type])", chromedp.ByQuery), chromedp.WaitVisible("#queued li", chromedp.ByQuery),
	)
	if got := b.text("#queued"); got != "vonage: refuse, 1 call" {
		t.Errorf("queued: %q", got)
	}
	b.do(chromedp.Click("#clear-faults", chromedp.ByQuery), chromedp.WaitNotPresent("#queued li", chromedp.ByQuery))
	b.requireFits()

	b.do(chromedp.Click("#clear", chromedp.ByQuery))
	h.Until(t, "the page is empty", func() bool { return b.count(".bubble, .email") == 0 })
	b.requireFits()
}

// count returns the number of elements.
func (b *browser) count(selector string) int {
	b.t.Helper()
	var n int
	b.do(chromedp.Evaluate(fmt.Sprintf(`document.querySelectorAll(%q).length`, selector), &n))
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
		b.do(emulation.SetUserAgentOverride(phone), chromedp.Navigate(linkIn(h.Messages(t), "Data Processing Addendum")))
		b.requireFits()
		if got := b.text("main"); !strings.Contains(got, "Data Processing Addendum") || !strings.Contains(got, "Legalesign sent you this link") || opened() != n {
			t.Errorf("the page reads %q, and the link was opened %d times", got, opened())
		}
		b.do(chromedp.Reload(), chromedp.Click("main button", chromedp.ByQuery))
		h.Until(t, "the provider's page is shown", func() bool { return strings.Contains(b.currentText("h1"), "Review & sign") })
		h.Until(t, "the log has the opening", func() bool { return opened() == n+1 })
	}

	b.do(emulation.SetUserAgentOverride("WhatsApp/2.23.20"), chromedp.Navigate(linkIn(h.Messages(t), "Consulting Agreement")))
	if got := b.text("h1"); got != "Open your document" {
		t.Errorf("a robot sees %q", got)
	}
	b.requireFits()
	b.do(chromedp.Click("button", chromedp.ByQuery))
	h.Until(t, "the provider's page is shown", func() bool { return strings.Contains(b.currentText("h1"), "Consulting Agreement") })
	b.requireFits()

	b.do(emulation.SetUserAgentOverride(phone), chromedp.Navigate(linkIn(h.Messages(t), "Partnership Agreement")), chromedp.Click("button", chromedp.ByQuery))
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
