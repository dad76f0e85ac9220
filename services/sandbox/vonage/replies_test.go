package vonage_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

// The person who gets a text replies on request, once, with a signed text at the address beside that of the receipts.
func TestAPersonReplies(t *testing.T) {
	t.Parallel()
	texts := make(chan url.Values, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/inbound/vonage/demo" && r.ParseForm() == nil {
			texts <- r.PostForm
		}
	}))
	t.Cleanup(server.Close)
	w := sandboxtest.Open(t, "")
	callback := server.URL + "/receipts/vonage/demo"
	for _, mode := range []string{"stop", "question"} {
		w.Fault(`{"target":"replies","mode":"` + mode + `"}`)
		w.SMS(sandboxtest.SMSForm("callback", callback))
		w.SMS(sandboxtest.SMSForm("callback", callback))
		select {
		case got := <-texts:
			want := map[string]string{"stop": "STOP", "question": "Who is this?"}[mode]
			if got.Get("text") != want || got.Get("msisdn") != "13175551234" || got.Get("messageId") == "" || got.Get("sig") != signature(got, "signing") {
				t.Errorf("%s: %v", mode, got)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no reply was sent")
		}
	}
	if len(texts) > 0 {
		t.Errorf("more than one reply: %v", <-texts)
	}
}
