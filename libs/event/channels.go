package event

import (
	"slices"
	"strings"

	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Short names of the channels.
const (
	SMS   = notifyv1.Channel_CHANNEL_SMS
	Email = notifyv1.Channel_CHANNEL_EMAIL
)

// Channel is a way to send messages to people.
type Channel struct {
	Channel notifyv1.Channel
	Name    string      // in settings, subjects, events, metrics and the names of templates
	Stage   string      // that sends its messages
	Address AddressKind // the kind of address that it sends to
	// Blocks lists the reasons for which a provider can exclude a person from the channel. With one of them, the person gets no message on
	// this channel, even if the person chose it.
	Blocks []string
	// Replaces is true if a person gets messages on this channel when all channels that the person chose are blocked.
	Replaces bool
	Suffix   string // the last letter of a short link in its messages, which identifies the message whose link was opened
}

// AddressKind is a kind of address. A person has at most one of each kind.
type AddressKind int

// The kinds of addresses.
const (
	MobileNumber AddressKind = iota + 1
	EmailAddress
)

// The reasons for which a provider can exclude a person from a channel.
const (
	OptedOut = "opted-out" // the person opted out of it
	Landline = "landline"  // the number cannot receive text messages
)

// Channels are all channels, in the order in which a person's messages are planned.
var Channels = []Channel{
	{Channel: SMS, Name: "sms", Stage: "sms-sender", Address: MobileNumber, Blocks: []string{OptedOut, Landline}, Replaces: true, Suffix: "s"},
	{Channel: Email, Name: "email", Stage: "email-sender", Address: EmailAddress, Blocks: []string{OptedOut}, Replaces: true, Suffix: "e"},
}

// ChannelOf returns a channel's row. For a channel without a row, such as one of a later release, it returns a row with only the name.
func ChannelOf(c notifyv1.Channel) Channel {
	if i := slices.IndexFunc(Channels, func(row Channel) bool { return row.Channel == c }); i >= 0 {
		return Channels[i]
	}
	return Channel{Channel: c, Name: strings.ToLower(strings.TrimPrefix(c.String(), "CHANNEL_"))}
}

// ChannelNamed returns the row of the channel with this name. For a name without a row it returns a row with only the name.
func ChannelNamed(name string) Channel {
	if i := slices.IndexFunc(Channels, func(row Channel) bool { return row.Name == name }); i >= 0 {
		return Channels[i]
	}
	return Channel{Name: name}
}

// ChannelName returns a channel's name: "sms", "email".
func ChannelName(c notifyv1.Channel) string { return ChannelOf(c).Name }

// ChannelNames returns the names of all channels.
func ChannelNames() []string {
	names := make([]string, len(Channels))
	for i, c := range Channels {
		names[i] = c.Name
	}
	return names
}

// ChannelOfStage returns the row of the channel whose messages a stage sends; false for a stage that sends no messages.
func ChannelOfStage(stage string) (Channel, bool) {
	for _, c := range Channels {
		if c.Stage == stage {
			return c, true
		}
	}
	return Channel{}, false
}
