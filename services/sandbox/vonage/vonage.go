// Package vonage simulates Vonage's SMS API and its delivery receipts.
package vonage

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sandbox/party"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

const name = "vonage"

// Party is Vonage.
var Party = party.Party{Name: name, Title: "Vonage", Targets: []party.Target{
	{
		Name: name, Modes: party.HTTPTarget(name).Modes, Numbers: "its own status, 1 to 99, or an HTTP status, 201 to 599",
		Numbered: func(n int) bool { return isOwn(n) || party.IsHTTPStatus(n) },
		Passing:  []int{http.StatusTooManyRequests}, RetryAfter: true, // writeError converts it to Vonage's status 1
	},
	{Name: repliesTarget, Modes: slices.Sorted(maps.Keys(replies))},
	{Name: receiptsTarget, Modes: []string{party.Slow, party.Drop, fail, early}, Numbers: "an err-code, 1 to 99", Numbered: isOwn},
}, New: open}

func isOwn(n int) bool { return n >= 1 && n <= 99 }

type vonage struct {
	party.Env
	account  smssettings.Vonage
	receipts *receipts
}

func open(env party.Env) (party.Simulator, error) {
	v := vonage{env, smssettings.VonageSection.Of(env.Config), newReceipts(smssettings.VonageSection.Of(env.Config), env.Log, env.Odd)}
	return party.Simulator{Routes: v.routes, Reply: v.receipts.reply, Close: v.receipts.end}, nil
}

func (v vonage) routes(mux *service.Routes) {
	mux.HandleFunc("POST /sms/json", v.Faulty(name, writeError, v.sendSMS))
}

// response is Vonage's response: always HTTP 200, one entry for each part of the message, all values strings.
type response struct {
	Count    string  `json:"message-count"`
	Messages []entry `json:"messages"`
}

type entry struct {
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

// maxReference is the maximum length of client-ref.
const maxReference = 40

var (
	smsNumber = regexp.MustCompile(`^\d{7,15}$`)
	smsSender = regexp.MustCompile(`^(\d{1,15}|.{1,11})$`)
)

// sendSMS serves POST /sms/json.
func (v vonage) sendSMS(w http.ResponseWriter, r *http.Request) {
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
			refuse(w, smsMissing, "Missing "+name+" param")
			return
		}
	}
	switch {
	case !party.Same(form.Get("api_key"), v.account.APIKey) || !party.Same(form.Get("api_secret"), v.account.APISecret):
		refuse(w, smsCredentials, "Bad Credentials")
		return
	case !smsNumber.MatchString(form.Get("to")):
		refuse(w, smsInvalid, "Invalid value for param: to")
		return
	case kind != "text" && kind != "unicode":
		refuse(w, smsInvalid, "Invalid value for param: type")
		return
	case len(form.Get("client-ref")) > maxReference:
		refuse(w, smsInvalid, "Invalid value for param: client-ref")
		return
	case !smsSender.MatchString(form.Get("from")):
		refuse(w, smsInvalidSender, "Illegal Sender Address - rejected")
		return
	case form.Get("callback") != "" && !party.IsWebURL(form.Get("callback")):
		refuse(w, smsBadCallback, "Invalid value for param: callback")
		return
	}

	shown, parts := asReceived(form.Get("text"), kind == "unicode")
	if parts > maxParts {
		refuse(w, smsTooLong, "Message too long")
		return
	}
	fault := v.Faults.Take(receiptsTarget)
	if party.Unreachable(form.Get("to")) && fault.Mode == "" {
		fault = party.Fault{Target: receiptsTarget, Mode: fail}
	}
	callback := form.Get("callback")
	if report := form.Get("status-report-req"); report == "false" || report == "0" {
		callback = ""
	}
	received := party.Message{
		Channel: event.ChannelName(event.SMS), To: form.Get("to"), From: form.Get("from"), Text: shown, Reference: form.Get("client-ref"), Callback: callback,
	}
	if !undelivered(fault) {
		v.Inbox.Receive(received)
	}

	reply := response{Count: strconv.Itoa(parts)}
	accepted := text{callback: callback, to: form.Get("to"), from: form.Get("from"), reference: form.Get("client-ref")}
	for range parts {
		id := strings.ToUpper(party.RandomHex(8))
		accepted.parts = append(accepted.parts, id)
		reply.Messages = append(reply.Messages, entry{
			To: form.Get("to"), MessageID: id, Status: smsOK,
			Balance: "100.00000000", Price: "0.00000000", Network: "00000", ClientRef: form.Get("client-ref"),
		})
	}
	v.receipts.send(accepted, fault)
	if words, ok := replies[v.Faults.Take(repliesTarget).Mode]; ok {
		v.receipts.replyLater(received, words)
	}
	party.WriteJSON(w, http.StatusOK, reply)
}

func refuse(w http.ResponseWriter, status, why string) {
	party.WriteJSON(w, http.StatusOK, response{Count: "1", Messages: []entry{{Status: status, ErrorText: why}}})
}

// writeError writes an error as Vonage does: a status below 100 in a response with HTTP 200, otherwise an HTTP error. Throttling is a status
// below 100.
func writeError(w http.ResponseWriter, status int) {
	switch {
	case status == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "":
		http.Error(w, "Too Many Requests", status)
	case status == http.StatusTooManyRequests:
		w.Header().Del("Retry-After")
		refuse(w, smsThrottled, "Throughput Rate Exceeded - please wait [ 1000 ] and retry")
	case status < 100:
		refuse(w, strconv.Itoa(status), "Refused by a fault of the sandbox")
	default:
		http.Error(w, http.StatusText(status), status)
	}
}
