package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// A provider that got no response calls again, at once and later, on each of its paths. The result is one fact, and one message to each
// person. Two replicas of each stage share the work, so the memory of a single process is not enough.
func TestRepeatedCallbacksSendEachMessageOnce(t *testing.T) {
	t.Parallel()
	h := testenv.Replicated(t)
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	batch := url.Values{"data": {`[{"timestamp":"2018-03-20T07:09:52","name":"status","value":"30","resource_uri":"/api/v1/document/[doc-id]/"}]`}}
	single := url.Values{"resource_uri": {"/api/v1/document/[doc-id]/"}, "uuid": {"[doc-id]"}, "name": {"name of doc"}}
	token := url.Values{"token": {"demo"}}
	callbacks := []func() (int, map[string]any){
		func() (int, map[string]any) {
			return h.Callback(t, http.MethodPost, "/webhooks/clickwrap/demo", nil,
				http.Header{"Content-Type": {"application/json"}, "Pactsafe-Webhook-Token": {"12345"}},
				[]byte(`{"event_type":"request_sent","request":"596f858584281715b3493d0c","activity":"a1","id":"e1"}`))
		},
		// The end of one document, reported by both callbacks of the eSignature API v1.
		func() (int, map[string]any) {
			return h.Callback(t, http.MethodPost, "/webhooks/esign-v1/demo/all", token, form, []byte(batch.Encode()))
		},
		func() (int, map[string]any) {
			return h.Callback(t, http.MethodPost, "/webhooks/esign-v1/demo/signed", token, form, []byte(single.Encode()))
		},
	}
	tenTimes := func() (accepted int) {
		var mutex sync.Mutex
		var all sync.WaitGroup
		for _, callback := range callbacks {
			for range 10 {
				all.Go(func() {
					status, response := callback()
					for status == http.StatusServiceUnavailable { // another replica is storing it
						status, response = callback()
					}
					mutex.Lock()
					defer mutex.Unlock()
					switch status {
					case http.StatusAccepted:
						accepted++
					case http.StatusOK:
					default:
						t.Errorf("the response is %d %v", status, response)
					}
				})
			}
		}
		all.Wait()
		return accepted
	}
	if n := tenTimes(); n != 3 { // the request, the completion, and the additional data of its second report (document.updated)
		t.Errorf("%d of 30 callbacks about two facts were new, want 3", n)
	}
	h.Until(t, "each document has a message", func() bool { return len(notified(t, h)) >= 2 })
	h.WaitIdle(t)
	if n := tenTimes(); n != 0 {
		t.Errorf("later, %d of 30 were new", n)
	}
	h.WaitIdle(t)
	seen := map[string]int{}
	for _, m := range h.Messages(t) {
		seen[m.Channel+" "+m.To+" "+m.Subject+" "+strings.SplitN(m.Text, "http", 2)[0]]++
	}
	for message, n := range seen {
		if n != 1 {
			t.Errorf("%d times: %s", n, message)
		}
	}
}

// notified returns the documents about which a message was sent.
func notified(t *testing.T, h *testenv.Env) map[string]bool {
	t.Helper()
	documents := map[string]bool{}
	for subject := range subjects(t, h, "signing.v1.*.*.notification.sent.>") {
		documents[subject[strings.LastIndexByte(subject, '.')+1:]] = true
	}
	return documents
}

// subjects returns the number of messages in the log on each subject.
func subjects(t *testing.T, h *testenv.Env, filter string) map[string]int {
	t.Helper()
	found := map[string]int{}
	log := event.Log{JS: h.JetStream(t), Stream: flow.Signing}
	for m, err := range log.Messages(t.Context(), filter, allOfIt) {
		if err != nil {
			t.Fatal(err)
		}
		found[m.Subject]++
	}
	return found
}

// Bitly and Rebrandly make the links of messages. If they fail, our own links are used, and the log shows it. A signer always gets a link
// that opens.
func TestOutsideShorteners(t *testing.T) {
	t.Parallel()
	for kind, path := range map[string]string{"bitly": "/b/", "rebrandly": "/r/"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			h := testenv.Infrastructure(t, testenv.SandboxSettings)
			h.Vars = []string{"SIGNRELAY_SHORTENER_KIND=" + kind} // the senders need it too, to recognise the links
			for _, name := range testenv.Services {
				h.StartService(t, name, name)
			}
			links := func() (found []string) {
				h.ClearMessages(t)
				h.Play(t, "clickwrap", "one-signer")
				h.Until(t, "four messages have arrived", func() bool { return len(h.Messages(t)) >= 4 })
				h.WaitIdle(t)
				for _, m := range h.Messages(t) {
					_, l := withoutLinks(m.Text)
					found = append(found, l...)
				}
				return found
			}
			for _, l := range links() {
				if !strings.HasPrefix(l, h.SandboxURL+path) {
					t.Errorf("a link begins with %.30s", l)
				}
				followLink(t, l, http.StatusOK)
			}
			if n := len(subjects(t, h, "signing.v1.*.*.link.substituted.>")); n != 0 {
				t.Errorf("%d links were substituted while %s worked", n, kind)
			}

			h.InjectFault(t, fmt.Sprintf(`{"target":%q,"mode":"401","count":1000}`, kind))
			for _, l := range links() {
				if !strings.HasPrefix(l, "http://"+h.Address("SIGNRELAY_LINKS_ADDR")+"/l/") {
					t.Errorf("a substitute begins with %.30s", l)
				}
				followLink(t, l, http.StatusOK)
			}
			if n := len(subjects(t, h, "signing.v1.*.*.link.substituted.>")); n == 0 {
				t.Errorf("the log has no event that %s failed", kind)
			}
		})
	}
}
