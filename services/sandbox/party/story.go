package party

import (
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Story is a list of documents and of events that happen to them in order, with canonical types. The provider's Wire makes its callbacks from
// the events.
type Story struct {
	Provider    string            `json:"provider"`
	Name        string            `json:"story"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Messages    []ExpectedMessage `json:"messages"`    // all messages that its people must get
	MovesClock  bool              `json:"moves_clock"` // time passes in it: the sandbox must be in one process with all services

	Documents []Draft `json:"-"`
	Steps     []Step  `json:"-"`
}

// Draft is a document with its signers.
type Draft struct {
	Title   string
	Signers []Signer // in signing order
	Ordered bool     // a signer may sign only after all earlier ones
	Storage string   // where the provider stores the complete document; empty means that it is available at once
}

// Signer is a person of a story.
type Signer struct {
	First, Last   string
	Email, Mobile string // as the sender typed them
	ByEmail       bool
	BySMS         string // the number that gets SMS, without a plus; empty if none
	Mailed        bool   // the provider itself sends the link to this signer

	SMSCode                string // the number to which the provider sends a code before the signature; empty for none
	Redirect, RedirectVoid string // where the browser goes after a signature, and after a decline; empty for nowhere
}

// Name returns a signer's full name.
func (s Signer) Name() string { return s.First + " " + s.Last }

// Step contains the events between two pauses. A reply comes before the events.
type Step struct {
	Events []Event
	Over   time.Duration // the time between the first event and the last one, which is now
	Twice  bool          // the provider sends the callback again, as after a missing response
	Passes time.Duration // the time that passes before the events; the sandbox moves the clock of all services
	Reply  Reply         // no reply if it has no words

	Document int // of the next fields: index in the story's documents
	// Correct is a person as the sender of the document corrects the person, with the link in the newest message to the sender; nil for none.
	Correct *Signer
	// Sign is a person who signs with the link in the newest message to the person; nil for none.
	Sign *Signer
}

// Reply is a person's reply to the newest text on the person's phone.
type Reply struct {
	By    Signer
	Words string
	// Texts and Emails are the messages that the person has received since the story began before the person replies.
	Texts, Emails int
}

// Event is an event of a document. Type is the canonical type of the event that Signrelay must store.
type Event struct {
	Type     string
	Document int // index in the story's documents
	Signer   int // index in the document's signers, for an event of one signer
}

// The types of events.
const (
	DocumentSent      = event.DocumentSent
	DocumentCompleted = event.DocumentCompleted
	DocumentSealed    = "document.sealed" // the final PDF exists; some providers report it in a separate callback
	RecipientOpened   = event.RecipientOpened
	RecipientSigned   = event.RecipientSigned
	RecipientDeclined = event.RecipientDeclined // the recipient, and with it the document
	RecipientFailed   = event.RecipientUndeliverable
	RecipientMailed   = event.RecipientSent // the provider writes to the recipient because of a request
)

// Nth is the index of a document in its story.
type Nth int

// The indexes that stories use.
const (
	First Nth = iota
	Second
)

// Sent returns the event that the document is sent.
func (n Nth) Sent() Event { return Event{DocumentSent, int(n), 0} }

// Completed returns the event that all have signed the document.
func (n Nth) Completed() Event { return Event{DocumentCompleted, int(n), 0} }

// Sealed returns the event that the final PDF exists.
func (n Nth) Sealed() Event { return Event{DocumentSealed, int(n), 0} }

// Opened returns the event that a signer opens the document.
func (n Nth) Opened(signer int) Event { return Event{RecipientOpened, int(n), signer} }

// Signed returns the event that a signer signs it.
func (n Nth) Signed(signer int) Event { return Event{RecipientSigned, int(n), signer} }

// Declined returns the event that a signer declines it.
func (n Nth) Declined(signer int) Event { return Event{RecipientDeclined, int(n), signer} }

// Failed returns the event that the provider's own e-mail to a signer bounces.
func (n Nth) Failed(signer int) Event { return Event{RecipientFailed, int(n), signer} }

// Each returns a step for each event.
func Each(events ...Event) []Step {
	var steps []Step
	for _, e := range events {
		steps = append(steps, Together(e))
	}
	return steps
}

// Together returns one step with all events. A provider that reports in batches makes one callback from it.
func Together(events ...Event) Step { return Step{Events: events} }

// Pass returns a step in which only time passes.
func Pass(d time.Duration) Step { return Step{Passes: d} }

// Replies returns a step in which a person replies, after that number of texts and e-mails.
func Replies(by Signer, words string, texts, emails int) Step {
	return Step{Reply: Reply{By: by, Words: words, Texts: texts, Emails: emails}}
}

// Corrects returns a step in which the sender of the document corrects a person whom no message has reached.
func (n Nth) Corrects(to Signer) Step { return Step{Document: int(n), Correct: &to} }

// SignsByLink returns a step in which a person opens the link in the newest message to the person, and signs.
func (n Nth) SignsByLink(who Signer) Step { return Step{Document: int(n), Sign: &who} }

// ExpectedMessage is a message that a person of a story must get.
type ExpectedMessage struct {
	Kind    string `json:"kind"`
	Channel string `json:"channel"`
	// To is a number without a plus, an address, or "sender" for the address in notify.sender of the source.
	To string `json:"to"`
}

// Invitation returns the invitations to sign.
func Invitation(people ...Signer) []ExpectedMessage { return expected("invitation", people) }

// Progress returns the messages that another signer has signed.
func Progress(people ...Signer) []ExpectedMessage { return expected("progress", people) }

// Reminder returns the reminders to people who have not signed.
func Reminder(people ...Signer) []ExpectedMessage { return expected("reminder", people) }

// Completion returns the messages that all have signed.
func Completion(people ...Signer) []ExpectedMessage { return expected("completed", people) }

// Declining returns the messages to these signers and to the document's sender that a signer declined.
func Declining(people ...Signer) []ExpectedMessage {
	return append(expected("declined", people), ExpectedMessage{"declined", event.ChannelName(event.Email), toSender})
}

// Bounce returns the message to the document's sender that a signer cannot be reached.
func Bounce() []ExpectedMessage {
	return []ExpectedMessage{{"undeliverable", event.ChannelName(event.Email), toSender}}
}

// Response returns the response to a person's reply, which is always a text.
func Response(kind notifyv1.Kind, to Signer) []ExpectedMessage {
	return []ExpectedMessage{{event.KindName(kind), event.ChannelName(event.SMS), to.BySMS}}
}

// ByEmail returns these messages without the texts.
func ByEmail(messages []ExpectedMessage) []ExpectedMessage {
	return slices.DeleteFunc(messages, func(m ExpectedMessage) bool { return m.Channel != event.ChannelName(event.Email) })
}

const toSender = "sender"

// Numbers, without a plus, at which no SMS arrives: its receipts report a failure.
const (
	UnreachableNumber           = "13175550199"
	UnreachableAustralianNumber = "61491570158"
)

// UnreachableDomain is a domain without mailboxes: e-mails to its addresses bounce.
const UnreachableDomain = "unreachable.example"

// Unreachable reports whether nothing arrives at a number without a plus, or at an e-mail address.
func Unreachable(to string) bool {
	_, domain, _ := strings.Cut(to, "@")
	return to == UnreachableNumber || to == UnreachableAustralianNumber || strings.EqualFold(domain, UnreachableDomain)
}

// OtherChannel returns the invitations to people at an unreachable number, which go to their e-mail addresses.
func OtherChannel(people ...Signer) []ExpectedMessage {
	var all []ExpectedMessage
	for _, who := range people {
		all = append(all, ExpectedMessage{"invitation", event.ChannelName(event.Email), who.Email})
	}
	return all
}

func expected(kind string, people []Signer) []ExpectedMessage {
	var all []ExpectedMessage
	for _, who := range people {
		if who.BySMS != "" {
			all = append(all, ExpectedMessage{kind, event.ChannelName(event.SMS), who.BySMS})
		}
		if who.ByEmail {
			all = append(all, ExpectedMessage{kind, event.ChannelName(event.Email), who.Email})
		}
	}
	return all
}
