package console_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// The sender of a document gets a message that a person was not reached, and corrects the person on the page behind its link. The system is that of
// production: a process for each service, with a NATS server and Redis. The time after which the other channel is used is short, because the message to
// the sender waits for it.
func TestSenderCorrectsAPerson(t *testing.T) { //nolint:tparallel // faults of the sandbox are for the next call, so the subtests run in turn
	t.Parallel()
	axe := axeCore(t)
	w := correction{Env: testenv.Infrastructure(t, func(e *testenv.Env) string {
		return strings.ReplaceAll(testenv.SandboxSettings(e), "notify: {sender:", "fallback: {after: 5s}, notify: {sender:")
	}), axe: axe}
	for _, name := range []string{"sandbox", "ingest", "enricher", "shortener", "sms-sender", "email-sender", "reminder"} {
		w.StartService(t, name, name)
	}
	w.InjectFault(t, `{"target":"receipts","mode":"fail"}`)
	w.InjectFault(t, `{"target":"smtp","mode":"550"}`)
	w.Timeout = 40 * time.Second
	document := w.Play(t, "pleasesign", "bounced")[0] // PleaseSign's e-mail to Mia Kelly bounces, and nothing of ours reaches Olivia Nguyen
	t.Run("at the provider, while messages to the old addresses wait", func(t *testing.T) { w.correctOlivia(t, document) })
	t.Run("at the provider, by a form with mistakes", func(t *testing.T) { w.correctMia(t, document) })
	t.Run("for messages only", func(t *testing.T) { w.correctRita(t) })
}

// correction is an installation with the sandbox.
type correction struct {
	*testenv.Env

	axe string
}

// correctMia corrects a person to whom PleaseSign writes.
func (w correction) correctMia(t *testing.T, document string) {
	const subject = `Mia Kelly could not be reached about "Service Agreement"`
	w.Until(t, "the sender has a message", func() bool { return w.mailed(t, subject) })
	old := w.person(t, document, "Mia")
	link := link.FindString(w.mail(t, subject).Text)

	german := person(t)
	german.Do(network.SetExtraHTTPHeaders(network.Headers{"Accept-Language": "de-DE,de;q=0.9,en;q=0.5"}), chromedp.Navigate(link))
	w.look(german, "button-de", "Eine Person war nicht erreichbar")
	german.Do(chromedp.Click("main button", chromedp.ByQuery), chromedp.WaitVisible("#first_name", chromedp.ByQuery))
	w.look(german, "form-de", "Diese Person korrigieren", "Vorname", "Handynummer")
	german.fill(map[string]string{"first_name": ""})
	w.look(german, "mistake-de", "Diese Angabe wird gebraucht.")

	b := person(t)
	w.openMail(t, b, subject)
	w.look(b, "button", "A person could not be reached", "Service Agreement")
	if got := b.shown("main"); strings.Contains(got, "Mia") {
		t.Errorf("a robot sees the person: %s", got)
	}
	b.Do(chromedp.Click("main button", chromedp.ByQuery), chromedp.WaitVisible("#first_name", chromedp.ByQuery))
	for field, want := range map[string]string{"first_name": "Mia", "last_name": "Kelly", "email": "mia.kelly@unreachable.example", "mobile": ""} {
		if got := b.value(field); got != want {
			t.Errorf("the field %s has %q, want %q", field, got, want)
		}
	}
	w.look(b, "form", "Correct this person")
	b.fill(nil)
	w.look(b, "unchanged", "You have changed nothing.")
	b.fill(map[string]string{"last_name": "", "email": "mia.kelly@", "mobile": "12"})
	w.look(b, "mistakes", "Please look at the marked fields.")
	for field, want := range map[string]string{"last_name": "This is needed", "email": "e-mail address", "mobile": "digits"} {
		var described string
		b.Do(chromedp.Evaluate(`document.getElementById(document.getElementById("`+field+`").getAttribute("aria-describedby")).innerText`, &described))
		if !strings.Contains(strings.ToLower(described), strings.ToLower(want)) {
			t.Errorf("beside %s is %q, want %q", field, described, want)
		}
	}
	if got := b.value("email"); got != "mia.kelly@" {
		t.Errorf("the page forgot what the sender typed: %q", got)
	}
	b.fill(map[string]string{"last_name": "Kelley", "email": "mia.kelley@example.com", "mobile": ""})
	w.awaitCorrected(t, b)
	w.look(b, "corrected", "Nothing more goes to the old address.")
	german.Do(chromedp.Navigate(link))
	w.look(german, "corrected-de", "Die Person ist korrigiert")

	// PleaseSign has a new recipient, and writes to her.
	made := w.person(t, document, "Mia")
	if made.ID == old.ID || made.Email != "mia.kelley@example.com" || made.LastName != "Kelley" {
		t.Errorf("PleaseSign has %+v, and had %+v", made, old)
	}
	w.Until(t, "PleaseSign has written to her", func() bool { return w.received(t, made.Email) == 1 })
	person(t).sign(w.newest(t, made.Email))
	w.Until(t, "she has signed", func() bool { return w.person(t, document, "Mia").Status == "complete" })

	// The link works for one order.
	orders := w.Count(t, flow.Signing, event.TypeFilter(event.CorrectionRequested))
	page := exchange(t, http.MethodPost, link, url.Values{
		"correct": {"save"}, "first_name": {"Mallory"}, "last_name": {"Mars"}, "email": {"mallory@example.com"}, "mobile": {""},
	})
	if orders != 2 || // with Olivia Nguyen's
		!strings.Contains(page, "The person is corrected") || w.Count(t, flow.Signing, event.TypeFilter(event.CorrectionRequested)) != 2 {
		t.Errorf("%d orders before a second one; the page is %s", orders, page)
	}
	w.noErrors(b, german)
}

