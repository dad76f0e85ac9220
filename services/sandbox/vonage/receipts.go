package vonage

import (
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // Vonage's default
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/telemetry"
	"github.com/signrelay/signrelay/services/sandbox/party"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// receipts sends Vonage's delivery receipts: one for each part, to the message's callback address, shortly after the message was accepted.
type receipts struct {
	account smssettings.Vonage
	log     *slog.Logger
	client  *http.Client
	odd     *party.Odd

	ctx      context.Context // ends with the sandbox
	stop     context.CancelFunc
	slots    chan struct{} // one for each SMS with receipts in flight
	inFlight sync.WaitGroup
}

// receiptsTarget is the name of the receipts in faults.
const receiptsTarget = "receipts"

// The additional fault modes of receipts.
const (
	fail  = "fail"  // the SMS does not arrive, and its receipt reports the failure
	early = "early" // the receipt is sent before the response to the message
)

// The delivery of receipts. Vonage waits 3 s for a connection and 15 s for a response, and retries for 72 hours. The sandbox retries for 31 s:
// after 1, 2, 4, 8 and 16 s.
const (
	receiptAfter    = 100 * time.Millisecond
	receiptTimeout  = 15 * time.Second
	receiptAttempts = 6
	receiptRetry    = time.Second // doubles with each attempt
	// maxInFlight bounds the SMS with receipts in flight, about 4 KB each. Further SMS get no receipts.
	maxInFlight = 4096
)

func newReceipts(account smssettings.Vonage, log *slog.Logger, odd *party.Odd) *receipts {
	r := &receipts{
		account: account, log: log, odd: odd, slots: make(chan struct{}, maxInFlight),
		client: &http.Client{
			Timeout:       receiptTimeout,
			Transport:     &http.Transport{MaxConnsPerHost: 16, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// end stops the receipts in flight and waits for them.
func (r *receipts) end() {
	r.stop()
	r.inFlight.Wait()
	r.client.CloseIdleConnections()
}

// text is an SMS that Vonage accepted.
type text struct {
	callback  string // the address for its receipts
	to, from  string
	reference string
	parts     []string // their message ids
}

// send sends the receipts of an SMS in the background. With the fault early it waits until they are sent, so that they arrive before the
// response.
func (r *receipts) send(t text, f party.Fault) {
	if t.callback == "" || f.Mode == party.Drop {
		return
	}
	select {
	case r.slots <- struct{}{}:
	default:
		r.log.Warn("too many receipts in flight: an SMS gets none")
		return
	}
	after := receiptAfter
	switch f.Mode {
	case party.Slow:
		after = f.Delay()
	case early:
		after = 0
	}
	done := make(chan struct{})
	r.inFlight.Go(func() {
		defer func() { <-r.slots }()
		defer close(done)
		for _, id := range r.order(t.parts) {
			if party.Wait(r.ctx, after) != nil {
				return
			}
			form := r.receipt(t, id, f)
			var again sync.WaitGroup
			which := r.odd.Pick(oddReceipts)
			if which == receiptAtOnce {
				again.Go(func() { r.deliverReceipt(t.callback, form) })
			}
			r.deliverReceipt(t.callback, form)
			if which == receiptTwice {
				r.deliverReceipt(t.callback, form)
			}
			again.Wait()
			after = 0
		}
	})
	if f.Mode == early {
		<-done
	}
}

// The oddities of a receipt: it is sent twice, as after a lost response.
const (
	receiptTwice  = iota // in sequence
	receiptAtOnce        // at the same time
	oddReceipts
)

// order returns the parts in the order of their receipts. An odd order is possible, because the carrier reports each part separately.
func (r *receipts) order(parts []string) []string {
	if r.odd.Pick(1) < 0 {
		return parts
	}
	parts = slices.Clone(parts)
	slices.Reverse(parts)
	return parts
}

// receipt returns the receipt of one part.
func (r *receipts) receipt(t text, id string, f party.Fault) url.Values {
	now := time.Now().UTC()
	form := url.Values{
		"msisdn": {t.to}, "to": {t.from}, "network-code": {"00000"}, "messageId": {id}, "price": {"0.00000000"},
		"status": {"delivered"}, "err-code": {"0"}, "scts": {now.Format("0601021504")}, "api-key": {r.account.APIKey},
		"message-timestamp": {now.Format(time.DateTime)},
	}
	if t.reference != "" {
		form.Set("client-ref", t.reference)
	}
	if undelivered(f) {
		form.Set("status", "failed")
		form.Set("err-code", strconv.Itoa(max(f.Number(), 1)))
	}
	r.sign(form, now)
	return form
}

// sign signs a webhook's parameters, if the settings have a secret.
func (r *receipts) sign(form url.Values, now time.Time) {
	if secrets := r.account.SignatureSecrets(); len(secrets) > 0 { // more than one during a rotation
		form.Set("timestamp", strconv.FormatInt(now.Unix(), 10))
		form.Set("nonce", party.RandomHex(8))
		form.Set("sig", signReceipt(form, secrets[0], r.account.SignatureMethod))
	}
}

// undelivered reports whether the fault prevents the delivery of the SMS.
func undelivered(f party.Fault) bool {
	return f.Target == receiptsTarget && (f.Mode == fail || f.Number() > 0)
}

func (r *receipts) deliverReceipt(address string, form url.Values) {
	if err := r.deliver(r.ctx, address, form); err != nil && r.ctx.Err() == nil {
		r.log.Warn("a delivery receipt was not accepted", "error", err)
	}
}

// deliver posts a webhook until the response is 2xx, the attempts are used up, or ctx ends.
func (r *receipts) deliver(ctx context.Context, address string, form url.Values) error {
	pause := receiptRetry
	for try := 1; ; try++ {
		outcome := r.post(ctx, address, form)
		if outcome == "" {
			return nil
		}
		if try == receiptAttempts {
			return fmt.Errorf("the last of %d attempts: %s", try, outcome)
		}
		if err := party.Wait(ctx, pause); err != nil {
			return err
		}
		pause *= 2
	}
}

// post sends a webhook once. It returns the reason if the webhook was not accepted, otherwise "".
func (r *receipts) post(ctx context.Context, address string, form url.Values) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return "not a URL"
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := r.client.Do(request)
	if err != nil {
		return fmt.Sprintf("no response: %v", telemetry.WithoutURL(err))
	}
	_ = response.Body.Close() // the body is not needed
	if response.StatusCode/100 != 2 {
		return response.Status
	}
	return ""
}

// signReceipt returns Vonage's signature of a webhook's parameters except "sig". They are sorted by name and joined as &name=value, with & and
// = in values replaced by _.
func signReceipt(form url.Values, secret, method string) string {
	var joined strings.Builder
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if name != "sig" {
			joined.WriteString("&" + name + "=" + strings.NewReplacer("&", "_", "=", "_").Replace(form.Get(name)))
		}
	}
	digests := map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}
	digest, keyed := digests[method]
	if !keyed { // md5hash, the default
		sum := md5.Sum([]byte(joined.String() + secret)) //nolint:gosec // Vonage's default
		return hex.EncodeToString(sum[:])
	}
	mac := hmac.New(digest, []byte(secret))
	mac.Write([]byte(joined.String()))
	return hex.EncodeToString(mac.Sum(nil))
}
