package faults

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/signrelay/signrelay/libs/flow"
)

// world replaces all outside parties: the provider's REST API, Vonage and a mail server. It counts the messages that it accepts. The
// proof uses this count: a message was sent if the world has it, whatever the services recorded.
type world struct {
	HTTP *httptest.Server
	SMTP net.Listener

	behaves   behaviour
	files     http.Handler // of completed documents; nil if none is completed
	forgets   bool         // the log's duplicate window is short
	mutex     sync.Mutex
	calls     map[string]int        // calls so far, by party
	accepted  map[message]int       // accepted messages
	first     map[message]time.Time // the time when each was first accepted
	callsWith map[message]int       // calls with this message, with any result
	replies   sync.WaitGroup        // receipts on their way
	gone      chan struct{}         // closed at the end of the test
	keys      map[string]struct{}   // client-refs and Message-IDs
}

// message is one message to one person: document and channel. A reminder's channel is "sms reminder" or "email reminder".
type message struct{ document, channel string }

// asReminder matches the text of a reminder.
var asReminder = regexp.MustCompile(`(?m)^Subject: Reminder|is still waiting for your signature`)

// reminder is the end of a reminder's channel.
const reminder = " reminder"

// channelOf returns the channel of a message with that text.
func channelOf(channel, text string) string {
	if asReminder.MatchString(text) {
		return channel + reminder
	}
	return channel
}

// behaviour decides how a party responds to its n-th call (1, 2, …); with nil, all calls succeed.
type behaviour struct {
	rest, vonage, mail func(n int) response
	receipts           bool          // Vonage sends delivery receipts
	fallbackAfter      time.Duration // texts only; receipts as in receiptOf, and the e-mail follows after this time; 0 means ten minutes
	remindAfter        time.Duration // one reminder follows each invitation; 0 means one after three days
	quietUntil         time.Time     // in quietZone; the quiet hours began an hour before now and include invitations; zero means none
}

// response is the result of one call.
type response int

const (
	well     response = iota // success
	refuse                   // 500 or 451, not accepted
	hang                     // no response until the caller leaves, not accepted
	slow                     // success after two seconds
	slowest                  // success after the broker's ack wait
	drop                     // the connection breaks, not accepted
	takeDrop                 // accepted, and the connection breaks before the response
	broken                   // HTTP 500, or SMTP 421 and the connection is closed, not accepted
)

const (
	slowFor    = 2 * time.Second
	slowestFor = 2 * flow.AckWait

	receiptSecret = "faults"
)

func newWorld(t testing.TB, b behaviour) *world {
	t.Helper()
	w := &world{behaves: b, calls: map[string]int{}, accepted: map[message]int{}, first: map[message]time.Time{}, callsWith: map[message]int{}, gone: make(chan struct{}), keys: map[string]struct{}{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1.1/requests/{id}", w.request)
	mux.HandleFunc("POST /sms/json", w.text)
	mux.HandleFunc("GET /files/{document}", func(rw http.ResponseWriter, r *http.Request) { w.files.ServeHTTP(rw, r) })
	w.HTTP = httptest.NewServer(mux)
	var err error
	if w.SMTP, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	post := smtp.NewServer(w)
	post.AllowInsecureAuth = true
	post.ErrorLog = log.New(io.Discard, "", 0) // of callers that were killed
	go func() { _ = post.Serve(w.SMTP) }()
	t.Cleanup(func() {
		close(w.gone)
		w.replies.Wait()
		w.HTTP.CloseClientConnections()
		w.HTTP.Close()
		_ = post.Close()
	})
	return w
}

// next returns the result of the party's next call.
func (w *world) next(party string, how func(int) response) response {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.calls[party]++
	if how == nil {
		return well
	}
	return how(w.calls[party])
}

func (w *world) accept(document, channel string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	key := message{document, channel}
	w.accepted[key]++
	if w.accepted[key] == 1 {
		w.first[key] = time.Now()
	}
}

func (w *world) recordCall(document, channel string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.callsWith[message{document, channel}]++
}

// attempts returns how often the world received a call with a message.
func (w *world) attempts(h message) int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.callsWith[h]
}

// sent returns a copy of the accepted messages.
func (w *world) sent() map[message]int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	all := make(map[message]int, len(w.accepted))
	for k, n := range w.accepted {
		all[k] = n
	}
	return all
}

// pause waits for a time, but not longer than the test or the caller runs.
func (w *world) pause(d time.Duration, left <-chan struct{}) {
	select {
	case <-time.After(d):
	case <-w.gone:
	case <-left:
	}
}

// request is the provider's response for any document: one signer with SMS and e-mail.
func (w *world) request(rw http.ResponseWriter, r *http.Request) {
	switch how := w.next("rest", w.behaves.rest); how {
	case refuse, broken:
		http.Error(rw, "{}", http.StatusInternalServerError)
		return
	case drop, takeDrop:
		panic(http.ErrAbortHandler)
	case hang:
		w.pause(time.Hour, r.Context().Done())
		return
	case slow:
		w.pause(slowFor, r.Context().Done())
	case slowest:
		w.pause(slowestFor, r.Context().Done())
	case well:
	}
	fmt.Fprintf(rw, `{"name":%[1]q,"pdf_url":"%[2]s/files/%[1]s.pdf","signers":[{"signer_id":"s-%[1]s","send_to":{"email":true,"mobile_number":true},`+
		`"signer":{"email":"%[1]s@signer.example","mobile_number":"+13175550123"},"request_url":"%[2]s/sign/%[1]s"}]}`,
		r.PathValue("id"), w.HTTP.URL)
}

