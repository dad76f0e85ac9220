package document

import (
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
)

var providerNames = map[string]string{"clickwrap": "Clickwrap", "pleasesign": "PleaseSign", "esign-v1": "eSignature"}

// channelWord returns a channel as people call it.
func channelWord(channel string) string {
	switch channel {
	case smsName:
		return "text"
	case emailName:
		return "e-mail"
	default:
		return channel
	}
}

// byChannels returns "by text and e-mail"; empty for none.
func byChannels(channels []string) string {
	if len(channels) == 0 {
		return ""
	}
	words := make([]string, len(channels))
	for i, c := range channels {
		words[i] = channelWord(c)
	}
	return "by " + list(words)
}

// kindWords are the kinds of messages in a sentence.
var kindWords = map[string]string{
	"invitation": "the invitation", "reminder": "the reminder", "completed": "the completion message", "progress": "the progress message",
	"declined": "the message about the refusal", "voided": "the message about the withdrawal", "expired": "the message about the expiry",
	"undeliverable": "the message about the undeliverable document", "stopped": "the confirmation of STOP", "started": "the confirmation of START",
	"help": "the reply to HELP",
}

func kindWord(kind string) string {
	if word := kindWords[kind]; word != "" {
		return word
	}
	return "the message"
}

// numbered returns "reminder 2", or the bare kind.
func numbered(kind string, number int) string {
	word := strings.TrimPrefix(kindWord(kind), "the ")
	if number > 0 {
		return word + " " + strconv.Itoa(number)
	}
	return word
}

// list joins words: "a, b and c".
func list(words []string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
}

func count(n int) string { return strconv.Itoa(n) }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

func upper(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// short returns a duration with one unit: "9 ms", "3.1 s", "23 min", "2 h", "3 days".
func short(d time.Duration) string {
	d = max(d, 0)
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return count(int(d.Milliseconds())) + " ms"
	case d < 10*time.Second && d%time.Second >= 50*time.Millisecond:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < 90*time.Second:
		return count(int(d.Seconds())) + " s"
	case d < 90*time.Minute:
		return count(int(d.Minutes())) + " min"
	case d < 2*day:
		return count(int(d.Hours())) + " h"
	default:
		return count(int(d/day)) + " days"
	}
}

// ago returns "23 min ago", or "just now".
func (x *explainer) ago(at time.Time) string {
	if d := x.now.Sub(at); d >= time.Second {
		return short(d) + " ago"
	}
	return "just now"
}

// on returns the day of a time, as "1 November": with the year if it is not this year's.
func (x *explainer) on(at time.Time) string {
	if at.Year() == x.now.Year() {
		return at.Format("2 January")
	}
	return at.Format("2 January 2006")
}

// What mends several causes.
const (
	correctNumber = "Correct the number at {provider}."
	byItself      = "It goes by itself."
	inviteAgain   = "Invite the person again."
	otherChannel  = "Use the other channel."
)

// cause is a reason in words: what happens, and what mends it. Vendor stands for the SMS vendor or the mail server, Provider for the e-signature
// provider.
type cause struct{ because, mends string }

