package smssender_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssender "github.com/signrelay/signrelay/services/sms-sender"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

const secret = "the-api-secret"

func settings(baseURL string) config.Config {
	cfg := config.Config{Limits: config.Limits{Countries: []string{"US"}}}
	*smssettings.VonageSection.In(&cfg) = smssettings.Vonage{
		APIKey: "abcd1234", APISecret: secret, From: "Acme", BaseURL: baseURL, Timeout: 500 * time.Millisecond, PerSecond: 1000,
	}
	shortenersettings.Section.In(&cfg).PublicURL = "https://sign.acme.example"
	return cfg
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

func TestOneSMSAndItsEvent(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	const id = "0123456789abcdefghijklmnop"
	v.responses[id] = []http.HandlerFunc{statuses("0", "0")}
	b.Start(smssender.RunSoon)
	publish(t, b, invitation(id))

	m := b.Await(flow.Signing, "signing.v1.*.*.notification.>", 1)[0]
	if m.Subject() != "signing.v1.acme.clickwrap.notification.sent.doc1" {
		t.Errorf("subject %s", m.Subject())
	}
	e := decode(t, m)
	want := &signingv1.Notice{NotificationId: id, Kind: "invitation", Channel: "sms", Reference: "0A000000", Parts: 2, EventId: "the-event", Price: "0.06"}
	want.Template = e.GetNotice().GetTemplate()
	if e.GetNotice().String() != want.String() {
		t.Errorf("notice %v, want %v", e.GetNotice(), want)
	}
	if e.GetId() != event.DerivedID(id, "sms-sender", "sent") || e.GetRecipient().GetId() != "s1" || e.GetRecipient().GetMobile() != "" ||
		e.GetVerification() != signingv1.Verification_VERIFICATION_INTERNAL || e.GetOccurredAt() == nil {
		t.Errorf("event %v", e)
	}
	form := url.Values{
		"api_key": {"abcd1234"}, "api_secret": {secret}, "from": {"Acme"}, "to": {"13175551234"}, "type": {"text"}, "client-ref": {id},
		"text": {`You've been sent "PS Employment Agreement" by PactSafe. Please review & sign: https://sign.acme.example/l/abc To get no more texts, ask PactSafe.`},
	}
	if got := v.calls(id); len(got) != 1 || !reflect.DeepEqual(got[0], form) {
		t.Errorf("forms %v, want one %v", got, form)
	}
	b.NeverLogged("3175551234", secret, "sign.acme.example", "PactSafe")
}

// The log has what was sent, if the source's settings keep it: the text without the code of its link, and its template.
func TestTheLogKeepsWhatWasSent(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	const code = "AbCdEfGhIjKlMns"
	var sent []*notifyv1.Notification
	for i, keep := range []bool{true, false} {
		n := invitation(fmt.Sprintf("%d123456789abcdefghijklmnop", i))
		n.KeepText, n.Link.Short = keep, "https://sign.acme.example/l/"+code
		v.responses[n.GetId()] = []http.HandlerFunc{statuses("0")}
		sent = append(sent, n)
	}
	b.Start(smssender.RunSoon)
	for _, n := range sent {
		publish(t, b, n)
	}
	for _, m := range b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 2) {
		got := decode(t, m).GetNotice()
		text := ""
		if got.GetNotificationId()[0] == '0' {
			text = `You've been sent "PS Employment Agreement" by PactSafe. Please review & sign: https://sign.acme.example/l/… To get no more texts, ask PactSafe.`
		}
		if got.GetText() != text || got.GetSubject() != "" || !strings.HasPrefix(got.GetTemplate(), "en/invitation.sms@") || got.GetPrice() != "0.03" {
			t.Errorf("%v", got)
		}
		if strings.Contains(string(m.Data()), code) {
			t.Error("the link's code is in the log")
		}
	}
	b.NeverLogged(code, "PS Employment")
}

func TestTextOutsideGSM7IsUnicode(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	v.responses["n1"] = []http.HandlerFunc{statuses("0")}
	b.Start(smssender.RunSoon)
	n := invitation("n1")
	n.DocumentTitle = "Umowa Łukasza"
	publish(t, b, n)
	b.Await(flow.Signing, "signing.v1.*.*.notification.>", 1)
	if form := v.calls("n1")[0]; form.Get("type") != "unicode" || !strings.Contains(form.Get("text"), "Łukasza") {
		t.Errorf("form %v", form)
	}
}

// pausesOnly records pauses, so that they do not delay the other messages of the same test.
type pausesOnly struct {
	limit.Limiter
	mu     sync.Mutex
	pauses []time.Duration
}