var titled = regexp.MustCompile(`"(d-[a-z0-9-]+)"`)

// text is Vonage's SMS API.
func (w *world) text(rw http.ResponseWriter, r *http.Request) {
	how := w.next("vonage", w.behaves.vonage)
	rw.Header().Set("Content-Type", "application/json")
	if strings.Contains(r.FormValue("text"), "no more texts") { // the confirmation of a STOP has no document
		fmt.Fprintf(rw, `{"message-count":"1","messages":[{"to":%q,"message-id":"m-%[2]s","status":"0","client-ref":"%[2]s"}]}`,
			r.FormValue("to"), r.FormValue("client-ref"))
		return
	}
	found := titled.FindStringSubmatch(r.FormValue("text"))
	if found == nil {
		http.Error(rw, "no title", http.StatusBadRequest)
		return
	}
	channel := channelOf("sms", r.FormValue("text"))
	w.recordCall(found[1], channel)
	switch how {
	case broken:
		http.Error(rw, `{"type":"internal"}`, http.StatusInternalServerError)
		return
	case refuse:
		_, _ = io.WriteString(rw, `{"message-count":"1","messages":[{"status":"1","error-text":"throttled"}]}`)
		return
	case drop:
		panic(http.ErrAbortHandler)
	case hang:
		w.pause(time.Hour, r.Context().Done())
		return
	case slow:
		w.pause(slowFor, r.Context().Done())
	case slowest:
		w.pause(slowestFor, r.Context().Done())
	case well, takeDrop:
	}
	w.accept(found[1], channel)
	status := w.receiptOf(found[1])
	if callback := r.FormValue("callback"); callback != "" && w.behaves.receipts && status != "" {
		ref := r.FormValue("client-ref")
		w.replies.Go(func() { w.receipt(callback, ref, status) })
	}
	if how == takeDrop {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(rw, `{"message-count":"1","messages":[{"to":%q,"message-id":"m-%[2]s","status":"0","client-ref":"%[2]s"}]}`,
		r.FormValue("to"), r.FormValue("client-ref"))
}

// receipt sends a delivery receipt until it is accepted: Vonage tries for days.
func (w *world) receipt(callback, reference, status string) {
	form := url.Values{
		"msisdn": {"13175550123"}, "to": {"Signrelay"}, "messageId": {"m-" + reference}, "status": {status}, "err-code": {"0"},
		"client-ref": {reference}, "message-timestamp": {time.Now().UTC().Format(time.DateTime)},
		"timestamp": {strconv.FormatInt(time.Now().Unix(), 10)}, "nonce": {reference},
	}
	form.Set("sig", signature(form))
	for {
		resp, err := http.PostForm(callback, form)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-w.gone:
			return
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// signature is Vonage's SHA-256 HMAC: the sorted fields as &key=value, with & and = in values replaced.
func signature(form url.Values) string {
	keys := make([]string, 0, len(form))
	for k := range form {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	mac := hmac.New(sha256.New, []byte(receiptSecret))
	for _, k := range keys {
		fmt.Fprintf(mac, "&%s=%s", k, strings.NewReplacer("&", "_", "=", "_").Replace(form.Get(k)))
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// NewSession implements smtp.Backend.
func (w *world) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &dialogue{world: w, conn: c}, nil
}

// dialogue is one connection, with one e-mail after another.
type dialogue struct {
	world *world
	conn  *smtp.Conn
}

func (*dialogue) Mail(string, *smtp.MailOptions) error { return nil }
func (*dialogue) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (*dialogue) Reset()                               {}
func (*dialogue) Logout() error                        { return nil }

// Data reads an e-mail; its result is the response to the last line.
func (d *dialogue) Data(r io.Reader) error {
	email, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	how := d.world.next("mail", d.world.behaves.mail)
	found, channel := titled.FindStringSubmatch(string(email)), channelOf("email", string(email))
	if found != nil {
		d.world.recordCall(found[1], channel)
	}
	switch {
	case found == nil:
		return &smtp.SMTPError{Code: 554, Message: "no title"}
	case how == broken:
		_, err := io.WriteString(d.conn.Conn(), "421 4.3.2 the service is down\r\n")
		return errors.Join(err, d.conn.Conn().Close())
	case how == refuse:
		return &smtp.SMTPError{Code: 451, Message: "try again"}
	case how == hang:
		d.world.pause(time.Minute, nil)
		return d.conn.Conn().Close()
	case how == drop:
		return d.conn.Conn().Close()
	case how == slow:
		d.world.pause(slowFor, nil)
	case how == slowest:
		d.world.pause(slowestFor, nil)
	}
	d.world.accept(found[1], channel)
	if how == takeDrop {
		return d.conn.Conn().Close()
	}
	return nil
}

// smtpTimeout is the setting email.smtp.timeout: as long as the slowest response of the world.
func (w *world) smtpTimeout() string {
	if w.behaves.mail != nil && w.behaves.mail(1) == slowest {
		return "20s"
	}
	return "5s"
}
