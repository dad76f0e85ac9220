package console_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// The mail server refuses a message once, with a permanent error. The reader sees what is stuck and why, replays all that match, watches the job end, and the mail
// arrives once.
func TestStuckMailIsReplayed(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	b := newBrowser(t)
	h := testenv.Standalone(t)
	home := "http://" + h.Address("SIGNRELAY_CONSOLE_ADDR")
	h.InjectFault(t, `{"target":"smtp","mode":"550"}`)
	n := &notifyv1.Notification{
		Id: "n1", EventId: "e1", Source: "demo", Provider: "clickwrap", DocumentId: "d1", DocumentTitle: "Offer", SenderName: "PactSafe", Locale: "en",
		Kind: notifyv1.Kind_KIND_UNDELIVERABLE, Channel: notifyv1.Channel_CHANNEL_EMAIL,
		To: &notifyv1.Person{RecipientId: "r1", FirstName: "Eric", LastName: "Smith", Email: "eric.smith@example.com"},
	}
	h.PublishCause(t, n)
	m, err := notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n)
	h.Publish(t, m, err)
	h.Until(t, "the e-mail is a dead letter", func() bool { return strings.Contains(b.textAt(home+"/stuck"), "dead letter") })
	mails := func() (n int) {
		for _, m := range h.Messages(t) {
			if m.Channel == "email" {
				n++
			}
		}
		return n
	}
	before := mails()
	b.Do(chromedp.Navigate(home+"/stuck?what=dead"), chromedp.Click(`#groups tbody a`, chromedp.ByQuery), chromedp.WaitVisible(`a.chip.on .vh`, chromedp.ByQuery))
	b.Do(chromedp.Click(`input[value=match]`, chromedp.ByQuery), chromedp.Click(`button[value=replay]`, chromedp.ByQuery), chromedp.WaitVisible("#why", chromedp.ByQuery))
	if text := b.Text("#plan"); !strings.Contains(text, "Nothing has been done yet") || !strings.Contains(text, "to 1 person leave") {
		t.Errorf("the plan: %s", text)
	}
	var path string
	b.Do(chromedp.Evaluate("location.pathname", &path))
	if path != "/stuck" {
		t.Errorf("the plan is not in the page but at %s", path)
	}
	for _, size := range []int64{1280, 360} {
		for _, scheme := range []string{"light", "dark"} {
			b.Do(emulation.SetDeviceMetricsOverride(size, 900, 1, size < 500),
				emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
			for _, fault := range b.faults(axe) {
				t.Errorf("the plan at %d, %s: %s", size, scheme, fault)
			}
			if folder := os.Getenv("SIGNRELAY_TEST_SCREENSHOTS"); folder != "" {
				b.screenshot(filepath.Join(folder, "plan-"+scheme+"-"+map[bool]string{true: "360", false: "1280"}[size < 500]+".png"))
			}
		}
	}
	b.Do(chromedp.SendKeys("#why", "the relay is back", chromedp.ByQuery), chromedp.Click("#plan button", chromedp.ByQuery), chromedp.WaitVisible("#progress", chromedp.ByQuery))
	h.Until(t, "the job ends on the open page", func() bool { return strings.Contains(b.Text("main"), "Done") })
	h.Until(t, "the mail arrives", func() bool { return mails() > before })
	h.WaitIdle(t)
	if got := b.textAt(home + "/stuck"); !strings.Contains(got, "Nothing is stuck") {
		t.Errorf("after the job: %.300s", got)
	}
	if n := mails() - before; n != 1 {
		t.Errorf("%d mails arrived", n)
	}
}
