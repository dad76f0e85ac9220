package vonage_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// receiver accepts delivery receipts, as a sender does.
type receiver struct {
	*httptest.Server
	received chan url.Values
	mu       sync.Mutex
	no       int // the number of first receipts that get 503
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{received: make(chan url.Values, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if err := q.ParseForm(); err != nil || q.Method != http.MethodPost || q.URL.Path != "/receipts/vonage/demo" {
			t.Errorf("a receipt was sent as %s %s, %v", q.Method, q.URL, err)
		}
		r.mu.Lock()
		refused := r.no > 0
		if refused {
			r.no--
		}
		r.mu.Unlock()
		if refused {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		r.received <- q.PostForm
	}))
	t.Cleanup(r.Close)
	return r
}

// next returns the next receipt. The longest wait for a receipt is two seconds.
func (r *receiver) next(t *testing.T) url.Values {
	t.Helper()
	select {
	case form := <-r.received:
		return form
	case <-time.After(30 * time.Second):
		t.Fatal("no receipt was sent")
		return nil
	}
}

func (r *receiver) address() string { return r.URL + "/receipts/vonage/demo" }

// signature returns HMAC-SHA256 over &name=value in the order of names, as Vonage computes it.
func signature(form url.Values, secret string) string {
	var joined strings.Builder
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if name != "sig" {
			joined.WriteString("&" + name + "=" + strings.NewReplacer("&", "_", "=", "_").Replace(form.Get(name)))
		}
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(joined.String()))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestEachPartHasItsSignedReceipt(t *testing.T) {
	t.Parallel()
	w, to := sandboxtest.Open(t, ""), newReceiver(t)
	response := w.SMS(sandboxtest.SMSForm("callback", to.address(), "text", strings.Repeat("a", 161), "client-ref", "a&b=c"))
	for _, part := range response.Messages {
		got := to.next(t)
		if sig := got.Get("sig"); sig != signature(got, "signing") || got.Get("timestamp") == "" || got.Get("nonce") == "" {
			t.Errorf("the receipt is signed %q: %v", sig, got)
		}
		want := map[string]string{
			"msisdn": "13175551234", "to": "Signrelay", "messageId": part.MessageID, "status": "delivered", "err-code": "0",
			"api-key": "abcd1234", "client-ref": "a&b=c",
		}
		for name, value := range want {
			if got.Get(name) != value {
				t.Errorf("%s is %q, want %q", name, got.Get(name), value)
			}
		}
		for _, name := range []string{"network-code", "price", "scts", "message-timestamp"} {
			if got.Get(name) == "" {
				t.Errorf("%s is missing", name)
			}
		}
	}
}

func TestAReceiptIsRetriedUntilItIsAccepted(t *testing.T) {
	t.Parallel()
	w, to := sandboxtest.Open(t, ""), newReceiver(t)
	to.no = 1
	w.SMS(sandboxtest.SMSForm("callback", to.address()))
	if first, second := to.next(t), to.next(t); first.Get("sig") != second.Get("sig") {
		t.Errorf("the receipt changed from %v to %v", first, second)
	}
}

func TestReceiptsFailOnRequest(t *testing.T) {
	t.Parallel()
	w, to := sandboxtest.Open(t, ""), newReceiver(t)
	for mode, code := range map[string]string{"fail": "1", "14": "14"} {
		w.Fault(`{"target":"receipts","mode":"` + mode + `"}`)
		if got := w.SMS(sandboxtest.SMSForm("callback", to.address())); got.Messages[0].Status != "0" {
			t.Errorf("Vonage responded %+v", got)
		}
		if got := to.next(t); got.Get("status") != "failed" || got.Get("err-code") != code {
			t.Errorf("%s: the receipt is %v", mode, got)
		}
	}
	if got := w.Received(""); len(got) != 0 {
		t.Errorf("%d SMS arrived", len(got))
	}
	w.SMS(sandboxtest.SMSForm("callback", to.address()))
	if got := to.next(t); got.Get("status") != "delivered" || len(w.Received("")) != 1 {
		t.Errorf("the next receipt is %v", got)
	}
}

// A number that no SMS reaches, for a story.
func TestAnUnreachableNumber(t *testing.T) {
	t.Parallel()
	w, to := sandboxtest.Open(t, ""), newReceiver(t)
	if got := w.SMS(sandboxtest.SMSForm("callback", to.address(), "to", "13175550199")); got.Messages[0].Status != "0" {
		t.Errorf("Vonage responded %+v", got)
	}
	if got := to.next(t); got.Get("status") != "failed" || len(w.Received("")) != 0 {
		t.Errorf("the receipt is %v, and %d SMS arrived", got, len(w.Received("")))
	}
}

func TestAnEarlyReceiptComesBeforeTheResponse(t *testing.T) {
	t.Parallel()
	w, to := sandboxtest.Open(t, ""), newReceiver(t)
	w.Fault(`{"target":"receipts","mode":"early"}`)
	got := w.SMS(sandboxtest.SMSForm("callback", to.address()))
	select {
	case early := <-to.received:
		if early.Get("messageId") != got.Messages[0].MessageID {
			t.Errorf("the receipt is %v", early)
		}
	default:
		t.Error("Vonage responded before it sent a receipt")
	}
}

// The receipts that arrive are the control for the missing ones.
func TestAReceiptIsSentOnlyOnRequest(t *testing.T) {
	t.Parallel()
	w, to := sandboxtest.Open(t, ""), newReceiver(t)
	w.SMS(sandboxtest.SMSForm("callback", to.address(), "status-report-req", "false", "client-ref", "unwanted"))
	w.Fault(`{"target":"receipts","mode":"drop"}`)
	w.SMS(sandboxtest.SMSForm("callback", to.address(), "client-ref", "dropped"))
	w.Fault(`{"target":"receipts","mode":"slow","delay_ms":60000}`)
	w.SMS(sandboxtest.SMSForm("callback", to.address(), "client-ref", "late"))
	for range 3 { // when these have arrived, the others would have arrived too
		w.SMS(sandboxtest.SMSForm("callback", to.address(), "client-ref", "wanted"))
		if got := to.next(t); got.Get("client-ref") != "wanted" {
			t.Errorf("a receipt was sent: %v", got)
		}
	}
	refused := w.SMS(sandboxtest.SMSForm("callback", "receipts.example"))
	if refused.Messages[0].Status != "23" {
		t.Errorf("a callback that is not a URL: %+v", refused)
	}
	if got := w.Received(""); len(got) != 6 {
		t.Errorf("%d SMS arrived, want 6", len(got))
	}
}
