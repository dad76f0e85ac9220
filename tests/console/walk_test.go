package console_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// A supporter looks for a signer whom a story has left waiting, by a piece of his name and by his number, and follows the document to its end. The
// system is that of production: a process for each service, with a NATS server and Redis. One reader uses the mouse, one only the keyboard, and one has
// a browser without scripts.
func TestReadersFindASigner(t *testing.T) {
	t.Parallel()
	h := testenv.Infrastructure(t, testenv.SandboxSettings)
	for _, name := range []string{"sandbox", "ingest", "enricher", "shortener", "sms-sender", "email-sender", "reminder", "console", "indexer"} {
		h.StartService(t, name, name, "SIGNRELAY_CONSOLE_LOCAL_ROLES=look,operate,private")
	}
	home := "http://" + h.Address("SIGNRELAY_CONSOLE_ADDR")
	h.InjectFault(t, `{"target":"smtp","mode":"550"}`)
	giveUpMail(t, h)
	document := h.Play(t, "clickwrap", "seed")[1] // Eric Smith has signed, Sam Lee has not
	h.Until(t, "the index has the document", func() bool { return strings.Contains(page(t, home+"/documents"), document) })
	h.Until(t, "Sam Lee has his text", func() bool { return linkOf(h.Messages(t), "13175550187") != "" })
	t.Run("by mouse", func(t *testing.T) {
		t.Parallel()
		followByMouse(t, h, home, document)
	})
	t.Run("by keyboard", func(t *testing.T) {
		t.Parallel()
		findByKeyboard(t, home, document)
	})
	t.Run("without scripts", func(t *testing.T) {
		t.Parallel()
		workWithoutScripts(t, h, home)
	})
}

// followByMouse finds the signer while typing, and reads on the open page that he signs.
func followByMouse(t *testing.T, h *testenv.Env, home, document string) {
	b := newBrowser(t)
	b.Do(chromedp.Navigate(home+"/documents"), chromedp.WaitVisible("#results", chromedp.ByQuery), stay)
	for _, text := range []string{"Sam L", "lee", "+1 317 555 0187", "(317) 555-0187", "317.555.0187", "13175550187", "0187"} {
		b.Do(chromedp.Evaluate(`document.querySelector("#q").value = ""`, nil), chromedp.SendKeys("#q", "nothing", chromedp.ByQuery))
		h.Until(t, "nothing is found", func() bool { return strings.Contains(b.shown("#count"), "No document") })
		b.Do(chromedp.Evaluate(`document.querySelector("#q").value = ""`, nil), chromedp.SendKeys("#q", text, chromedp.ByQuery))
		h.Until(t, fmt.Sprintf("%q finds the document while the reader types", text), func() bool {
			found := b.shown("#results")
			return strings.Contains(found, document) && strings.Contains(found, "Sam Lee") && !strings.Contains(found, "PS Employment")
		})
	}
	if !b.stayed() {
		t.Error("the page was loaded again while the reader typed")
	}
	b.Do(chromedp.Evaluate(`document.querySelector("#q").value = ""`, nil), chromedp.SendKeys("#q", "+1 317 555 0187"+kb.Enter, chromedp.ByQuery))
	h.Until(t, "the search has an address", func() bool { return strings.Contains(b.location(), "?s=") })
	if at := b.location(); strings.Contains(at, "0187") {
		t.Errorf("the number is in the address %s", at)
	}
	b.Do(chromedp.Click(`#results tbody a`, chromedp.ByQuery), chromedp.WaitVisible("#lead", chromedp.ByQuery), stay)
	if got := b.shown("#lead"); !strings.Contains(got, "Sam Lee is the last to sign") {
		t.Errorf("on top: %s", got)
	}
	if b.location() != "/documents/clickwrap/demo/"+url.PathEscape(document) {
		t.Errorf("the document opens at %s", b.location())
	}
	for _, want := range []string{"The document was sent", "Eric Smith signed", "Text to Sam Lee was handed over", "E-mail to Sam Lee was handed over", "Token"} {
		if !strings.Contains(b.shown("main"), want) {
			t.Errorf("the timeline lacks %q", want)
		}
	}
	sign(t, linkOf(h.Messages(t), "13175550187"))
	h.Until(t, "the open page says that he has opened the link and signed", func() bool {
		return strings.Contains(b.shown("#lanes"), "Opened") && strings.Contains(b.shown("#lead"), "signed") && !strings.Contains(b.shown("#lead"), "last to sign")
	})
	h.Until(t, "the open page says that the document is complete and that both know", func() bool {
		lead := b.shown("#lead")
		return strings.Contains(b.shown("#title"), "Completed") && strings.Contains(lead, "Both have signed") && strings.Contains(lead, "both were notified")
	})
	if !b.stayed() {
		t.Error("the page was loaded again")
	}
	b.Do(chromedp.Click("#news a", chromedp.ByQuery), chromedp.WaitVisible("#lead", chromedp.ByQuery))
	for _, want := range []string{"Sam Lee signed", "All signers have signed", "A person opened Sam Lee’s link", "Text to Sam Lee was delivered"} {
		h.Until(t, "the timeline has "+want, func() bool {
			b.Do(chromedp.Reload())
			return strings.Contains(b.shown("main"), want)
		})
	}
	for _, text := range b.Errors() {
		t.Errorf("the browser's console: %s", text)
	}
}

