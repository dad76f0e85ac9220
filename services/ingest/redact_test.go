package ingest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
)

// A source's secret in a callback is not stored. This holds for any field of a readable or an unreadable callback.
func TestASecretInACallbackIsNotStored(t *testing.T) {
	t.Parallel()
	const long, short = "v3rify/k+y_of-the-source", "demo7"
	h := open(t, func(c *config.Config) {
		for i, setting := range []string{"webhook.secrets=" + long + "," + short, "webhook.secrets=" + long + "," + short, "webhook.token=" + short + "\n" + long} {
			c.Sources[i] = c.Sources[i].With(setting)
		}
	})
	quoted := func(text string) string {
		encoded, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	// The places in a JSON object where a secret may occur.
	places := func(secret string) []string {
		q := quoted(secret)
		return []string{
			`"verification":` + q, `"n":{"deep":{"x":` + q + `}}`, `"list":["a",` + q + `]`, `"list":[{"x":` + q + `}]`, `"verification_key":` + strings.ReplaceAll(q, "/", `\/`),
			`"x":"\u00` + fmt.Sprintf("%02x", secret[0]) + q[2:], `"first_name":` + q + `,"url":"https://x.example/?k=` + url.QueryEscape(long) + `"`,
		}
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	token := http.Header{"Pactsafe-Webhook-Token": {long}, "X-Forwarded-Uri": {"/x?k=" + url.QueryEscape(long)}}
	n := 0
	for _, secret := range []string{long, short} {
		for _, place := range places(secret) {
			for _, whole := range []bool{true, false} {
				n++
				about := fmt.Sprintf(`"id":"%d",%s`, n, place)
				cw := `{"event_type":"request_sent","request":"d` + strconv.Itoa(n) + `",` + about + "}"
				ps := `{"event":"document.created","document_id":"d` + strconv.Itoa(n) + `",` + about + "}"
				item := `{"name":"status","value":"40","timestamp":"t","resource_uri":"/api/v1/signer/s` + strconv.Itoa(n) + `/",` + about + "}"
				want := "accepted"
				if !whole {
					cw, ps, item, want = cw[:len(cw)-1], ps[:len(ps)-1], item[:len(item)-1], "quarantined"
				}
				for name, got := range map[string]reply{
					"clickwrap":  h.send(t, "POST", "/webhooks/clickwrap/acme", token, strings.NewReader(cw)),
					"pleasesign": h.send(t, "POST", "/webhooks/pleasesign/plain", http.Header{"X-Pleasesign-Signature": {hmacOf(short, ps)}}, strings.NewReader(ps)),
					"esign-v1":   h.send(t, "POST", "/webhooks/esign-v1/old/all?token="+short, form, strings.NewReader("data="+url.QueryEscape("["+item+"]")+"&token="+url.QueryEscape(secret))),
					"a document": h.send(t, "POST", "/webhooks/esign-v1/old/signed?token="+short, form, strings.NewReader("event=x&uuid="+map[bool]string{true: fmt.Sprint("d", n)}[whole]+"&x="+url.QueryEscape(secret))),
					"a GET": h.send(t, "GET", "/webhooks/clickwrap/acme?event_type=request_sent&x=1"+map[bool]string{true: "", false: ";"}[whole]+
						fmt.Sprintf("&id=g%d&request=g%d&k=", n, n)+url.QueryEscape(secret), token, nil),
				} {
					if got.status != 202 || got.body["status"] != want {
						t.Errorf("%s with %s: %d %v, want %s", name, place, got.status, got.body, want)
					}
				}
			}
		}
	}
	for _, stream := range []string{flow.Signing, flow.Quarantine} {
		for seq := uint64(1); seq <= h.count(t, stream); seq++ {
			s, err := h.js.Stream(t.Context(), stream)
			if err != nil {
				t.Fatal(err)
			}
			m, err := s.GetMsg(t.Context(), seq)
			if err != nil {
				t.Fatal(err)
			}
			text := m.Subject + fmt.Sprint(m.Header) + string(m.Data)
			for _, secret := range []string{long, short, url.QueryEscape(long), url.QueryEscape(short), strings.ReplaceAll(long, "/", `\/`), long[1:], short[1:]} {
				if strings.Contains(text, secret) {
					t.Errorf("%s holds %q: %s", stream, secret, text)
				}
			}
		}
	}
	for _, e := range h.stored(t, "signing.v1.plain.>") {
		if e.GetType() != "endpoint.tested" || e.GetDocument() != nil {
			t.Errorf("a dummy became %v", e)
		}
	}
	// The controls: a common word inside a longer word stays unchanged, and so does a document without a secret.
	if got := h.send(t, "POST", "/webhooks/clickwrap/acme", token, strings.NewReader(`{"event_type":"request_sent","id":"c","request":"control","x":"demo77"}`)); got.status != 202 {
		t.Fatalf("%d %v", got.status, got.body)
	}
	if stored := h.stored(t, "signing.v1.acme.clickwrap.document.sent.control"); len(stored) != 1 || stored[0].GetAttributes()["x"] != "demo77" {
		t.Errorf("%v", stored)
	}
}

func hmacOf(key, body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}
