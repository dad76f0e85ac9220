package smssender

import (
	"context"
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
	"github.com/signrelay/signrelay/libs/notification"
)

// vonage is the operator's account at Vonage. Its SDK knows no context, no HTTP status and no time-out, so each call has
// an SDK client of its own, which costs two small allocations, over one shared transport.
type vonage struct {
	settings  config.Vonage
	transport http.RoundTripper
}

// sms is one message to one number.
type sms struct {
	to        string // E.164 with its plus sign
	text      string
	reference string // at most 40 characters; comes back in the delivery receipt
}

// idleFor is how long a connection is kept for the next call: shorter than servers do. A POST that meets a connection
// which the server is just closing has an unknown outcome.
const idleFor = 20 * time.Second

func newVonage(settings config.Vonage, workers int) *vonage {
	return &vonage{settings: settings, transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: workers, IdleConnTimeout: idleFor,
	}}
}

// send makes one call and returns what came of it. The error is a verdict: the message was certainly not sent.
func (v *vonage) send(ctx context.Context, m sms) (answer, error) {
	to := strings.TrimPrefix(m.to, "+") // the API wants the number without it, and the SDK sends it as it is
	if len(to) < 7 || len(to) > 15 || strings.Trim(to, "0123456789") != "" {
		return answer{}, notification.Refused("number-malformed", nil)
	}
	if v.settings.APIKey == "" {
		return answer{}, notification.OperatorMustAct("not-configured", errors.New("sms.vonage.api_key is empty"))
	}

	ctx, cancel := context.WithTimeout(ctx, v.settings.Timeout)
	defer cancel()
	call := &call{ctx: ctx, transport: v.transport}
	client := sdk.NewSMSClient(sdk.CreateAuthFromKeySecret(v.settings.APIKey, v.settings.APISecret))
	client.Config.BasePath = strings.TrimRight(v.settings.BaseURL, "/") + "/sms" // the SDK appends /json
	client.Config.HTTPClient = &http.Client{Transport: call, CheckRedirect: stay}

	result, err := sendRecovering(client, strings.TrimPrefix(v.settings.From, "+"), to, m)
	a := answer{written: call.written.Load(), status: call.status, retryAfter: call.retryAfter, err: err}
	for _, m := range result.Messages {
		a.parts = append(a.parts, part{status: m.Status, id: m.MessageId})
	}
	return a, nil
}

// sendRecovering is the SDK's Send. The SDK takes the first of the answer's messages without looking whether there is
// one, and panics.
func sendRecovering(client *sdk.SMSClient, from, to string, m sms) (result sdk.Sms, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the answer has no messages: %v", p)
		}
	}()
	// The second result is empty on most refusals and the error is nil on all of them; the statuses say all.
	result, _, err = client.Send(from, to, m.text, sdk.SMSOpts{Type: textType(m.text), ClientRef: m.reference})
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

	written    atomic.Bool // the request was begun to be written; by the transport's own goroutine
	status     int
	retryAfter string
}

func (c *call) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := httptrace.WithClientTrace(c.ctx, &httptrace.ClientTrace{WroteHeaders: func() { c.written.Store(true) }})
	resp, err := c.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	c.status, c.retryAfter = resp.StatusCode, resp.Header.Get("Retry-After")
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, longestAnswer), resp.Body}
	return resp, nil
}