// causes has the reasons of messages that did not leave or did not arrive. A reason that is not in it is shown by its name.
var causes = map[string]cause{
	// Why a message was not made: docs/subscribe.md.
	"no-address":          {"{provider} has no address for this channel", "Add the address at {provider}."},
	"number-incomplete":   {"the number at {provider} is not complete", correctNumber},
	"number-letters":      {"the number at {provider} has letters in the place of digits", correctNumber},
	"number-several":      {"the field at {provider} has more than one number", "Leave one number at {provider}."},
	"number-invalid":      {"the text at {provider} is not a telephone number", correctNumber},
	"number-malformed":    {"the number is not in the international form", correctNumber},
	"address-invalid":     {"the text at {provider} is not an e-mail address", "Correct the address at {provider}."},
	"address-malformed":   {"the text at {provider} is not an e-mail address", "Correct the address at {provider}."},
	"address-several":     {"the field at {provider} has more than one e-mail address", "Leave one address at {provider}."},
	"opted-out":           {"the person wants no messages on this channel", "Only the person can change that: by START, or on the page of the link."},
	"landline":            {"the number is a landline", "Add a mobile number at {provider}."},
	"no-channel":          {"the person chose no channel at {provider}", "Choose a channel at {provider}."},
	"channel-off":         {"the settings of the source exclude the person's channels", "Allow the channel in the source's settings."},
	"no-link":             {"{provider} returned no link within an hour", "Send the document again at {provider}."},
	"link-invalid":        {"the link of {provider} is not an http or https address", "Report it to {provider}."},
	"no-signers":          {"{provider} listed no signers within an hour", "Send the document again at {provider}."},
	"limit-texts-per-day": {"the person got too many texts in 24 hours", byItself},
	"older-than-the-log":  {"its event is older than the log, and the message may have left before", inviteAgain},
	"document-ended":      {"the document had ended before", ""},
	"signed":              {"the person had signed before", ""},
	"declined":            {"the person had declined before", ""},
	"not-their-turn":      {"another person signs first", "It goes by itself when the turn comes."},
	"not-listed":          {"{provider} does not list the person any more", ""},
	"provider-reminds":    {"{provider} reminds the person itself", ""},
	"provider-writes":     {"{provider} invites the person itself", ""},
	"corrected":           {"the person was corrected meanwhile", ""},
	"unconfirmed":         {"the callback is not authenticated, and {provider} does not confirm it", "Set the secret of the source, so that callbacks are verified."},
	"no-sender-address":   {"neither the settings nor {provider} have an address of the sender", "Set notify.sender in the source's settings."},
	"quiet-hours":         {"it is night where the person is", byItself},

	// What the operator must fix.
	"bad-credentials":          {"{vendor} refuses our API key", "Fix the key, and it goes by itself."},
	"account-barred":           {"{vendor} has barred our account", "Ask {vendor}; then it goes by itself."},
	"quota-exceeded":           {"our account at {vendor} has no credit", "Top up the account, and it goes by itself."},
	"account-not-http-enabled": {"our account at {vendor} may not use its API", "Ask {vendor}; then it goes by itself."},
	"bad-signature":            {"{vendor} refuses our signature", "Fix the signature secret, and it goes by itself."},
	"signature-and-secret":     {"{vendor} refuses a signature together with a secret", "Fix the settings, and it goes by itself."},
	"invalid-sender":           {"{vendor} refuses the sender's name for this number", "Set another sender, and it goes by itself."},
	"bad-callback-url":         {"{vendor} refuses the address for receipts", "Fix the address, and it goes by itself."},
	"number-not-allowed":       {"our demo account at {vendor} may not text this number", "Add the number to the demo list, or top up the account."},
	"missing-parameters":       {"{vendor} misses a parameter", "Fix the settings, and it goes by itself."},
	"invalid-parameters":       {"{vendor} refuses a parameter", "Fix the settings, and it goes by itself."},
	"not-configured":           {"{vendor} is not configured", "Set the account, and it goes by itself."},
	"certificate":              {"the certificate of {vendor} is not trusted", "Fix the certificate, and it goes by itself."},
	"smtp-settings":            {"{vendor} does not support what the settings require", "Fix the settings, and it goes by itself."},
	"from-malformed":           {"email.from is not one address", "Fix email.from, and it goes by itself."},
	"smtputf8-missing":         {"{vendor} does not support an address with these letters", "Use a mail server with SMTPUTF8."},
	"not-renderable":           {"the template cannot be filled", "Fix the template, then replay the dead letter."},
	"message-too-long":         {"the text has too many parts", "Shorten the template, then replay the dead letter."},
	"country-not-allowed":      {"the settings do not allow texts to the number's country", "Allow the country, or release this message."},
	"number-of-no-country":     {"the number belongs to no country", "Release this message, or correct the number."},
	"limit-number-per-hour":    {"the number got too many texts in an hour", "Release this message, or raise the limit."},
	"limit-person-per-day":     {"the person got too many messages in a day", "Release this message, or raise the limit."},
	"limit-document":           {"the document made too many messages", "Release this message, or raise the limit."},
	"limit-source-per-day":     {"the source made too many messages in a day", "Release this message, or raise the limit."},
	"spam-rejected":            {"the carrier took the text for spam", "Change the sender or the text, then invite again."},
	"carrier-blocked":          {"the carrier blocks our sender", "Change the sender, then invite again."},
	"illegal-message":          {"the carrier refuses the text", "Change the text, then invite again."},

	// What concerns the number or the address.
	"invalid-message":             {"{vendor} cannot text this number", correctNumber},
	"number-barred":               {"{vendor} may not text this number", otherChannel},
	"number-deactivated":          {"the number is not in use any more", correctNumber},
	"bad-network-code":            {"{vendor} does not know the number's network", correctNumber},
	"absent-subscriber":           {"the phone was switched off or out of reach", inviteAgain},
	"absent-subscriber-permanent": {"the number is not in use any more", correctNumber},
	"barred":                      {"the number accepts no texts from us", otherChannel},
	"illegal-number":              {"the number accepts no texts of this kind", otherChannel},
	"handset-busy":                {"the phone was busy", inviteAgain},
	"portability-error":           {"the carrier could not find the number's network", inviteAgain},
	"unreachable":                 {"the other side was out of reach", inviteAgain},
	"age-restricted":              {"the number is blocked for texts of this kind", otherChannel},

	// What concerns the other side.
	"throttled":          {"{vendor} takes no more messages at this rate", byItself},
	"too-many-binds":     {"{vendor} takes no more messages at this rate", byItself},
	"internal-error":     {"{vendor} had an error of its own", byItself},
	"no-answer":          {"{vendor} did not respond", byItself},
	"connection-lost":    {"the connection to {vendor} broke", byItself},
	"circuit-open":       {"{vendor} does not work now", byItself},
	"outcome-unknown":    {"{vendor} never said whether it took the message", "Ask the person, then replay the dead letter."},
	"some-parts-refused": {"{vendor} took only some parts of the text", inviteAgain},
	"network-error":      {"the carrier's network had an error", inviteAgain},
	"unroutable":         {"no carrier takes texts to the number", otherChannel},
	"expired":            {"the carrier could not deliver the text in time", inviteAgain},
	"rejected":           {"the carrier refused the text", otherChannel},
	"failed":             {"the carrier could not deliver the text", inviteAgain},
	"no-receipt":         {"no delivery receipt came in time", ""},
	"undeliverable":      {"{provider} could not reach the person by e-mail", "Correct the address at {provider}."},

	// What concerns Signrelay.
	"cause-not-in-log": {"the message names a cause that the log does not have", "Read the runbook of forged messages."},
	"link-not-ours":    {"the message has a link that Signrelay did not make", "Read the runbook of forged messages."},
}

