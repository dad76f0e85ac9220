package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// clickwrap is the stand-in for Ironclad Clickwrap: its signature requests, as far as the guide's integration sees them.
type clickwrap struct {
	mu       sync.Mutex
	requests map[string]*clickwrapRequest
	order    []string // ids, the oldest first
}

// clickwrapRequests is how many requests are kept, about 1 KB each; then the oldest go.
const clickwrapRequests = 20_000

type clickwrapRequest struct {
	id       string
	title    string
	complete bool
	signers  []clickwrapSigner
}

type clickwrapSigner struct {
	signer
	id     string
	signed bool
}

// newClickwrap holds one request from its start, the one that the documentation's sample callbacks are about, so that a
// callback pasted from there finds its signer.
func newClickwrap() *clickwrap {
	c := &clickwrap{requests: map[string]*clickwrapRequest{}}
	c.keep(&clickwrapRequest{
		id: "596f858584281715b3493d0c", title: "Example Contract",
		signers: []clickwrapSigner{{signer: ericPrugh, id: "58001ea30c7ffa3111e9fa48"}},
	})
	return c
}

// put takes a document in, as its sender would, and returns its fresh id. Clickwrap's ids are 24 hexadecimal characters.
func (c *clickwrap) put(d document) string {
	request := &clickwrapRequest{id: randomHex(12), title: d.title}
	for _, s := range d.signers {
		request.signers = append(request.signers, clickwrapSigner{signer: s, id: randomHex(12)})
	}
	c.keep(request)
	return request.id
}

func (c *clickwrap) keep(request *clickwrapRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[request.id] = request
	c.order = append(c.order, request.id)
	if len(c.order) > clickwrapRequests {
		delete(c.requests, c.order[0])
		c.order = c.order[1:]
	}
}

// find returns a copy of a request as it is now.
func (c *clickwrap) find(id string) (clickwrapRequest, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	request, ok := c.requests[id]
	if !ok {
		return clickwrapRequest{}, false
	}
	found := *request
	found.signers = append([]clickwrapSigner(nil), request.signers...)
	return found, true
}

// clickwrapCallback is a callback's body, its fields in the order in which Clickwrap writes them.
type clickwrapCallback struct {
	Type        string            `json:"type"`
	Integration string            `json:"integration"`
	SentTo      string            `json:"sent_to"`
	EventType   string            `json:"event_type"`
	Description string            `json:"description"`
	Site        int               `json:"site"`
	Request     string            `json:"request"`
	Activity    string            `json:"activity"`
	Signer      string            `json:"signer,omitempty"` // of request_signed
	User        int               `json:"user,omitempty"`   // of request_sent
	UpdatedTime string            `json:"updated_time"`
	CreatedTime string            `json:"created_time"`
	Deliverable bool              `json:"deliverable"`
	ID          string            `json:"id"`
	RenderData  map[string]string `json:"render_data,omitempty"` // of request_complete
	Fields      map[string]string `json:"fields,omitempty"`      // of request_complete
}

// clickwrapTime is how Clickwrap writes times.
const clickwrapTime = "2006-01-02T15:04:05.000Z"

// happen lets something happen to a request and returns the callback that tells of it. The state changes first, as at
// the real provider: whoever asks the REST API after the callback sees it.
func (c *clickwrap) happen(id string, h happening, source config.Source, url string) (callback, error) {
	if len(source.Webhook.Secrets) == 0 {
		return callback{}, fmt.Errorf("source %s has no webhook.secrets: its callbacks cannot be signed", source.Name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	request, ok := c.requests[id]
	if !ok {
		return callback{}, fmt.Errorf("request %s is no longer kept", id)
	}

	now := time.Now().UTC().Format(clickwrapTime)
	body := clickwrapCallback{
		Type: "webhook", Integration: "596f854922d3a615b6dce9f7", SentTo: url, Site: 2, Request: id, Activity: randomHex(12),
		UpdatedTime: now, CreatedTime: now, Deliverable: true, ID: randomHex(12),
	}
	switch h.what {
	case documentSent:
		body.EventType, body.User = "request_sent", 45
		body.Description = `PactSafe sent "` + request.title + `"`
	case recipientSigned:
		who := &request.signers[h.signer]
		who.signed = true
		body.EventType, body.Signer = "request_signed", who.id
		body.Description = who.name() + ` signed "` + request.title + `"`
	case documentCompleted:
		request.complete = true
		for i := range request.signers {
			request.signers[i].signed = true
		}
		last := request.signers[len(request.signers)-1]
		body.EventType = "request_complete"
		body.Description = `"` + request.title + `" has been completed`
		body.RenderData = map[string]string{"Salesforce.Amount": "$100.00"}
		body.Fields = map[string]string{"first_name": last.first, "last_name": last.last}
	default:
		return callback{}, fmt.Errorf("clickwrap has no callback for %s", h.what)
	}

	data, err := json.Marshal(body)
	if err != nil {
		return callback{}, fmt.Errorf("encode %s: %w", body.EventType, err)
	}
	return callback{event: body.EventType, url: url, body: data, header: http.Header{
		"Content-Type":           {"application/json"},
		"Accept":                 {"application/json"},
		"Pactsafe-Webhook-Token": {source.Webhook.Secrets[0]},
		"X-Request-Id":           {randomHex(16)},
	}}, nil
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
	if !s.clickwrapToken(r.Header.Get("Authorization")) {
		answerClickwrapError(w, http.StatusUnauthorized, "UnauthorizedError", "A valid access token is required")
		return
	}
	request, ok := s.clickwrap.find(r.PathValue("id"))
	if !ok {
		answerClickwrapError(w, http.StatusNotFound, "NotFoundError", "Request not found")
		return
	}
	answer := requestAnswer{ID: request.id, Name: request.title}
	for i, who := range request.signers {
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

// clickwrapToken tells whether a request bears the access token of one of the Clickwrap sources.
func (s *Server) clickwrapToken(authorization string) bool {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok {
		return false
	}
	for _, source := range s.cfg.Sources {
		if source.Provider == "clickwrap" && same(token, source.API.Token) {
			return true
		}
	}
	return false
}

func throttleClickwrap(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "1")
	answerClickwrapError(w, http.StatusTooManyRequests, "RateLimitExceededError", "Request limit has been reached")
}

func answerClickwrapError(w http.ResponseWriter, status int, name, message string) {
	type fields struct {
		Message string `json:"message"`
		Status  int    `json:"status"`
		Name    string `json:"name"`
	}
	writeJSON(w, status, map[string]fields{"error": {Message: message, Status: status, Name: name}})
}
