package sandbox

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// clickwrap is how Ironclad Clickwrap tells of its signature requests, as far as the guide's integration sees them.
type clickwrap struct {
	ingest string // where its callbacks say that they were sent to
}

// newClickwrap holds one request from its start, the one that the documentation's sample callbacks are about, so that a
// callback pasted from there finds its signer.
func newClickwrap(cfg config.Config) *provider {
	p := newProvider(clickwrapName, clickwrap{cfg.Sandbox.IngestURL})
	p.keep(&paper{
		document: document{title: "Example Contract"}, id: "596f858584281715b3493d0c", status: open,
		people: []party{{signer: ericPrugh, id: "58001ea30c7ffa3111e9fa48", stage: due}},
	})
	return p
}

// Clickwrap's ids are 24 hexadecimal characters.
func (clickwrap) documentID() string { return randomHex(12) }
func (clickwrap) personID() string   { return randomHex(12) }

// clickwrapCallback is a callback's body, its fields in the order in which Clickwrap writes them.
type clickwrapCallback struct {
	Type        string            `json:"type"`
	Integration string            `json:"integration"`
	SentTo      string            `json:"sent_to"`
	EventType   string            `json:"event_type"`
	Description string            `json:"description"`
	Site        int               `json:"site"`
	Request     string            `json:"request"`
	Contract    int               `json:"contract,omitempty"` // of an activity
	Version     string            `json:"version,omitempty"`  // of an activity
	Revision    string            `json:"revision,omitempty"` // of an activity
	Activity    string            `json:"activity"`
	SignerID    string            `json:"signer_id,omitempty"` // of an activity
	Signer      string            `json:"signer,omitempty"`    // of request_signed
	User        int               `json:"user,omitempty"`      // of request_sent
	UpdatedTime string            `json:"updated_time"`
	CreatedTime string            `json:"created_time"`
	Deliverable bool              `json:"deliverable"`
	ID          string            `json:"id"`
	RenderData  map[string]string `json:"render_data,omitempty"` // of request_complete
	Fields      map[string]string `json:"fields,omitempty"`      // of request_complete
}

// clickwrapTime is how Clickwrap writes times.
const clickwrapTime = "2006-01-02T15:04:05.000Z"

// callbacks is one for each thing that happened: Clickwrap reports at once. That a person opened his link is no
// request's event, and has none.
func (c clickwrap) callbacks(happened []change, _ string) []callback {
	var all []callback
	for _, h := range happened {
		if body, ok := c.body(h); ok {
			all = append(all, callback{event: body.EventType, request: clickwrapRequest(body)})
		}
	}
	return all
}

func (c clickwrap) body(h change) (clickwrapCallback, bool) {
	now := h.at.Format(clickwrapTime)
	title := `"` + h.paper.title + `"`
	body := clickwrapCallback{
		Type: "webhook", Integration: "596f854922d3a615b6dce9f7", Site: 2, Request: h.paper.id, Activity: randomHex(12),
		SentTo:      strings.TrimRight(c.ingest, "/") + "/webhooks/" + clickwrapName + "/" + h.paper.source.Name,
		UpdatedTime: now, CreatedTime: now, Deliverable: true, ID: randomHex(12),
	}
	switch h.what {
	case documentSent:
		body.EventType, body.User, body.Description = "request_sent", 45, "PactSafe sent "+title
	case recipientSigned:
		body.EventType, body.Signer, body.Description = "request_signed", h.who().id, h.who().name()+" signed "+title
	case recipientDeclined:
		body.EventType, body.SignerID = "activity_disagreed", h.who().id
		body.Contract, body.Version, body.Revision = 11501, randomHex(12), randomHex(12)
		body.Description = h.who().name() + " (" + h.who().email + `) disagreed "Terms" in Request ` + title
	case documentCompleted:
		last := h.paper.people[len(h.paper.people)-1]
		body.EventType, body.Description = "request_complete", title+" has been completed"
		body.RenderData = map[string]string{"Salesforce.Amount": "$100.00"}
		body.Fields = map[string]string{"first_name": last.first, "last_name": last.last}
	default:
		return clickwrapCallback{}, false
	}
	return body, true
}

func clickwrapRequest(body clickwrapCallback) pack.Request {
	data, _ := json.Marshal(body) //nolint:errchkjson // strings and numbers
	return pack.Request{Method: http.MethodPost, Body: data, ReceivedAt: time.Now(), Header: http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/json"},
		"X-Request-Id": {randomHex(16)},
	}}
}

// The answer to GET /v1.1/requests/{id}. It is the guide's, and what the request was created with; nothing is known of a
// field that would tell who has signed, so there is none.
type requestAnswer struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Signers []signerAnswer `json:"signers"`
}

type signerAnswer struct {
	SignerID   string `json:"signer_id"`
	Order      int    `json:"order"`
	SendTo     sendTo `json:"send_to"`
	Signer     person `json:"signer"`
	RequestURL string `json:"request_url"`
}

type sendTo struct {
	Email        bool `json:"email"`
	MobileNumber bool `json:"mobile_number"`
}

type person struct {
	ID           string     `json:"id"`
	Email        string     `json:"email"`
	MobileNumber string     `json:"mobile_number"`
	Additional   attributes `json:"additional_attributes"`
}

type attributes struct {
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
}

// getClickwrapRequest is GET /v1.1/requests/{id}.
func (s *Server) getClickwrapRequest(w http.ResponseWriter, r *http.Request) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer || !s.knows(clickwrapName, func(api config.API) bool { return same(token, api.Token) }) {
		clickwrapSays(w, http.StatusUnauthorized)
		return
	}
	request, ok := s.clickwrap.find(r.PathValue("id"))
	if !ok {
		clickwrapSays(w, http.StatusNotFound)
		return
	}
	answer := requestAnswer{ID: request.id, Name: request.title}
	for i, who := range request.people {
		answer.Signers = append(answer.Signers, signerAnswer{
			SignerID: who.id, Order: i + 1,
			SendTo: sendTo{Email: who.byEmail, MobileNumber: who.bySMS},
			Signer: person{
				ID: who.id, Email: who.email, MobileNumber: who.mobile,
				Additional: attributes{FirstName: who.first, LastName: who.last},
			},
			RequestURL: publicURL(r) + "/sign/" + request.id + "/" + who.id,
		})
	}
	writeJSON(w, http.StatusOK, answer)
}

// clickwrapSays is an error as Clickwrap words it.
func clickwrapSays(w http.ResponseWriter, status int) {
	type fields struct {
		Message string `json:"message"`
		Status  int    `json:"status"`
		Name    string `json:"name"`
	}
	said := fields{Message: http.StatusText(status), Status: status, Name: strings.ReplaceAll(http.StatusText(status), " ", "") + "Error"}
	switch status {
	case http.StatusUnauthorized:
		said.Message = "A valid access token is required"
	case http.StatusNotFound:
		said.Message = "Request not found"
	case http.StatusTooManyRequests:
		said.Name, said.Message = "RateLimitExceededError", "Request limit has been reached"
	}
	writeJSON(w, status, map[string]fields{"error": said})
}
