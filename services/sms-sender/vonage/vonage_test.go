package vonage_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
	"github.com/signrelay/signrelay/services/sms-sender/gateway/gatewaytest"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
	"github.com/signrelay/signrelay/services/sms-sender/vonage"
)

func TestGateway(t *testing.T) {
	t.Parallel()
	gatewaytest.Run(t, vendor())
}

const (
	apiKey, apiSecret = "abcd1234", "the-api-secret"
	signatureSecret   = "the-signature-secret"
)

func vendor() gatewaytest.Vendor {
	return gatewaytest.Vendor{
		Open: func(baseURL string, timeout time.Duration) gateway.Gateway {
			return open(smssettings.Vonage{
				APIKey: apiKey, APISecret: apiSecret, From: "Acme", BaseURL: baseURL, Timeout: timeout, PerSecond: 30,
				ReceiptsURL: "https://sign.acme.example", SignatureSecret: signatureSecret, SignatureMethod: "sha256", ReceiptWithin: time.Second,
			})
		},
		Empty:   func() gateway.Gateway { return open(smssettings.Vonage{SignatureMethod: "sha256"}) },
		Secrets: []string{apiKey, apiSecret, signatureSecret},
		Accepted: func(parts ...string) http.HandlerFunc {
			var all []message
			for _, id := range parts {
				all = append(all, message{"0", id})
			}
			return messages(all...)
		},
		PartlyRefused: func(part string) http.HandlerFunc { return messages(message{"0", part}, message{"7", "p2"}) },
		Refused: []gatewaytest.Refusal{
			{Name: "number barred", Response: messages(message{status: "7"}), Fault: outcome.Recipient},
			{Name: "message too long", Response: messages(message{status: "12"}), Fault: outcome.Operator},
			{Name: "invalid sender", Response: messages(message{status: "15"}), Fault: outcome.Operator, Scope: outcome.Reason},
			{Name: "bad credentials", Response: messages(message{status: "4"}), Fault: outcome.Operator, Scope: outcome.Account},
			{Name: "no credit", Response: messages(message{status: "9"}), Fault: outcome.Operator, Scope: outcome.Account},
			{Name: "HTTP 401", Response: status(http.StatusUnauthorized), Fault: outcome.Operator, Scope: outcome.Account},
			{Name: "unlisted status", Response: messages(message{status: "99"}), Fault: outcome.Provider},
			{Name: "HTTP 400", Response: status(http.StatusBadRequest), Fault: outcome.Ours},
		},
		Throttled: messages(message{status: "1"}),
		Receipt:   receipt,
		Text:      text,
		Unsign:    func(r *http.Request) *http.Request { return with(r, func(p url.Values) { p.Del("sig") }) },
		Forge:     func(r *http.Request) *http.Request { return with(r, func(p url.Values) { sign(p, "another secret") }) },
	}
}

func open(settings smssettings.Vonage) gateway.Gateway {
	return vonage.New(config.Fixed(settings), 1)
}

type message struct{ status, id string }

// messages returns the API's response with one message for each part.
func messages(all ...message) http.HandlerFunc {
	parts := make([]string, len(all))
	for i, m := range all {
		parts[i] = fmt.Sprintf(`{"to":"13175551234","message-id":%q,"status":%q,"error-text":"of 13175551234"}`, m.id, m.status)
	}
	body := fmt.Sprintf(`{"message-count":"%d","messages":[%s]}`, len(all), strings.Join(parts, ","))
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func receipt(reference, part string, status gateway.Status) *http.Request {
	p := url.Values{
		"msisdn": {"13175551234"}, "messageId": {part}, "status": {string(status)}, "err-code": {"0"}, "client-ref": {reference},
		"message-timestamp": {"2026-11-04 10:20:30"},
	}
	sign(p, signatureSecret)
	return request(p)
}

func text(id, from, text string) *http.Request {
	p := url.Values{
		"msisdn": {strings.TrimPrefix(from, "+")}, "to": {"13175550100"}, "messageId": {id}, "text": {text}, "type": {"text"},
		"message-timestamp": {"2026-11-04 10:20:30"},
	}
	sign(p, signatureSecret)
	return request(p)
}

func request(p url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/receipts/vonage/acme", strings.NewReader(p.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func with(r *http.Request, change func(url.Values)) *http.Request {
	if err := r.ParseForm(); err != nil {
		panic(err)
	}
	change(r.PostForm)
	return request(r.PostForm)
}

func sign(p url.Values, secret string) {
	p.Del("sig")
	mac := hmac.New(sha256.New, []byte(secret))
	for _, name := range slices.Sorted(maps.Keys(p)) {
		mac.Write([]byte("&" + name + "=" + p.Get(name)))
	}
	p.Set("sig", hex.EncodeToString(mac.Sum(nil)))
}