// findByKeyboard does not touch the mouse.
func findByKeyboard(t *testing.T, home, document string) {
	b := newBrowser(t)
	focused := func() (is string) {
		b.Do(chromedp.Evaluate(`(document.activeElement.id || document.activeElement.textContent).trim()`, &is))
		return is
	}
	b.Do(chromedp.Navigate(home+"/"), chromedp.WaitVisible("#h-flow", chromedp.ByQuery), chromedp.KeyEvent("/"))
	if is := focused(); is != "q" {
		t.Fatalf("after / the focus is on %q", is)
	}
	// The driver sends the character of a key apart from the key, so the / is also typed, which does not happen to a reader.
	b.Do(chromedp.KeyEvent(kb.Backspace), chromedp.KeyEvent("sam lee"), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#results tbody", chromedp.ByQuery))
	if at := b.location(); at != "/documents?q=sam+lee" {
		t.Errorf("the search is at %s", at)
	}
	b.Do(chromedp.KeyEvent("j"))
	if is := focused(); is != "Employment Agreement" {
		t.Fatalf("after j the focus is on %q", is)
	}
	b.Do(chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#lead", chromedp.ByQuery))
	if !strings.HasSuffix(b.location(), document) {
		t.Errorf("Enter opens %s", b.location())
	}
	b.Do(chromedp.Focus(".events summary", chromedp.ByQuery), chromedp.KeyEvent("e"), chromedp.WaitVisible(".events details[open] .meta", chromedp.ByQuery))
	b.Do(chromedp.KeyEvent("."))
	if is := focused(); is != "Invite again…" && is != "Archive again…" { // the other reader may see the document to its end first
		t.Errorf("after . the focus is on %q", is)
	}
	b.Do(chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("form", chromedp.ByQuery))
	if !strings.Contains(b.location(), "?do=") {
		t.Errorf("the first action opens %s", b.location())
	}
	b.Do(chromedp.KeyEvent(kb.Escape), chromedp.WaitVisible("#lead", chromedp.ByQuery))
	b.Do(chromedp.KeyEvent("?"), chromedp.WaitVisible("#keys[open] p", chromedp.ByQuery), chromedp.KeyEvent(kb.Escape), chromedp.WaitNotPresent("#keys[open]", chromedp.ByQuery))
	for key, place := range map[string]string{"i": "insight", "o": "sources", "s": "stuck", "d": "documents", "f": ""} {
		b.Do(chromedp.KeyEvent("g"), chromedp.KeyEvent(key), chromedp.WaitVisible(`nav a[href="/`+place+`"][aria-current]`, chromedp.ByQuery))
	}
}

// workWithoutScripts searches, reads, plans, replays and follows a job in a browser that runs no script.
func workWithoutScripts(t *testing.T, h *testenv.Env, home string) {
	b := newBrowser(t)
	b.Do(emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(home+"/documents"), chromedp.WaitVisible("#search", chromedp.ByQuery))
	b.Do(chromedp.SendKeys("#search #q", "(317) 555-0187", chromedp.ByQuery), chromedp.Click("#search button", chromedp.ByQuery), chromedp.WaitVisible("#results mark", chromedp.ByQuery))
	if at := b.location(); !strings.HasPrefix(at, "/documents?s=") || strings.Contains(at, "0187") {
		t.Errorf("the search is at %s", at)
	}
	b.Do(chromedp.Click("#results tbody a", chromedp.ByQuery), chromedp.WaitVisible("#lead", chromedp.ByQuery))
	for _, want := range []string{"From callback to signature", "Everything that happened", "Eric Smith signed", "What you can do"} {
		if !strings.Contains(b.shown("main"), want) {
			t.Errorf("the document lacks %q", want)
		}
	}
	document := b.location()
	b.Do(chromedp.Click(".events details:has(.raw) summary", chromedp.ByQuery), chromedp.Click(".events details[open] .raw a", chromedp.ByQuery), chromedp.WaitVisible("#raw pre", chromedp.ByQuery))
	if got := b.shown("#raw"); !strings.Contains(got, "Cannot be checked again") || !strings.Contains(got, "shared token") { // Clickwrap signs nothing
		t.Errorf("the callback: %s", got)
	}
	b.Do(chromedp.Navigate(home+document+"?do=hold"), chromedp.SendKeys("#why", "TICKET-8", chromedp.ByQuery))
	if got := b.shown("form.plan"); !strings.Contains(got, "What is held is not erased") {
		t.Errorf("the plan: %s", got)
	}
	b.Do(chromedp.Navigate(home+"/documents?q=lee&state=waiting"), chromedp.WaitVisible("#count", chromedp.ByQuery), chromedp.Click(`.foot a[href*="time=utc"]`, chromedp.ByQuery),
		chromedp.WaitVisible(`.foot a[href*="time=own"]`, chromedp.ByQuery))

	mails := func() (n int) {
		for _, m := range h.Messages(t) {
			if strings.Contains(m.To, "walter.bishop@example.com") {
				n++
			}
		}
		return n
	}
	h.Until(t, "the e-mail is a dead letter", func() bool {
		b.Do(chromedp.Navigate(home + "/stuck"))
		return strings.Contains(b.shown("h1"), "1 dead letter")
	})
	b.Do(chromedp.Click("#groups tbody a", chromedp.ByQuery), chromedp.WaitVisible("a.chip.on .vh", chromedp.ByQuery))
	b.Do(chromedp.Click("input[value=match]", chromedp.ByQuery), chromedp.Click("button[value=replay]", chromedp.ByQuery), chromedp.WaitVisible("#why", chromedp.ByQuery))
	if got := b.shown("#plan"); !strings.Contains(got, "Nothing has been done yet") || !strings.HasPrefix(b.location(), "/stuck?") {
		t.Errorf("the plan at %s: %s", b.location(), got)
	}
	b.Do(chromedp.SendKeys("#why", "the relay is back", chromedp.ByQuery), chromedp.Click("#plan button", chromedp.ByQuery), chromedp.WaitVisible("#progress", chromedp.ByQuery))
	h.Until(t, "the job ends", func() bool {
		b.Do(chromedp.Reload())
		return strings.Contains(b.shown("#progress"), "Done")
	})
	h.Until(t, "the e-mail arrives", func() bool { return mails() > 0 })
	b.Do(chromedp.Navigate(home + "/stuck"))
	if got := b.shown("h1"); !strings.Contains(got, "Nothing is stuck") || mails() != 1 {
		t.Errorf("after the job: %s, %d e-mails", got, mails())
	}
}

// giveUpMail makes a dead letter of an e-mail, which the mail server refuses once.
func giveUpMail(t *testing.T, h *testenv.Env) {
	t.Helper()
	n := &notifyv1.Notification{
		Id: "n1", EventId: "e1", Source: "demo", Provider: "clickwrap", DocumentId: "d1", DocumentTitle: "Offer", SenderName: "PactSafe", Locale: "en",
		Kind: notifyv1.Kind_KIND_UNDELIVERABLE, Channel: notifyv1.Channel_CHANNEL_EMAIL,
		To: &notifyv1.Person{RecipientId: "r1", FirstName: "Walter", LastName: "Bishop", Email: "walter.bishop@example.com"},
	}
	h.PublishCause(t, n)
	m, err := notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n)
	h.Publish(t, m, err)
	h.Until(t, "the e-mail is a dead letter", func() bool { return h.Count(t, "DLQ", "dlq.v1.email-sender") == 1 })
}

// stay marks the page, so that stayed can tell whether another one was loaded.
var stay = chromedp.Evaluate(`window.stay = true`, nil)

func (b desktop) stayed() (is bool) {
	b.T.Helper()
	b.Do(chromedp.Evaluate(`window.stay === true`, &is))
	return is
}

// shown returns the text at a selector now; empty if there is none. Unlike Text it does not fail while the page replaces the element.
func (b desktop) shown(selector string) (text string) {
	b.T.Helper()
	b.Do(chromedp.Evaluate(fmt.Sprintf(`(document.querySelector(%q) || {innerText: ""}).innerText`, selector), &text))
	return text
}

// location returns the path and the query of the page.
func (b desktop) location() (at string) {
	b.T.Helper()
	b.Do(chromedp.Evaluate(`location.pathname + location.search`, &at))
	return at
}

// page returns a page of the console.
func page(t *testing.T, address string) string {
	t.Helper()
	return exchange(t, http.MethodGet, address, nil)
}

func exchange(t *testing.T, method, address string, form url.Values) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s %s: %v, status %d: %s", method, address, err, response.StatusCode, body)
	}
	return string(body)
}

var link = regexp.MustCompile(`http://\S+/l/[a-z2-7]+`)

// linkOf returns the link in the first text to a number; empty if there is none.
func linkOf(messages []testenv.Message, number string) string {
	for _, m := range messages {
		if m.Channel == "sms" && m.To == number {
			return link.FindString(m.Text)
		}
	}
	return ""
}

// sign opens a link on a phone, and signs on the provider's page.
func sign(t *testing.T, address string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("the link: status %d", response.StatusCode)
	}
	exchange(t, http.MethodPost, response.Request.URL.String(), url.Values{"do": {"sign"}})
}
