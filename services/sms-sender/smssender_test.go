package smssender_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	smssender "github.com/signrelay/signrelay/services/sms-sender"
)

// vonage stands in for the SMS API at the level of HTTP. What it does is told for each message by its client-ref.
type vonage struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	answers map[string][]http.HandlerFunc // of the calls in turn, the last for ever
	forms   map[string][]url.Values
}

func newVonage(t *testing.T) *vonage {
	t.Helper()
	v := &vonage{t: t, answers: map[string][]http.HandlerFunc{}, forms: map[string][]url.Values{}}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *vonage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/sms/json" || r.ParseForm() != nil {
		v.t.Errorf("unexpected %s %s", r.Method, r.URL.Path)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	ref := r.PostForm.Get("client-ref")
	v.mu.Lock()
	v.forms[ref] = append(v.forms[ref], r.PostForm)
	answers := v.answers[ref]
	answer := answers[min(len(v.forms[ref]), len(answers))-1]
	v.mu.Unlock()
	answer(w, r)
}

func (v *vonage) calls(ref string) []url.Values {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.forms[ref]
}

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}
}

// statuses is the API's answer with one part for each status.
func statuses(all ...string) http.HandlerFunc {
	var parts []string
	for i, s := range all {
		parts = append(parts, fmt.Sprintf(`{"to":"13175551234","message-id":"0A00000%d","status":%q,"remaining-balance":"3.14","message-price":"0.03","network":"12345","error-text":"of 13175551234"}`, i, s))
	}
	return says(fmt.Sprintf(`{"message-count":"%d","messages":[%s]}`, len(all), strings.Join(parts, ",")))
}

