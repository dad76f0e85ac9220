package pack

import (
	"context"

	"github.com/signrelay/signrelay/libs/event"
)

// Details are the name and the addresses of a person, as they should be. An empty field means that the person has none.
type Details struct {
	FirstName, LastName string
	Email, Mobile       string // the number in E.164 with its plus sign
}

// Corrects says what a provider needs to correct a recipient.
type Corrects struct {
	Name, Email bool // required; a name is a first and a last name
	// Check returns the provider's other rules that the details break.
	Check func(Details) []Mistake
}

// Mistake is a field of Details that cannot be accepted.
type Mistake struct {
	Field string // FieldFirstName and its like
	Text  string // "PleaseSign needs a last name"; without personal data
}

// The fields of Details, as forms, flags and mistakes name them.
const (
	FieldFirstName = "first_name"
	FieldLastName  = "last_name"
	FieldEmail     = "email"
	FieldMobile    = "mobile"
)

// Corrector is an API that changes a recipient's name and addresses. Its errors are those of API. *NotCorrectableError means that the recipient
// cannot be changed any more. A *CallError has the provider's own message.
type Corrector interface {
	// Correct corrects a recipient of a document, and returns the recipient's id after that, which may be another one. A repeated call returns the
	// same id and changes nothing.
	Correct(ctx context.Context, document, recipient string, to Details) (id string, err error)
}

// Resender is an API with which the provider sends its own message to a recipient once more. Its errors are those of Corrector.
type Resender interface {
	Resend(ctx context.Context, document, recipient string) error
}

// NotCorrectableError means that the provider does not change a recipient, or write to the recipient, in the current state.
type NotCorrectableError struct{ Reason NotCorrectable }

func (e *NotCorrectableError) Error() string {
	return "the recipient cannot be changed: " + string(e.Reason)
}

// NotCorrectable is the reason against a change. It is part of events.
type NotCorrectable string

// Reasons against a change of a recipient.
const (
	HasSigned     NotCorrectable = event.OverSigned
	HasDeclined   NotCorrectable = event.OverDeclined
	HasEnded      NotCorrectable = event.OverDocument
	NotListed     NotCorrectable = "not-listed"      // the provider does not list the recipient
	WritesNothing NotCorrectable = "provider-silent" // the provider sends no messages to the recipient
)
