// Package clickwrap simulates Ironclad Clickwrap: its REST API, its callbacks and its signing pages.
package clickwrap

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sandbox/party"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
)

const (
	name  = "clickwrap"
	title = "Ironclad Clickwrap"
)

// Party is the part of Ironclad Clickwrap that the guide's integration uses.
var Party = party.Party{Name: name, Title: title, Targets: []party.Target{target()}, Stories: stories, New: open}

// target returns its REST API, whose 429 has a Retry-After.
func target() party.Target {
	t := party.HTTPTarget(name, http.StatusTooManyRequests)
	t.RetryAfter = true
	return t
}

type clickwrap struct {
	party.Env
	provider *party.Provider
}

// open creates the request of the documentation's sample callbacks, so that a callback copied from there finds its signer.
func open(env party.Env) (party.Simulator, error) {
	c := clickwrap{env, party.NewProvider(name, title, wire{sandboxsettings.Section.Of(env.Config).IngestURL}, env.Now)}
	c.provider.Keep(&party.Document{
		Draft: party.Draft{Title: "Example Contract"}, ID: "596f858584281715b3493d0c", Status: party.StatusOpen,
		Recipients: []party.Recipient{{Signer: ericPrugh, ID: "58001ea30c7ffa3111e9fa48", Stage: party.StageDue}},
	})
	return party.Simulator{Routes: c.routes, Provider: c.provider}, nil
}

func (c clickwrap) routes(mux *service.Routes) {
	mux.HandleFunc("GET /v1.1/requests/{id}", c.Faulty(name, writeError, c.getRequest))
	mux.HandleFunc("GET /sign/{request}/{signer}", c.GetSigningPage(c.visit))
	mux.HandleFunc("POST /sign/{request}/{signer}", c.PostSigningPage(c.visit))
}

// visit returns the visit at /sign/{request}/{signer}. The link stays valid. Later it leads to the complete document.
func (c clickwrap) visit(r *http.Request) (party.Visit, bool) {
	d, i, ok := c.provider.Recipient(r.PathValue("signer"))
	return party.Visit{Provider: c.provider, Document: d, Who: i}, ok && d.ID == r.PathValue("request")
}

// wire makes Clickwrap's callbacks about its signature requests.
type wire struct {
	ingest string // the address in the callbacks' field sent_to
}

// DocumentID implements party.Wire. Clickwrap's ids are 24 hexadecimal characters.
func (wire) DocumentID() string { return party.RandomHex(12) }

// RecipientID implements party.Wire.
func (wire) RecipientID() string { return party.RandomHex(12) }

// body is a callback's body, with the fields in Clickwrap's order.
type body struct {
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

// timeFormat is Clickwrap's format of times.
const timeFormat = "2006-01-02T15:04:05.000Z"

// Callbacks implements party.Wire. It returns one callback for each change, because Clickwrap reports immediately. There is none for an
// opened link.
func (c wire) Callbacks(happened []party.Change, _ string) []party.Callback {
	var all []party.Callback
	for _, h := range happened {
		if b, ok := c.body(h); ok {
			all = append(all, party.Callback{Event: b.EventType, Request: request(b)})
		}
	}
	return all
}

func (c wire) body(h party.Change) (body, bool) {
	now := h.At.Format(timeFormat)
	quoted := `"` + h.Doc.Title + `"`
	b := body{
		Type: "webhook", Integration: "596f854922d3a615b6dce9f7", Site: 2, Request: h.Doc.ID, Activity: party.RandomHex(12),
		SentTo:      strings.TrimRight(c.ingest, "/") + "/webhooks/" + name + "/" + h.Doc.Source.Name,
		UpdatedTime: now, CreatedTime: now, Deliverable: true, ID: party.RandomHex(12),
	}
	switch h.Type {
	case party.DocumentSent:
		b.EventType, b.User, b.Description = "request_sent", 45, "PactSafe sent "+quoted
	case party.RecipientSigned:
		b.EventType, b.Signer, b.Description = "request_signed", h.Who().ID, h.Who().Name()+" signed "+quoted
	case party.RecipientDeclined:
		b.EventType, b.SignerID = "activity_disagreed", h.Who().ID
		b.Contract, b.Version, b.Revision = 11501, party.RandomHex(12), party.RandomHex(12)
		b.Description = h.Who().Name() + " (" + h.Who().Email + `) disagreed "Terms" in Request ` + quoted
	case party.DocumentCompleted:
		last := h.Doc.Recipients[len(h.Doc.Recipients)-1]
		b.EventType, b.Description = "request_complete", quoted+" has been completed"
		b.RenderData = map[string]string{"Salesforce.Amount": "$100.00"}
		b.Fields = map[string]string{"first_name": last.First, "last_name": last.Last}
	default:
		return body{}, false
	}
	return b, true
}

func request(b body) pack.Request {
	data, _ := json.Marshal(b) //nolint:errchkjson // strings and numbers
	return pack.Request{Method: http.MethodPost, Body: data, ReceivedAt: time.Now(), Header: http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/json"},
		"X-Request-Id": {party.RandomHex(16)},
	}}
}

