package operate

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/prices"
)

// The sentences about a plan. The command line, the console and the MCP server show the same ones.

// Words returns the verb of an action and the noun of its items: "Replay", "dead letter".
func (a Action) Words() (verb, noun string) {
	const replay, drop, repair, dead, callback, document = "Replay", "Drop", "Repair and replay", "dead letter", "callback", "document"
	switch a {
	case Replay:
		return replay, dead
	case Drop:
		return drop, dead
	case Repair:
		return repair, dead
	case ReplayCallbacks:
		return replay, callback
	case RepairCallback:
		return repair, callback
	case DropCallbacks:
		return drop, callback
	case Release:
		return "Release", "held message"
	case ReleaseChannels:
		return "Try now", "channel"
	case Resend:
		return "Send again", "invitation"
	case Correct:
		return "Correct", "person"
	case CancelReminders:
		return "Cancel", "reminder"
	case ArchiveAgain:
		return "Archive", document
	case Erase:
		return "Erase", document
	case HoldDocument:
		return "Hold", document
	default:
		return "End the hold of", document
	}
}

// How says how an action treats each of its items; empty if its verb says it.
func (a Action) How() string {
	switch a {
	case Replay, Repair:
		return "each only to the stage that gave it up"
	case ReplayCallbacks, RepairCallback:
		return "each as if its provider sent it now"
	default:
		return ""
	}
}

// Consequence says what an action does besides sending messages; empty if it only sends messages.
func (a Action) Consequence() string {
	switch a {
	case Drop, DropCallbacks:
		return "They are removed for good. No message leaves for them."
	case ReplayCallbacks, RepairCallback:
		return "Events that are not in the log are stored, and messages may be sent for them. Callbacks that still cannot be read stay in quarantine."
	case Correct:
		return "Nothing more goes to the addresses from before, and links in earlier messages stop working."
	case CancelReminders:
		return "These people are not reminded of the document any more, unless it is sent again. They get no message about that."
	case ArchiveAgain:
		return "The files are requested from the provider and stored. No person gets a message."
	case Erase:
		return "This cannot be undone. Names, addresses, texts and links go. Later callbacks about what is erased are accepted and dropped."
	case HoldDocument:
		return "What is held is not erased, neither by an operator nor by a retention period, and its events are kept beyond the age of the log, until an operator ends the hold. No person gets a message."
	case ReleaseDocument:
		return "The events get the age of the log again: what is older is lost. A retention period may then erase the rest. No person gets a message."
	case Reconcile:
		return "The provider is asked for facts that no callback brought. They are stored, and people get the messages that are still true."
	default:
		return ""
	}
}

// Summary says in one or two sentences what the plan does.
func (p Plan) Summary() string {
	switch text := p.Action.Consequence(); {
	case p.Action == Correct && p.AtProvider:
		return "The provider corrects the person, who is then invited again. " + text
	case p.Action == Correct:
		return "The messages of Signrelay go to the corrected person, who is invited again; the provider keeps the old details, because its API corrects no person. " + text
	case p.Action == Resend && p.AtProvider:
		return "The provider sends its own message to 1 person once more."
	case text != "":
		return text
	}
	var leave []string
	for _, l := range p.Leaves {
		leave = append(leave, fmt.Sprintf("%s to %s", Counted(l.Messages, messageNoun(l.Channel)), Counted(l.People, "person")))
	}
	text := "No message leaves now"
	if len(leave) > 0 {
		text = strings.Join(leave, " and ") + " " + verb(p.Messages(), "leaves", "leave")
	}
	if p.Events > 0 {
		text += fmt.Sprintf(". %s %s to the enricher, which asks the provider whether more messages follow", Counted(p.Events, "event"), verb(p.Events, "goes", "go"))
	}
	return text + "."
}

