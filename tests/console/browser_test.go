// Package console_test opens the console's pages in a browser, with everything running: without script, on a phone and on a desk, dark and light.
package console_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/browser"
	"github.com/signrelay/signrelay/tests/testenv"
)

// pages are walked at each size, in both colour schemes. The next page adds its row here.
var pages = []visited{
	{"flow", "/", "From callback to signer"},
	{"stuck", "/stuck", "Nothing is stuck"},
	{"jobs", "/jobs", "No job was started"},
	{"documents", "/documents", "signed"},
	{"documents-found", "/documents?q=eric", "document"},
	{"documents-empty", "/documents?q=nothing&state=waiting", "There is none without the filter either"},
	{"insight", "/insight", "Where people are lost"},
	{"sources", "/sources", "clickwrap"},
	{"source", "/sources/clickwrap/demo", "Paste this at the provider"},
	{"subscribers", "/subscribers", "team"},
	{"me", "/me", "Actions"},
	{"problem", "/sources/clickwrap/nothing", "No source has this name"},
}

// Each page fits a phone, has no error in the browser's console and no serious fault that axe-core finds. Its first view is small and fast.
func TestPagesAreAccessible(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	b := newBrowser(t)
	h := testenv.Standalone(t)
	h.Play(t, "clickwrap", "two-signers")
	h.WaitIdle(t)
	home := "http://" + h.Address("SIGNRELAY_CONSOLE_ADDR")
	h.Until(t, "the console has looked at the story", func() bool { return strings.Contains(b.textAt(home+"/"), "events") })
	h.Until(t, "the index has the story", func() bool { return strings.Contains(b.textAt(home+"/documents"), "signed") })
	b.visit(axe, home, pages)
}

// visited is a page that a test visits at each size and in each colour scheme.
type visited struct{ name, path, want string }

// visit requires that each page has a text, fits, has no error in the browser's console and no serious fault that axe-core finds. With a folder in
// SIGNRELAY_TEST_SCREENSHOTS it stores a picture of each.
func (b desktop) visit(axe, home string, pages []visited) {
	b.T.Helper()
	for _, size := range []struct {
		width, height int64
	}{{1280, 900}, {360, 740}} {
		for _, scheme := range []string{"light", "dark"} {
			for _, p := range pages {
				name := fmt.Sprintf("%s-%d-%s", p.name, size.width, scheme)
				b.Do(
					emulation.SetDeviceMetricsOverride(size.width, size.height, 1, size.width < 500),
					emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
				)
				b.Do(chromedp.Navigate(home + p.path))
				if text := b.Text("body"); !strings.Contains(text, p.want) {
					b.T.Errorf("%s does not show %q: %.300s", name, p.want, text)
				}
				var width int64
				b.Do(chromedp.Evaluate(`document.documentElement.scrollWidth`, &width))
				if width > size.width {
					b.T.Errorf("%s is %d pixels wide", name, width)
				}
				for _, fault := range b.faults(axe) {
					b.T.Errorf("%s: %s", name, fault)
				}
				if folder := os.Getenv("SIGNRELAY_TEST_SCREENSHOTS"); folder != "" {
					b.screenshot(filepath.Join(folder, name+".png"))
				}
			}
		}
	}
	for _, text := range b.Errors() {
		if !strings.Contains(text, "404") { // the page of a problem
			b.T.Errorf("the browser's console: %s", text)
		}
	}
}

// The numbers change without a reload, the reader can pause that, and the keys lead to the places.
func TestPageIsLive(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	h := testenv.Standalone(t)
	home := "http://" + h.Address("SIGNRELAY_CONSOLE_ADDR")
	b.Do(chromedp.Navigate(home+"/"), chromedp.WaitVisible("#pause", chromedp.ByQuery))
	if got := b.Text("#sources"); !strings.Contains(got, "None yet") {
		t.Fatalf("before the first callback: %s", got)
	}
	h.Play(t, "clickwrap", "one-signer")
	h.Until(t, "the page shows the callback without a reload", func() bool { return strings.Contains(b.Text("#sources"), "ago") })
	b.Do(chromedp.KeyEvent("p"))
	if got := b.Text("#live"); !strings.Contains(got, "Paused") {
		t.Errorf("after p the page says %q", got)
	}
	b.Do(chromedp.KeyEvent("g"), chromedp.KeyEvent("o"), chromedp.WaitVisible(`nav a[href="/sources"][aria-current]`, chromedp.ByQuery))
	b.Do(chromedp.KeyEvent("j"), chromedp.KeyEvent("\r"), chromedp.WaitVisible("#url", chromedp.ByQuery))
}

// axeCore returns the script of axe-core, which is fetched once.
func axeCore(t *testing.T) string {
	t.Helper()
	realtest.Server(t, "Chromium")
	if _, err := exec.LookPath("npm"); err != nil {
		realtest.Missing(t, "no npm: install npm, which fetches axe-core")
	}
	fetch := exec.CommandContext(t.Context(), "sh", filepath.Join(testenv.Root(), "libs/realtest/npm/fetch.sh"), filepath.Join(testenv.Root(), "tests/console/axe"))
	fetch.Stderr = t.Output()
	folder, err := fetch.Output()
	if err != nil {
		t.Fatalf("fetch axe-core: %v", err)
	}
	script, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(folder)), "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// desktop is a page in a real browser, as wide as a desktop.
type desktop struct{ *browser.Browser }

func newBrowser(t *testing.T) desktop {
	t.Helper()
	return desktop{browser.New(t, 1280, 900, false)}
}

func (b desktop) textAt(url string) string {
	b.T.Helper()
	b.Do(chromedp.Navigate(url))
	return b.Text("body")
}

// faults returns the serious and critical faults that axe-core finds. It runs outside the page's policy, which forbids other scripts.
func (b desktop) faults(axe string) (all []string) {
	b.T.Helper()
	var found string
	b.Do(
		chromedp.Evaluate(axe+"; 0", nil),
		chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"]}).then((r) => JSON.stringify(r.violations.map((v) => ({
			id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map((n) => n.html + " " + (n.any[0] ? n.any[0].message : ""))}))))`, &found,
			func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }),
	)
	var violations []struct {
		ID, Impact, Help string
		Nodes            []string
	}
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		b.T.Fatalf("axe-core: %v: %s", err, found)
	}
	for _, v := range violations {
		if v.Impact == "serious" || v.Impact == "critical" {
			all = append(all, fmt.Sprintf("%s (%s): %s: %.600q", v.ID, v.Impact, v.Help, v.Nodes))
		}
	}
	return all
}
