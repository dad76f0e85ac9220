// Package vonage is the gateway to Vonage's SMS API: its client, its statuses, and its delivery receipts with their signatures.
package vonage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	sdk "github.com/vonage/vonage-go-sdk"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// Gateway is the operator's account at Vonage. Vonage's SDK supports no context, no HTTP status and no timeout, so each call has its own SDK
// client, which costs two small allocations, over one shared transport.
type Gateway struct {
	settings  *config.Current[smssettings.Vonage]
	transport http.RoundTripper
}

var _ gateway.Gateway = (*Gateway)(nil)

// idleFor is the time for which a connection is kept for the next call. It is shorter than a server's own limit, because a POST on a
// connection that the server is just closing has an unknown outcome.
const idleFor = 20 * time.Second

// New returns a gateway for this number of concurrent calls. It reads the settings at each use.
func New(settings *config.Current[smssettings.Vonage], calls int) *Gateway {
	return &Gateway{
		settings: settings,
		transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: calls, IdleConnTimeout: idleFor,
		},
	}
}

// name is in metrics, in logs, and in the path of receipts.
const name = "vonage"

// Name implements gateway.Gateway.
func (g *Gateway) Name() string { return name }

// Settings implements gateway.Gateway.
func (g *Gateway) Settings() any { return g.settings.Now() }

// Account implements gateway.Gateway. The calls are spread evenly, because Vonage counts the calls of each second.
func (g *Gateway) Account() (gateway.Account, error) {
	now := g.settings.Now()
	if now.APIKey == "" {
		return gateway.Account{}, outcome.NeedsOperator(outcome.Account, "not-configured", errors.New("sms.vonage.api_key is empty"))
	}
	hashed := sha256.Sum256([]byte(now.APIKey)) // the key is half of the credentials
	return gateway.Account{
		Key:  flow.RateVonage + "/" + hex.EncodeToString(hashed[:8]),
		Rate: limit.Rate{Count: now.PerSecond, Per: time.Second, Burst: 1},
	}, nil
}

// Replies implements gateway.Gateway.
func (g *Gateway) Replies() bool { return g.settings.Now().Replies() }

// Send implements gateway.Gateway.
func (g *Gateway) Send(ctx context.Context, m gateway.Message) (gateway.Response, error) {
	now := g.settings.Now()
	ctx, cancel := context.WithTimeout(ctx, now.Timeout)
	defer cancel()
	got := g.call(ctx, now, m)
	receipt, err := got.outcome()
	return gateway.Response{Receipt: receipt, Pause: got.pause()}, err
}

// Receipts implements gateway.Gateway.
func (g *Gateway) Receipts() (within time.Duration, err error) {
	now := g.settings.Now()
	if now.SignatureSecret == "" {
		return 0, errors.New("sms.vonage.signature_secret is empty")
	}
	return now.ReceiptWithin, nil
}

// Verify implements gateway.Gateway.
func (g *Gateway) Verify(r *http.Request, body []byte) (map[string]string, error) {
	now := g.settings.Now()
	fields, err := parameters(r, body)
	if err != nil {
		return nil, err
	}
	if !signedByAny(fields, now.SignatureSecrets(), now.SignatureMethod) {
		return nil, gateway.ErrSignature
	}
	return fields, nil
}

// ReadReceipt implements gateway.Gateway.
func (g *Gateway) ReadReceipt(fields map[string]string, now time.Time) (gateway.DeliveryReceipt, error) {
	return readReceipt(fields, now)
}

// ReadText implements gateway.Gateway.
func (g *Gateway) ReadText(fields map[string]string, now time.Time) (gateway.InboundText, error) {
	return readText(fields, now)
}

// The API's types of a text.
const (
	typeText    = "text" // the API replaces characters outside the GSM 7-bit alphabet with question marks
	typeUnicode = "unicode"
)

func (g *Gateway) call(ctx context.Context, now smssettings.Vonage, m gateway.Message) response {
	call := &call{ctx: ctx, transport: g.transport}
	client := sdk.NewSMSClient(sdk.CreateAuthFromKeySecret(now.APIKey, now.APISecret))
	client.Config.BasePath = now.BaseURL + "/sms" // the SDK appends /json
	client.Config.HTTPClient = &http.Client{Transport: call, CheckRedirect: noRedirect}

	options := sdk.SMSOpts{Type: typeText, ClientRef: m.Reference}
	if m.Unicode {
		options.Type = typeUnicode
	}
	if now.ReceiptsURL != "" {
		options.StatusReportReq = true
		options.Callback = now.ReceiptsURL + "/receipts/" + name + "/" + m.Source
	}
	result, err := sendRecovering(client, strings.TrimPrefix(now.From, "+"), m, options)
	got := response{written: call.written.Load(), status: call.status, retryAfter: call.retryAfter, err: err}
	for _, m := range result.Messages {
		got.parts = append(got.parts, part{status: m.Status, id: m.MessageId, price: m.MessagePrice})
	}
	if len(got.parts) == 0 {
		got.parts = refusedParts(err)
	}
	return got
}

// refusedParts reads the parts' statuses from a response outside 2xx, which the SDK does not read.
func refusedParts(err error) (parts []part) {
	var response interface{ Body() []byte }
	if !errors.As(err, &response) {
		return nil
	}
	var body struct {
		Messages []struct {
			Status string `json:"status"`
			ID     string `json:"message-id"`
		} `json:"messages"`
	}
	if json.Unmarshal(response.Body(), &body) != nil {
		return nil
	}
	for _, m := range body.Messages {
		if m.Status != "" {
			parts = append(parts, part{status: m.Status, id: m.ID})
		}
	}
	return parts
}

// sendRecovering calls the SDK's Send, which panics if the response has no messages.
func sendRecovering(client *sdk.SMSClient, from string, m gateway.Message, options sdk.SMSOpts) (result sdk.Sms, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the response has no messages: %v", p)
		}
	}()
	// The API requires the number without its plus sign, and the SDK sends it unchanged. On most refusals the second result is empty, and on
	// all refusals the error is nil. The statuses contain all information.
	result, _, err = client.Send(from, strings.TrimPrefix(m.To, "+"), m.Text, options)
	return result, err
}

// noRedirect follows no redirect: the form contains the account's secret.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// longestResponse is much larger than the response to the longest message, which has 160 bytes for each part.
const longestResponse = 1 << 20

// call is the transport of one call. It adds the context that the SDK does not support, and keeps the data that the SDK discards.
type call struct {
	ctx       context.Context
	transport http.RoundTripper

	written    atomic.Bool // the whole request was written; set by the transport's own goroutine
	status     int
	retryAfter time.Duration
}

func (c *call) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := httptrace.WithClientTrace(c.ctx, &httptrace.ClientTrace{WroteRequest: func(wrote httptrace.WroteRequestInfo) {
		if wrote.Err == nil {
			c.written.Store(true)
			notification.Left(c.ctx)
		}
	}})
	resp, err := c.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	c.status, c.retryAfter = resp.StatusCode, limit.RetryAfter(resp.Header, time.Now())
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, longestResponse), resp.Body}
	return resp, nil
}
