package smssender_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	smssender "github.com/signrelay/signrelay/services/sms-sender"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

const (
	signing       = "the-signing-secret"
	receiptWithin = 300 * time.Millisecond

	deliveredOnly = "signing.v1.*.*.notification.delivered.>"
	failedOnly    = "signing.v1.*.*.notification.failed.>"
)

// awaiting returns settings with which receipts are accepted.
func awaiting(baseURL string) config.Config {
	c := settings(baseURL)
	c.Sources = []config.Source{{Name: "acme", Provider: "clickwrap"}, {Name: "other", Provider: "pleasesign"}}
	account := smssettings.VonageSection.In(&c)
	account.ReceiptsURL = "https://sign.acme.example"
	account.SignatureSecret, account.SignatureMethod = signing, "sha256"
	account.ReceiptWithin = receiptWithin
	account.Timeout = 15 * time.Second // receipts arrive during a call
	return c
}

// dlr returns a signed receipt of a part, with changes in pairs of name and value.
func dlr(ref, part, status string, changes ...string) url.Values {
	p := url.Values{
		"msisdn": {"13175551234"}, "to": {"Acme"}, "network-code": {"310090"}, "messageId": {part}, "price": {"0.03330000"},
		"status": {status}, "scts": {"2611041019"}, "err-code": {"0"}, "api-key": {"abcd1234"}, "client-ref": {ref},
		"message-timestamp": {"2026-11-04 10:20:30"}, "timestamp": {"1793787630"}, "nonce": {"df2d1ef9-7d0b-4a8f"},
	}
	for i := 0; i < len(changes); i += 2 {
		p.Set(changes[i], changes[i+1])
	}
	mac := hmac.New(sha256.New, []byte(signing))
	for _, name := range slices.Sorted(maps.Keys(p)) {
		mac.Write([]byte("&" + name + "=" + strings.NewReplacer("&", "_", "=", "_").Replace(p.Get(name))))
	}
	p.Set("sig", hex.EncodeToString(mac.Sum(nil)))
	return p
}

// reply is the response to a receipt.
type reply struct {
	status int
	header http.Header
	body   string
}

func ask(t *testing.T, method, address, contentType, body string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return reply{}
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return reply{}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

const asForm, asJSON = "application/x-www-form-urlencoded", "application/json"

func postForm(t *testing.T, base string, p url.Values) reply {
	t.Helper()
	return ask(t, http.MethodPost, base+"/receipts/vonage/acme", asForm, p.Encode())
}

func wantReceipt(t *testing.T, status int, got reply) {
	t.Helper()
	if got.status != status {
		t.Errorf("status %d %s, want %d", got.status, got.body, status)
	}
}

// sent publishes a message and waits until its notification.sent is in the log.
func sent(t *testing.T, b *servicetest.Bench, id string) {
	t.Helper()
	before := b.Count(flow.Signing, "signing.v1.*.*.notification.sent.>")
	publish(t, b, invitation(id))
	b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", before+1)
	b.Settled(flow.SMSSender)
}

func TestTheCallRequestsReceipts(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, awaiting(v.URL))
	b.Start(smssender.RunSoon)
	sent(t, b, "n1")
	form := v.calls("n1")[0]
	if form.Get("callback") != "https://sign.acme.example/receipts/vonage/acme" || form.Get("status-report-req") != "true" {
		t.Errorf("form %v", form)
	}
}

