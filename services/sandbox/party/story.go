package party

import (
	"time"

	"github.com/signrelay/signrelay/libs/event"
)

// Story is documents, and what happens to them in order, in the domain's own words. The provider's wire turns what happens into
// its own callbacks.
type Story struct {
	Provider    string            `json:"provider"`
	Name        string            `json:"story"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Messages    []ExpectedMessage `json:"messages"` // what its people must get, and nothing else

	Documents []Draft `json:"-"`
	Steps     []Step  `json:"-"`
}

// Draft is what is to be signed, and by whom.
type Draft struct {
	Title   string
	Signers []Signer // in signing order
	Ordered bool     // one after the other: who comes later may sign only when all before have
	Storage string   // where the provider keeps the finished document, in its own words; empty is at hand
}

// Signer is a person of a story.
type Signer struct {
	First, Last   string
	Email, Mobile string // as the sender typed them
	ByEmail       bool
	BySMS         string // the number to which texts go, without a plus; empty where none do
	Mailed        bool   // the provider itself sends this one his link
}

// Name is a signer's whole name.
func (s Signer) Name() string { return s.First + " " + s.Last }

// Step is what happens between two pauses.
type Step struct {
	Events []Event
	Over   time.Duration // between the first and the last of them, which is now
	Twice  bool          // the provider sends the callback again, as if it had not seen the response
}

// Event is one thing that happens to a document; its type is the canonical one of the event that shall come of it.
type Event struct {
	Type     string
	Document int // index in the story's documents
	Signer   int // index in the document's signers, where it is one's doing
}

// What can happen.
const (
	DocumentSent      = event.DocumentSent
	DocumentCompleted = event.DocumentCompleted
	DocumentSealed    = "document.sealed" // the final PDF exists, which has a callback of its own at some providers
	RecipientOpened   = event.RecipientOpened
	RecipientSigned   = event.RecipientSigned
	RecipientDeclined = event.RecipientDeclined // and with it the document
	RecipientFailed   = event.RecipientUndeliverable
)

// Nth is a document's place in its story.
type Nth int

// The places that stories use.
const (
	First Nth = iota
	Second
)

// Sent is that the document is sent.
func (n Nth) Sent() Event { return Event{DocumentSent, int(n), 0} }

// Completed is that all have signed the document.
func (n Nth) Completed() Event { return Event{DocumentCompleted, int(n), 0} }

// Sealed is that its final PDF exists.
func (n Nth) Sealed() Event { return Event{DocumentSealed, int(n), 0} }

// Opened is that a signer looks at it.
func (n Nth) Opened(signer int) Event { return Event{RecipientOpened, int(n), signer} }

// Signed is that a signer signs it.
func (n Nth) Signed(signer int) Event { return Event{RecipientSigned, int(n), signer} }

// Declined is that a signer declines it.
func (n Nth) Declined(signer int) Event { return Event{RecipientDeclined, int(n), signer} }

// Failed is that the provider's own e-mail to a signer bounces.
func (n Nth) Failed(signer int) Event { return Event{RecipientFailed, int(n), signer} }

// Each is a step for each event.
func Each(events ...Event) []Step {
	var steps []Step
	for _, e := range events {
		steps = append(steps, Together(e))
	}
	return steps
}

// Together is one step, of which a provider that reports in batches makes one callback.
func Together(events ...Event) Step { return Step{Events: events} }

// ExpectedMessage is one that a story's people must get.
type ExpectedMessage struct {
	Kind    string `json:"kind"`
	Channel string `json:"channel"`
	// To is a number without its plus, an address, or "sender": where notify.sender of the source says.
	To string `json:"to"`
}

// Invitation is a message to each that there is something to sign.
func Invitation(people ...Signer) []ExpectedMessage { return expected("invitation", people) }

// Progress is a message to each that another has signed.
func Progress(people ...Signer) []ExpectedMessage { return expected("progress", people) }

// Completion is a message to each that all have signed.
func Completion(people ...Signer) []ExpectedMessage { return expected("completed", people) }

// Declining is a message to each, and to the document's sender, that somebody declined.
func Declining(people ...Signer) []ExpectedMessage {
	return append(expected("declined", people), ExpectedMessage{"declined", ChannelEmail, toSender})
}

// Bounce is a message to the document's sender that somebody cannot be reached.
func Bounce() []ExpectedMessage { return []ExpectedMessage{{"undeliverable", ChannelEmail, toSender}} }

const toSender = "sender"

func expected(kind string, people []Signer) []ExpectedMessage {
	var all []ExpectedMessage
	for _, who := range people {
		if who.BySMS != "" {
			all = append(all, ExpectedMessage{kind, ChannelSMS, who.BySMS})
		}
		if who.ByEmail {
			all = append(all, ExpectedMessage{kind, ChannelEmail, who.Email})
		}
	}
	return all
}
