// Package fallback decides when an invitation or a reminder goes to a person's other channel, from what the log says about the message. The
// enricher then makes the message for that channel, or notifies the sender of the document.
package fallback

import "github.com/signrelay/signrelay/libs/event"

// Status is what the log says about a message on one channel.
type Status int

// The statuses of a message on a channel.
const (
	NotMade  Status = iota // the log has no event about it
	Withheld               // it was suppressed, for a reason that another message may not have
	Pending                // it is on its way, deferred, or waits for its delivery receipt
	Arrived                // delivered; or sent, if no receipt is expected
	Lost                   // it failed, has no receipt in time, or was suppressed because the person opted out
)

// ToSender is the attribute "to" of a fallback to the sender of the document.
const ToSender = "sender"

// The reasons why nothing follows.
const (
	reached   = "reached"    // a message arrived on a channel
	pending   = "pending"    // a message is on its way, and its own outcome decides
	notLost   = "not-lost"   // no message is lost
	fellBack  = "fell-back"  // the fallback is in the log
	sentAgain = "sent-again" // the message belongs to an earlier sending of the document
)

// decision says which message follows, or why none does.
type decision struct {
	from string // the channel of the lost message
	to   string // the channel of the next message, or ToSender
	skip string // if it is not empty, no message follows
}

// decide decides about a message, by the names of its channels. One channel that reached the person is enough.
func decide(status map[string]Status) decision {
	var lost, open []string
	waits := false
	for _, c := range event.Channels {
		switch status[c.Name] {
		case Arrived:
			return decision{skip: reached}
		case Pending:
			waits = true
		case Lost:
			lost = append(lost, c.Name)
		case NotMade, Withheld:
			if c.Replaces {
				open = append(open, c.Name)
			}
		}
	}
	switch {
	case waits:
		return decision{skip: pending}
	case len(lost) == 0:
		return decision{skip: notLost}
	case len(open) == 0:
		return decision{from: lost[0], to: ToSender}
	default:
		return decision{from: lost[0], to: open[0]}
	}
}

// decideAfter decides about the message of a fallback. Nothing but a message to the sender can follow, so that two channels that lose messages
// do not send each other more of them.
func decideAfter(status map[string]Status) decision {
	over := decision{skip: pending} // the enricher has not made it yet, or has notified the sender
	for _, c := range event.Channels {
		switch status[c.Name] {
		case Arrived:
			return decision{skip: reached}
		case Pending:
			return decision{skip: pending}
		case Lost, Withheld:
			over = decision{from: c.Name, to: ToSender}
		case NotMade:
		}
	}
	return over
}
