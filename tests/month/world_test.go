package month

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// message is a message that left: who got what, on which channel, and when.
type message struct {
	document string
	person   int
	channel  string // sms, email
	kind     string
	at       time.Time
}

func (m message) String() string {
	return fmt.Sprintf("%s: %s by %s to person %d of %s", m.at.Format("02 Jan 15:04"), m.kind, m.channel, m.person, m.document)
}

// world replaces the outside parties: the provider's API, Vonage and a mail server. It records the messages that it accepts, with the time of
// the simulation.
type world struct {
	api  *httptest.Server
	mail net.Listener
	now  func() time.Time

	mutex   sync.Mutex
	signed  map[string]map[int]bool // by document and person
	numbers map[string]person       // by number, without the plus sign
	sent    []message
	odd     []string // messages that no kind matches
}

// person is a signer of a document.
type person struct {
	document string
	index    int
	number   string // E.164
	zone     *time.Location
}

func (p person) id() string { return fmt.Sprintf("%s-p%d", p.document, p.index) }

func newWorld(t *testing.T, now func() time.Time) *world {
	t.Helper()
	w := &world{now: now, signed: map[string]map[int]bool{}, numbers: map[string]person{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1.1/requests/{id}", w.request)
	mux.HandleFunc("POST /sms/json", w.text)
	w.api = httptest.NewServer(mux)
	var err error
	if w.mail, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	post := smtp.NewServer(w)
	post.ErrorLog = log.New(io.Discard, "", 0)
	go func() { _ = post.Serve(w.mail) }()
	t.Cleanup(func() {
		w.api.CloseClientConnections()
		w.api.Close()
		_ = post.Close()
	})
	return w
}

// add makes a document's people known to the provider and to Vonage.
func (w *world) add(people []person) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, p := range people {
		w.numbers[strings.TrimPrefix(p.number, "+")] = p
	}
	w.signed[people[0].document] = map[int]bool{}
}

// sign records a signature at the provider.
func (w *world) sign(document string, person int) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.signed[document][person] = true
}

// request is the provider's GET /requests/:id.
func (w *world) request(rw http.ResponseWriter, r *http.Request) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	document := r.PathValue("id")
	var people [signers]string
	for _, p := range w.numbers {
		if p.document == document {
			people[p.index] = fmt.Sprintf(`{"signer_id":%[1]q,"send_to":{"email":true,"mobile_number":true},"signed":%[2]t,`+
				`"signer":{"first_name":"Person","last_name":"%[3]d","email":"%[1]s@signer.example","mobile_number":%[4]q},"request_url":"%[5]s/sign/%[1]s"}`,
				p.id(), w.signed[document][p.index], p.index, p.number, w.api.URL)
		}
	}
	fmt.Fprintf(rw, `{"name":%q,"signers":[%s]}`, document, strings.Join(people[:], ","))
}

// kinds are the phrases by which the test knows the kind of a text.
var kinds = map[string]string{
	"sent you|been sent":         "invitation",
	"has signed":                 "progress",
	"waiting for your signature": "reminder",
	"accepted by all parties":    "completed",
	"You will get no more texts": "stopped",
	"You will get texts":         "started",
}

func (w *world) record(document string, person int, channel, text string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	kind := ""
	for phrase, name := range kinds {
		if regexp.MustCompile(phrase).MatchString(text) {
			kind = name
		}
	}
	if _, known := w.signed[document]; !known || kind == "" {
		w.odd = append(w.odd, text)
		return
	}
	w.sent = append(w.sent, message{document, person, channel, kind, w.now()})
}

// text is Vonage's SMS API.
func (w *world) text(rw http.ResponseWriter, r *http.Request) {
	w.mutex.Lock()
	to := w.numbers[r.FormValue("to")]
	w.mutex.Unlock()
	w.record(to.document, to.index, "sms", r.FormValue("text"))
	rw.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(rw, `{"message-count":"1","messages":[{"to":%q,"message-id":"m-%[2]s","status":"0","client-ref":"%[2]s"}]}`,
		r.FormValue("to"), r.FormValue("client-ref"))
}

// NewSession implements smtp.Backend.
func (w *world) NewSession(*smtp.Conn) (smtp.Session, error) { return &dialogue{world: w}, nil }

type dialogue struct {
	world *world
	to    string
}

func (*dialogue) Mail(string, *smtp.MailOptions) error { return nil }
func (*dialogue) Reset()                               {}
func (*dialogue) Logout() error                        { return nil }

func (d *dialogue) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = to
	return nil
}

var mailbox = regexp.MustCompile(`^(d-\d+)-p(\d)@signer\.example$`)

func (d *dialogue) Data(r io.Reader) error {
	email, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	to := mailbox.FindStringSubmatch(d.to)
	if to == nil {
		return &smtp.SMTPError{Code: 550, Message: "no such mailbox"}
	}
	d.world.record(to[1], int(to[2][0]-'0'), "email", strings.ReplaceAll(string(email), "=\r\n", ""))
	return nil
}
