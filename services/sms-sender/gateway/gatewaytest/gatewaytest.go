// Package gatewaytest has the tests that every gateway.Gateway passes. A vendor's test describes the vendor's API in a Vendor, and calls
// Run.
package gatewaytest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
)

// Vendor imitates a vendor's API.
type Vendor struct {
	// Open returns a gateway with an account and a secret for receipts. It calls a server at baseURL and waits at most timeout for it.
	Open func(baseURL string, timeout time.Duration) gateway.Gateway
	// Empty returns a gateway whose settings have no account and no secret.
	Empty func() gateway.Gateway
	// Secrets are the account's secrets in the settings of Open.
	Secrets []string

	// Accepted accepts a message whose parts get these ids.
	Accepted func(parts ...string) http.HandlerFunc
	// PartlyRefused accepts the first part of two, with this id, and refuses the second.
	PartlyRefused func(part string) http.HandlerFunc
	// Refused are responses that refuse a message. There is at least one for each fault. For the operator's fault there is one with the scope
	// Reason and one with the scope Account.
	Refused []Refusal
	// Throttled requests fewer calls.
	Throttled http.HandlerFunc

	// Receipt returns a signed request with a receipt of a part.
	Receipt func(reference, part string, status gateway.Status) *http.Request
	// Text returns a signed request with a text that a person sent, in one part.
	Text func(id, from, text string) *http.Request
	// Unsign removes the signature of a request. Forge replaces it with a signature of another secret.
	Unsign, Forge func(*http.Request) *http.Request
}

// Refusal is a response that refuses a message, and its meaning.
type Refusal struct {
	Name     string
	Response http.HandlerFunc
	Fault    outcome.Fault
	Scope    outcome.Scope // of the operator's faults: the other messages that are refused for the same cause
}

// The parts of the message that no error may contain.
const (
	number    = "+13175551234"
	text      = "Please sign: https://sign.acme.example/l/secretcode"
	reference = "0123456789abcdefghijklmnop"
)

// bounded matches the values that a label of a metric may have.
var bounded = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// Run runs all tests against the vendor.
func Run(t *testing.T, v Vendor) {
	t.Helper()
	t.Run("account", func(t *testing.T) { t.Parallel(); account(t, v) })
	t.Run("accepted", func(t *testing.T) { t.Parallel(); accepted(t, v) })
	t.Run("partly refused", func(t *testing.T) { t.Parallel(); partlyRefused(t, v) })
	for _, r := range v.Refused {
		t.Run("refused/"+r.Name, func(t *testing.T) { t.Parallel(); refused(t, v, r) })
	}
	t.Run("every fault", func(t *testing.T) { t.Parallel(); everyFault(t, v) })
	t.Run("throttled", func(t *testing.T) { t.Parallel(); throttled(t, v) })
	for name, handler := range map[string]http.HandlerFunc{
		"no response":       func(_ http.ResponseWriter, r *http.Request) { drain(r); panic(http.ErrAbortHandler) },
		"a slow response":   func(_ http.ResponseWriter, r *http.Request) { drain(r); <-r.Context().Done() },
		"garbage":           func(w http.ResponseWriter, r *http.Request) { drain(r); _, _ = io.WriteString(w, "<html>") },
		"a server's error":  func(w http.ResponseWriter, r *http.Request) { drain(r); w.WriteHeader(http.StatusInternalServerError) },
		"a broken response": broken,
	} {
		t.Run("unknown/"+name, func(t *testing.T) { t.Parallel(); unknown(t, v, handler) })
	}
	t.Run("a failure before the request was sent", func(t *testing.T) { t.Parallel(); unreachable(t, v) })
	t.Run("receipts", func(t *testing.T) { t.Parallel(); receipts(t, v) })
	t.Run("texts", func(t *testing.T) { t.Parallel(); texts(t, v) })
}

// result is the result of a call.
type result struct {
	gateway.Response
	err  error
	left bool // the gateway reported that the request was sent
}

// send makes one call to a server with the handler.
func send(t *testing.T, v Vendor, handler http.HandlerFunc) result {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	return sendTo(t, v.Open(server.URL, 300*time.Millisecond))
}

func sendTo(t *testing.T, g gateway.Gateway) result {
	t.Helper()
	var left atomic.Bool
	ctx := notification.OnLeft(t.Context(), func() { left.Store(true) })
	response, err := g.Send(ctx, gateway.Message{To: number, Text: text, Reference: reference, Source: "acme"})
	return result{response, err, left.Load()}
}

