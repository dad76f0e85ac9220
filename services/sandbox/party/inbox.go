package party

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/event"
)

// Message is a message that a signer received.
type Message struct {
	Channel    string    `json:"channel"` // a name of event.Channels: "sms"
	To         string    `json:"to"`      // as it was sent: a number without a plus, or an address
	From       string    `json:"from"`
	Subject    string    `json:"subject"` // of an e-mail
	Text       string    `json:"text"`
	HTML       string    `json:"html"`      // of an e-mail
	Reference  string    `json:"reference"` // Vonage's client-ref; an e-mail's Message-ID without its brackets
	ReceivedAt time.Time `json:"received_at"`

	Number   int    `json:"-"` // 1, 2, 3, … in order of arrival; never reused
	Callback string `json:"-"` // the address for the receipts of a text; empty if it requested none
}

// IsEmail reports whether the channel sends to e-mail addresses. All other channels send to numbers, and the page shows their messages on a
// phone.
func (m *Message) IsEmail() bool { return event.ChannelNamed(m.Channel).Address == event.EmailAddress }

// inboxBytes bounds the stored messages, about 100,000 SMS. After that, the oldest are deleted.
const inboxBytes = 64 << 20

// messageBytes is the size of a message without its texts.
const messageBytes = 256

func (m *Message) size() int {
	return messageBytes + len(m.To) + len(m.From) + len(m.Subject) + len(m.Text) + len(m.HTML) + len(m.Reference) + len(m.Callback)
}

// Inbox stores the messages of all signers, in order of arrival.
type Inbox struct {
	mu       sync.Mutex
	messages []Message
	bytes    int
	maxBytes int
	received int
}

// NewInbox returns an empty inbox.
func NewInbox() *Inbox { return newInbox(inboxBytes) }

func newInbox(maxBytes int) *Inbox { return &Inbox{maxBytes: maxBytes} }

// Receive stores a message with its number and time.
func (b *Inbox) Receive(m Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.received++
	m.Number = b.received
	m.ReceivedAt = time.Now().UTC()
	b.messages = append(b.messages, m)
	b.bytes += m.size()

	gone := 0
	for b.bytes > b.maxBytes && gone < len(b.messages)-1 { // the newest stays, even if it is larger than the limit
		b.bytes -= b.messages[gone].size()
		b.messages[gone] = Message{}
		gone++
	}
	b.messages = b.messages[gone:]
}

// Received returns the number of messages that have ever arrived.
func (b *Inbox) Received() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.received
}

// List returns the messages to an address or number and on a channel, in order of arrival; empty means any.
func (b *Inbox) List(to, channel string) []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := []Message{}
	for _, m := range b.messages {
		if (channel == "" || m.Channel == channel) && (to == "" || sameAddress(m.To, to)) {
			found = append(found, m)
		}
	}
	return found
}

// Email returns one e-mail by its number.
func (b *Inbox) Email(number int) (Message, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.messages, func(m Message) bool { return m.Number == number && m.IsEmail() })
	if i < 0 {
		return Message{}, false
	}
	return b.messages[i], true
}

// Clear deletes all messages.
func (b *Inbox) Clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages, b.bytes = nil, 0
}

// sameAddress ignores case and the plus before a number. In a query, a plus that is not written as %2B is a space.
func sameAddress(a, b string) bool {
	return strings.EqualFold(strings.TrimLeft(a, "+ "), strings.TrimLeft(b, "+ "))
}
