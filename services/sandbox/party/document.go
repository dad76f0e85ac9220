package party

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// Document is a document at its provider, with its current state.
type Document struct {
	Draft
	ID         string
	Source     config.Source // the source whose callbacks report it
	Status     Status
	Reason     string // of the decline
	Recipients []Recipient

	Created, Sent, Ended time.Time
}

// Status is the state of a document.
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
	// Resent is when the provider last sent its own message once more on request.
	Resent time.Time
}

// Stage is the state of a recipient.
type Stage int

// The stages of a recipient.
const (
	StageWaiting Stage = iota // waits for the earlier recipients
	StageDue
	StageVisited
	StageUnreachable
	StageSigned
	StageDeclined
)

// Change is a change of a document.
type Change struct {
	Event
	Doc   Document // after the change
	Turns []int    // the recipients who may sign because of it
	At    time.Time
}

// Who returns the recipient who caused the change.
func (c Change) Who() Recipient { return c.Doc.Recipients[c.Signer] }

// apply changes the document. An impossible change is an error and changes nothing.
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
		// A single signer's signature and the document's completion may be reported in either order.
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
		return Change{}, fmt.Errorf("unknown event type %s", e.Type)
	}
	return Change{Event: e, Doc: d.copy(), Turns: turns, At: at}, nil
}

func (d *Document) move(who int, to Stage, at time.Time) {
	d.Recipients[who].Stage, d.Recipients[who].Since = to, at
}

// Replace puts a new recipient, who has another id, in the place of one who has not signed. If it was the turn of the one, it is the turn of the other.
// It returns what the provider does then.
func (d *Document) Replace(who int, by Signer, id string, at time.Time) Change {
	stage := StageDue
	if d.Recipients[who].Stage == StageWaiting {
		stage = StageWaiting
	}
	d.Recipients[who] = Recipient{Signer: by, ID: id, Stage: stage, Since: at}
	return d.mailed(who, at)
}

// Resend notes that the provider sends its own message to a recipient once more.
func (d *Document) Resend(who int, at time.Time) Change {
	if d.Recipients[who].Stage == StageUnreachable {
		d.move(who, StageDue, at)
	}
	d.Recipients[who].Resent = at
	return d.mailed(who, at)
}

// mailed returns the change that a provider's own message to a recipient is. It is none before the recipient's turn.
func (d *Document) mailed(who int, at time.Time) Change {
	c := Change{Event: Event{Type: RecipientMailed, Signer: who}, Doc: d.copy(), At: at}
	if d.Recipients[who].Stage != StageWaiting {
		c.Turns = []int{who}
	}
	return c
}

// giveTurns allows recipients to sign: all of them or, in an ordered document, the first who has not signed.
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

// Modified returns the time of the document's last change.
func (d *Document) Modified() time.Time {
	latest := d.Created
	for _, at := range []time.Time{d.Sent, d.Ended} {
		if at.After(latest) {
			latest = at
		}
	}
	for _, who := range d.Recipients {
		if who.Since.After(latest) {
			latest = who.Since
		}
	}
	return latest
}

func (d *Document) copy() Document {
	c := *d
	c.Recipients = slices.Clone(d.Recipients)
	return c
}

// pressed returns the events that follow when a person presses a button on the signing page.
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

// closed returns the reason why a person cannot sign now; empty if the person can.
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
		return "Other people sign first: it is not yet " + d.Recipients[who].Name() + "'s turn."
	default:
		return ""
	}
}