// check tests the rules for every error of a call.
func (r result) check(t *testing.T, v Vendor) {
	t.Helper()
	if r.err == nil {
		t.Fatal("the call succeeded")
	}
	o := outcome.Of(r.err)
	if !bounded.MatchString(o.Cause()) || o.Fault() == "" {
		t.Errorf("cause %q, fault %q: want a cause that matches %s, and a fault", o.Cause(), o.Fault(), bounded)
	}
	for _, secret := range append([]string{number, strings.TrimPrefix(number, "+"), text, "secretcode"}, v.Secrets...) {
		if strings.Contains(r.err.Error(), secret) {
			t.Errorf("the error contains %q", secret)
		}
	}
	if o.Unknown() && !r.left {
		t.Error("the outcome is unknown, but the request was never sent")
	}
}

func account(t *testing.T, v Vendor) {
	g := v.Open("http://127.0.0.1:1", time.Second)
	if !bounded.MatchString(g.Name()) {
		t.Errorf("the name %q does not match %s", g.Name(), bounded)
	}
	a, err := g.Account()
	if err != nil || a.Key == "" || a.Rate.Count <= 0 || a.Rate.Per <= 0 {
		t.Errorf("account %+v, %v", a, err)
	}
	for _, secret := range v.Secrets {
		if strings.Contains(a.Key, secret) {
			t.Error("the key of the rate limit contains a secret")
		}
	}
	if g.Settings() != g.Settings() {
		t.Error("two calls of Settings return different values")
	}
	if _, err := v.Empty().Account(); outcome.Of(err).Kind() != outcome.Held || outcome.Of(err).Scope() != outcome.Account {
		t.Errorf("without an account: %v, want an outcome that holds every message", err)
	}
}

func accepted(t *testing.T, v Vendor) {
	for _, parts := range [][]string{{"p1"}, {"p1", "p2", "p3"}} {
		got := send(t, v, v.Accepted(parts...))
		if got.err != nil || got.Receipt.Reference != "p1" || got.Receipt.Parts != uint32(len(parts)) || got.Receipt.Reason != "" || got.Pause != 0 {
			t.Errorf("%d parts: %+v", len(parts), got)
		}
		if !got.left {
			t.Errorf("%d parts: the gateway did not report that the request was sent", len(parts))
		}
	}
}

func partlyRefused(t *testing.T, v Vendor) {
	got := send(t, v, v.PartlyRefused("p1"))
	r := got.Receipt
	if got.err != nil || r.Reference != "p1" || r.Parts != 2 || r.PartsRefused != "2" || r.Reason != "some-parts-refused" || r.Fault == "" {
		t.Errorf("%+v, want a sent message with a reason and a fault", got)
	}
}

func refused(t *testing.T, v Vendor, r Refusal) {
	got := send(t, v, r.Response)
	got.check(t, v)
	o := outcome.Of(got.err)
	kind := outcome.GaveUp
	if r.Scope != outcome.Input {
		kind = outcome.Held
	}
	if o.Kind() != kind || o.Fault() != r.Fault || o.Scope() != r.Scope || o.Unknown() {
		t.Errorf("kind %d, fault %q, scope %d, unknown %t: want kind %d, fault %q, scope %d", o.Kind(), o.Fault(), o.Scope(), o.Unknown(), kind, r.Fault, r.Scope)
	}
}

func everyFault(t *testing.T, v Vendor) {
	for _, fault := range []outcome.Fault{outcome.Recipient, outcome.Operator, outcome.Provider, outcome.Ours} {
		if !slices.ContainsFunc(v.Refused, func(r Refusal) bool { return r.Fault == fault }) {
			t.Errorf("no refusal is the fault of %q", fault)
		}
	}
	for _, scope := range []outcome.Scope{outcome.Reason, outcome.Account} {
		if !slices.ContainsFunc(v.Refused, func(r Refusal) bool { return r.Fault == outcome.Operator && r.Scope == scope }) {
			t.Errorf("no refusal is the operator's fault with the scope %d", scope)
		}
	}
}

func throttled(t *testing.T, v Vendor) {
	got := send(t, v, v.Throttled)
	got.check(t, v)
	o := outcome.Of(got.err)
	if got.Pause <= 0 || o.Kind() != outcome.Failed || o.Unknown() || o.Fault() != outcome.Provider || o.Scope() == outcome.Service {
		t.Errorf("%+v: want a temporary failure, and a pause for all replicas", got)
	}
}

