package clickwrap

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// The schema of GET /requests/:id is not published; what follows takes every spelling that was seen in the guides and in
// the answers to other calls, bare or in {"data": …}.
type request struct {
	Name        text     `json:"name"`
	Title       text     `json:"title"`
	Subject     text     `json:"subject"`
	Signers     []signer `json:"signers"`
	DownloadURL text     `json:"download_url"`
	PDFURL      text     `json:"pdf_url"`
	DocumentURL text     `json:"document_url"`
}

type signer struct {
	person
	SignerID text   `json:"signer_id"`
	Signer   nested `json:"signer"`
	SendTo   *struct {
		Email        yes `json:"email"`
		MobileNumber yes `json:"mobile_number"`
	} `json:"send_to"`
	Order       number `json:"order"`
	RequestURL  text   `json:"request_url"`
	DownloadURL text   `json:"download_url"`
	PDFURL      text   `json:"pdf_url"`
	DocumentURL text   `json:"document_url"`
	Status      text   `json:"status"`
	Signed      yes    `json:"signed"`
	SignedTime  text   `json:"signed_time"`
	SignedAt    text   `json:"signed_at"`
}

type person struct {
	ID           text `json:"id"`
	UnderscoreID text `json:"_id"`
	Email        text `json:"email"`
	MobileNumber text `json:"mobile_number"`
	FirstName    text `json:"first_name"`
	LastName     text `json:"last_name"`
	Name         text `json:"name"`
	Additional   struct {
		FirstName text `json:"first_name"`
		LastName  text `json:"last_name"`
	} `json:"additional_attributes"`
}

var errGarbage = errors.New("the answer is not the JSON of a request")

// decode wants signers, empty or not: of an answer without them nobody could tell that it says "nobody".
func decode(body []byte) (*request, error) {
	var bare struct {
		Data    json.RawMessage `json:"data"`
		Signers json.RawMessage `json:"signers"`
	}
	if json.Unmarshal(body, &bare) != nil {
		return nil, errGarbage
	}
	if bare.Signers == nil && bare.Data != nil {
		body = bare.Data
	}
	found := new(request)
	if json.Unmarshal(body, found) != nil || found.Signers == nil {
		return nil, errGarbage
	}
	return found, nil
}

func (r *request) document(id string) *pack.Document {
	slices.SortStableFunc(r.Signers, func(a, b signer) int { return int(a.Order) - int(b.Order) })
	d := &pack.Document{ID: id, Title: first(r.Name, r.Title, r.Subject)}
	for _, s := range r.Signers {
		d.Recipients = append(d.Recipients, s.recipient(r))
	}
	return d
}

func (s *signer) recipient(r *request) pack.Recipient {
	who := s.Signer
	out := pack.Recipient{
		ID:         first(s.SignerID, s.ID, who.ID, who.UnderscoreID, s.UnderscoreID),
		FirstName:  first(who.FirstName, who.Additional.FirstName, s.FirstName, s.Additional.FirstName),
		LastName:   first(who.LastName, who.Additional.LastName, s.LastName, s.Additional.LastName),
		Email:      first(who.Email, s.Email),
		Mobile:     first(who.MobileNumber, s.MobileNumber),
		Signed:     s.signed(),
		Invite:     s.RequestURL != "", // who has no signing link may not sign yet
		SigningURL: string(s.RequestURL),
		// The seed has signers download at the address where they signed; a better one is taken where there is one.
		DownloadURL: first(s.DownloadURL, s.PDFURL, s.DocumentURL, r.DownloadURL, r.PDFURL, r.DocumentURL, s.RequestURL),
	}
	if out.FirstName == "" && out.LastName == "" {
		out.FirstName, out.LastName, _ = strings.Cut(first(who.Name, s.Name), " ")
	}
	if s.SendTo != nil {
		out.ByEmail, out.BySMS = bool(s.SendTo.Email), bool(s.SendTo.MobileNumber)
	} else {
		// Not told: one channel, and not the one that costs money where there is another.
		out.ByEmail = out.Email != ""
		out.BySMS = out.Email == "" && out.Mobile != ""
	}
	return out
}

func (s *signer) signed() bool {
	switch strings.ToLower(string(s.Status)) {
	case "signed", "complete", "completed":
		return true
	}
	return bool(s.Signed) || s.SignedTime != "" || s.SignedAt != ""
}

func first(texts ...text) string {
	for _, t := range texts {
		if t != "" {
			return string(t)
		}
	}
	return ""
}

// text is a string or a number; anything else reads as empty.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	*t = ""
	switch c := data[0]; {
	case c == '"':
		return json.Unmarshal(data, (*string)(t))
	case c == '-' || '0' <= c && c <= '9':
		*t = text(data)
	}
	return nil
}

// yes is true for true, "true" and 1.
type yes bool

func (y *yes) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "true", `"true"`, "1":
		*y = true
	default:
		*y = false
	}
	return nil
}

// number is a whole number, as such or in a string; anything else reads as 0.
type number int

func (n *number) UnmarshalJSON(data []byte) error {
	parsed, _ := strconv.ParseInt(strings.Trim(string(data), `"`), 10, 32)
	*n = number(parsed)
	return nil
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