// because returns a reason in words.
func (x *explainer) because(reason, channel string) string {
	if c, ok := causes[reason]; ok {
		return x.fill(c.because, channel)
	}
	switch {
	case strings.HasPrefix(reason, "smtp-"):
		return x.vendor(channel) + " refused the message with code " + strings.TrimPrefix(reason, "smtp-")
	case strings.HasPrefix(reason, "number-type-"):
		return "the settings do not allow texts to a number of the type " + strings.TrimPrefix(reason, "number-type-")
	case reason == "":
		return "no reason is known"
	default:
		return "the reason is " + reason
	}
}

// mends returns what mends a reason; empty if nothing has to be mended.
func (x *explainer) mends(reason, channel string, whose outcome.Fault) string {
	if c, ok := causes[reason]; ok {
		return x.fill(c.mends, channel)
	}
	switch whose {
	case outcome.Operator:
		return "Fix the account or the setting, and it goes by itself."
	case outcome.Recipient:
		return x.fill("Correct the address at {provider}.", channel)
	case outcome.Provider:
		return "Replay it when the other side works again."
	case outcome.Ours:
		return "Report it, then replay the dead letter."
	default:
		return ""
	}
}

func (x *explainer) fill(text, channel string) string {
	return strings.NewReplacer("{provider}", x.provider(), "{vendor}", x.vendor(channel)).Replace(text)
}