// correctOlivia corrects a person to whom Signrelay writes, while a text and an e-mail to the old addresses wait for their next attempt.
func (w correction) correctOlivia(t *testing.T, document string) {
	const subject = `Olivia Nguyen could not be reached about "Service Agreement"`
	w.Until(t, "the sender has a message", func() bool { return w.mailed(t, subject) })
	old := w.person(t, document, "Olivia")
	if n := w.received(t, old.Email) + w.received(t, *old.Mobile); n != 0 {
		t.Fatalf("%d messages reached her", n)
	}
	w.InjectFault(t, `{"target":"vonage","mode":"throttle","count":1000}`)
	w.InjectFault(t, `{"target":"smtp","mode":"throttle","count":1000}`)
	again := &signingv1.SigningEvent{
		Id: "resend-1", Source: "demo", Provider: "pleasesign", Type: event.ResendRequested, Document: &signingv1.Document{Id: document},
		Recipient: &signingv1.Recipient{Id: old.ID}, Verification: signingv1.Verification_VERIFICATION_INTERNAL,
		Attributes: map[string]string{event.AttributeBy: "supporter", event.AttributeReason: "she waits for it"},
	}
	m, err := event.Message(t.Context(), again)
	w.Publish(t, m, err)
	w.Until(t, "both messages were refused for the moment", func() bool { return w.faults(t, "vonage") < 1000 && w.faults(t, "smtp") < 1000 })
	before := w.shortLink(t, "sms", document)
	if page := page(t, before); strings.Contains(page, "This link was replaced") {
		t.Errorf("before the correction: %s", page)
	}

	b := person(t)
	w.openMail(t, b, subject)
	b.Do(chromedp.Click("main button", chromedp.ByQuery), chromedp.WaitVisible("#first_name", chromedp.ByQuery))
	b.fill(map[string]string{"email": "olivia@example.com", "mobile": "0491 570 157"})
	w.awaitCorrected(t, b)
	made := w.person(t, document, "Olivia")
	if made.ID == old.ID || made.Email != "olivia@example.com" || *made.Mobile != "61491570157" {
		t.Errorf("PleaseSign has %+v", made)
	}
	if status, page := fetched(t, before); status != http.StatusGone || !strings.Contains(page, "This link was replaced") {
		t.Errorf("the old link: %d %s", status, page)
	}
	w.clearFaults(t)
	w.Until(t, "the new invitations arrive", func() bool { return w.received(t, "61491570157") == 1 && w.received(t, "olivia@example.com") == 1 })
	w.Until(t, "the old messages are given up", func() bool { return w.suppressed(t, event.OverCorrected) == 2 })
	if n := w.received(t, old.Email) + w.received(t, *old.Mobile); n != 0 {
		t.Errorf("%d messages reached the old addresses", n)
	}

	phone := person(t)
	phone.Do(emulation.SetDeviceMetricsOverride(360, 740, 1, true), chromedp.Navigate(before))
	w.look(phone, "superseded", "This link was replaced")
	phone.sign(w.newest(t, "61491570157"))
	w.Until(t, "she has signed", func() bool { return w.person(t, document, "Olivia").Status == "complete" })
	w.noErrors(b)
}