func unknown(t *testing.T, v Vendor, handler http.HandlerFunc) {
	got := send(t, v, handler)
	got.check(t, v)
	o := outcome.Of(got.err)
	if o.Kind() != outcome.Failed || !o.Unknown() || o.Fault() != outcome.Provider {
		t.Errorf("%v: want a failure of the provider with an unknown outcome", got.err)
	}
}

// unreachable is also the control of unknown: the same failure before the request was sent is not unknown.
func unreachable(t *testing.T, v Vendor) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	got := sendTo(t, v.Open(server.URL, time.Second))
	got.check(t, v)
	o := outcome.Of(got.err)
	if o.Kind() != outcome.Failed || o.Unknown() || o.Scope() != outcome.Service || got.left {
		t.Errorf("%v: want a failure of the whole service that is not unknown", got.err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Open(server.URL, time.Second).Send(ctx, gateway.Message{To: number, Text: text, Reference: reference}); outcome.Of(err).Unknown() || err == nil {
		t.Errorf("a call that was cancelled before it began: %v", err)
	}
}

func receipts(t *testing.T, v Vendor) {
	g := v.Open("http://127.0.0.1:1", time.Second)
	if within, err := g.Receipts(); err != nil || within <= 0 {
		t.Errorf("receipts come within %v, %v", within, err)
	}
	if _, err := v.Empty().Receipts(); err == nil {
		t.Error("receipts are accepted without a secret")
	}
	now := time.Now().UTC()
	for _, status := range []gateway.Status{gateway.Accepted, gateway.Delivered, gateway.Failed} {
		signed := func() *http.Request { return v.Receipt(reference, "p1", status) }
		fields, err := verify(g, signed())
		if err != nil {
			t.Errorf("%s: %v", status, err)
			continue
		}
		r, err := g.ReadReceipt(fields, now)
		if err != nil || r.Reference != reference || r.Part != "p1" || r.Status != status || r.At.IsZero() || r.At.Location() != time.UTC {
			t.Errorf("%s: %+v, %v", status, r, err)
		}
		if lost := status.Lost(); lost != (r.Reason != "") || lost != (r.Fault != "") || lost && !bounded.MatchString(r.Reason) {
			t.Errorf("%s: reason %q, fault %q", status, r.Reason, r.Fault)
		}
		for name, wrong := range map[string]*http.Request{"unsigned": v.Unsign(signed()), "signed with another secret": v.Forge(signed())} {
			if fields, err := verify(g, wrong); !errors.Is(err, gateway.ErrSignature) || fields != nil {
				t.Errorf("%s and %s: %v, %v; want ErrSignature", status, name, fields, err)
			}
		}
		if fields, err := verify(v.Empty(), signed()); err == nil {
			t.Errorf("%s: accepted without a secret: %v", status, fields)
		}
	}
}

func texts(t *testing.T, v Vendor) {
	g, now := v.Open("http://127.0.0.1:1", time.Second), time.Now().UTC()
	signed := func() *http.Request { return v.Text("t1", number, "Stop, please") }
	fields, err := verify(g, signed())
	if err != nil {
		t.Fatal(err)
	}
	got, err := g.ReadText(fields, now)
	if err != nil || got.ID != "t1" || !strings.HasSuffix(got.From, strings.TrimPrefix(number, "+")) || got.Text != "Stop, please" ||
		got.At.IsZero() || got.At.After(now) || got.Parts > 1 {
		t.Errorf("%+v, %v", got, err)
	}
	for name, wrong := range map[string]*http.Request{"unsigned": v.Unsign(signed()), "signed with another secret": v.Forge(signed())} {
		if fields, err := verify(g, wrong); !errors.Is(err, gateway.ErrSignature) || fields != nil {
			t.Errorf("%s: %v, %v; want ErrSignature", name, fields, err)
		}
	}
	if fields, err := verify(g, v.Text("t1", "", "Stop")); err == nil {
		if got, err := g.ReadText(fields, now); err == nil || strings.Contains(err.Error(), "Stop") {
			t.Errorf("a text without a number is read as %+v, %v", got, err)
		}
	}
}

func verify(g gateway.Gateway, r *http.Request) (map[string]string, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return g.Verify(r, body)
}

// drain reads a request to its end, so that the client has written all of it.
func drain(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }

// broken sends less than it announces.
func broken(w http.ResponseWriter, r *http.Request) {
	drain(r)
	w.Header().Set("Content-Length", "500")
	_, _ = io.WriteString(w, "{")
}