func (p *pausesOnly) Pause(_ context.Context, _ string, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pauses = append(p.pauses, d)
	return nil
}

func (p *pausesOnly) sorted() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(slices.Values(p.pauses))
}

// Each response of the API on the wire, and the state of its claim: confirmed (the message was sent), undone (it certainly was not sent), or
// unknown. An accepted message comes between them, so that the circuit stays closed.
func TestResponses(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	pauses := &pausesOnly{Limiter: b.Env.Limits}
	b.Env.Limits = pauses
	ends := b.RecordEnds()
	want := map[string]string{}
	add := func(id, how string, responses ...http.HandlerFunc) {
		v.responses[id] = append(responses, statuses("0"))
		want[id] = how
	}
	add("sent", "confirmed", statuses("0"))
	add("mixed", "confirmed", statuses("0", "9"))
	add("throttled", "undone", statuses("1"), statuses("0"))
	add("internal-error", "unknown", statuses("5"))
	add("invalid", "undone", statuses("6"))
	add("too-many-binds", "undone", statuses("10"), statuses("0"))
	add("empty-object", "unknown", responds(`{}`))
	add("no-messages", "unknown", responds(`{"message-count":"0","messages":[]}`))
	add("numbers", "unknown", responds(`{"message-count":1,"messages":[{"status":0}]}`))
	add("garbage", "unknown", responds(`<html>`))
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
	add("500", "unknown", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	add("503", "undone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	add("502", "unknown", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	b.Start(smssender.RunSoon)
	for id, how := range want {
		publish(t, b, invitation(id))
		if got := ends.Of(t, id); got != how {
			t.Errorf("%s ended %s, want %s", id, got, how)
		}
		publish(t, b, invitation("after-"+id))
		if got := ends.Of(t, "after-"+id); got != "confirmed" {
			t.Errorf("the outcome of the message after %s is %s", id, got)
		}
	}
	if got, want := pauses.sorted(), []time.Duration{time.Second, time.Second, 60 * time.Second}; !slices.Equal(got, want) {
		t.Errorf("pauses of %v, want %v: one for each response that requests fewer calls", got, want)
	}
	b.NeverLogged("3175551234", secret, "sign.acme.example")
}

// An error that the operator must fix is not counted as an attempt of the message, which was certainly not sent. The log reports that
// the message waits, and the fault. When the operator has fixed the error, the sender sends the message.
func TestAMessageThatNeedsTheOperatorIsHeld(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		response http.HandlerFunc
		reason   string
	}{
		"credentials": {statuses("4"), "bad-credentials"},
		"no credit":   {statuses("9"), "quota-exceeded"},
		"sender":      {statuses("15"), "invalid-sender"},
		"401":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "http-401"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, "http-307"},
		"in the body of a 500": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte(`{"message-count":"1","messages":[{"status":"4","error-text":"Bad Credentials"}]}`))
		}, "bad-credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVonage(t)
			b := servicetest.New(t, settings(v.URL))
			v.responses["n1"] = []http.HandlerFunc{test.response}
			ends := b.RecordEnds()
			b.Start(smssender.RunSoon)
			publish(t, b, invitation("n1"))
			e := decode(t, b.Await(flow.Signing, "signing.v1.*.*.notification.deferred.>", 1)[0])
			if how := ends.Of(t, "n1"); how != "undone" || e.GetNotice().GetReason() != test.reason || e.GetNotice().GetFault() != "operator" {
				t.Errorf("ended %s, notice %v", how, e.GetNotice())
			}
			b.NeverLogged("3175551234", secret, "sign.acme.example")
		})
	}
}

func TestNothingIsSentWithoutAConnection(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	b := servicetest.New(t, settings(closed.URL))
	ends := b.RecordEnds()
	b.Start(smssender.RunSoon)
	publish(t, b, invitation("n1"))
	if got := ends.First(t, 1)["n1"]; got != "undone" {
		t.Errorf("the outcome is %s, want undone", got)
	}
}

func TestAThrottledMessageIsSentLater(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	v.responses["n1"] = []http.HandlerFunc{throttles("1"), statuses("1"), statuses("0")}
	b.Start(smssender.RunSoon)
	publish(t, b, invitation("n1"))
	e := decode(t, b.Await(flow.Signing, "signing.v1.*.*.notification.>", 1)[0])
	if len(v.calls("n1")) != 3 || e.GetNotice().GetPossibleDuplicate() {
		t.Errorf("%d calls, notice %v", len(v.calls("n1")), e.GetNotice())
	}
}