func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func drops(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func throttles(retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

const secret = "the-api-secret"

func settings(baseURL string) config.Config {
	return config.Config{SMS: config.SMS{Vonage: config.Vonage{
		APIKey: "abcd1234", APISecret: secret, From: "Acme", BaseURL: baseURL, Timeout: 500 * time.Millisecond,
	}}}
}

func invitation(id string) *notifyv1.Notification {
	return &notifyv1.Notification{
		Id: id, EventId: "the-event", Source: "acme", Provider: "clickwrap", DocumentId: "doc1",
		DocumentTitle: "PS Employment Agreement", SenderName: "PactSafe", Locale: "en",
		Kind: notifyv1.Kind_KIND_INVITATION, Channel: notifyv1.Channel_CHANNEL_SMS,
		To:   &notifyv1.Person{RecipientId: "s1", Mobile: "+13175551234"},
		Link: &notifyv1.Link{Target: "https://provider.example/secret", Short: "https://sign.acme.example/l/abc"},
	}
}

func publish(t *testing.T, b *servicetest.Bench, n *notifyv1.Notification) {
	t.Helper()
	b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
}

func decode(t *testing.T, m jetstream.Msg) *signingv1.SigningEvent {
	t.Helper()
	e, err := event.Decode(m.Data())
	if err != nil {
		t.Fatal(err)
	}
	if id := m.Headers().Get("Nats-Msg-Id"); id != e.GetId() {
		t.Errorf("Nats-Msg-Id %s, event %s", id, e.GetId())
	}
	return e
}

func TestOneSMSAndTheLogHearsOfIt(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	const id = "0123456789abcdefghijklmnop"
	v.answers[id] = []http.HandlerFunc{statuses("0", "0")}
	b.Start(smssender.Run)
	publish(t, b, invitation(id))

	m := b.Await(flow.Signing, "signing.v1.>", 1)[0]
	if m.Subject() != "signing.v1.acme.clickwrap.notification.sent.doc1" {
		t.Errorf("subject %s", m.Subject())
	}
	e := decode(t, m)
	want := &signingv1.Notice{NotificationId: id, Kind: "invitation", Channel: "sms", Reference: "0A000000", Parts: 2, EventId: "the-event"}
	if e.GetNotice().String() != want.String() {
		t.Errorf("notice %v, want %v", e.GetNotice(), want)
	}
	if e.GetId() != event.DerivedID(id, "sms-sender", "sent") || e.GetRecipient().GetId() != "s1" || e.GetRecipient().GetMobile() != "" ||
		e.GetVerification() != signingv1.Verification_VERIFICATION_INTERNAL || e.GetOccurredAt() == nil {
		t.Errorf("event %v", e)
	}
	form := url.Values{
		"api_key": {"abcd1234"}, "api_secret": {secret}, "from": {"Acme"}, "to": {"13175551234"}, "type": {"text"}, "client-ref": {id},
		"text": {`You've been sent "PS Employment Agreement" by PactSafe. Please review & sign: https://sign.acme.example/l/abc`},
	}
	if got := v.calls(id); len(got) != 1 || !reflect.DeepEqual(got[0], form) {
		t.Errorf("forms %v, want one %v", got, form)
	}
	b.NeverLogged("3175551234", secret, "sign.acme.example", "PactSafe")
}

func TestTextOutsideTheAlphabetIsUnicode(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	v.answers["n1"] = []http.HandlerFunc{statuses("0")}
	b.Start(smssender.Run)
	n := invitation("n1")
	n.DocumentTitle = "Umowa Łukasza"
	publish(t, b, n)
	b.Await(flow.Signing, "signing.v1.>", 1)
	if form := v.calls("n1")[0]; form.Get("type") != "unicode" || !strings.Contains(form.Get("text"), "Łukasza") {
		t.Errorf("form %v", form)
	}
}

// Each of the API's answers, on the wire, and how its claim ends: confirmed (the message went), undone (it certainly did
// not), or unknown.
func TestAnswers(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	ends := b.RecordEnds()
	want := map[string]string{}
	add := func(id, how string, answers ...http.HandlerFunc) {
		v.answers[id] = answers
		want[id] = how
	}
	add("sent", "confirmed", statuses("0"))
	add("mixed", "confirmed", statuses("0", "9"))
	add("throttled", "undone", statuses("1"))
	add("bad-credentials", "undone", statuses("4"))
	add("internal-error", "unknown", statuses("5"))
	add("invalid", "undone", statuses("6"))
	add("no-credit", "undone", statuses("9"))
	add("too-many-binds", "undone", statuses("10"))
	add("empty-object", "unknown", says(`{}`))
	add("no-messages", "unknown", says(`{"message-count":"0","messages":[]}`))
	add("numbers", "unknown", says(`{"message-count":1,"messages":[{"status":0}]}`))
	add("garbage", "unknown", says(`<html>`))
	add("no-type", "unknown", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte("OK"))
	})
	add("hang", "unknown", hangs)
	add("dropped", "unknown", drops)
	add("cut", "unknown", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "500")
		_, _ = w.Write([]byte(`{"message-count":"1","messages":[{"status":"0"`))
	})
	add("429", "undone", throttles("60"))
	add("503", "undone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	add("502", "unknown", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	add("redirect", "undone", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	b.Start(smssender.Run)
	for id := range want {
		publish(t, b, invitation(id))
	}
	if got := ends.First(t, len(want)); !reflect.DeepEqual(got, want) {
		for id := range want {
			if got[id] != want[id] {
				t.Errorf("%s ended %s, want %s", id, got[id], want[id])
			}
		}
	}
	b.NeverLogged("3175551234", secret, "sign.acme.example")
}

func TestNothingIsSentWithoutAConnection(t *testing.T) {
	t.Parallel()
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	b := servicetest.New(t, settings(nobody.URL))
	ends := b.RecordEnds()
	b.Start(smssender.Run)
	publish(t, b, invitation("n1"))
	if got := ends.First(t, 1)["n1"]; got != "undone" {
		t.Errorf("ended %s, want undone", got)
	}
}

