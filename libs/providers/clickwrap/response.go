package clickwrap

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/rest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// The schema of GET /requests/:id is not published. These types accept every spelling in the guides and in the responses to other calls, bare or
// in {"data": …}.
type request struct {
	Name        rest.Text         `json:"name"`
	Title       rest.Text         `json:"title"`
	Subject     rest.Text         `json:"subject"`
	Signers     rest.List[signer] `json:"signers"`
	DownloadURL rest.Text         `json:"download_url"`
	PDFURL      rest.Text         `json:"pdf_url"`
	DocumentURL rest.Text         `json:"document_url"`

	// One of these fields means that people sign one after the other. A signer's own order is only the position in the list.
	EnforceOrder  rest.Yes `json:"enforce_order"`
	OrderEnforced rest.Yes `json:"order_enforced"`
	Ordered       rest.Yes `json:"ordered"`
	SignerOrder   rest.Yes `json:"signer_order"`

	// No field for the state of a request is documented. A completion is recognized; any other state counts as unknown.
	Status        rest.Text `json:"status"`
	CompletedTime rest.Text `json:"completed_time"`
	CompletedAt   rest.Text `json:"completed_at"`
}

type signer struct {
	person
	SignerID    rest.Text `json:"signer_id"`
	Signer      nested    `json:"signer"`
	SendTo      channels  `json:"send_to"`
	RequestURL  rest.Text `json:"request_url"`
	DownloadURL rest.Text `json:"download_url"`
	PDFURL      rest.Text `json:"pdf_url"`
	DocumentURL rest.Text `json:"document_url"`
	Status      rest.Text `json:"status"`
	Signed      rest.Yes  `json:"signed"`
	SignedTime  rest.Text `json:"signed_time"`
	SignedAt    rest.Text `json:"signed_at"`
}

type person struct {
	ID           rest.Text                `json:"id"`
	UnderscoreID rest.Text                `json:"_id"`
	Email        rest.Text                `json:"email"`
	MobileNumber rest.Text                `json:"mobile_number"`
	FirstName    rest.Text                `json:"first_name"`
	LastName     rest.Text                `json:"last_name"`
	Name         rest.Text                `json:"name"`
	Order        rest.Number              `json:"order"`
	Additional   rest.Object[attributes]  `json:"additional_attributes"`
	Deliverable  rest.Object[deliverable] `json:"deliverable"`
}

type attributes struct {
	FirstName rest.Text `json:"first_name"`
	LastName  rest.Text `json:"last_name"`
}

// deliverable is the provider's knowledge about a person's addresses.
type deliverable struct {
	EmailStatus  rest.Text `json:"email_status"`
	MobileStatus rest.Text `json:"mobile_number_status"`
}

// decode parses a response. It returns false if the list of signers is missing; an empty list is valid. Without that check another response
// could look like a request without signers.
func decode(body []byte) (*request, bool) {
	var bare struct {
		Data    json.RawMessage `json:"data"`
		Signers json.RawMessage `json:"signers"`
	}
	if json.Unmarshal(body, &bare) != nil {
		return nil, false
	}
	if (bare.Signers == nil || string(bare.Signers) == "null") && bare.Data != nil {
		body = bare.Data
	}
	found := new(request)
	if json.Unmarshal(body, found) != nil || found.Signers == nil {
		return nil, false
	}
	return found, true
}

func (r *request) document(id string) *pack.Document {
	slices.SortStableFunc(r.Signers, func(a, b signer) int { return cmp.Compare(a.order(), b.order()) })
	d := &pack.Document{ID: id, Title: rest.First(r.Name, r.Title, r.Subject), Status: r.status()}
	for _, s := range r.Signers {
		d.Recipients = append(d.Recipients, s.recipient(r))
	}
	return d
}

func (r *request) status() pack.Status {
	switch strings.ToLower(string(r.Status)) {
	case "complete", "completed":
		return pack.StatusCompleted
	}
	if r.CompletedTime != "" || r.CompletedAt != "" {
		return pack.StatusCompleted
	}
	return pack.StatusUnknown
}

func (s *signer) recipient(r *request) pack.Recipient {
	who := s.Signer
	order := 0
	if r.EnforceOrder || r.OrderEnforced || r.Ordered || r.SignerOrder {
		order = s.order()
	}
	out := pack.Recipient{
		ID:         rest.First(s.SignerID, s.ID, who.ID, who.UnderscoreID, s.UnderscoreID),
		FirstName:  rest.First(who.FirstName, who.Additional.Fields.FirstName, s.FirstName, s.Additional.Fields.FirstName),
		LastName:   rest.First(who.LastName, who.Additional.Fields.LastName, s.LastName, s.Additional.Fields.LastName),
		Email:      rest.First(who.Email, s.Email),
		Mobile:     rest.First(who.MobileNumber, s.MobileNumber),
		Order:      order,
		Signed:     s.signed(),
		Invite:     true,
		SigningURL: string(s.RequestURL), // it may be set later than the request
		// By default signers download the document at their signing address; a more specific address takes precedence.
		DownloadURL: rest.First(s.DownloadURL, s.PDFURL, s.DocumentURL, r.DownloadURL, r.PDFURL, r.DocumentURL, s.RequestURL),
	}
	if out.FirstName == "" && out.LastName == "" {
		out.FirstName, out.LastName, _ = strings.Cut(rest.First(who.Name, s.Name), " ")
	}
	out.Block(event.Email, blockReason(who.Deliverable.Fields.EmailStatus, s.Deliverable.Fields.EmailStatus))
	out.Block(event.SMS, blockReason(who.Deliverable.Fields.MobileStatus, s.Deliverable.Fields.MobileStatus))
	switch {
	case s.SendTo.stated:
		out.Wants = s.SendTo.wants()
	case out.Email != "": // without send_to: one channel, and e-mail if possible, because text messages cost money
		out.Wants = []notifyv1.Channel{event.Email}
	case out.Mobile != "":
		out.Wants = []notifyv1.Channel{event.SMS}
	}
	return out
}

// file returns the address of the signed document: the request's own or, if it has none, the first of its signers'. The address of the signing page
// is none.
func (r *request) file() string {
	address := rest.First(r.DownloadURL, r.PDFURL, r.DocumentURL)
	for i := 0; address == "" && i < len(r.Signers); i++ {
		address = rest.First(r.Signers[i].DownloadURL, r.Signers[i].PDFURL, r.Signers[i].DocumentURL)
	}
	return address
}

// order returns a signer's position, which the guides show both beside the signer object and inside it.
func (s *signer) order() int { return int(cmp.Or(s.Order, s.Signer.Order)) }

func (s *signer) signed() bool {
	switch strings.ToLower(string(s.Status)) {
	case "signed", "complete", "completed":
		return true
	}
	return bool(s.Signed) || s.SignedTime != "" || s.SignedAt != ""
}

// nested is a person, or only the id of one.
type nested struct{ person }

func (n *nested) UnmarshalJSON(data []byte) error {
	*n = nested{}
	if data[0] == '{' {
		return json.Unmarshal(data, &n.person)
	}
	return n.ID.UnmarshalJSON(data)
}