func TestAMessageThatCannotBeSentIsGivenUpWithItsReason(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	cfg := settings(v.URL)
	shortenersettings.Section.In(&cfg).PublicURL += "/" + strings.Repeat("l", 1500)
	b := servicetest.New(t, cfg)
	v.responses["n1"] = []http.HandlerFunc{statuses("7")}
	b.Start(smssender.RunSoon)
	barred := invitation("n1")
	barred.Kind, barred.Link, barred.DocumentId = notifyv1.Kind_KIND_VOIDED, nil, "doc2" // a voided document has no invitations
	publish(t, b, barred)
	nowhere := invitation("n2")
	nowhere.Kind, nowhere.Link, nowhere.To.Mobile, nowhere.DocumentId = notifyv1.Kind_KIND_VOIDED, nil, "+1 317", "doc2"
	publish(t, b, nowhere)
	linkless := invitation("n3")
	linkless.Link = nil
	publish(t, b, linkless)
	endless := invitation("n4")
	endless.Link.Short = shortenersettings.Section.Of(cfg).PublicURL + "/l/abc"
	publish(t, b, endless)

	reasons := map[string]string{}
	for _, m := range b.Await(flow.Signing, "signing.v1.acme.clickwrap.notification.failed.>", 4) {
		e := decode(t, m)
		reasons[e.GetNotice().GetNotificationId()] = e.GetNotice().GetReason()
	}
	want := map[string]string{"n1": "number-barred", "n2": "number-malformed", "n3": "not-renderable", "n4": "message-too-long"}
	if !reflect.DeepEqual(reasons, want) {
		t.Errorf("reasons %v, want %v", reasons, want)
	}
	b.Await(flow.DLQ, "dlq.v1.>", 4)
	if len(v.calls("n2"))+len(v.calls("n3"))+len(v.calls("n4")) != 0 {
		t.Error("a message that cannot be sent was sent")
	}
}

// busy is a limiter whose first slot is later than a message may wait.
type busy struct {
	limit.Limiter
	mu        sync.Mutex
	requested []string
}

func (f *busy) Take(ctx context.Context, key string, rate limit.Rate, timeout time.Duration) (time.Duration, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requested = append(f.requested, fmt.Sprintf("%s %v %v", key, rate, timeout))
	if len(f.requested) == 1 {
		return 50 * time.Millisecond, false, nil
	}
	return f.Limiter.Take(ctx, key, rate, timeout)
}

// A message beyond the account's rate limit was certainly not sent. It is sent when there is a slot for it.
func TestAMessageOverTheRateIsSentLater(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, awaiting(v.URL))
	limiter := &busy{Limiter: b.Env.Limits}
	b.Env.Limits = limiter
	ends := b.RecordEnds()
	b.Start(smssender.RunSoon)
	publish(t, b, invitation("n1"))
	if how := ends.First(t, 1)["n1"]; how != "undone" {
		t.Errorf("the state of the claim is %s, want undone", how)
	}
	e := decode(t, b.Await(flow.Signing, "signing.v1.*.*.notification.>", 1)[0])
	if e.GetType() != "notification.sent" || e.GetNotice().GetPossibleDuplicate() || len(v.calls("n1")) != 1 {
		t.Errorf("%d calls, event %v", len(v.calls("n1")), e)
	}
	limiter.mu.Lock()
	defer limiter.mu.Unlock()
	if got := limiter.requested; len(got) != 2 || got[0] != got[1] || !strings.HasSuffix(got[0], " {1000 1s 1} 2s") || strings.Contains(got[0], "abcd1234") {
		t.Errorf("requested for %q", got)
	}
}

func TestPartsAreCounted(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	v.responses["n1"] = []http.HandlerFunc{statuses("0", "0", "0")}
	v.responses["n2"] = []http.HandlerFunc{statuses("7")}
	b.Start(smssender.RunSoon)
	publish(t, b, invitation("n1"))
	publish(t, b, invitation("n2"))
	b.Await(flow.Signing, "signing.v1.*.*.notification.>", 2)
	if got := counted(t, b, "signrelay_sms_parts_total", "clickwrap acme"); got != 3 {
		t.Errorf("%v parts, want 3", got)
	}
}

// counted returns the value of a counter with these values of its labels, in the order of their names.
func counted(t *testing.T, b *servicetest.Bench, name, labels string) float64 {
	t.Helper()
	families, err := b.Env.Metrics.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if strings.Join(values, " ") == labels {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}
