package console_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// The pages of a bad day: Vonage refuses our account, the mail server has refused messages, callbacks cannot be read, and a job runs. They are
// accessible, fit a phone, and their first view is small. The pictures of docs/console.md are of these pages (make screenshots).
func TestBusyPagesAreAccessible(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	b := newBrowser(t)
	h := testenv.Standalone(t)
	home := "http://" + h.Address("SIGNRELAY_CONSOLE_ADDR")
	for _, story := range [][2]string{{"clickwrap", "two-signers"}, {"pleasesign", "one-signer"}, {"pleasesign", "declined"}, {"clickwrap", "lost-text"}} {
		h.Play(t, story[0], story[1])
	}
	h.WaitIdle(t)
	h.InjectFault(t, `{"target":"vonage","mode":"4","count":1000}`)
	stuck := h.Play(t, "clickwrap", "seed")[1] // one of two has signed
	h.Play(t, "pleasesign", "two-signers")
	giveUpMany(t, h, "attempts-exhausted", 0, 4)
	giveUpMany(t, h, "smtp-550", 10, 2)
	giveUpMany(t, h, "permanent", 100, 900) // for the job, which drops one a second
	quarantine(t, h)
	job := "/jobs/" + startJob(t, home)
	path := "/documents/clickwrap/demo/" + url.PathEscape(stuck)
	h.Until(t, "the texts of the document are held", func() bool { return strings.Contains(b.textAt(home+path), "bad-credentials") })
	h.Until(t, "the index has the held texts", func() bool { return strings.Contains(b.textAt(home+"/documents?untold=1"), "Employment Agreement") })
	h.Until(t, "the console has looked at the held texts", func() bool { return strings.Contains(b.textAt(home+"/"), "held") })
	pages := []visited{
		{"flow", "/", "bad-credentials"},
		{"documents", "/documents", "Not notified"},
		{"search", "/documents?q=sam", "Sam Lee"},
		{"document", path, "Who has not been notified, and why"},
		{"resend", path + "?do=resend", "What would happen"},
		{"stuck", "/stuck", "By reason and stage"},
		{"plan", "/stuck?what=dead&reason=attempts-exhausted&which=match&do=replay", "Nothing has been done yet"},
		{"job", job, "Running"},
		{"source", "/sources/clickwrap/demo", "The last authentic callback came"},
		{"insight", "/insight", "Where people are lost"},
	}
	b.visit(axe, home, pages)
	for _, p := range pages {
		firstView(t, b, home+p.path)
	}
}

// firstView requires that a page and what it loads are at most 150 kB on the wire, without a cache, and logs the time until the reader sees it.
func firstView(t *testing.T, b desktop, address string) {
	t.Helper()
	var body string
	get := func(address string) (size int) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Accept": {"text/html"}, "Accept-Encoding": {"gzip"}, "Sec-Fetch-Site": {"none"}} // as a browser does for an address that was typed
		response, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		data, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v, status %d", address, err, response.StatusCode)
		}
		if response.Header.Get("Content-Encoding") != "gzip" && len(data) > 2000 {
			t.Errorf("%s is not compressed: %d bytes", address, len(data))
		}
		body = string(data)
		return len(data)
	}
	size := get(address)
	body = page(t, address) // as text
	assets := 0
	base, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(body, `"`) {
		if strings.HasPrefix(part, "/assets/") {
			assets += get(base.Scheme + "://" + base.Host + part)
		}
	}
	if assets == 0 || size+assets > 150_000 {
		t.Errorf("the first view of %s has %d bytes, %d of them for the page", base.Path, size+assets, size)
	}
	var painted float64
	b.Do(chromedp.Navigate("about:blank"), chromedp.Navigate(address))
	b.Do(chromedp.Evaluate(`performance.getEntriesByType("navigation")[0].loadEventStart`, &painted)) // the page and its style are there
	t.Logf("first view of %s: %d bytes, %d of them for the page; complete after %.0f ms", base.Path, size+assets, size, painted)
}

// giveUpMany stores dead letters of e-mails.
func giveUpMany(t *testing.T, h *testenv.Env, reason string, first, count int) {
	t.Helper()
	js, at := h.JetStream(t), timestamppb.New(time.Now().Add(-40*time.Minute))
	for n := first; n < first+count; n++ {
		to := []string{"Walter", "Mara", "Yusuf"}[n%3]
		m := &notifyv1.Notification{
			Id: fmt.Sprint("m", n), EventId: fmt.Sprint("cause-m", n), Source: "demo", Provider: "pleasesign", DocumentId: fmt.Sprintf("PLSDOC%08d", min(n, 100)), DocumentTitle: "Lease",
			Kind: notifyv1.Kind_KIND_INVITATION, Channel: notifyv1.Channel_CHANNEL_EMAIL, OccurredAt: at, RecordedAt: at,
			To: &notifyv1.Person{RecipientId: fmt.Sprint("p", n), FirstName: to, LastName: "Bishop", Email: strings.ToLower(to) + ".bishop@example.com"},
		}
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		_, err = js.PublishMsgAsync(&nats.Msg{Subject: "dlq.v1.email-sender", Data: data, Header: nats.Header{
			"Signrelay-Dlq-Stage": {"email-sender"}, "Signrelay-Dlq-Reason": {reason}, "Signrelay-Dlq-Fault": {map[bool]string{true: "recipient", false: "provider"}[reason == "smtp-550"]},
			"Signrelay-Dlq-Attempts": {map[bool]string{true: "151", false: "1"}[reason == "attempts-exhausted"]}, "Signrelay-Dlq-Id": {m.GetId()}, "Signrelay-Dlq-Stream": {"NOTIFY"},
			"Signrelay-Dlq-Sequence": {strconv.Itoa(1000 + n)}, "Signrelay-Dlq-Subject": {notification.SendSubject(m)}, "Signrelay-Dlq-Header-Nats-Msg-Id": {m.GetId()},
			"Nats-Msg-Id": {"dead-" + m.GetId()},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-t.Context().Done():
	}
}

// quarantine stores a callback that cannot be read.
func quarantine(t *testing.T, h *testenv.Env) {
	t.Helper()
	_, err := h.JetStream(t).PublishMsg(t.Context(), &nats.Msg{Subject: "quarantine.v1.demo.pleasesign.not-json", Data: []byte(`{"event": "recipient.complete", `), Header: nats.Header{
		"Signrelay-Source": {"demo"}, "Signrelay-Provider": {"pleasesign"}, "Signrelay-Method": {"POST"}, "Signrelay-Reason": {"not-json"}, "Signrelay-Header": {`{"Content-Type":["application/json"]}`},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// startJob drops the dead letters with the reason permanent, one a second, and returns the job's id.
func startJob(t *testing.T, home string) string {
	t.Helper()
	call := func(method, path, token string, form url.Values, into any) {
		r, err := http.NewRequestWithContext(t.Context(), method, home+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}, "Signrelay-Token": {token}}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if err := json.NewDecoder(response.Body).Decode(into); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v, status %d", path, err, response.StatusCode)
		}
	}
	var plan struct {
		Token string `json:"token"`
		Form  string `json:"form_token"`
	}
	call(http.MethodGet, "/stuck?what=dead&reason=permanent&which=match&do=drop&rate=1", "", nil, &plan)
	var job struct{ ID string }
	call(http.MethodPost, "/stuck?do=drop", plan.Form, url.Values{"plan": {plan.Token}, "why": {"duplicates of ticket 4711"}}, &job)
	return job.ID
}