func TestThrottledMessageGoesWhenItsTimeHasCome(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	v.answers["n1"] = []http.HandlerFunc{throttles("1"), statuses("1"), statuses("0")}
	b.Start(smssender.Run)
	publish(t, b, invitation("n1"))
	e := decode(t, b.Await(flow.Signing, "signing.v1.>", 1)[0])
	if len(v.calls("n1")) != 3 || e.GetNotice().GetPossibleDuplicate() {
		t.Errorf("%d calls, notice %v", len(v.calls("n1")), e.GetNotice())
	}
}

func TestAnUnknownOutcomeIsSentAgainAndMarked(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	v.answers["n1"] = []http.HandlerFunc{drops, statuses("1"), statuses("0")} // the doubt outlives a certain refusal
	b.Start(smssender.Run)
	publish(t, b, invitation("n1"))
	e := decode(t, b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 1)[0])
	if len(v.calls("n1")) != 3 || !e.GetNotice().GetPossibleDuplicate() {
		t.Errorf("%d calls, notice %v", len(v.calls("n1")), e.GetNotice())
	}
}

// The connection drops after the message was taken; its delivery receipt reaches the log before the next attempt.
func TestAnUnknownOutcomeThatTheLogKnowsIsNotSentAgain(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	receipt := &signingv1.SigningEvent{
		Id: "receipt", Source: "acme", Provider: "clickwrap", Type: notification.DeliveredType,
		Document: &signingv1.Document{Id: "doc1"}, Notice: &signingv1.Notice{NotificationId: "n1", Reference: "0A0000FF", Parts: 1},
	}
	message, err := event.Message(t.Context(), receipt)
	if err != nil {
		t.Fatal(err)
	}
	v.answers["n1"] = []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
		if _, err := b.Env.JS.PublishMsg(r.Context(), message); err != nil {
			t.Error(err)
		}
		drops(w, r)
	}}
	v.answers["n2"] = []http.HandlerFunc{drops, statuses("0")} // the control: nobody knows of this one
	b.Start(smssender.Run)
	publish(t, b, invitation("n1"))
	publish(t, b, invitation("n2"))

	notices := map[string]*signingv1.Notice{}
	for _, m := range b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 2) {
		e := decode(t, m)
		notices[e.GetNotice().GetNotificationId()] = e.GetNotice()
	}
	if n := notices["n1"]; len(v.calls("n1")) != 1 || n.GetReference() != "0A0000FF" || n.GetPossibleDuplicate() {
		t.Errorf("%d calls for n1, notice %v", len(v.calls("n1")), n)
	}
	if n := notices["n2"]; len(v.calls("n2")) != 2 || !n.GetPossibleDuplicate() {
		t.Errorf("%d calls for n2, notice %v", len(v.calls("n2")), n)
	}
}

func TestWhatCannotBeSentIsGivenUpWithItsReason(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	v.answers["n1"] = []http.HandlerFunc{statuses("7")}
	b.Start(smssender.Run)
	publish(t, b, invitation("n1"))
	nowhere := invitation("n2")
	nowhere.To.Mobile = "+1 317"
	publish(t, b, nowhere)
	linkless := invitation("n3")
	linkless.Link = nil
	publish(t, b, linkless)

	reasons := map[string]string{}
	for _, m := range b.Await(flow.Signing, "signing.v1.acme.clickwrap.notification.failed.doc1", 3) {
		e := decode(t, m)
		reasons[e.GetNotice().GetNotificationId()] = e.GetNotice().GetReason()
	}
	if want := map[string]string{"n1": "number-barred", "n2": "number-malformed", "n3": "not-renderable"}; !reflect.DeepEqual(reasons, want) {
		t.Errorf("reasons %v, want %v", reasons, want)
	}
	b.Await(flow.DLQ, "dlq.v1.>", 3)
	if len(v.calls("n2"))+len(v.calls("n3")) != 0 {
		t.Error("something was sent to nowhere")
	}
}
