package esignv1

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/rest"
)

// document is the response to GET /document/{id}/.
type document struct {
	Name    rest.Text `json:"name"`
	Status  rest.Text `json:"status"`
	Group   rest.Text `json:"group"` // "/api/v1/group/my-group/"
	DoEmail rest.Yes  `json:"do_email"`

	// Signers have an order from 0 on, whether they sign in it or not. The specification spells the field in two ways.
	SignersInOrder rest.No `json:"signers_in_order"`
	SignerInOrder  rest.No `json:"signer_in_order"`

	// The response contains the signers in two forms, and lists of documents only in the second form.
	SignerObjects rest.List[signer] `json:"signer_objects"`
	Signers       rest.List[listed] `json:"signers"`

	UUID        rest.Text `json:"uuid"`
	ResourceURI rest.Text `json:"resource_uri"`
	Created     rest.Text `json:"created"`
	Modified    rest.Text `json:"modified"`
	SignTime    rest.Text `json:"sign_time"`
}

type signer struct {
	FirstName   rest.Text   `json:"firstname"`
	LastName    rest.Text   `json:"lastname"`
	Email       rest.Text   `json:"email"`
	Tel         rest.Text   `json:"tel"`
	Order       rest.Number `json:"order"`
	Status      rest.Text   `json:"status"`
	UUID        rest.Text   `json:"uuid"`
	ResourceURI rest.Text   `json:"resource_uri"`
}

// decode parses a response; it returns false if required fields are missing: the signers, in either form, empty or not, and the status.
func decode(body []byte) (*document, bool) {
	found := new(document)
	if json.Unmarshal(body, found) != nil || found.Status == "" || (found.SignerObjects == nil && found.Signers == nil) {
		return nil, false
	}
	return found, true
}

func (d *document) document(id string) *pack.Document {
	out := &pack.Document{ID: id, Title: string(d.Name), Status: statusOf[d.Status]}
	for _, s := range d.people() {
		person := pack.Recipient{
			ID: s.id(), FirstName: string(s.FirstName), LastName: string(s.LastName),
			Email: string(s.Email), Mobile: string(s.Tel),
			Order:  int(s.Order),
			Signed: s.Status == "40" || s.Status == "50", Declined: s.Status == "60",
			Invite: !bool(d.DoEmail), // otherwise the provider itself sends all invitations
		}
		person.Wants = person.Reachable()
		out.Recipients = append(out.Recipients, person)
	}
	slices.SortStableFunc(out.Recipients, func(a, b pack.Recipient) int { return cmp.Compare(a.Order, b.Order) })
	if !d.inOrder() {
		for i := range out.Recipients {
			out.Recipients[i].Order = 0
		}
	}
	return out
}

var statusOf = map[rest.Text]pack.Status{
	"10": pack.StatusOpen, // created; only its signers show whether it was sent
	"20": pack.StatusOpen, // all fields filled in
	"30": pack.StatusCompleted,
	"40": pack.StatusVoided,
	"50": pack.StatusDeclined,
}

// inOrder reports whether the signers sign one after the other. True is also the default if the response lacks the order: a late invitation
// still works, but an invitation before the person's turn has a link that does not open.
func (d *document) inOrder() bool { return !bool(d.SignersInOrder || d.SignerInOrder) }

func (d *document) people() []signer {
	if len(d.SignerObjects) > 0 {
		return d.SignerObjects
	}
	var all []signer
	for _, s := range d.Signers {
		all = append(all, s.signer)
	}
	return all
}

// listed is a signer as a list: [signer URI, first name, last name, e-mail address, mobile number, has fields, status, order].
type listed struct{ signer }

func (l *listed) UnmarshalJSON(data []byte) error {
	*l = listed{}
	if data[0] == '{' { // in the form of signer_objects
		return json.Unmarshal(data, &l.signer)
	}
	var fields []rest.Text
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	at := func(i int) rest.Text {
		if i < len(fields) {
			return fields[i]
		}
		return ""
	}
	order, _ := strconv.Atoi(string(at(7)))
	l.signer = signer{
		ResourceURI: at(0), FirstName: at(1), LastName: at(2), Email: at(3), Tel: at(4), Status: at(6), Order: rest.Number(order),
	}
	return nil
}

// id returns the id that callbacks have in their resource_uri.
func (s signer) id() string {
	if s.UUID != "" {
		return string(s.UUID)
	}
	_, id := resource(string(s.ResourceURI))
	return id
}

// decodeDocumentOf parses the response to GET /signer/{id}/; it returns "" if the response names no document.
func decodeDocumentOf(body []byte) string {
	var found struct {
		Document rest.Text `json:"document"` // "/api/v1/document/<id>/"
	}
	if json.Unmarshal(body, &found) != nil {
		return ""
	}
	_, id := resource(string(found.Document))
	return id
}
