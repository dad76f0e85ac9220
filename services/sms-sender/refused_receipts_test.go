package smssender_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/servicetest"
	smssender "github.com/signrelay/signrelay/services/sms-sender"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

func TestRefusedReceipts(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, awaiting(v.URL))
	b.Start(smssender.RunSoon)
	base := b.Listen()
	sent(t, b, "n1")

	const path = "/receipts/vonage/acme"
	good := dlr("n1", "0A000000", "delivered")
	changed := func(name, value string) string {
		p := maps.Clone(good)
		p.Set(name, value)
		if value == "" {
			p.Del(name)
		}
		return p.Encode()
	}
	for _, test := range []struct {
		name, method, path, contentType, body string
		status                                int
	}{
		{"a changed status", "POST", path, asForm, changed("status", "failed"), 401},
		{"a changed reference", "POST", path, asForm, changed("client-ref", "n2"), 401},
		{"no signature", "POST", path, asForm, changed("sig", ""), 401},
		{"another signature", "POST", path, asForm, changed("sig", strings.Repeat("0", 64)), 401},
		{"nothing", "GET", path, "", "", 401},
		{"signed in the query, but read from the body", "POST", path + "?" + good.Encode(), asForm, changed("sig", ""), 401},
		{"no such source", "POST", "/receipts/vonage/unknown", asForm, good.Encode(), 404},
		{"no such vendor", "POST", "/receipts/unknown/acme", asForm, good.Encode(), 404},
		{"DELETE", "DELETE", path, asForm, good.Encode(), 405},
		{"HEAD", "HEAD", path + "?" + good.Encode(), "", "", 405},
		{"too large", "POST", path, asForm, good.Encode() + "&x=" + strings.Repeat("x", 64<<10), 413},
		{"a parameter twice", "POST", path, asForm, good.Encode() + "&status=failed", 400},
		{"a broken escape", "POST", path, asForm, "sig=%zz3175551234", 400},
		{"two parameters in one name", "POST", path, asForm, "err-code%3D0%26status=" + changed("status", ""), 400},
		{"broken JSON", "POST", path, asJSON, `{"sig":"3175551234`, 400},
		{"JSON in JSON", "POST", path, asJSON, `{"sig":{"a":"3175551234"}}`, 400},
		{"JSON null", "POST", path, asJSON, `null`, 400},
		{"another type", "POST", path, "text/xml", good.Encode(), 400},
		{"no part", "POST", path, asForm, dlr("n1", "", "delivered").Encode(), 400},
		{"another system's text", "POST", path, asForm, dlr("their ref!", "0A000000", "delivered").Encode(), 200},
		{"a text without a reference", "POST", path, asForm, dlr("", "0A000000", "delivered").Encode(), 200},
		{"an old text", "POST", path, asForm, dlr("n0", "0A000000", "delivered").Encode(), 200},
	} {
		got := ask(t, test.method, base+test.path, test.contentType, test.body)
		if got.status != test.status {
			t.Errorf("%s: %d %s, want %d", test.name, got.status, got.body, test.status)
		}
		if got.status == 200 && got.body != `{"status":"unknown"}` {
			t.Errorf("%s: %s", test.name, got.body)
		}
	}
	if n := b.Count(flow.Signing, deliveredOnly) + b.Count(flow.Signing, failedOnly); n != 0 {
		t.Errorf("%d events", n)
	}
	if got := counted(t, b, "signrelay_receipts_total", "unknown delivered"); got != 3 {
		t.Errorf("%v counted as unknown, want 3", got)
	}
	// The control. Any source may be in the path, because a dashboard may have one URL for all sources.
	wantReceipt(t, 200, ask(t, http.MethodPost, base+"/receipts/vonage/other", asForm, good.Encode()))
	b.Await(flow.Signing, deliveredOnly, 1)
	b.NeverLogged("3175551234", "their ref!", signing)
}

// Without a secret every receipt is refused, also one that is signed with an empty secret. The log reports this once.
func TestReceiptsAreRefusedWithoutASecret(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	c := settings(v.URL)
	c.Sources = []config.Source{{Name: "acme", Provider: "clickwrap"}}
	smssettings.VonageSection.In(&c).SignatureMethod = "sha256"
	b := servicetest.New(t, c)
	b.Start(smssender.RunSoon)
	base := b.Listen()
	sent(t, b, "n1")
	wantReceipt(t, 401, postForm(t, base, dlr("n1", "0A000000", "delivered")))
	wantReceipt(t, 404, ask(t, http.MethodGet, base+"/receipts/vonage/unknown", "", ""))
	if n := b.Count(flow.Signing, deliveredOnly); n != 0 {
		t.Errorf("%d deliveries", n)
	}
	if n := strings.Count(b.Logged.String(), "receipts of text messages are refused"); n != 1 {
		t.Errorf("the log reports it %d times", n)
	}
	if form := v.calls("n1")[0]; form.Has("callback") || form.Has("status-report-req") {
		t.Errorf("the call requested receipts: %v", form)
	}
}

// While the broker is unavailable, the response is 503. When Vonage sends the receipt again, it is recorded once.
func TestAReceiptWhileTheBrokerIsUnavailable(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, awaiting(v.URL))
	b.Start(smssender.RunSoon)
	base := b.Listen()
	sent(t, b, "n1")
	b.Broker.Stop()
	got := postForm(t, base, dlr("n1", "0A000000", "delivered"))
	if wantReceipt(t, 503, got); got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.Broker.Start()
	until(t, "the receipt is accepted", func() bool {
		got = postForm(t, base, dlr("n1", "0A000000", "delivered"))
		return got.status != 503
	})
	wantReceipt(t, 200, got)
	b.Await(flow.Signing, deliveredOnly, 1)
	if n := b.Count(flow.Signing, deliveredOnly); n != 1 {
		t.Errorf("%d deliveries", n)
	}
}
