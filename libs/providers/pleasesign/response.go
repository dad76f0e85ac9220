package pleasesign

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"

	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/rest"
)

// document is the response to GET /document/:id.
type document struct {
	ID          rest.Text         `json:"id"`
	Title       rest.Text         `json:"title"`
	Status      rest.Text         `json:"status"`
	SenderName  rest.Text         `json:"sender_name"`
	SenderEmail rest.Text         `json:"sender_email"`
	Recipients  rest.List[person] `json:"recipients"`

	SentDate     rest.Text `json:"sent_date"`
	CompleteDate rest.Text `json:"complete_date"`
	VoidDate     rest.Text `json:"void_date"`
	VoidReason   rest.Text `json:"void_reason"`
}

type person struct {
	ID        rest.Text   `json:"id"`
	FirstName rest.Text   `json:"first_name"`
	LastName  rest.Text   `json:"last_name"`
	Email     rest.Text   `json:"email"`
	Mobile    rest.Text   `json:"mobile"`
	Status    rest.Text   `json:"status"`
	Silent    rest.Yes    `json:"silent"`
	Reminder  rest.Number `json:"reminder_date"` // of the next reminder by e-mail; 0 for none
	Routing   rest.Number `json:"routing"`

	SMSCode      rest.Text `json:"sms_mfa"`
	Redirect     rest.Text `json:"redirect"`
	RedirectVoid rest.Text `json:"redirect_void"`

	CompleteDate rest.Text `json:"complete_date"`
}

// States of a document or a recipient, as PleaseSign names them.
const (
	building = "building" // the document's file is being prepared
	failed   = "failed"   // the e-mail to the recipient bounced
	complete = "complete"
	void     = "void"
)

// decode parses a response; it returns false if required fields are missing: the recipients, empty or not, and the status. Without that check
// another response could look like a document without recipients.
func decode(body []byte) (*document, bool) {
	found := new(document)
	if json.Unmarshal(body, found) != nil || found.Recipients == nil || found.Status == "" {
		return nil, false
	}
	return found, true
}

func (d *document) document(id string) *pack.Document {
	out := &pack.Document{
		ID: id, Title: string(d.Title), Status: d.status(),
		Sender: pack.Sender{Name: string(d.SenderName), Email: string(d.SenderEmail)},
	}
	for _, r := range d.Recipients {
		person := pack.Recipient{
			ID: string(r.ID), FirstName: string(r.FirstName), LastName: string(r.LastName),
			Email: string(r.Email), Mobile: international(string(r.Mobile)),
			Order: int(r.Routing), Signed: r.Status == complete, Declined: r.Status == void && d.declined(),
			Invite: bool(r.Silent), // PleaseSign itself sends the other invitations
			// Its reminders are a setting of the account, which the API does not return: they begin days after the invitation.
			RemindedByProvider: !bool(r.Silent) || r.Reminder != 0,
		}
		person.Wants = person.Reachable()
		out.Recipients = append(out.Recipients, person)
	}
	slices.SortStableFunc(out.Recipients, func(a, b pack.Recipient) int { return cmp.Compare(a.Order, b.Order) })
	return out
}

// status reads "void", which means declined or withdrawn, from the recipients that are void.
func (d *document) status() pack.Status {
	switch d.Status {
	case building, "pending", "sent": // the filter of lists calls a draft pending
		return pack.StatusOpen
	case complete:
		return pack.StatusCompleted
	case void:
		if d.declined() {
			return pack.StatusDeclined
		}
		return pack.StatusVoided
	default:
		return pack.StatusUnknown
	}
}

// declined reports whether the document is void because a recipient declined it: exactly one recipient is void. The documentation does not
// say whether the other recipients become void too when a document ends; if several are void, the one who declined is unknown.
func (d *document) declined() bool {
	voids := 0
	for _, r := range d.Recipients {
		if r.Status == void {
			voids++
		}
	}
	return d.Status == void && voids == 1
}

// unsignable returns why a recipient whose turn has come has no signing address; empty if there is one. There is none while the document is
// being prepared, and none after an e-mail to the recipient bounced: the sender corrects the recipient, who then is a new one with another
// id.
func (d *document) unsignable(id string) pack.NotOpen {
	if d.Status == building || d.Status == "pending" {
		return pack.NotYet
	}
	for _, r := range d.Recipients {
		if string(r.ID) == id && r.Status == failed {
			return pack.Gone
		}
	}
	return ""
}

// PleaseSign has Australian mobile numbers only, and sends them without the plus: 61491570313.
var australian = regexp.MustCompile(`^61[0-9]{9}$`)

func international(mobile string) string {
	if australian.MatchString(mobile) {
		return "+" + mobile
	}
	return mobile
}
