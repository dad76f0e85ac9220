package sandbox

import (
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
)

// A story is documents, and what happens to them in order, in the domain's own words. The provider's stand-in turns what
// happens into its own callbacks.
type story struct {
	Provider    string    `json:"provider"`
	Name        string    `json:"story"`
	Title       string    `json:"title"`
	Description string    `json:"description"`
	Messages    []message `json:"messages"` // what its people must get, and nothing else

	documents []document
	steps     []step
}

// document is what is to be signed, and by whom.
type document struct {
	title   string
	signers []signer // in signing order
	ordered bool     // one after the other: who comes later may sign only when all before have
	keeps   string   // esign-v1: where the finished document is; empty is at hand
}

// Where the eSignature API v1 can keep a finished document.
const (
	elsewhere = "elsewhere" // on another server: /pdf/ leads there
	archived  = "archived"  // it takes four hours to fetch
)

type signer struct {
	first, last   string
	email, mobile string // as its sender typed them
	byEmail       bool
	bySMS         bool
	mailed        bool // the provider sends this one his link himself
}

func (s signer) name() string { return s.first + " " + s.last }

// step is what happens between two pauses.
type step struct {
	happens []happening
	over    time.Duration // between the first and the last of them, which is now
	twice   bool          // the provider sends the callback again, as if it had not heard the answer
}

// happening is one thing that happens to a document; what is the canonical type of the event that shall come of it.
type happening struct {
	what     string
	document int // index in the story's documents
	signer   int // index in the document's signers, where it is one's doing
}

// What can happen.
const (
	documentSent      = event.DocumentSent
	documentCompleted = event.DocumentCompleted
	documentSealed    = "document.sealed" // esign-v1: the final PDF exists, which has a callback of its own
	recipientOpened   = event.RecipientOpened
	recipientSigned   = event.RecipientSigned
	recipientDeclined = event.RecipientDeclined // and with it the document
	recipientFailed   = event.RecipientUndeliverable
)

// nth is a document's place in its story.
type nth int

const (
	first nth = iota
	second
)

func (n nth) sent() happening               { return happening{documentSent, int(n), 0} }
func (n nth) completed() happening          { return happening{documentCompleted, int(n), 0} }
func (n nth) sealed() happening             { return happening{documentSealed, int(n), 0} }
func (n nth) opened(signer int) happening   { return happening{recipientOpened, int(n), signer} }
func (n nth) signed(signer int) happening   { return happening{recipientSigned, int(n), signer} }
func (n nth) declined(signer int) happening { return happening{recipientDeclined, int(n), signer} }
func (n nth) failed(signer int) happening   { return happening{recipientFailed, int(n), signer} }

// each is a step for each thing that happens.
func each(happens ...happening) []step {
	var steps []step
	for _, h := range happens {
		steps = append(steps, together(h))
	}
	return steps
}

// together is one step, of which a provider that reports in batches makes one callback.
func together(happens ...happening) step { return step{happens: happens} }

// message is one that a story's people must get.
type message struct {
	Kind    string `json:"kind"`
	Channel string `json:"channel"`
	// To is a number without its plus, an address, or "sender": where notify.sender of the source says.
	To string `json:"to"`
}

func invitation(people ...signer) []message { return told("invitation", people) }
func progress(people ...signer) []message   { return told("progress", people) }
func completion(people ...signer) []message { return told("completed", people) }
func declining(people ...signer) []message {
	return append(told("declined", people), message{"declined", channelEmail, toSender})
}
func bounce() []message { return []message{{"undeliverable", channelEmail, toSender}} }

const toSender = "sender"

func told(kind string, people []signer) []message {
	var all []message
	for _, who := range people {
		if who.bySMS {
			all = append(all, message{kind, channelSMS, who.number()})
		}
		if who.byEmail {
			all = append(all, message{kind, channelEmail, who.email})
		}
	}
	return all
}

// number is a signer's mobile number as a text message is sent to it.
func (s signer) number() string {
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s.mobile)
	switch {
	case strings.HasPrefix(s.mobile, "+"), strings.HasPrefix(digits, "61"):
		return digits
	case strings.HasPrefix(digits, "0"):
		return "44" + digits[1:] // as a Briton types it at home
	default:
		return "1" + digits // as an American does
	}
}

// stories is everything that can be played, in the order in which the page shows it.
var stories = append(append(append([]story{}, clickwrapStories...), pleasesignStories...), esignStories...)

func storyNamed(provider, name string) (story, bool) {
	for _, s := range stories {
		if s.Provider == provider && s.Name == name {
			return s, true
		}
	}
	return story{}, false
}
