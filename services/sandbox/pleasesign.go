package sandbox

import (
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// toPleasesign lets those in who bring the two keys of one of the PleaseSign sources.
func (s *Server) toPleasesign(next http.HandlerFunc) http.HandlerFunc {
	return s.faulty(pleasesignName, pleasesignSays, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Request-Id", randomHex(16))
		key, secret := r.Header.Get("X-Pleasesign-Key"), r.Header.Get("X-Pleasesign-Secret")
		if !s.knows(pleasesignName, func(api config.API) bool { return same(key, api.Key) && same(secret, api.Secret) }) {
			pleasesignSays(w, http.StatusUnauthorized)
			return
		}
		next(w, r)
	})
}

// The answer to GET /document/{id}.
type pleasesignDocument struct {
	ID             string                `json:"id"`
	Title          string                `json:"title"`
	Message        string                `json:"message"`
	Status         string                `json:"status"`
	BrandID        any                   `json:"brand_id"`
	SenderID       string                `json:"sender_id"`
	SenderName     string                `json:"sender_name"`
	SenderEmail    string                `json:"sender_email"`
	SenderBusiness string                `json:"sender_business"`
	Created        any                   `json:"created_date"`
	Sent           any                   `json:"sent_date"`
	Complete       any                   `json:"complete_date"`
	Void           any                   `json:"void_date"`
	VoidReason     any                   `json:"void_reason"`
	Recipients     []pleasesignRecipient `json:"recipients"`
}

type pleasesignRecipient struct {
	ID            string `json:"id"`
	FirstName     string `json:"first_name"`
	LastName      string `json:"last_name"`
	Email         string `json:"email"`
	Mobile        any    `json:"mobile"`
	Status        string `json:"status"`
	Silent        bool   `json:"silent"`
	Redirect      any    `json:"redirect"`
	RedirectVoid  any    `json:"redirect_void"`
	Routing       int    `json:"routing"`
	NomineeID     any    `json:"nominee_id"`
	Created       any    `json:"created_date"`
	Complete      any    `json:"complete_date"`
	Reminder      any    `json:"reminder_date"`
	ReminderCount int    `json:"reminder_count"`
}

// getPleasesignDocument is GET /document/{id}.
func (s *Server) getPleasesignDocument(w http.ResponseWriter, r *http.Request) {
	d, ok := s.pleasesign.find(r.PathValue("id"))
	if !ok {
		pleasesignSays(w, http.StatusNotFound)
		return
	}
	answer := pleasesignDocument{
		ID: d.id, Title: d.title, Message: "Please sign.", Status: pleasesignStatus[d.status], SenderID: "a6564df8db9e9624",
		SenderName: "Charlotte Brown", SenderEmail: "charlotte.brown@example.com", SenderBusiness: "Brown & Co",
		Created: d.created.Unix(), Sent: unixOrNull(d.sent), VoidReason: orNull(d.reason),
	}
	switch d.status {
	case complete:
		answer.Complete = d.ended.Unix()
	case rejected:
		answer.Void = d.ended.Unix()
	default: // neither
	}
	for i, who := range d.people {
		recipient := pleasesignRecipient{
			ID: who.id, FirstName: who.first, LastName: who.last, Email: who.email, Mobile: orNull(who.mobile),
			Status: recipientStatus[who.stage], Silent: !who.mailed, Routing: 1, Created: d.created.Unix(),
		}
		if d.ordered {
			recipient.Routing = i + 1
		}
		if who.stage == hasSigned {
			recipient.Complete = who.since.Unix()
		}
		answer.Recipients = append(answer.Recipients, recipient)
	}
	writeJSON(w, http.StatusOK, answer)
}

// PleaseSign's words for how far a document or a recipient has come. Who has opened a document is still "sent".
var (
	pleasesignStatus = map[status]string{drafted: "building", open: "sent", complete: "complete", rejected: "void"}
	recipientStatus  = map[stage]string{
		waiting: "pending", due: "sent", visited: "sent", unreachable: "failed", hasSigned: "complete", hasDeclined: "void",
	}
)

// idURL is the answer to both questions for an address.
type idURL struct {
	ID  string `json:"id"`
	URL string `json:"url"`
}

// getPleasesignMaster is GET /document/{id}/master: where the document is as far as it has come.
func (s *Server) getPleasesignMaster(w http.ResponseWriter, r *http.Request) {
	d, ok := s.pleasesign.find(r.PathValue("id"))
	if !ok {
		pleasesignSays(w, http.StatusNotFound)
		return
	}
	writeJSON(w, http.StatusOK, idURL{d.id, s.tickets.file(publicURL(r), pleasesignName, d.id)})
}

// getSigningURL is GET /recipient/{id}/signingurl. It is given only for a document that is sent, to a recipient who is
// pending or sent. That whose turn has not come gets one that does not open yet is PleaseSign's own way.
func (s *Server) getSigningURL(w http.ResponseWriter, r *http.Request) {
	d, i, ok := s.pleasesign.person(r.PathValue("id"))
	if !ok {
		pleasesignSays(w, http.StatusNotFound)
		return
	}
	who := d.people[i]
	if state := recipientStatus[who.stage]; d.status != open || (state != "pending" && state != "sent") {
		writeJSON(w, http.StatusBadRequest, pleasesignError{"A signing url cannot be generated for this recipient."})
		return
	}
	ticket := s.tickets.issue(ticket{provider: pleasesignName, paper: d.id, who: i})
	writeJSON(w, http.StatusOK, idURL{who.id, publicURL(r) + "/pleasesign?e=" + randomHex(6) + "&p=" + ticket})
}

type pleasesignError struct {
	Message string `json:"message"`
}

// pleasesignSays is an error as PleaseSign words it.
func pleasesignSays(w http.ResponseWriter, status int) {
	writeJSON(w, status, pleasesignError{http.StatusText(status) + "."})
}

// orNull is s, or null where there is nothing.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// unixOrNull is seconds since 1970, or null where it has not happened.
func unixOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Unix()
}
