package smssender

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
)

// vonage is the operator's account at Vonage. Its SDK knows no context, no HTTP status and no time-out, so each call has
// an SDK client of its own, which costs two small allocations, over one shared transport.
type vonage struct {
	settings  func() config.Vonage // as they are now
	transport http.RoundTripper
	limits    limit.Limiter
}

// sms is one message to one number.
type sms struct {
	to        string // E.164 with its plus sign; without it once addressed
	text      string
	kind      string // the API's type
	reference string // at most 40 characters; comes back in the delivery receipt
	source    string // whose door the receipt comes to
}

// idleFor is how long a connection is kept for the next call: shorter than servers do. A POST that meets a connection
// which the server is just closing has an unknown outcome.
const idleFor = 20 * time.Second

func newVonage(settings func() config.Vonage, limits limit.Limiter, workers int) *vonage {
	return &vonage{
		settings: settings, limits: limits,
		transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: workers, IdleConnTimeout: idleFor,
		},
	}
}

// account is the key of the account's rate.
func account(settings config.Vonage) string {
	hashed := sha256.Sum256([]byte(settings.APIKey)) // half a secret, which has no business in a Redis
	return flow.RateVonage + "/" + hex.EncodeToString(hashed[:8])
}

// address makes a message one that can be sent. The error is a verdict.
func (v *vonage) address(m sms) (sms, error) {
	m.to = strings.TrimPrefix(m.to, "+") // the API wants the number without it, and the SDK sends it as it is
	if len(m.to) < 7 || len(m.to) > 15 || strings.Trim(m.to, "0123456789") != "" {
		return sms{}, outcome.Refused(outcome.Recipient, "number-malformed", nil)
	}
	if v.settings().APIKey == "" {
		return sms{}, outcome.NeedsOperator(outcome.Account, "not-configured", errors.New("sms.vonage.api_key is empty"))
	}
	return m, nil
}

// patience is how long a message waits for its turn with its sender's worker; who has to wait longer goes back to the stream.
const patience = 2 * time.Second

// wait waits for the account's turn, which all replicas share. The calls are spread evenly: Vonage counts each second's.
func (v *vonage) wait(ctx context.Context) error {
	now := v.settings()
	rate := limit.Rate{Count: now.PerSecond, Per: time.Second, Burst: 1}
	err := limit.Wait(ctx, v.limits, account(now), rate, patience)
	var later *limit.LaterError
	if errors.As(err, &later) {
		return outcome.Later(later.After, "rate-limit")
	}
	return err
}

// send makes one call and returns what came of it. Where Vonage asks for fewer calls, no replica makes one for a while.
func (v *vonage) send(ctx context.Context, m sms) answer {
	now := v.settings()
	call, cancel := context.WithTimeout(ctx, now.Timeout)
	defer cancel()
	a := v.call(call, now, m)
	if pause := a.pause(); pause > 0 {
		// It is advice: a limiter that cannot be told costs one more refused call.
		_ = v.limits.Pause(context.WithoutCancel(ctx), account(now), pause)
	}
	return a
}

func (v *vonage) call(ctx context.Context, now config.Vonage, m sms) answer {
	call := &call{ctx: ctx, transport: v.transport}
	client := sdk.NewSMSClient(sdk.CreateAuthFromKeySecret(now.APIKey, now.APISecret))
	client.Config.BasePath = now.BaseURL + "/sms" // the SDK appends /json
	client.Config.HTTPClient = &http.Client{Transport: call, CheckRedirect: stay}

	options := sdk.SMSOpts{Type: m.kind, ClientRef: m.reference}
	if now.ReceiptsURL != "" {
		options.StatusReportReq = true
		options.Callback = now.ReceiptsURL + "/receipts/vonage/" + m.source
	}
	result, err := sendRecovering(client, strings.TrimPrefix(now.From, "+"), m, options)
	a := answer{written: call.written.Load(), status: call.status, retryAfter: call.retryAfter, err: err}
	for _, m := range result.Messages {
		a.parts = append(a.parts, part{status: m.Status, id: m.MessageId})
	}
	if len(a.parts) == 0 {
		a.parts = refusedParts(err)
	}
	return a
}

// refusedParts are the statuses that Vonage itself gave in a response outside 2xx, of which the SDK reads nothing.
func refusedParts(err error) (parts []part) {
	var response interface{ Body() []byte }
	if !errors.As(err, &response) {
		return nil
	}
	var said struct {
		Messages []struct {
			Status string `json:"status"`
			ID     string `json:"message-id"`
		} `json:"messages"`
	}
	if json.Unmarshal(response.Body(), &said) != nil {
		return nil
	}
	for _, m := range said.Messages {
		if m.Status != "" {
			parts = append(parts, part{status: m.Status, id: m.ID})
		}
	}
	return parts
}

// sendRecovering is the SDK's Send. The SDK takes the first of the answer's messages without looking whether there is
// one, and panics.
func sendRecovering(client *sdk.SMSClient, from string, m sms, options sdk.SMSOpts) (result sdk.Sms, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the answer has no messages: %v", p)
		}
	}()
	// The second result is empty on most refusals and the error is nil on all of them; the statuses say all.
	result, _, err = client.Send(from, m.to, m.text, options)
	return result, err
}

// stay follows no redirect: the form has the account's secret in it.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// longestAnswer is much more than the answer to the longest message, of 160 bytes a part.
const longestAnswer = 1 << 20

// call is the transport of one call: it brings the context that the SDK does not, and keeps what the SDK throws away.
type call struct {
	ctx       context.Context
	transport http.RoundTripper

	written    atomic.Bool // the whole request was written; by the transport's own goroutine
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
	}{io.LimitReader(resp.Body, longestAnswer), resp.Body}
	return resp, nil
}