// requestResponse is the response to GET /v1.1/requests/{id}, as in the guide, with the values from the creation of the request. No field for
// the state of a signer or a request, or for the address of the signed document, is documented. These are the names that the pack looks for.
type requestResponse struct {
	ID        string           `json:"id"`
	Name      string           `json:"name"`
	Status    string           `json:"status,omitempty"`
	Completed string           `json:"completed_time,omitempty"`
	Signers   []signerResponse `json:"signers"`
	PDFURL    string           `json:"pdf_url,omitempty"` // of a completed request
}

type signerResponse struct {
	SignerID   string `json:"signer_id"`
	Order      int    `json:"order"`
	SendTo     sendTo `json:"send_to"`
	Signer     person `json:"signer"`
	RequestURL string `json:"request_url"`
	SignedTime string `json:"signed_time,omitempty"`
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

// getRequest serves GET /v1.1/requests/{id}.
func (c clickwrap) getRequest(w http.ResponseWriter, r *http.Request) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer || !c.Knows(name, func(s config.Source) bool { return party.Same(token, s.Text("api.token")) }) {
		writeError(w, http.StatusUnauthorized)
		return
	}
	d, ok := c.provider.Find(r.PathValue("id"))
	if !ok {
		writeError(w, http.StatusNotFound)
		return
	}
	response := requestResponse{ID: d.ID, Name: d.Title}
	if d.Status == party.StatusComplete {
		response.Status, response.Completed = "complete", d.Ended.Format(timeFormat)
		response.PDFURL = c.Tickets.File(party.PublicURL(r), c.provider, d.ID, party.SignedFile, 0)
	}
	for i, who := range d.Recipients {
		signed := ""
		if who.Stage == party.StageSigned {
			signed = who.Since.Format(timeFormat)
		}
		response.Signers = append(response.Signers, signerResponse{
			SignedTime: signed,
			SignerID:   who.ID, Order: i + 1,
			SendTo: sendTo{Email: who.ByEmail, MobileNumber: who.BySMS != ""},
			Signer: person{
				ID: who.ID, Email: who.Email, MobileNumber: who.Mobile,
				Additional: attributes{FirstName: who.First, LastName: who.Last},
			},
			RequestURL: party.PublicURL(r) + "/sign/" + d.ID + "/" + who.ID,
		})
	}
	party.WriteJSON(w, http.StatusOK, response)
}

// writeError writes an error in Clickwrap's format.
func writeError(w http.ResponseWriter, status int) {
	type problem struct {
		Message string `json:"message"`
		Status  int    `json:"status"`
		Name    string `json:"name"`
	}
	body := problem{Message: http.StatusText(status), Status: status, Name: strings.ReplaceAll(http.StatusText(status), " ", "") + "Error"}
	switch status {
	case http.StatusUnauthorized:
		body.Message = "A valid access token is required"
	case http.StatusNotFound:
		body.Message = "Request not found"
	case http.StatusTooManyRequests:
		body.Name, body.Message = "RateLimitExceededError", "Request limit has been reached"
	}
	party.WriteJSON(w, status, map[string]problem{"error": body})
}
