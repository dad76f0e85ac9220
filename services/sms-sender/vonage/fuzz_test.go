package vonage

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

var reasonPattern = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// Every field of a readable receipt is bounded. Its signature is valid only for its fields and its secret.
func FuzzReceipt(f *testing.F) {
	const form = "client-ref=n1&messageId=0A1&status=delivered&err-code=0&msisdn=13175551234&message-timestamp=2026-11-04+10%3A20%3A30"
	f.Add(true, "", form, "", "md5hash")
	f.Add(false, "application/x-www-form-urlencoded", "", form, "sha256")
	f.Add(false, "application/json; charset=utf-8", "", `{"messageId":"0A1","status":"failed","err-code":7,"scts":"2611041019","sig":"00"}`, "sha512")
	f.Add(false, "application/json", "", `{"messageId":"0A1","status":"failed","err-code":"1","a&b":"1"}`, "sha1")
	f.Add(false, "text/plain", "", "a=1&a=2", "md5")
	now := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, get bool, contentType, query, body, method string) {
		r := &http.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {contentType}}, URL: &url.URL{RawQuery: query}}
		if get {
			r.Method = http.MethodGet
		}
		p, err := parameters(r, []byte(body))
		if err != nil {
			if !slices.Contains([]error{errType, errForm, errJSON, errValue, errRepeated, errName}, err) {
				t.Fatalf("%v", err)
			}
			return
		}
		if signedBy(p, "", method) {
			t.Fatal("a receipt is accepted without a secret")
		}
		delete(p, "sig")
		given := map[string]string{"sig": hex.EncodeToString(sign(p, "secret", method))}
		for name, value := range p {
			given[name] = value
		}
		if !signedBy(given, "secret", method) || signedBy(given, "secret2", method) {
			t.Fatal("the signature does not belong to the secret")
		}
		for name := range p {
			given[name] += "x"
			if signedBy(given, "secret", method) {
				t.Fatalf("the signature is also valid for another %q", name)
			}
			given[name] = p[name]
		}

		got, err := readReceipt(p, now)
		if err != nil {
			if !errors.Is(err, errFields) {
				t.Fatal(err)
			}
			return
		}
		if !slices.Contains(gateway.Statuses, got.Status) || got.Part == "" || len(got.Part) > longestPart || got.Status.Lost() != (got.Reason != "") {
			t.Fatalf("%+v", got)
		}
		if got.Reason != "" && !reasonPattern.MatchString(got.Reason) {
			t.Fatalf("reason %q", got.Reason)
		}
		if got.At.Location() != time.UTC || got.At.Year() < 0 || got.At.Year() > 9999 {
			t.Fatalf("%v", got.At)
		}
	})
}

type fakeTransport func() *http.Response

func (respond fakeTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	return respond(), nil
}

// For every response of Vonage, a text with an accepted part is not sent again, a text that may have been accepted has an unknown
// outcome, and the error quotes neither the number nor the response.
func FuzzVonageResponse(f *testing.F) {
	for _, seed := range []string{
		`{"message-count":"1","messages":[{"to":"13175551234","message-id":"0A1","status":"0"}]}`,
		`{"message-count":"2","messages":[{"message-id":"0A1","status":"0"},{"status":"5","error-text":"13175551234"}]}`,
		`{"messages":[{"status":"1","error-text":"Throughput Rate Exceeded"}]}`, `{"messages":[{"status":"4"}]}`, `{"messages":[]}`, `{"messages":null}`,
		`<html>`, ``, `{"messages":[{"status":13175551234}]}`, `{"messages":[{"status":"99999999999"}]}`, `[]`, `null`,
	} {
		for _, status := range []uint16{200, 202, 400, 401, 429, 500, 503, 302} {
			f.Add(status, "application/json", "", []byte(seed))
		}
	}
	f.Add(uint16(429), "text/html", "120", []byte(`x`))
	const number, text = "13175551234", "the text of the message"
	account := smssettings.Vonage{APIKey: "abcd1234", APISecret: "secretoftheaccount", From: "Acme", BaseURL: "https://rest.example", Timeout: time.Minute, PerSecond: 30}
	f.Fuzz(func(t *testing.T, status uint16, contentType, retryAfter string, body []byte) {
		code := 200 + int(status)%400
		g := &Gateway{transport: fakeTransport(func() *http.Response {
			w := httptest.NewRecorder()
			w.Code = code
			resp := w.Result()
			resp.StatusCode, resp.Header = code, http.Header{"Content-Type": {contentType}, "Retry-After": {retryAfter}}
			resp.Body = io.NopCloser(bytes.NewReader(body))
			return resp
		})}
		got := g.call(context.Background(), account, gateway.Message{To: "+" + number, Text: text, Reference: "n1"})
		if !got.written || got.status != code {
			t.Fatalf("%+v: %v", got, got.err)
		}
		if pause := got.pause(); pause < 0 || pause > longestPause {
			t.Fatalf("a pause of %v", pause)
		}
		accepted := slices.ContainsFunc(got.parts, func(p part) bool { return p.status == sent })
		receipt, err := got.outcome()
		if (err == nil) != accepted {
			t.Fatalf("parts %v, outcome %v", got.parts, err)
		}
		if err == nil {
			if receipt.Parts != uint32(len(got.parts)) {
				t.Fatalf("%+v of %v", receipt, got.parts)
			}
			return
		}
		why := outcome.Of(err)
		if !reasonPattern.MatchString(why.Cause()) {
			t.Fatalf("%T %v", err, err)
		}
		for _, secret := range []string{number, text, "secretoftheaccount"} {
			if strings.Contains(err.Error(), secret) {
				t.Fatalf("%q is in %q", secret, err)
			}
		}
		// Both reasons mean that the outcome is unknown.
		if len(got.parts) == 0 && code < 300 && why.Cause() != "answer-unreadable" {
			t.Fatalf("a response without a status: %v", err)
		}
		if slices.ContainsFunc(got.parts, func(p part) bool { return p.status == internalError }) && why.Cause() != "internal-error" {
			t.Fatalf("a part that may have been sent: %v", err)
		}
	})
}
