package enricher

import (
	"cmp"
	"net/mail"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// The reasons why a person does not get a message. notification.suppressed carries the reason, and docs/subscribe.md lists all
// reasons.
const (
	noAddress        = "no-address"        // the provider has no address for the channel
	addressInvalid   = "address-invalid"   // the text is not an e-mail address
	addressSeveral   = "address-several"   // the text has more than one e-mail address
	numberInvalid    = "number-invalid"    // the text is not a telephone number
	numberIncomplete = "number-incomplete" // the text has too few digits, or possibly only a part of a number
	numberLetters    = "number-letters"    // there are letters where digits of the number may be missing
	numberSeveral    = "number-several"    // the text has more than one number
	noChannel        = "no-channel"        // the signer wants no messages on any channel
	channelOff       = "channel-off"       // the settings exclude all of the person's channels
	noLink           = "no-link"           // there is no address for signing or download, and no id to request one
	linkInvalid      = "link-invalid"      // the provider's address is not an http or https address
	noSigners        = "no-signers"        // the provider's API lists no signers on the document
	noSenderAddress  = "no-sender-address" // neither the settings nor the provider's API have a sender's address
	documentOver     = "document-ended"    // the document ended before the message was made
	unconfirmed      = "unconfirmed"       // the callback is not authenticated, and the provider's API does not confirm it

	optedOut = string(pack.OptedOut) // the provider reports that the person opted out of the channel
	landline = string(pack.Landline) // the provider, or a note beside the number, reports that it cannot receive text messages
)

// notify plans one message to a signer on each wanted channel.
func (p *planner) notify(about *notifyv1.Notification, who person) {
	if len(who.destinations) == 0 {
		reason := noChannel
		if who.Email+who.Mobile == "" {
			reason = noAddress
		}
		p.suppress(p.message(about, who.key, destination{person: &notifyv1.Person{RecipientId: who.ID}}), reason)
		return
	}
	p.on(about, who.key, who.destinations, event.KindOf(about.GetKind()).Link, who.Recipient)
}

// senderKey is the sender's part of a message's id; signers have their own.
const senderKey = "sender/"

// notifySender plans one message to the document's sender on each channel with an address. A sender who also signs gets only one message at
// each address.
func (p *planner) notifySender(about *notifyv1.Notification) {
	sender := p.sender()
	destinations := p.destinations(sender)
	if len(destinations) == 0 {
		p.suppress(p.message(about, senderKey, destination{person: &notifyv1.Person{Sender: true}}), noSenderAddress)
		return
	}
	var others []destination
	for _, r := range destinations {
		if r.person.Sender = true; !p.hasMessage(about.GetKind(), r) {
			others = append(others, r)
		}
	}
	p.on(about, senderKey, others, notifyv1.Link_PURPOSE_UNSPECIFIED, sender)
}

// sender returns the document's sender, with the addresses from the settings, otherwise from the provider's API.
func (p *planner) sender() pack.Recipient {
	if s := p.source.Notify.Sender; s.Email != "" || s.Mobile != "" {
		if parsed, err := mail.ParseAddress(s.Email); err == nil {
			s.Email = parsed.Address // the settings may have "Contracts <contracts@acme.example>"
		}
		sender := pack.Recipient{Email: s.Email, Mobile: s.Mobile}
		sender.Wants = sender.Reachable()
		return sender
	}
	s := p.document.Sender
	first, last, _ := strings.Cut(strings.TrimSpace(s.Name), " ")
	sender := pack.Recipient{FirstName: first, LastName: last, Email: s.Email}
	sender.Wants = sender.Reachable()
	return sender
}

// destination is a person on one channel. Without a usable address, reason says why.
type destination struct {
	channel notifyv1.Channel
	person  *notifyv1.Person
	reason  string
}

// address returns the destination's number or e-mail address in one spelling; empty for none.
func (r destination) address() string {
	return cmp.Or(r.person.GetMobile(), strings.ToLower(r.person.GetEmail()))
}

// destinations returns a destination for each channel that a person wants. If the person must not get messages on any of the wanted
// channels, the other channels that replace them (event.Channel.Replaces) and for which the person has an address do so.
func (p *planner) destinations(who pack.Recipient) []destination {
	var all []destination
	wanted, blocked := 0, 0
	for _, c := range event.Channels {
		r, isBlocked := p.destination(c, who)
		switch {
		case slices.Contains(who.Wants, c.Channel):
			wanted++
			if isBlocked {
				blocked++
			}
		case isBlocked || !c.Replaces || given(c.Address, who) == "":
			continue
		}
		all = append(all, r)
	}
	if wanted == 0 || blocked < wanted {
		all = slices.DeleteFunc(all, func(r destination) bool { return !slices.Contains(who.Wants, r.channel) })
	}
	return all
}

// destination returns a person's destination on one channel, and whether the person must not get messages there.
func (p *planner) destination(c event.Channel, who pack.Recipient) (r destination, blocked bool) {
	r = destination{channel: c.Channel, person: &notifyv1.Person{RecipientId: who.ID, FirstName: who.FirstName, LastName: who.LastName}}
	if r.reason = string(who.Blocked[c.Channel]); r.reason != "" {
		return r, true
	}
	switch c.Address {
	case event.MobileNumber:
		r.person.Mobile, r.reason = dialable(who.Mobile, p.source.Region)
	case event.EmailAddress:
		r.person.Email, r.reason = mailbox(who.Email)
	}
	return r, slices.Contains(c.Blocks, r.reason)
}

// given returns a person's address as the provider wrote it.
func given(kind event.AddressKind, who pack.Recipient) string {
	if kind == event.MobileNumber {
		return who.Mobile
	}
	return who.Email
}

// share marks the people of a document who share an address, so that a message names its person: by the name; if the name is missing or the
// same, by the position among the people at this address.
func share(people []person) {
	type place struct { // one person may get messages at one number on two channels
		channel notifyv1.Channel
		address string
	}
	at := map[place][]*notifyv1.Person{}
	for _, who := range people {
		for _, r := range who.destinations {
			if here := (place{r.channel, r.address()}); here.address != "" {
				at[here] = append(at[here], r.person)
			}
		}
	}
	for _, together := range at {
		if len(together) == 1 {
			continue
		}
		names := map[string]int{}
		for _, who := range together {
			names[strings.ToLower(fullName(who.GetFirstName(), who.GetLastName()))]++
		}
		for i, who := range together {
			who.SharedBy = uint32(len(together))
			if name := fullName(who.GetFirstName(), who.GetLastName()); name == "" || names[strings.ToLower(name)] > 1 {
				who.SharedPlace = uint32(i) + 1
			}
		}
	}
}

// on plans a message for each destination of a person. A channel that the settings exclude is reported only if no other channel reaches the
// person.
func (p *planner) on(about *notifyv1.Notification, key string, destinations []destination, purpose notifyv1.Link_Purpose, who pack.Recipient) {
	to, missing := p.link(purpose, who)
	reached := false
	var off []*notifyv1.Notification
	for _, r := range destinations {
		n := p.message(about, key, r)
		switch {
		case !allowed(p.source.Notify.Channels, event.ChannelName(r.channel)):
			off = append(off, n)
		case r.reason != "":
			p.suppress(n, r.reason)
		case missing == noLink && p.linkMayCome():
			p.waiting = append(p.waiting, suppressed{n, noLink})
			reached = true
		case missing != "":
			p.suppress(n, missing)
		default:
			n.To, n.Link = r.person, to
			p.messages = append(p.messages, n)
			reached = true
		}
	}
	if reached {
		return
	}
	for _, n := range off {
		p.suppress(n, channelOff)
	}
}

func (p *planner) suppress(n *notifyv1.Notification, reason string) {
	p.suppressed = append(p.suppressed, suppressed{n, reason})
}

// message returns one message without an address.
func (p *planner) message(about *notifyv1.Notification, key string, r destination) *notifyv1.Notification {
	n := proto.CloneOf(about)
	n.Id = messageID(about, occasion(about.GetKind(), p.happened, p.past), key, r.channel)
	n.Channel = r.channel
	n.To = &notifyv1.Person{RecipientId: r.person.GetRecipientId(), Sender: r.person.GetSender()}
	return n
}

// link returns a person's access to the document, or the reason why there is none. Without a permanent address the provider resolves the link
// at the click. This needs the person's id, and a provider whose API has a call for a single address.
func (p *planner) link(purpose notifyv1.Link_Purpose, who pack.Recipient) (to *notifyv1.Link, missing string) {
	var targets []string
	switch purpose {
	case notifyv1.Link_PURPOSE_UNSPECIFIED:
		return nil, ""
	case notifyv1.Link_PURPOSE_DOWNLOAD:
		targets = []string{who.DownloadURL, who.SigningURL}
	default:
		targets = []string{who.SigningURL}
	}
	for _, target := range targets {
		if pack.Address(target) {
			return &notifyv1.Link{Purpose: purpose, Target: target}, ""
		}
	}
	switch {
	case cmp.Or(targets...) != "":
		return nil, linkInvalid
	case who.ID == "" || p.document.Status == pack.StatusUnknown:
		return nil, noLink
	default:
		return &notifyv1.Link{Purpose: purpose}, ""
	}
}

// linkMayCome reports whether a later request may find the missing link: the provider lists addresses but has no API call for a single one.
func (p *planner) linkMayCome() bool { return p.document.Status == pack.StatusUnknown }

// hasMessage reports whether a message of this kind to the same address is planned already.
func (p *planner) hasMessage(kind notifyv1.Kind, to destination) bool {
	for _, n := range p.messages {
		sent := destination{channel: n.GetChannel(), person: n.GetTo()}
		if n.GetKind() == kind && sent.channel == to.channel && sent.address() == to.address() {
			return true
		}
	}
	return false
}
