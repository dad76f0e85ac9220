package restore

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/signrelay/signrelay/tests/house"
)

// world is a provider and a Vonage, which counts the texts about each document.
type world struct {
	url   string
	mutex sync.Mutex
	sent  map[string]int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{sent: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1.1/requests/{id}", w.request)
	mux.HandleFunc("POST /sms/json", w.text)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// request is the provider's answer for any document: one signer, by text.
func (w *world) request(rw http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(rw, `{"name":%[1]q,"signers":[{"signer_id":"s-%[1]s","send_to":{"mobile_number":true},`+
		`"signer":{"mobile_number":"+13175550123"},"request_url":"%[2]s/sign/%[1]s"}]}`, r.PathValue("id"), w.url)
}

var titled = regexp.MustCompile(`"(d-\d+)"`)

func (w *world) text(rw http.ResponseWriter, r *http.Request) {
	found := titled.FindStringSubmatch(r.FormValue("text"))
	if found == nil {
		http.Error(rw, "no title", http.StatusBadRequest)
		return
	}
	w.mutex.Lock()
	w.sent[found[1]]++
	w.mutex.Unlock()
	rw.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(rw, `{"message-count":"1","messages":[{"to":"13175550123","message-id":"m-%[1]s","status":"0","client-ref":%[1]q}]}`,
		r.FormValue("client-ref"))
}

func (w *world) texts(document string) int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.sent[document]
}

func (w *world) settings(h *house.House) string {
	host, port, _ := strings.Cut(h.Address("SIGNRELAY_SMTP_ADDR"), ":")
	return fmt.Sprintf(`
sources:
  - {name: demo, provider: clickwrap, sender_name: PactSafe, webhook: {secrets: ["12345"]}, api: {base_url: %[1]q, token: t}}
sms: {vonage: {api_key: restore0, api_secret: s, from: Signrelay, base_url: %[1]q}}
email: {from: no-reply@signrelay.example, smtp: {host: %[2]q, port: %[3]s, tls: none}}
shortener: {public_url: "http://%[4]s"}
`, w.url, host, port, h.Address("SIGNRELAY_LINKS_ADDR"))
}
