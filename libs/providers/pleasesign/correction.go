package pleasesign

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/rest"
)

// corrects are the rules of POST /recipient/:id/correct.
var corrects = pack.Corrects{Name: true, Email: true, Check: func(to pack.Details) []pack.Mistake {
	if to.Mobile != "" && !mobileNumber.MatchString(to.Mobile) {
		return []pack.Mistake{{Field: pack.FieldMobile, Text: "PleaseSign takes Australian mobile numbers only, such as 0491 570 313"}}
	}
	return nil
}}

var mobileNumber = regexp.MustCompile(`^\+614[0-9]{8}$`)

// correction is the body of POST /recipient/:id/correct. PleaseSign makes a new recipient of it, so the body also has the fields that the old one had.
type correction struct {
	FirstName    string    `json:"first_name"`
	LastName     string    `json:"last_name"`
	Email        string    `json:"email"`
	Mobile       string    `json:"mobile,omitempty"`
	SMSCode      string    `json:"sms_mfa,omitempty"` // to this number a code is sent before the signature
	Redirect     rest.Text `json:"redirect,omitempty"`
	RedirectVoid rest.Text `json:"redirect_void,omitempty"`
}

// Correct implements pack.Corrector. PleaseSign removes the recipient and makes a new one. So a repeated call does not find the recipient, and
// returns the one who has the details.
func (a *api) Correct(ctx context.Context, documentID, recipient string, to pack.Details) (string, error) {
	found, err := a.document(ctx, documentID)
	if err != nil {
		return "", err
	}
	old, err := found.changeable(recipient)
	if err != nil {
		if id, is := found.corrected(to); old == nil && is {
			return id, nil
		}
		return "", err
	}
	if old.has(to) {
		return recipient, nil
	}
	body, err := json.Marshal(correctionOf(*old, to))
	if err != nil {
		return "", err
	}
	change := rest.Change{Op: "POST correct", Method: http.MethodPost, Path: "/recipient/{id}/correct", ID: recipient, Body: body}
	response, err := a.rest.Change(ctx, change)
	if err != nil {
		return "", err
	}
	var made person
	if json.Unmarshal(response, &made) == nil && rest.SafeID(string(made.ID)) {
		return string(made.ID), nil
	}
	if found, err = a.document(ctx, documentID); err != nil {
		return "", err
	}
	if id, is := found.corrected(to); is {
		return id, nil
	}
	return "", rest.Call{Op: change.Op}.Unreadable()
}

// Resend implements pack.Resender.
func (a *api) Resend(ctx context.Context, documentID, recipient string) error {
	found, err := a.document(ctx, documentID)
	if err != nil {
		return err
	}
	old, err := found.changeable(recipient)
	if err != nil {
		return err
	}
	if old.Silent {
		return &pack.NotCorrectableError{Reason: pack.WritesNothing}
	}
	_, err = a.rest.Change(ctx, rest.Change{
		Op: "POST resend", Method: http.MethodPost, Path: "/recipient/{id}/resend", ID: recipient, Body: []byte("{}"),
	})
	return err
}

// changeable returns a recipient that can be corrected. PleaseSign corrects those who are pending, sent or failed. If the document does not have the
// recipient, it returns nil.
func (d *document) changeable(recipient string) (*person, error) {
	var who *person
	for i := range d.Recipients {
		if string(d.Recipients[i].ID) == recipient {
			who = &d.Recipients[i]
		}
	}
	switch {
	case d.status() != pack.StatusOpen:
		return who, &pack.NotCorrectableError{Reason: pack.HasEnded}
	case who == nil:
		return nil, &pack.NotCorrectableError{Reason: pack.NotListed}
	case who.Status == complete:
		return who, &pack.NotCorrectableError{Reason: pack.HasSigned}
	case who.Status == void:
		return who, &pack.NotCorrectableError{Reason: pack.HasEnded}
	default:
		return who, nil
	}
}

// corrected returns the id of the one recipient with the details who has not signed.
func (d *document) corrected(to pack.Details) (id string, is bool) {
	for _, r := range d.Recipients {
		if r.Status != complete && r.Status != void && r.has(to) {
			if is { // two people with one name and one address
				return "", false
			}
			id, is = string(r.ID), true
		}
	}
	return id, is
}

// has reports whether a recipient has the details.
func (p person) has(to pack.Details) bool {
	return strings.EqualFold(string(p.Email), to.Email) && string(p.FirstName) == to.FirstName && string(p.LastName) == to.LastName &&
		international(string(p.Mobile)) == to.Mobile
}

// correctionOf returns the request that corrects a recipient. If both numbers are given, PleaseSign requires that they are the same one, so the
// number for codes becomes the new one.
func correctionOf(old person, to pack.Details) correction {
	c := correction{
		FirstName: to.FirstName, LastName: to.LastName, Email: to.Email, Mobile: strings.TrimPrefix(to.Mobile, "+"),
		SMSCode: string(old.SMSCode), Redirect: old.Redirect, RedirectVoid: old.RedirectVoid,
	}
	if c.SMSCode != "" && c.Mobile != "" {
		c.SMSCode = c.Mobile
	}
	return c
}
