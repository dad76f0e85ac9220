package vonage

import (
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // what Vonage signs with by default
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

	"github.com/signrelay/signrelay/services/sandbox/party"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// receipts are Vonage's delivery receipts: one a part, sent to where the message said, a moment after it was taken.
type receipts struct {
	account smssettings.Vonage
	log     *slog.Logger
	client  *http.Client
	odd     *party.Odd

	ctx   context.Context // ends with the sandbox
	stop  context.CancelFunc
	slots chan struct{} // one for each text whose receipts are on their way
	going sync.WaitGroup
}

// receiptsTarget is how faults name the receipts.
const receiptsTarget = "receipts"

// How receipts alone can fail.
const (
	fail  = "fail"  // a text that does not arrive, and whose receipt says so
	early = "early" // a receipt that comes before its message's response
)

// How receipts are sent. Vonage waits 3 s to connect and 15 s for a response, and tries for 72 hours; this one tries for
// 31 s: after 1, 2, 4, 8 and 16 s.
const (
	receiptAfter   = 100 * time.Millisecond
	receiptTimeout = 15 * time.Second
	receiptTries   = 6
	receiptRetry   = time.Second // doubles with each try
	// receiptsGoing bounds the texts whose receipts are on their way, about 4 KB each. Those of more texts never come.
	receiptsGoing = 4096
)

func newReceipts(account smssettings.Vonage, log *slog.Logger, odd *party.Odd) *receipts {
	r := &receipts{
		account: account, log: log, odd: odd, slots: make(chan struct{}, receiptsGoing),
		client: &http.Client{
			Timeout:       receiptTimeout,
			Transport:     &http.Transport{MaxConnsPerHost: 16, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// end stops what is on its way, and waits for it.
func (r *receipts) end() {
	r.stop()
	r.going.Wait()
	r.client.CloseIdleConnections()
}

// text is a message that Vonage took.
type text struct {
	callback  string // where its receipts go
	to, from  string
	reference string
	parts     []string // their message ids
}

// send sends a text's receipts, and does not wait for it unless they are to come before the message's own response.
func (r *receipts) send(t text, f party.Fault) {
	if t.callback == "" || f.Mode == party.Drop {
		return
	}
	select {
	case r.slots <- struct{}{}:
	default:
		r.log.Warn("too many receipts are on their way: those of a text are left out")
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
	r.going.Go(func() {
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
				again.Go(func() { r.deliver(t.callback, form) })
			}
			r.deliver(t.callback, form)
			if which == receiptTwice {
				r.deliver(t.callback, form)
			}
			again.Wait()
			after = 0
		}
	})
	if f.Mode == early {
		<-done
	}
}

// The oddities of a receipt: it is sent again after a response that Vonage takes for lost.
const (
	receiptTwice  = iota // behind it
	receiptAtOnce        // at once
	oddReceipts
)

// order is the order of a text's receipts: each part's comes from the carrier by itself.
func (r *receipts) order(parts []string) []string {
	if r.odd.Pick(1) < 0 {
		return parts
	}
	parts = slices.Clone(parts)
	slices.Reverse(parts)
	return parts
}

// receipt is the receipt of one part.
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
	if secrets := r.account.SignatureSecrets(); len(secrets) > 0 { // several while one is being rotated
		form.Set("timestamp", strconv.FormatInt(now.Unix(), 10))
		form.Set("nonce", party.RandomHex(8))
		form.Set("sig", signReceipt(form, secrets[0], r.account.SignatureMethod))
	}
	return form
}

// undelivered tells whether a text does not arrive.
func undelivered(f party.Fault) bool {
	return f.Target == receiptsTarget && (f.Mode == fail || f.Number() > 0)
}

// deliver posts a receipt until it is taken with a 2xx, the tries are used up, or the sandbox ends.
func (r *receipts) deliver(address string, form url.Values) {
	pause := receiptRetry
	for try := 1; ; try++ {
		outcome := r.post(address, form)
		if outcome == "" {
			return
		}
		if try == receiptTries {
			r.log.Warn("a delivery receipt was not taken", "tries", try, "outcome", outcome)
			return
		}
		if party.Wait(r.ctx, pause) != nil {
			return
		}
		pause *= 2
	}
}

// post returns why a receipt was not taken; empty when it was.
func (r *receipts) post(address string, form url.Values) string {
	request, err := http.NewRequestWithContext(r.ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return "no URL"
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := r.client.Do(request)
	if err != nil {
		return fmt.Sprintf("no answer: %v", party.WithoutURL(err))
	}
	_ = response.Body.Close() // nothing in it is wanted
	if response.StatusCode/100 != 2 {
		return response.Status
	}
	return ""
}

// signReceipt is Vonage's signature of a webhook's parameters, without "sig": in the order of their names, joined as
// &name=value with the characters & and = in values written as _.
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
		sum := md5.Sum([]byte(joined.String() + secret)) //nolint:gosec // likewise
		return hex.EncodeToString(sum[:])
	}
	mac := hmac.New(digest, []byte(secret))
	mac.Write([]byte(joined.String()))
	return hex.EncodeToString(mac.Sum(nil))
}
