// Package pleasesign simulates PleaseSign: its REST API, its callbacks and its signing pages.
package pleasesign

import (
	"net/http"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sandbox/party"
)

const (
	name  = "pleasesign"
	title = "PleaseSign"
)

// Party is PleaseSign.
var Party = party.Party{Name: name, Title: title, Targets: []party.Target{party.HTTPTarget(name)}, Stories: stories, New: open}

type pleasesign struct {
	party.Env
	provider *party.Provider
	grants   *grants
	later    *later
}

// open creates the documents of the documentation's examples, so that a callback copied from there finds its recipient.
func open(env party.Env) (party.Simulator, error) {
	w := &wire{tickets: env.Tickets, inbox: env.Inbox}
	p := pleasesign{env, party.NewProvider(name, title, w, env.Now), newGrants(env.Now), newLater()}
	w.provider = p.provider
	johnDoe := party.Signer{First: "John", Last: "Doe", Email: "john.doe@example.com", Mobile: "61491570313", ByEmail: true, BySMS: "61491570313"}
	for document, recipient := range map[string]string{
		"PLSDOC19704278f8c51564ff0c707817": "52cc002fac06025cddad05de87f75b37",
		"PLSDOC6b776e1a931ef27ca87e56b6fb": party.RandomHex(16),
	} {
		p.provider.Keep(party.Example(document, recipient, johnDoe))
	}
	return party.Simulator{Routes: p.routes, Provider: p.provider, Close: p.later.end}, nil
}

func (p pleasesign) routes(mux *service.Routes) {
	mux.HandleFunc("GET /document/{id}", p.authorized(p.getDocument))
	mux.HandleFunc("GET /documents", p.authorized(p.getDocuments))
	mux.HandleFunc("GET /document/{id}/master", p.authorized(p.getFile(party.SignedFile)))
	mux.HandleFunc("GET /document/{id}/original", p.authorized(p.getFile(party.OriginalFile)))
	mux.HandleFunc("GET /oauth/authorize", p.getAuthorize)
	mux.HandleFunc("POST /oauth/authorize", p.postAuthorize)
	mux.HandleFunc("POST /oauth/token", p.postToken)
	mux.HandleFunc("PUT /enterprise", p.authorized(p.putEnterprise))
	mux.HandleFunc("GET /recipient/{id}/signingurl", p.authorized(p.getSigningURL))
	mux.HandleFunc("POST /recipient/{id}/resend", p.authorized(p.postResend))
	mux.HandleFunc("POST /recipient/{id}/correct", p.authorized(p.postCorrect))
	mux.HandleFunc("GET /pleasesign", p.GetSigningPage(p.visit))
	mux.HandleFunc("POST /pleasesign", p.PostSigningPage(p.visit))
}

// visit returns the visit at /pleasesign?e=…&p=…
func (p pleasesign) visit(r *http.Request) (party.Visit, bool) {
	return p.Admit(p.provider, r.URL.Query().Get("p"))
}

// authorized requires both keys of a PleaseSign source.
func (p pleasesign) authorized(next http.HandlerFunc) http.HandlerFunc {
	return p.Faulty(name, writeError, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Request-Id", party.RandomHex(16))
		if _, ok := p.source(r); !ok {
			writeError(w, http.StatusUnauthorized)
			return
		}
		next(w, r)
	})
}

// source returns the name of the source that a request's keys, or its access token, belong to.
func (p pleasesign) source(r *http.Request) (string, bool) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return p.grants.used(token)
	}
	key, secret := r.Header.Get("X-Pleasesign-Key"), r.Header.Get("X-Pleasesign-Secret")
	return p.SourceWith(name, func(s config.Source) bool {
		return key != "" && party.Same(key, s.Text("api.key")) && party.Same(secret, s.Text("api.secret"))
	})
}

// document is the response to GET /document/{id}.
type document struct {
	ID             string      `json:"id"`
	Title          string      `json:"title"`
	Message        string      `json:"message"`
	Status         string      `json:"status"`
	BrandID        any         `json:"brand_id"`
	SenderID       string      `json:"sender_id"`
	SenderName     string      `json:"sender_name"`
	SenderEmail    string      `json:"sender_email"`
	SenderBusiness string      `json:"sender_business"`
	Created        any         `json:"created_date"`
	Sent           any         `json:"sent_date"`
	Complete       any         `json:"complete_date"`
	Void           any         `json:"void_date"`
	VoidReason     any         `json:"void_reason"`
	Recipients     []recipient `json:"recipients"`
}

