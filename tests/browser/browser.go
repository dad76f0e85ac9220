// Package browser opens pages in a real browser, for tests.
package browser

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/signrelay/signrelay/libs/realtest"
)

// Browser is a page in a real browser.
type Browser struct {
	T       *testing.T
	Context context.Context // of the page, without a time limit

	mutex  sync.Mutex
	errors []string
}

// New starts Chromium with a page of a size in CSS pixels, as a phone or as a desktop. Without Chromium the test is skipped; in CI it fails.
func New(t *testing.T, width, height int64, phone bool) *Browser {
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
	b := &Browser{T: t, Context: ctx}
	t.Cleanup(func() {
		end()
		_ = os.RemoveAll(folder) // files of a helper process
	})
	chromedp.ListenTarget(ctx, func(event any) {
		b.mutex.Lock()
		defer b.mutex.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.errors = append(b.errors, e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			if e.Entry.Level == log.LevelError {
				b.errors = append(b.errors, e.Entry.Text+" "+e.Entry.URL)
			}
		}
	})
	// The context of the first call is the browser's own, so it has no time limit.
	if err := chromedp.Run(ctx, emulation.SetDeviceMetricsOverride(width, height, 1, phone)); err != nil {
		t.Fatal(err)
	}
	return b
}

// Do runs actions in order. An element that does not appear within the time limit ends the test.
func (b *Browser) Do(actions ...chromedp.Action) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.Context, 30*time.Second)
	defer cancel()
	for _, action := range actions {
		err := chromedp.Run(ctx, action)
		for err != nil && strings.Contains(err.Error(), replaced) && ctx.Err() == nil {
			err = chromedp.Run(ctx, action)
		}
		if err != nil {
			b.T.Fatalf("in the browser: %v", err)
		}
	}
}

// replaced is the browser's error for an element that the page has replaced after an action has found it and before the action was done. A live
// page does that, so the action looks for the element again.
const replaced = "Could not find node with given id"

// Text returns the text at a selector.
func (b *Browser) Text(selector string) string {
	b.T.Helper()
	var text string
	b.Do(chromedp.Text(selector, &text, chromedp.ByQuery))
	return text
}

// Errors returns the errors in the browser's console, with the address of each.
func (b *Browser) Errors() []string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return slices.Clone(b.errors)
}
