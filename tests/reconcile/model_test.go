package reconcile

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/party"
)

// The time of the test, in hours: ingest is cut off for eight days after the first one, and the reconciliation begins two days later. Until
// then Clickwrap would repeat a callback.
const (
	cut       = 24
	restored  = cut + 8*24
	reconcile = restored + 2*24
	never     = 1 << 30
)

// life is what happens to a document, and when. The model knows nothing else.
type life struct {
	provider string
	id       string
	people   []string // by the provider's ids
	sent     int
	signs    []int
	declines int // the hour in which the last person declines
	seals    int // the hour of the completion
}

// lives returns the lives of a number of documents.
func lives(count int, dice *rand.Rand) []*life {
	all := make([]*life, count)
	for i := range all {
		l := &life{provider: []string{"clickwrap", "pleasesign", "esign-v1"}[i%3], sent: 1 + dice.IntN(restored-30), declines: never, seals: never}
		if l.provider == "clickwrap" && l.sent >= cut { // a request that the log does not have cannot be found: Clickwrap has no list
			l.sent = 1 + dice.IntN(cut-2)
		}
		people := 1 + dice.IntN(3)
		latest := l.sent
		for range people {
			at := never
			if dice.IntN(4) > 0 {
				at = l.sent + 1 + dice.IntN(restored-l.sent-2)
				latest = max(latest, at)
			}
			l.signs = append(l.signs, at)
		}
		switch last := &l.signs[people-1]; {
		case l.provider != "clickwrap" && dice.IntN(6) == 0: // Clickwrap's API does not return a decline
			*last = never
			if latest = l.sent; people > 1 {
				for _, at := range l.signs[:people-1] {
					if at != never {
						latest = max(latest, at)
					}
				}
			}
			l.declines = latest + 1
		case dice.IntN(2) == 0:
			for p := range l.signs {
				if l.signs[p] == never {
					l.signs[p] = latest
				}
			}
			l.seals = latest + 1
		default:
			allSigned := true
			for _, at := range l.signs {
				allSigned = allSigned && at != never
			}
			if allSigned {
				*last = never
			}
		}
		all[i] = l
	}
	return all
}

// draft returns the document as its sender makes it. E-mail is the only channel, so that one message is one person told.
func (l *life) draft(number int) party.Draft {
	d := party.Draft{Title: fmt.Sprintf("Deed %d", number)}
	for p := range l.signs {
		d.Signers = append(d.Signers, party.Signer{First: "Ann", Last: fmt.Sprintf("Lee%d", p), Email: fmt.Sprintf("ann.%d.%d@example.com", number, p), ByEmail: true})
	}
	return d
}

// at returns what happens in an hour.
func (l *life) at(hour int) (events []party.Event) {
	if hour == l.sent {
		events = append(events, party.First.Sent())
	}
	for p, at := range l.signs {
		if at == hour {
			events = append(events, party.First.Signed(p))
		}
	}
	if hour == l.declines {
		events = append(events, party.First.Declined(len(l.signs)-1))
	}
	if hour == l.seals {
		events = append(events, party.First.Completed())
	}
	return events
}

// fact is an event in the log. A zero hour means that it has no time, because the provider's API does not return it.
type fact struct {
	kind, document, person string
	hour                   int
}

// message is a message that was made for a person.
type message struct{ kind, document, person string }

// facts returns what the log must have, each once.
func (l *life) facts() (all []fact) {
	sent := "document.sent"
	if l.provider == "esign-v1" {
		sent = "document.created"
	}
	all = append(all, fact{sent, l.id, "", l.sent})
	about, told := l.id, func(hour int) int { return hour }
	if l.provider == "esign-v1" { // its events about people name no document, and its API tells no time of them
		about, told = "", func(hour int) int {
			if hour >= cut {
				return 0
			}
			return hour
		}
	}
	for p, at := range l.signs {
		if at != never {
			all = append(all, fact{"recipient.signed", about, l.people[p], told(at)})
		}
	}
	if l.seals != never {
		all = append(all, fact{"document.completed", l.id, "", l.seals})
	}
	if l.declines != never {
		who := l.people[len(l.people)-1]
		all = append(all, fact{"recipient.declined", about, who, told(l.declines)})
		if l.provider == "esign-v1" {
			who = ""
		}
		all = append(all, fact{"document.declined", l.id, who, told(l.declines)})
	}
	return all
}

// messages returns the messages to signers that the reconciliation causes, from the sentences of the documentation alone: an invitation for
// people who may still sign a document that was sent meanwhile; after each signature of a document that is still open, the number of missing
// ones to the others; and the end of a document to the people who did not decline it.
func (l *life) messages() (all []message) {
	late := func(hour int) bool { return hour >= cut && hour != never }
	switch {
	case l.seals != never:
		if late(l.seals) {
			for _, who := range l.people {
				all = append(all, message{"completed", l.id, who})
			}
		}
	case l.declines != never:
		if late(l.declines) {
			for _, who := range l.people[:len(l.people)-1] {
				all = append(all, message{"declined", l.id, who})
			}
		}
	default:
		for p, who := range l.people {
			if late(l.sent) && l.signs[p] == never {
				all = append(all, message{"invitation", l.id, who})
			}
			for other, at := range l.signs {
				if other != p && late(at) {
					all = append(all, message{"progress", l.id, who})
				}
			}
		}
	}
	return all
}

var begin = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func hourOf(at time.Time) int { return int(at.Sub(begin) / time.Hour) }
