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

// SlowUpstream is a provider that knows every document, and a Vonage: a long way off where they answer late. Documents are named d-1,
// d-2 and so on.
type SlowUpstream struct {
	URL         string
	Mail        bool     // whether signers are told by e-mail too; set it before the first callback
	Asked, Sent Register // of which documents the provider was asked, and about which a text was handed over

	after time.Duration
}

// NewSlowUpstream starts one that takes so long for each answer.
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

// request is the provider's answer for any document: one signer, by text, and by e-mail where there is mail.
func (f *SlowUpstream) request(w http.ResponseWriter, r *http.Request) {
	time.Sleep(f.after)
	f.Asked.note(r.PathValue("id"))
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

// Register is when each document was seen first, and how often.
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

// Times are when each document was seen first, in that order.
func (r *Register) Times() []time.Time {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return slices.Clone(r.first)
}

// Of is how often the document was seen.
func (r *Register) Of(document string) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.of[document]
}

// Doubled is how many documents were seen more than once.
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
