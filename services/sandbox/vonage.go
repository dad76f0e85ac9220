package sandbox

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Vonage's answers: always HTTP 200, one entry for each part of the message, all values strings.
type smsAnswer struct {
	Count    string     `json:"message-count"`
	Messages []smsEntry `json:"messages"`
}

type smsEntry struct {
	To        string `json:"to,omitempty"`
	MessageID string `json:"message-id,omitempty"`
	Status    string `json:"status"`
	ErrorText string `json:"error-text,omitempty"`
	Balance   string `json:"remaining-balance,omitempty"`
	Price     string `json:"message-price,omitempty"`
	Network   string `json:"network,omitempty"`
	ClientRef string `json:"client-ref,omitempty"`
}

// Statuses of the SMS API.
const (
	smsOK            = "0"
	smsThrottled     = "1"
	smsMissing       = "2"
	smsInvalid       = "3"
	smsCredentials   = "4"
	smsTooLong       = "12"
	smsInvalidSender = "15"
	smsBadCallback   = "23"
)

// longestReference is what Vonage takes as client-ref.
const longestReference = 40

var (
	smsNumber = regexp.MustCompile(`^\d{7,15}$`)
	smsSender = regexp.MustCompile(`^(\d{1,15}|.{1,11})$`)
)

// sendSMS is POST /sms/json.
func (s *Server) sendSMS(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the body is not a form, or larger than 64 KiB", http.StatusBadRequest)
		return
	}
	form := r.PostForm
	kind := form.Get("type")
	if kind == "" {
		kind = "text"
	}

	for _, name := range []string{"api_key", "api_secret", "to", "from", "text"} {
		if form.Get(name) == "" {
			refuseSMS(w, smsMissing, "Missing "+name+" param")
			return
		}
	}
	account := s.cfg.SMS.Vonage
	switch {
	case !same(form.Get("api_key"), account.APIKey) || !same(form.Get("api_secret"), account.APISecret):
		refuseSMS(w, smsCredentials, "Bad Credentials")
		return
	case !smsNumber.MatchString(form.Get("to")):
		refuseSMS(w, smsInvalid, "Invalid value for param: to")
		return
	case kind != "text" && kind != "unicode":
		refuseSMS(w, smsInvalid, "Invalid value for param: type")
		return
	case len(form.Get("client-ref")) > longestReference:
		refuseSMS(w, smsInvalid, "Invalid value for param: client-ref")
		return
	case !smsSender.MatchString(form.Get("from")):
		refuseSMS(w, smsInvalidSender, "Illegal Sender Address - rejected")
		return
	case form.Get("callback") != "" && !isWebURL(form.Get("callback")):
		refuseSMS(w, smsBadCallback, "Invalid value for param: callback")
		return
	}

	words, parts := asReceived(form.Get("text"), kind == "unicode")
	if parts > maxParts {
		refuseSMS(w, smsTooLong, "Message too long")
		return
	}
	fate := s.faults.take("receipts")
	if !fate.undelivered() {
		s.inbox.receive(Message{
			Channel: channelSMS, To: form.Get("to"), From: form.Get("from"), Text: words, Reference: form.Get("client-ref"),
		})
	}

	answer := smsAnswer{Count: strconv.Itoa(parts)}
	taken := text{to: form.Get("to"), from: form.Get("from"), reference: form.Get("client-ref")}
	for range parts {
		id := strings.ToUpper(randomHex(8))
		taken.parts = append(taken.parts, id)
		answer.Messages = append(answer.Messages, smsEntry{
			To: form.Get("to"), MessageID: id, Status: smsOK,
			Balance: "100.00000000", Price: "0.00000000", Network: "00000", ClientRef: form.Get("client-ref"),
		})
	}
	if report := form.Get("status-report-req"); report != "false" && report != "0" {
		taken.callback = form.Get("callback")
	}
	s.receipts.send(taken, fate)
	writeJSON(w, http.StatusOK, answer)
}

func refuseSMS(w http.ResponseWriter, status, why string) {
	writeJSON(w, http.StatusOK, smsAnswer{Count: "1", Messages: []smsEntry{{Status: status, ErrorText: why}}})
}

// vonageSays is an error of Vonage's: below 100 one of its own, in a good answer, else one of HTTP. Throttling is its own.
func vonageSays(w http.ResponseWriter, status int) {
	switch {
	case status == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "":
		http.Error(w, "Too Many Requests", status)
	case status == http.StatusTooManyRequests:
		w.Header().Del("Retry-After")
		refuseSMS(w, smsThrottled, "Throughput Rate Exceeded - please wait [ 1000 ] and retry")
	case status < 100:
		refuseSMS(w, strconv.Itoa(status), "The sandbox was told to say so")
	default:
		http.Error(w, http.StatusText(status), status)
	}
}

// same compares a secret in constant time; a secret that is not set is never the same.
func same(given, secret string) bool {
	return secret != "" && subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1
}

// randomHex returns n random bytes as lower-case hex.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}