// Notes are the further sentences of the plan: what texts cost, what does not leave and why, and what is not known.
func (p Plan) Notes() (all []string) {
	for _, l := range p.Leaves {
		if l.Cost != nil {
			all = append(all, verb(l.Messages, "The text has ", "The texts have ")+Price(*l.Cost)+".")
		}
	}
	for _, s := range p.Stays {
		all = append(all, "Not sent: "+s.Counted()+", because "+s.Because()+".")
	}
	for _, s := range p.Held {
		all = append(all, fmt.Sprintf("%s would be held at once: %s. %s when the cause is fixed.", s.Counted(), s.Because(), verb(s.Count, "It leaves", "They leave")))
	}
	if p.Waits > 0 {
		all = append(all, fmt.Sprintf("%s of these %s for the end of the quiet hours.", Counted(p.Waits, "message"), verb(p.Waits, "waits", "wait")))
	}
	if p.Unknown > 0 {
		all = append(all, fmt.Sprintf("The outcome of %s is unknown: the stage checks the log first, and marks a message that it sends again as a possible duplicate.", number0(p.Unknown)))
	}
	if p.Unforeseen > 0 {
		all = append(all, fmt.Sprintf("Whether %s of these still %s was not looked up: a plan looks up %s.", Counted(p.Unforeseen, "message"), verb(p.Unforeseen, "leaves", "leave"), number0(MostItems)))
	}
	return all
}

// Text says what the items of a row are, and for how many people.
func (r Row) Text() string {
	switch {
	case r.What == StaysUnreadable || r.Source != "":
		return r.What
	case r.Stage == flow.KafkaBridge:
		return r.What + ", to Kafka"
	case r.People > 0:
		return r.What + ", to " + Counted(r.People, "person")
	case r.Stage == flow.Enricher:
		return r.What + ", for the recipients that the provider returns"
	default:
		return r.What
	}
}

// Group is the first word of a row: the stage, or the source of callbacks.
func (r Row) Group() string {
	if r.Source != "" {
		return r.Source
	}
	return r.Stage
}

// Counted says how many messages stay: "3 texts".
func (s Staying) Counted() string { return Counted(s.Count, messageNoun(s.Channel)) }

// Because says why a message does not leave.
func (s Staying) Because() string {
	if text := map[string]string{
		event.OverSigned: "the person has signed since", event.OverDeclined: "the person has declined since", event.OverDocument: "the document has ended",
		event.OverOptedOut: "the person does not want messages", "already-sent": "the log shows that it was sent",
		StaysGone: "it is not there any more, or the action is not for it", StaysRepeated: "another item has the same message",
		StaysUnreadable: "the stage still cannot read it", StaysNoLimit: "it is not held because of a limit: it leaves when its cause is fixed",
	}[s.Reason]; text != "" {
		return text
	}
	return strings.ReplaceAll(s.Reason, "-", " ")
}

// Price says how many parts texts have and what they cost, as far as it is known: "6 parts, about 0.27 EUR".
func Price(c prices.Cost) string {
	text := Counted(c.Parts, "part")
	if money := c.Money(); money != "" {
		text += ", about " + money
	}
	if c.Unknown > 0 {
		text += "; the length of " + Counted(c.Unknown, "text") + " is not known"
	}
	return text
}

func messageNoun(channel string) string {
	switch channel {
	case event.ChannelName(event.SMS):
		return "text"
	case event.ChannelName(event.Email):
		return "e-mail"
	case "":
		return "item"
	default:
		return "message"
	}
}

// Counted returns a number with its noun in the right form: "1 event", "1,412 events", "2 people".
func Counted(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case noun == "person":
		return number0(n) + " people"
	case strings.HasSuffix(noun, "y") && !strings.HasSuffix(noun, "ay"):
		return number0(n) + " " + noun[:len(noun)-1] + "ies"
	default:
		return number0(n) + " " + noun + "s"
	}
}

// number0 returns a number that is not negative with a comma between thousands.
func number0(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
