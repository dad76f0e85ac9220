package console_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/signrelay/signrelay/tests/testenv"
)

// A reader opens a document, sees its raw callback verified again, and sends an invitation once more. The message arrives once, and the page says
// that there is news.
func TestDocumentIsExplainedAndResent(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	b := newBrowser(t)
	h := testenv.Standalone(t)
	id := h.Play(t, "clickwrap", "seed")[1] // one of two has signed
	h.Until(t, "the invitation was sent", func() bool { return len(h.Messages(t)) > 0 })
	h.WaitIdle(t)
	page := "http://" + h.Address("SIGNRELAY_CONSOLE_ADDR") + "/documents/clickwrap/demo/" + url.PathEscape(id)
	b.Do(chromedp.Navigate(page), chromedp.WaitVisible("#h-events", chromedp.ByQuery))
	for _, want := range []string{"From callback to signature", "Everything that happened", "What you can do"} {
		if text := b.Text("body"); !strings.Contains(text, want) {
			t.Errorf("the page does not show %q: %.500s", want, text)
		}
	}
	for _, size := range []struct{ width, height int64 }{{1280, 900}, {360, 740}, {794, 1123}} { // the last one is A4
		for _, scheme := range []string{"light", "dark", "print"} {
			if (scheme == "print") != (size.width == 794) {
				continue
			}
			media := emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}})
			if scheme == "print" {
				media = emulation.SetEmulatedMedia().WithMedia("print")
			}
			b.Do(emulation.SetDeviceMetricsOverride(size.width, size.height, 1, size.width < 500), media)
			for name, query := range map[string]string{"document": "", "plan": "?do=resend", "erase": "?do=erase"} {
				name = fmt.Sprintf("%s-%d-%s", name, size.width, scheme)
				b.Do(chromedp.Navigate(page+query), chromedp.WaitVisible("h1", chromedp.ByQuery))
				var width int64
				b.Do(chromedp.Evaluate(`document.documentElement.scrollWidth`, &width))
				if width > size.width {
					t.Errorf("%s is %d pixels wide", name, width)
				}
				if scheme != "print" {
					for _, fault := range b.faults(axe) {
						t.Errorf("%s: %s", name, fault)
					}
				}
				if folder := os.Getenv("SIGNRELAY_TEST_SCREENSHOTS"); folder != "" {
					b.screenshot(filepath.Join(folder, name+".png"))
				}
			}
		}
	}
	b.Do(emulation.SetEmulatedMedia().WithMedia(""), emulation.SetDeviceMetricsOverride(1280, 900, 1, false), chromedp.Navigate(page))
	b.Do(chromedp.Click("details[hx-get] summary", chromedp.ByQuery), chromedp.WaitVisible(".raw #raw pre", chromedp.ByQuery))
	if text := b.Text(".raw #raw"); !strings.Contains(text, "Still true") && !strings.Contains(text, "Cannot be checked again") {
		t.Errorf("the raw callback: %s", text)
	}
	before := len(h.Messages(t))
	b.Do(
		chromedp.Navigate(page+"?do=resend&channel=email"), chromedp.SendKeys("#why", "TICKET-7", chromedp.ByQuery),
		chromedp.Click("form.plan button", chromedp.ByQuery), chromedp.WaitVisible("#job", chromedp.ByQuery),
	)
	h.Until(t, "the message has arrived", func() bool { return len(h.Messages(t)) > before })
	h.WaitIdle(t)
	if n := len(h.Messages(t)); n != before+1 {
		t.Errorf("%d messages arrived, want 1", n-before)
	}
	// The page may have been loaded after the message, so something else happens now.
	if out, err := h.Command(t, "hold", "add", "--reason=TICKET-8", "--yes", id); err != nil {
		t.Fatalf("hold: %v\n%s", err, out)
	}
	h.Until(t, "the page says that there is news", func() bool { return strings.Contains(b.Text("#news"), "new above") })
}