// Each part has a receipt. The message is delivered when its last part is delivered.
func TestAMessageIsDeliveredWithItsLastPart(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, awaiting(v.URL))
	v.responses["n1"] = []http.HandlerFunc{statuses("0", "0", "0")}
	b.Start(smssender.RunSoon)
	base := b.Listen()
	sent(t, b, "n1")

	// Each format that Vonage's dashboard offers.
	first, second, third := dlr("n1", "0A000000", "delivered"), dlr("n1", "0A000001", "delivered"), dlr("n1", "0A000002", "delivered", "message-timestamp", "2026-11-04 10:20:45")
	object := map[string]string{}
	for name := range second {
		object[name] = second.Get(name)
	}
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	wantReceipt(t, 200, ask(t, http.MethodGet, base+"/receipts/vonage/acme?"+first.Encode(), "", ""))
	wantReceipt(t, 200, postForm(t, base, dlr("n1", "0A000002", "accepted")))
	wantReceipt(t, 200, ask(t, http.MethodPost, base+"/receipts/vonage/acme", asJSON+"; charset=utf-8", string(text)))
	wantReceipt(t, 200, postForm(t, base, second)) // again
	if n := b.Count(flow.Signing, deliveredOnly); n != 0 {
		t.Errorf("%d deliveries before the last part's", n)
	}
	got := postForm(t, base, third)
	if wantReceipt(t, 200, got); got.body != `{"status":"recorded"}` {
		t.Errorf("body %s", got.body)
	}
	m := b.Await(flow.Signing, deliveredOnly, 1)[0]
	e := decode(t, m)
	want := &signingv1.Notice{NotificationId: "n1", Kind: "invitation", Channel: "sms", Reference: "0A000000", Parts: 3, EventId: "the-event"}
	if e.GetNotice().String() != want.String() || e.GetId() != event.DerivedID("n1", "sms-sender", "delivered") || m.Subject() != "signing.v1.acme.clickwrap.notification.delivered.doc1" ||
		e.GetRecipient().String() != (&signingv1.Recipient{Id: "s1"}).String() || e.GetVerification() != signingv1.Verification_VERIFICATION_INTERNAL ||
		!e.GetOccurredAt().AsTime().Equal(time.Date(2026, 11, 4, 10, 20, 45, 0, time.UTC)) {
		t.Errorf("event %v on %s", e, m.Subject())
	}

	if got := postForm(t, base, third); got.status != 200 || got.body != `{"status":"repeated"}` {
		t.Errorf("a repeated receipt: %d %s", got.status, got.body)
	}
	wantReceipt(t, 200, postForm(t, base, dlr("n1", "0A000001", "failed"))) // after a final status
	if delivered, failed := b.Count(flow.Signing, deliveredOnly), b.Count(flow.Signing, failedOnly); delivered != 1 || failed != 0 {
		t.Errorf("%d delivered, %d failed", delivered, failed)
	}
	if recorded, again := counted(t, b, "signrelay_receipts_total", "recorded delivered"), counted(t, b, "signrelay_receipts_total", "repeated delivered"); recorded != 3 || again != 2 {
		t.Errorf("%v receipts counted as recorded and %v as repeated, want 3 and 2", recorded, again)
	}
	b.NeverLogged("3175551234", signing, first.Get("sig"), "abcd1234")
}

// The receipts of one message arrive at the same time, at several replicas and connections.
func TestConcurrentReceipts(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, awaiting(v.URL))
	const parts = 8
	v.responses["n1"] = []http.HandlerFunc{statuses(slices.Repeat([]string{"0"}, parts)...)}
	b.Start(smssender.RunSoon)
	base := b.Listen()
	sent(t, b, "n1")
	var all sync.WaitGroup
	for i := range parts {
		all.Go(func() { wantReceipt(t, 200, postForm(t, base, dlr("n1", fmt.Sprintf("0A00000%d", i), "delivered"))) })
	}
	all.Wait()
	if n := b.Count(flow.Signing, deliveredOnly); n != 1 {
		t.Errorf("%d deliveries, want 1", n)
	}
}

func TestTheFirstLostPartFailsTheMessage(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, awaiting(v.URL))
	v.responses["n1"] = []http.HandlerFunc{statuses("0", "0")}
	b.Start(smssender.RunSoon)
	base := b.Listen()
	sent(t, b, "n1")
	wantReceipt(t, 200, postForm(t, base, dlr("n1", "0A000001", "failed", "err-code", "7")))
	e := decode(t, b.Await(flow.Signing, failedOnly, 1)[0])
	want := &signingv1.Notice{NotificationId: "n1", Kind: "invitation", Channel: "sms", Reference: "0A000001", Parts: 2, EventId: "the-event", Reason: "handset-busy", Fault: "recipient"}
	if e.GetNotice().String() != want.String() || e.GetId() != event.DerivedID("n1", "sms-sender", "undelivered") {
		t.Errorf("event %v", e)
	}
	wantReceipt(t, 200, postForm(t, base, dlr("n1", "0A000000", "expired")))
	wantReceipt(t, 200, postForm(t, base, dlr("n1", "0A000001", "failed", "err-code", "7")))
	if delivered, failed := b.Count(flow.Signing, deliveredOnly), b.Count(flow.Signing, failedOnly); delivered != 0 || failed != 1 {
		t.Errorf("%d delivered, %d failed", delivered, failed)
	}
	if got := b.Count(flow.DLQ, "dlq.v1.>"); got != 0 {
		t.Errorf("%d messages were given up, although the message was sent", got)
	}
}