// correctRita corrects a person for the messages of Signrelay, because Clickwrap's API cannot change her. The text and the e-mail do not arrive.
func (w correction) correctRita(t *testing.T) {
	w.InjectFault(t, `{"target":"smtp","mode":"550"}`)
	document := w.Play(t, "clickwrap", "lost-text")[0]
	const subject = `Rita Moss could not be reached about "Volunteer Agreement"`
	w.Until(t, "the sender has a message", func() bool { return w.mailed(t, subject) })
	before := w.shortLink(t, "sms", document)
	b := person(t)
	w.openMail(t, b, subject)
	b.Do(chromedp.Click("main button", chromedp.ByQuery), chromedp.WaitVisible("#first_name", chromedp.ByQuery))
	w.look(b, "form-messages", "Correct this person")
	b.fill(map[string]string{"email": "rita@example.com", "mobile": "(317) 555-0188"})
	w.awaitCorrected(t, b)
	w.Until(t, "the invitation arrives at the new number", func() bool { return w.received(t, "13175550188") == 1 })
	if n := w.received(t, "13175550199") + w.received(t, "rita.moss@example.com"); n != 0 {
		t.Errorf("%d messages reached the old addresses", n)
	}
	if status, page := fetched(t, before); status != http.StatusGone || !strings.Contains(page, "This link was replaced") {
		t.Errorf("the old link: %d %s", status, page)
	}
	person(t).sign(w.newest(t, "13175550188"))
	w.Until(t, "the completion arrives at the new number", func() bool { return w.received(t, "13175550188") == 2 })
	if n := w.received(t, "13175550199") + w.received(t, "rita.moss@example.com"); n != 0 {
		t.Errorf("%d messages reached the old addresses after the signature", n)
	}
	w.noErrors(b)
}

// person opens a browser that does not say that a program controls it: a robot sees only a button.
func person(t *testing.T) desktop {
	t.Helper()
	b := newBrowser(t)
	b.Do(emulation.SetUserAgentOverride(usual))
	return b
}

// usual is the User-Agent of a browser.
const usual = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// awaitCorrected waits until the page says that the person is corrected.
func (w correction) awaitCorrected(t *testing.T, b desktop) {
	t.Helper()
	w.Until(t, "the page says that the person is corrected", func() bool {
		is := b.shown("main")
		if b.value("email") != "" {
			t.Fatalf("the order was not accepted: %s", is)
		}
		return strings.HasPrefix(is, "The person is corrected")
	})
}

// openMail opens a mail on the sandbox's page, and clicks on its link.
func (w correction) openMail(t *testing.T, b desktop, subject string) {
	t.Helper()
	var mail string
	b.Do(chromedp.Navigate(w.SandboxURL+"/"), chromedp.Evaluate(fmt.Sprintf(
		`[...document.querySelectorAll(".email")].find((e) => e.querySelector("h3").innerText == %q).querySelector("a[href^='/emails/']").href`, subject), &mail))
	b.Do(chromedp.Navigate(mail), chromedp.Click(`a[href*="/l/"]`, chromedp.ByQuery), chromedp.WaitVisible("main button", chromedp.ByQuery))
}

// fill changes fields of the form, submits it, and waits for the next page.
func (b desktop) fill(fields map[string]string) {
	b.T.Helper()
	for name, value := range fields {
		b.Do(chromedp.Evaluate(fmt.Sprintf(`document.getElementById(%q).value = %q`, name, value), nil))
	}
	b.Do(stay, chromedp.Click(`form:has([value=save]) button`, chromedp.ByQuery))
	for b.stayed() {
		b.Do(chromedp.Sleep(10 * time.Millisecond))
	}
	b.Do(chromedp.WaitVisible("h1", chromedp.ByQuery))
}

// value returns the value of a field now; empty if the page has none.
func (b desktop) value(field string) (is string) {
	b.T.Helper()
	b.Do(chromedp.Evaluate(fmt.Sprintf(`(document.getElementById(%q) || {value: ""}).value`, field), &is))
	return is
}

// sign opens a link as a signer does, and signs on the provider's page.
func (b desktop) sign(link string) {
	b.T.Helper()
	b.Do(chromedp.Navigate(link))
	if b.shown("button[value=sign]") == "" {
		b.Do(chromedp.Click("main button", chromedp.ByQuery))
	}
	b.Do(chromedp.Click("button[value=sign]", chromedp.ByQuery), chromedp.WaitNotPresent("button[value=sign]", chromedp.ByQuery))
}

