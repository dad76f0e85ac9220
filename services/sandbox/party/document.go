package party

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// Document is a document as its provider records it: what has become of it so far.
type Document struct {
	Draft
	ID         string
	Source     config.Source // whose callbacks tell of it
	Status     Status
	Reason     string // why it was declined
	Recipients []Recipient

	Created, Sent, Ended time.Time
}

// Status is how far a document has come.
type Status int

// The states of a document, in their order.
const (
	StatusDraft Status = iota
	StatusOpen
	StatusComplete
	StatusRejected
)

// Recipient is a person on a document.
type Recipient struct {
	Signer
	ID    string
	Stage Stage
	Since time.Time
}

// Stage is how far a person has come.
type Stage int

// The stages of a recipient.
const (
	StageWaiting Stage = iota // for his turn
	StageDue
	StageVisited
	StageUnreachable
	StageSigned
	StageDeclined
)

// Change is something that happened to a document.
type Change struct {
	Event
	Doc   Document // as it is after it
	Turns []int    // the recipients whose turn has come by it
	At    time.Time
}

// Who is the recipient whose doing it was.
func (c Change) Who() Recipient { return c.Doc.Recipients[c.Signer] }

// apply changes the document. What a provider would never do is an error, and changes nothing.
func (d *Document) apply(e Event, at time.Time) (Change, error) {
	var turns []int
	switch e.Type {
	case DocumentSent:
		d.Status, d.Sent = StatusOpen, at
		turns = d.giveTurns(at)
	case RecipientOpened:
		d.move(e.Signer, StageVisited, at)
	case RecipientSigned:
		d.move(e.Signer, StageSigned, at)
		turns = d.giveTurns(at)
	case RecipientDeclined:
		d.move(e.Signer, StageDeclined, at)
		d.Status, d.Ended, d.Reason = StatusRejected, at, "Please correct my name first."
	case RecipientFailed:
		d.move(e.Signer, StageUnreachable, at)
	case DocumentCompleted:
		// Of a single signer's signature and the document's end either may be reported first.
		for i := range d.Recipients {
			if d.Recipients[i].Stage != StageSigned {
				d.move(i, StageSigned, at)
			}
		}
		d.Status, d.Ended = StatusComplete, at
	case DocumentSealed:
		if d.Status != StatusComplete {
			return Change{}, errors.New("only a complete document is sealed")
		}
	default:
		return Change{}, fmt.Errorf("nothing is known of %s", e.Type)
	}
	return Change{Event: e, Doc: d.copy(), Turns: turns, At: at}, nil
}

func (d *Document) move(who int, to Stage, at time.Time) {
	d.Recipients[who].Stage, d.Recipients[who].Since = to, at
}

// giveTurns lets those sign whose turn it is: everybody, or where there is an order the first who has not signed.
func (d *Document) giveTurns(at time.Time) []int {
	var turns []int
	for i, who := range d.Recipients {
		if who.Stage == StageWaiting {
			d.move(i, StageDue, at)
			turns = append(turns, i)
		}
		if d.Ordered && who.Stage != StageSigned {
			break
		}
	}
	return turns
}

func (d *Document) copy() Document {
	c := *d
	c.Recipients = slices.Clone(d.Recipients)
	return c
}

// pressed is what follows when a person presses a button on his signing page.
func (d *Document) pressed(who int, decline bool) ([]Event, error) {
	if why := d.closed(who); why != "" {
		return nil, errors.New(why)
	}
	if decline {
		return []Event{First.Opened(who), First.Declined(who)}, nil
	}
	events := []Event{First.Opened(who), First.Signed(who)}
	for i, other := range d.Recipients {
		if i != who && other.Stage != StageSigned {
			return events, nil
		}
	}
	return append(events, First.Completed(), First.Sealed()), nil
}

// closed says why a person cannot sign now; empty when he can.
func (d *Document) closed(who int) string {
	switch stage := d.Recipients[who].Stage; {
	case d.Status == StatusDraft:
		return "This document has not been sent yet."
	case d.Status == StatusComplete:
		return "This document has been accepted by all parties."
	case stage == StageDeclined:
		return d.Recipients[who].Name() + " has declined to sign."
	case d.Status == StatusRejected:
		return "This document was declined, and can no longer be signed."
	case stage == StageSigned:
		return d.Recipients[who].Name() + " has signed."
	case stage == StageWaiting:
		return "Others sign first: it is not yet " + d.Recipients[who].Name() + "'s turn."
	default:
		return ""
	}
}
