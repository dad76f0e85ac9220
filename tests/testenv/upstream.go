package testenv

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"
)

// SlowUpstream is a provider that knows every document, and a Vonage. Both respond after a delay, as distant servers do. Documents are
// named d-1, d-2 and so on.
type SlowUpstream struct {
	URL             string
	Mail            bool     // whether signers also get e-mail; set it before the first callback
	Requested, Sent Register // the documents that were requested from the provider, and those about which a text was sent

	after time.Duration
}

// NewSlowUpstream starts a SlowUpstream with this delay.
func NewSlowUpstream(t testing.TB, after time.Duration) *SlowUpstream {
	t.Helper()
	f := &SlowUpstream{after: after}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1.1/requests/{id}", f.request)
	mux.HandleFunc("POST /sms/json", f.text)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

// request is the provider's response for any document: one signer, with SMS, and with e-mail if Mail is set.
func (f *SlowUpstream) request(w http.ResponseWriter, r *http.Request) {
	time.Sleep(f.after)
	f.Requested.note(r.PathValue("id"))
	fmt.Fprintf(w, `{"name":%[1]q,"signers":[{"signer_id":"s-%[1]s","send_to":{"mobile_number":true,"email":%[3]t},`+
		`"signer":{"mobile_number":"+13175550123","email":"%[1]s@signer.example"},"request_url":"%[2]s/sign/%[1]s"}]}`,
		r.PathValue("id"), f.URL, f.Mail)
}

var titled = regexp.MustCompile(`"(d-\d+)"`)

// text is Vonage's SMS API.
func (f *SlowUpstream) text(w http.ResponseWriter, r *http.Request) {
	found := titled.FindStringSubmatch(r.FormValue("text"))
	if found == nil {
		http.Error(w, "no title", http.StatusBadRequest)
		return
	}
	time.Sleep(f.after)
	f.Sent.note(found[1])
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"message-count":"1","messages":[{"to":"13175550123","message-id":"m-%[1]s","status":"0","client-ref":%[1]q}]}`,
		r.FormValue("client-ref"))
}

// Register records the first time of each document, and a count.
type Register struct {
	mutex sync.Mutex
	first []time.Time
	of    map[string]int
}

func (r *Register) note(document string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.of == nil {
		r.of = map[string]int{}
	}
	if r.of[document]++; r.of[document] == 1 {
		r.first = append(r.first, time.Now())
	}
}

// Times returns the first time of each document, in order.
func (r *Register) Times() []time.Time {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return slices.Clone(r.first)
}

// Of returns how often the document was seen.
func (r *Register) Of(document string) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.of[document]
}

// Doubled returns how many documents were seen more than once.
func (r *Register) Doubled() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	doubled := 0
	for _, n := range r.of {
		if n > 1 {
			doubled++
		}
	}
	return doubled
}
