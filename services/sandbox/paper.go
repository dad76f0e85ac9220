package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// paper is a document as a stand-in keeps it: what has become of it so far.
type paper struct {
	document
	id     string
	source config.Source // whose callbacks tell of it
	status status
	reason string // why it was declined
	people []party

	created, sent, ended time.Time
}

// status is how far a document has come.
type status int

const (
	drafted status = iota
	open
	complete
	rejected
)

// party is a person on a document.
type party struct {
	signer
	id    string
	stage stage
	since time.Time
}

// stage is how far a person has come.
type stage int

const (
	waiting stage = iota // for his turn
	due
	visited
	unreachable
	hasSigned
	hasDeclined
)

// change is something that happened to a paper.
type change struct {
	happening
	paper paper // as it is after it
	turns []int // the people whose turn has come by it
	at    time.Time
}

func (c change) who() party { return c.paper.people[c.signer] }

// happen changes the paper. What a provider would never do is an error, and changes nothing.
func (p *paper) happen(h happening, at time.Time) (change, error) {
	var turns []int
	switch h.what {
	case documentSent:
		p.status, p.sent = open, at
		turns = p.giveTurns(at)
	case recipientOpened:
		p.move(h.signer, visited, at)
	case recipientSigned:
		p.move(h.signer, hasSigned, at)
		turns = p.giveTurns(at)
	case recipientDeclined:
		p.move(h.signer, hasDeclined, at)
		p.status, p.ended, p.reason = rejected, at, "Please correct my name first."
	case recipientFailed:
		p.move(h.signer, unreachable, at)
	case documentCompleted:
		// Of a single signer's signature and the document's end either may be told first.
		for i := range p.people {
			if p.people[i].stage != hasSigned {
				p.move(i, hasSigned, at)
			}
		}
		p.status, p.ended = complete, at
	case documentSealed:
		if p.status != complete {
			return change{}, errors.New("only a complete document is sealed")
		}
	default:
		return change{}, fmt.Errorf("nothing is known of %s", h.what)
	}
	return change{happening: h, paper: p.copy(), turns: turns, at: at}, nil
}

func (p *paper) move(who int, to stage, at time.Time) {
	p.people[who].stage, p.people[who].since = to, at
}

// giveTurns lets those sign whose turn it is: everybody, or where there is an order the first who has not signed.
func (p *paper) giveTurns(at time.Time) []int {
	var turns []int
	for i, who := range p.people {
		if who.stage == waiting {
			p.move(i, due, at)
			turns = append(turns, i)
		}
		if p.ordered && who.stage != hasSigned {
			break
		}
	}
	return turns
}

func (p *paper) copy() paper {
	c := *p
	c.people = slices.Clone(p.people)
	return c
}

// acts is what follows when a person presses a button on his signing page.
func (p *paper) acts(who int, decline bool) ([]happening, error) {
	if why := p.closed(who); why != "" {
		return nil, errors.New(why)
	}
	if decline {
		return []happening{first.opened(who), first.declined(who)}, nil
	}
	happens := []happening{first.opened(who), first.signed(who)}
	for i, other := range p.people {
		if i != who && other.stage != hasSigned {
			return happens, nil
		}
	}
	return append(happens, first.completed(), first.sealed()), nil
}

// closed says why a person cannot sign now; empty when he can.
func (p *paper) closed(who int) string {
	switch stage := p.people[who].stage; {
	case p.status == drafted:
		return "This document has not been sent yet."
	case p.status == complete:
		return "This document has been accepted by all parties."
	case stage == hasDeclined:
		return p.people[who].name() + " has declined to sign."
	case p.status == rejected:
		return "This document was declined, and can no longer be signed."
	case stage == hasSigned:
		return p.people[who].name() + " has signed."
	case stage == waiting:
		return "Others sign first: it is not yet " + p.people[who].name() + "'s turn."
	default:
		return ""
	}
}