// look requires that the page shows texts, fits at each size, and has no serious fault that axe-core finds, in both colour schemes. With a folder in
// SIGNRELAY_TEST_SCREENSHOTS it stores a picture of each.
func (w correction) look(b desktop, name string, want ...string) {
	b.T.Helper()
	for _, text := range want {
		if shown := b.shown("body"); !strings.Contains(shown, text) {
			b.T.Errorf("%s does not show %q: %s", name, text, shown)
		}
	}
	for _, width := range []int64{1280, 360} {
		for _, scheme := range []string{"light", "dark"} {
			b.Do(
				emulation.SetDeviceMetricsOverride(width, 740, 1, width < 500),
				emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
			)
			var is int64
			b.Do(chromedp.Evaluate(`document.documentElement.scrollWidth`, &is))
			if is > width {
				b.T.Errorf("%s is %d pixels wide at %d", name, is, width)
			}
			for _, fault := range b.faults(w.axe) {
				b.T.Errorf("%s, %d pixels, %s: %s", name, width, scheme, fault)
			}
			if folder := os.Getenv("SIGNRELAY_TEST_SCREENSHOTS"); folder != "" {
				b.screenshot(filepath.Join(folder, fmt.Sprintf("correct-%s-%d-%s.png", name, width, scheme)))
			}
		}
	}
}

// noErrors requires that the consoles of the browsers have no errors.
func (correction) noErrors(all ...desktop) {
	for _, b := range all {
		b.T.Helper()
		for _, text := range b.Errors() {
			b.T.Errorf("the browser's console: %s", text)
		}
	}
}

// mail returns the message with a subject.
func (w correction) mail(t *testing.T, subject string) testenv.Message {
	t.Helper()
	for _, m := range w.Messages(t) {
		if m.Subject == subject {
			return m
		}
	}
	return testenv.Message{}
}

func (w correction) mailed(t *testing.T, subject string) bool {
	t.Helper()
	return w.mail(t, subject).To == "sender@signrelay.example"
}

// received returns the number of messages that an address or number received.
func (w correction) received(t *testing.T, to string) (n int) {
	t.Helper()
	for _, m := range w.Messages(t) {
		if m.To == to {
			n++
		}
	}
	return n
}

// newest returns the link in the newest message to an address or number.
func (w correction) newest(t *testing.T, to string) string {
	t.Helper()
	for _, m := range slices.Backward(w.Messages(t)) {
		if at := strings.Index(m.Text, "http"); m.To == to && at >= 0 {
			return strings.Fields(m.Text[at:])[0]
		}
	}
	t.Fatalf("no link came to %s", to)
	return ""
}

// psPerson is a recipient of PleaseSign.
type psPerson struct {
	ID        string  `json:"id"`
	FirstName string  `json:"first_name"`
	LastName  string  `json:"last_name"`
	Email     string  `json:"email"`
	Mobile    *string `json:"mobile"`
	Status    string  `json:"status"`
}

// person returns a recipient of a document as PleaseSign has the person now.
func (w correction) person(t *testing.T, document, firstName string) psPerson {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.SandboxURL+"/document/"+document, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Pleasesign-Key", "demo-key")
	r.Header.Set("X-Pleasesign-Secret", "demo-secret")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var is struct {
		Recipients []psPerson `json:"recipients"`
	}
	if err := json.NewDecoder(response.Body).Decode(&is); err != nil {
		t.Fatal(err)
	}
	for _, one := range is.Recipients {
		if one.FirstName == firstName {
			return one
		}
	}
	t.Fatalf("%s is not among %+v", firstName, is.Recipients)
	return psPerson{}
}

// shortLink returns the short link of the newest message about a document on a channel, which may not have arrived.
func (w correction) shortLink(t *testing.T, channel, document string) string {
	t.Helper()
	stream, err := w.JetStream(t).Stream(t.Context(), flow.Notify)
	if err != nil {
		t.Fatal(err)
	}
	provider := "clickwrap"
	if strings.HasPrefix(document, "PLSDOC") {
		provider = "pleasesign"
	}
	m, err := stream.GetLastMsgForSubject(t.Context(), flow.SendSubject(channel, "demo", provider, document))
	if err != nil {
		t.Fatal(err)
	}
	n, err := notification.Decode(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	return n.GetLink().GetShort()
}

// suppressed returns the number of messages that were not sent for a reason.
func (w correction) suppressed(t *testing.T, reason string) (n int) {
	t.Helper()
	log := event.Log{JS: w.JetStream(t), Stream: flow.Signing}
	for m, err := range log.Messages(t.Context(), event.TypeFilter(event.NotificationSuppressed), time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e, err := event.Decode(m.Data); err == nil && e.GetNotice().GetReason() == reason {
			n++
		}
	}
	return n
}

// faults returns the number of calls of a target that the sandbox will still fail.
func (w correction) faults(t *testing.T, target string) (n int) {
	t.Helper()
	var all []struct {
		Target string `json:"target"`
		Count  int    `json:"count"`
	}
	_, body := fetched(t, w.SandboxURL+"/api/faults")
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if one.Target == target {
			n += one.Count
		}
	}
	return n
}

func (w correction) clearFaults(t *testing.T) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, w.SandboxURL+"/api/faults", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
}

// fetched returns the page of an address, with any status.
func fetched(t *testing.T, address string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", usual)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(read)
}