// The receipt arrives before Vonage's response, which also reports fewer parts than the sender counted.
func TestAReceiptBeforeTheResponse(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, awaiting(v.URL))
	base := b.Listen()
	early := func(id string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			wantReceipt(t, 200, postForm(t, base, dlr(id, "0A000000", "delivered")))
			if n := b.Count(flow.Signing, "signing.v1.*.*.notification.sent.>"); n != 0 {
				t.Errorf("%d messages were recorded as sent before the response", n)
			}
			statuses("0")(w, r)
		}
	}
	v.responses["n1"] = []http.HandlerFunc{early("n1")}
	b.Start(smssender.RunSoon)
	two := invitation("n1")
	two.DocumentTitle = strings.Repeat("long ", 30) // a hundred such characters make two parts
	publish(t, b, two)
	if e := decode(t, b.Await(flow.Signing, deliveredOnly, 1)[0]); e.GetNotice().GetParts() != 1 {
		t.Errorf("event %v", e)
	}
	b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 1)
	if len(v.calls("n1")) != 1 {
		t.Errorf("%d calls", len(v.calls("n1")))
	}
}

// The account's secrets are replaced while the service runs. Receipts with the old signature are accepted only while both secrets are in
// the file.
func TestTheAccountIsRotated(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	cfg, files := servicetest.Load(t, "sources: [{name: acme, provider: clickwrap}]", map[string]string{
		"SMS_VONAGE_API_SECRET": "before", "SMS_VONAGE_SIGNATURE_SECRET": signing, "SOURCE_CLICKWRAP_ACME_WEBHOOK_SECRETS": "12345",
	}, "SIGNRELAY_SMS_VONAGE_API_KEY=abcd1234", "SIGNRELAY_SMS_VONAGE_FROM=Acme", "SIGNRELAY_SMS_VONAGE_BASE_URL="+v.URL,
		"SIGNRELAY_SMS_VONAGE_SIGNATURE_METHOD=sha256", "SIGNRELAY_SHORTENER_PUBLIC_URL=https://sign.acme.example")
	b := servicetest.New(t, cfg)
	b.Start(smssender.RunSoon)
	base := b.Listen()
	sent(t, b, "n1")
	files.Replace(b.Env.Live, "SMS_VONAGE_API_SECRET", "after")
	sent(t, b, "n2")
	if before, after := v.calls("n1")[0].Get("api_secret"), v.calls("n2")[0].Get("api_secret"); before != "before" || after != "after" {
		t.Errorf("sent with %s, then with %s", before, after)
	}

	files.Replace(b.Env.Live, "SMS_VONAGE_SIGNATURE_SECRET", "another\n"+signing+"\n")
	wantReceipt(t, 200, postForm(t, base, dlr("n1", "0A000000", "delivered")))
	files.Replace(b.Env.Live, "SMS_VONAGE_SIGNATURE_SECRET", "another\n")
	wantReceipt(t, 401, postForm(t, base, dlr("n2", "0A000000", "delivered")))
}

// until waits until a condition is true.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	look, late := time.NewTicker(10*time.Millisecond), time.After(20*time.Second)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// Vonage refuses one of two parts. The events report that the text was sent incompletely, and the missing part. The failure is counted. The
// sender accepts the other part's receipt, which has no effect.
func TestAPartlyRefusedText(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		response     http.HandlerFunc
		refused      string
		link         string // link_refused
		taken, fault string
	}{
		"the part with the link":    {statuses("0", "7"), "2", "true", "0A000000", "recipient"},
		"the part without the link": {statuses("9", "0"), "1", "false", "0A000001", "operator"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVonage(t)
			b := servicetest.New(t, awaiting(v.URL))
			v.responses["n1"] = []http.HandlerFunc{test.response}
			b.Start(smssender.RunSoon)
			base := b.Listen()
			n := invitation("n1")
			n.DocumentTitle = strings.Repeat("Long Agreement ", 10)
			publish(t, b, n)
			sent := decode(t, b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", 1)[0])
			failed := decode(t, b.Await(flow.Signing, failedOnly, 1)[0])
			for _, e := range []*signingv1.SigningEvent{sent, failed} {
				if e.GetNotice().GetReason() != "some-parts-refused" || e.GetNotice().GetReference() != test.taken || e.GetNotice().GetParts() != 2 ||
					e.GetAttributes()["parts_refused"] != test.refused || e.GetAttributes()["link_refused"] != test.link {
					t.Errorf("event %v", e)
				}
			}
			if failed.GetNotice().GetFault() != test.fault {
				t.Errorf("the fault is %s", failed.GetNotice().GetFault())
			}
			if got := counted(t, b, "signrelay_notifications_failed_total", "sms "+test.fault+" clickwrap some-parts-refused acme"); got != 1 {
				t.Errorf("%v failures counted", got)
			}
			wantReceipt(t, 200, postForm(t, base, dlr("n1", test.taken, "delivered")))
			wantReceipt(t, 200, postForm(t, base, dlr("n1", test.taken+"x", "failed", "err-code", "3")))
			if delivered, failed := b.Count(flow.Signing, deliveredOnly), b.Count(flow.Signing, failedOnly); delivered != 0 || failed != 1 {
				t.Errorf("%d delivered and %d failed", delivered, failed)
			}
		})
	}
}
