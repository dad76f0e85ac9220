package ingest_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/ingest"
)

func body(text string) ingest.Repair  { return ingest.Repair{Body: &text} }
func query(text string) ingest.Repair { return ingest.Repair{Query: &text} }

// quarantined returns the messages in quarantine, oldest first.
func (h *harness) quarantined(t *testing.T) []*jetstream.RawStreamMsg {
	t.Helper()
	var all []*jetstream.RawStreamMsg
	for m, err := range (event.Log{JS: h.js, Stream: flow.Quarantine}).Messages(t.Context(), "quarantine.v1.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// An operator repairs a GET with a query or a body, and a POST with a body.
func TestARepairWorksForEveryMethod(t *testing.T) {
	t.Parallel()
	const get, post = "event_type=request_signed&id=s1&request=RS&signer=S1&description=Eric;%20Prugh", `{"event_type":"request_signed","id":"s1","request":"RS","signer":"S1"}`
	token := http.Header{"Pactsafe-Webhook-Token": {"12345"}}
	for name, c := range map[string]struct {
		get    bool
		repair ingest.Repair
		want   string // the reason why it stays; "" if it is stored
	}{
		"a GET by a query":                       {true, query(strings.ReplaceAll(get, ";", "%3B")), ""},
		"a GET by a body":                        {true, body(post), ""},
		"a GET by a body with a byte order mark": {true, body("\ufeff" + post), ""},
		"a GET by nothing":                       {true, ingest.Repair{}, "not-a-query"},
		"a GET by a broken query":                {true, query("id=%zz"), "not-a-query"},
		"a GET by an incomplete query":           {true, query("id=s1"), "event-type-missing"},
		"a GET by a broken body":                 {true, body("{"), "not-json"},
		"a POST by a body":                       {false, body(post), ""},
		"a POST by a query":                      {false, query(strings.ReplaceAll(get, ";", "%3B")), "not-json"},
		"a POST by nothing":                      {false, ingest.Repair{}, "not-json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			var got reply
			if c.get {
				got = h.send(t, "GET", "/webhooks/clickwrap/acme?"+get, token, nil)
			} else {
				got = h.post(t, "/webhooks/clickwrap/acme", "{")
			}
			if got.body["status"] != "quarantined" {
				t.Fatalf("%d %v", got.status, got.body)
			}
			kept := h.quarantined(t)[0]
			replayed, err := ingest.Replay(t.Context(), h.env, kept.Header, kept.Data, c.repair)
			if c.want != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.want) {
					t.Errorf("%v, %v; want %s", replayed, err, c.want)
				}
				return
			}
			stored := h.stored(t, "signing.v1.acme.clickwrap.recipient.signed.RS")
			if err != nil || len(stored) != 1 || len(replayed.IDs) != 1 || stored[0].GetId() != replayed.IDs[0] {
				t.Fatalf("%v, %v; the log holds %v", replayed, err, stored)
			}
			if e := stored[0]; e.GetVerification() != signingv1.Verification_VERIFICATION_NONE || e.GetAttributes()[ingest.RepairedAttribute] != "true" {
				t.Errorf("the operator's content has a verification: %v", e)
			}
		})
	}
}

// Content that an operator did not change keeps its verification.
func TestUnchangedItemsOfARepairedBatchStaySigned(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, func(c *config.Config) {
		c.Sources[2] = c.Sources[2].With("webhook.certificate=" + string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	})
	broken := "[" + signed("s1") + "," + signed("s2") + "," + strings.Replace(signed("s3"), "/s3/", "", 1) // it has no end
	sum := crypto.SHA1.New()
	sum.Write([]byte(broken))
	raw, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA1, sum.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := h.all(t, broken+"&signed="+url.QueryEscape(base64.StdEncoding.EncodeToString(raw))); got.body["status"] != "quarantined" {
		t.Fatalf("%d %v", got.status, got.body)
	}
	repaired := "[" + signed("s1") + "," + strings.Replace(signed("s2"), "\"40\"", "\"60\"", 1) + "," + signed("s3") + ",{}]"
	kept := h.quarantined(t)[0]
	replayed, err := ingest.Replay(t.Context(), h.env, kept.Header, kept.Data, body("data="+url.QueryEscape(repaired)))
	if err != nil || len(replayed.IDs) != 3 || len(replayed.Quarantined) != 1 || replayed.Quarantined[0] != (ingest.QuarantinedItem{Item: 3, Reason: "resource-missing"}) {
		t.Fatalf("%v, %v", replayed, err)
	}
	want := map[string]signingv1.Verification{
		"s1": signingv1.Verification_VERIFICATION_RSA, "s2": signingv1.Verification_VERIFICATION_NONE, "s3": signingv1.Verification_VERIFICATION_NONE,
	}
	for _, e := range h.stored(t, "signing.v1.>") {
		id := e.GetRecipient().GetId()
		repaired := e.GetAttributes()[ingest.RepairedAttribute] == "true"
		if e.GetVerification() != want[id] || repaired != (want[id] == signingv1.Verification_VERIFICATION_NONE) {
			t.Errorf("%s: %v, repaired: %t", id, e.GetVerification(), repaired)
		}
		delete(want, id)
	}
	if len(want) > 0 {
		t.Errorf("not stored: %v", want)
	}
	// The item that is still bad is in quarantine alone, and has no verification.
	all := h.quarantined(t)
	if len(all) != 2 || string(all[1].Data) != "{}" || all[1].Header.Get(ingest.HeaderVerification) != "1" {
		t.Errorf("the quarantine holds %v", all)
	}
}