type recipient struct {
	ID            string `json:"id"`
	FirstName     string `json:"first_name"`
	LastName      string `json:"last_name"`
	Email         string `json:"email"`
	Mobile        any    `json:"mobile"`
	SMSCode       string `json:"sms_mfa,omitempty"`
	Status        string `json:"status"`
	Silent        bool   `json:"silent"`
	Redirect      any    `json:"redirect"`
	RedirectVoid  any    `json:"redirect_void"`
	Routing       int    `json:"routing"`
	Nominee       *any   `json:"nominee,omitempty"` // of a corrected recipient
	NomineeID     *any   `json:"nominee_id,omitempty"`
	Created       any    `json:"created_date"`
	Complete      any    `json:"complete_date"`
	Reminder      any    `json:"reminder_date"`
	ReminderCount int    `json:"reminder_count"`
}

// getDocument serves GET /document/{id}.
func (p pleasesign) getDocument(w http.ResponseWriter, r *http.Request) {
	d, ok := p.provider.Find(r.PathValue("id"))
	if !ok {
		writeError(w, http.StatusNotFound)
		return
	}
	party.WriteJSON(w, http.StatusOK, written(d))
}

// written returns a document as the API writes it.
func written(d party.Document) document {
	response := document{
		ID: d.ID, Title: d.Title, Message: "Please sign.", Status: documentStatus[d.Status], SenderID: "a6564df8db9e9624",
		SenderName: "Charlotte Brown", SenderEmail: "charlotte.brown@example.com", SenderBusiness: "Brown & Co",
		Created: d.Created.Unix(), Sent: unixOrNull(d.Sent), VoidReason: orNull(d.Reason),
	}
	switch d.Status {
	case party.StatusComplete:
		response.Complete = d.Ended.Unix()
	case party.StatusRejected:
		response.Void = d.Ended.Unix()
	default: // neither
	}
	for i := range d.Recipients {
		one := writtenRecipient(d, i)
		one.NomineeID = new(any) // null
		response.Recipients = append(response.Recipients, one)
	}
	return response
}

// writtenRecipient returns a recipient as the API writes it, without the nominee, whose field has two names.
func writtenRecipient(d party.Document, i int) recipient {
	who := d.Recipients[i]
	one := recipient{
		ID: who.ID, FirstName: who.First, LastName: who.Last, Email: who.Email, Mobile: orNull(who.Mobile), SMSCode: who.SMSCode,
		Status: recipientStatus[who.Stage], Silent: !who.Mailed, Redirect: orNull(who.Redirect), RedirectVoid: orNull(who.RedirectVoid),
		Routing: 1, Created: d.Created.Unix(),
	}
	if d.Ordered {
		one.Routing = i + 1
	}
	if who.Stage == party.StageSigned {
		one.Complete = who.Since.Unix()
	}
	return one
}

// PleaseSign's states of documents and recipients. A recipient who has opened a document is still "sent".
var (
	documentStatus = map[party.Status]string{
		party.StatusDraft: "building", party.StatusOpen: "sent", party.StatusComplete: "complete", party.StatusRejected: "void",
	}
	recipientStatus = map[party.Stage]string{
		party.StageWaiting: "pending", party.StageDue: "sent", party.StageVisited: "sent", party.StageUnreachable: "failed",
		party.StageSigned: "complete", party.StageDeclined: "void",
	}
)

// idURL is the response to each request for an address.
type idURL struct {
	ID  string `json:"id"`
	URL string `json:"url"`
}

// getFile serves GET /document/{id}/master, the address of the document in its current state, and GET /document/{id}/original.
func (p pleasesign) getFile(kind party.FileKind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d, ok := p.provider.Find(r.PathValue("id"))
		if !ok {
			writeError(w, http.StatusNotFound)
			return
		}
		party.WriteJSON(w, http.StatusOK, idURL{d.ID, p.Tickets.File(party.PublicURL(r), p.provider, d.ID, kind, apiLink)})
	}
}

// getSigningURL serves GET /recipient/{id}/signingurl. PleaseSign returns it only for a document that is sent, and a recipient who is pending
// or sent. The link of a pending recipient does not open until the recipient's turn.
func (p pleasesign) getSigningURL(w http.ResponseWriter, r *http.Request) {
	d, i, ok := p.provider.Recipient(r.PathValue("id"))
	if !ok {
		writeError(w, http.StatusNotFound)
		return
	}
	who := d.Recipients[i]
	if state := recipientStatus[who.Stage]; d.Status != party.StatusOpen || (state != "pending" && state != "sent") {
		party.WriteJSON(w, http.StatusBadRequest, problem{"A signing url cannot be generated for this recipient."})
		return
	}
	ticket := p.Tickets.Issue(party.Ticket{Provider: p.provider, Document: d.ID, Recipient: who.ID})
	party.WriteJSON(w, http.StatusOK, idURL{who.ID, signingURL(party.PublicURL(r), ticket)})
}

type problem struct {
	Message string `json:"message"`
}

// writeError writes an error in PleaseSign's format.
func writeError(w http.ResponseWriter, status int) {
	party.WriteJSON(w, status, problem{http.StatusText(status) + "."})
}

// orNull returns s, or null for an empty text.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// unixOrNull returns the seconds since 1970, or null for the zero time.
func unixOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Unix()
}
