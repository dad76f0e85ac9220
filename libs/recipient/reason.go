package recipient

import (
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// The reasons why a person does not get a message. notification.suppressed carries the reason, and docs/subscribe.md lists all
// reasons.
const (
	NoAddress        = "no-address"        // the provider has no address for the channel
	AddressInvalid   = "address-invalid"   // the text is not an e-mail address
	AddressSeveral   = "address-several"   // the text has more than one e-mail address
	NumberInvalid    = "number-invalid"    // the text is not a telephone number
	NumberIncomplete = "number-incomplete" // the text has too few digits, or possibly only a part of a number
	NumberLetters    = "number-letters"    // there are letters where digits of the number may be missing
	NumberSeveral    = "number-several"    // the text has more than one number
	NoChannel        = "no-channel"        // the signer wants no messages on any channel
	ChannelOff       = "channel-off"       // the settings exclude all of the person's channels
	NoLink           = "no-link"           // there is no address for signing or download, and no id to request one
	LinkInvalid      = "link-invalid"      // the provider's address is not an http or https address
	NoSigners        = "no-signers"        // the provider's API lists no signers on the document
	NoSenderAddress  = "no-sender-address" // neither the settings nor the provider's API have a sender's address
	NotListed        = "not-listed"        // the provider's API does not list the person who should be reminded
	NotTheirTurn     = "not-their-turn"    // another person must sign before the person who should be reminded
	ProviderReminds  = "provider-reminds"  // the provider itself reminds the person
	ProviderWrites   = "provider-writes"   // the provider itself invites the person

	OptedOut = string(pack.OptedOut) // the provider reports that the person opted out of the channel
	Landline = string(pack.Landline) // the provider, or a note beside the number, reports that it cannot receive text messages
)

// Unusable returns the reasons why an address of that kind cannot be used.
func Unusable(kind event.AddressKind) []string {
	switch kind {
	case event.MobileNumber:
		return []string{NumberInvalid, NumberIncomplete, NumberLetters, NumberSeveral}
	case event.EmailAddress:
		return []string{AddressInvalid, AddressSeveral}
	default:
		return nil
	}
}
