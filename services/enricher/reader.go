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
	noAddress        = "no-address"        // the provider has none for the channel
	addressInvalid   = "address-invalid"   // the text is no e-mail address
	addressSeveral   = "address-several"   // the text has more than one e-mail address
	numberInvalid    = "number-invalid"    // the text is no telephone number
	numberIncomplete = "number-incomplete" // the text has too few digits for a number, or may have a part of one
	numberLetters    = "number-letters"    // letters stand where a number's digits may belong
	numberSeveral    = "number-several"    // the text has more than one number
	noChannel        = "no-channel"        // the signer wants no messages on any channel
	channelOff       = "channel-off"       // the person gets nothing at all, because the settings leave out the person's channels
	noLink           = "no-link"           // there is no address to sign or download at, and no id to ask for one with
	linkInvalid      = "link-invalid"      // the address from the provider is no http or https address
	noSigners        = "no-signers"        // the provider's API lists no signers on the document
	noSenderAddress  = "no-sender-address" // neither the settings nor the provider's API know one
	documentOver     = "document-ended"    // the document ended before the message was made
	unconfirmed      = "unconfirmed"       // nothing vouches for the callback, and the provider's API does not confirm it

	optedOut = string(pack.OptedOut) // the provider reports that the person opted out of the channel
	landline = string(pack.Landline) // the provider, or a note beside the number, reports that it takes no text messages
)

// tell plans one message to a signer on each channel that he wants.
func (p *planner) tell(about *notifyv1.Notification, who person) {
	if len(who.readers) == 0 {
		reason := noChannel
		if who.Email+who.Mobile == "" {
			reason = noAddress
		}
		p.suppress(p.message(about, who.key, reader{person: &notifyv1.Person{RecipientId: who.ID}}), reason)
		return
	}
	p.on(about, who.key, who.readers, event.KindOf(about.GetKind()).Link, who.Recipient)
}

// senderKey stands for the sender in ids, where signers have theirs.
const senderKey = "sender/"

// tellSender plans one message to the document's sender on each channel by which he can be reached. A sender who signs as
// well reads it only once at one address.
func (p *planner) tellSender(about *notifyv1.Notification) {
	sender := p.sender()
	readers := p.readers(sender)
	if len(readers) == 0 {
		p.suppress(p.message(about, senderKey, reader{person: &notifyv1.Person{Sender: true}}), noSenderAddress)
		return
	}
	var others []reader
	for _, r := range readers {
		if r.person.Sender = true; !p.tells(about.GetKind(), r.person) {
			others = append(others, r)
		}
	}
	p.on(about, senderKey, others, notifyv1.Link_PURPOSE_UNSPECIFIED, sender)
}

// sender is where the document's sender reads: as the settings say, else as the provider's API does.
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

// reader is a person on one channel. An address that cannot be used is empty, and then there is a reason.
type reader struct {
	channel notifyv1.Channel
	person  *notifyv1.Person
	reason  string
}

// address is the number or e-mail address that the reader reads at, in one spelling; empty where there is none.
func (r reader) address() string {
	return cmp.Or(r.person.GetMobile(), strings.ToLower(r.person.GetEmail()))
}

// readers returns a reader for each channel that a person wants. If the person must not get messages on any of the wanted
// channels, the channels for which the person has an address replace them.
func (p *planner) readers(who pack.Recipient) []reader {
	var all []reader
	wanted, blocked := 0, 0
	for _, c := range event.Channels {
		r, isBlocked := p.reader(c, who)
		switch {
		case slices.Contains(who.Wants, c.Channel):
			wanted++
			if isBlocked {
				blocked++
			}
		case isBlocked || given(c.Address, who) == "":
			continue
		}
		all = append(all, r)
	}
	if wanted == 0 || blocked < wanted {
		all = slices.DeleteFunc(all, func(r reader) bool { return !slices.Contains(who.Wants, r.channel) })
	}
	return all
}

// reader is a person on one channel, and whether the person must not get messages on it.
func (p *planner) reader(c event.Channel, who pack.Recipient) (r reader, blocked bool) {
	r = reader{channel: c.Channel, person: &notifyv1.Person{RecipientId: who.ID, FirstName: who.FirstName, LastName: who.LastName}}
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

// given is a person's address as the provider wrote it.
func given(kind event.AddressKind, who pack.Recipient) string {
	if kind == event.MobileNumber {
		return who.Mobile
	}
	return who.Email
}

// share marks the readers who are not alone at their address on the document, so that a text says whose it is: by the name, and
// where that is missing or the same, by the place among those who read there.
func share(people []person) {
	at := map[string][]*notifyv1.Person{}
	for _, who := range people {
		for _, r := range who.readers {
			if r.address() != "" {
				at[r.address()] = append(at[r.address()], r.person)
			}
		}
	}
	for _, together := range at {
		if len(together) == 1 {
			continue
		}
		names := map[string]int{}
		for _, reader := range together {
			names[strings.ToLower(fullName(reader.GetFirstName(), reader.GetLastName()))]++
		}
		for i, reader := range together {
			reader.SharedBy = uint32(len(together))
			if name := fullName(reader.GetFirstName(), reader.GetLastName()); name == "" || names[strings.ToLower(name)] > 1 {
				reader.SharedPlace = uint32(i) + 1
			}
		}
	}
}

// on plans a message to each reader, who are one person. Where the settings leave a channel out, that is on purpose, and
// worth a word only where nothing else reaches him.
func (p *planner) on(about *notifyv1.Notification, key string, readers []reader, purpose notifyv1.Link_Purpose, who pack.Recipient) {
	to, missing := p.link(purpose, who)
	reached := false
	var off []*notifyv1.Notification
	for _, r := range readers {
		n := p.message(about, key, r)
		switch {
		case !allowed(p.source.Notify.Channels, event.ChannelName(r.channel)):
			off = append(off, n)
		case r.reason != "":
			p.suppress(n, r.reason)
		case missing == noLink && p.linkMayCome():
			p.waiting = append(p.waiting, untold{n, noLink})
			reached = true
		case missing != "":
			p.suppress(n, missing)
		default:
			n.To, n.Link = r.person, to
			p.told = append(p.told, n)
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
	p.untold = append(p.untold, untold{n, reason})
}

// message is one message without an address.
func (p *planner) message(about *notifyv1.Notification, key string, r reader) *notifyv1.Notification {
	n := proto.CloneOf(about)
	n.Id = messageID(about, occasion(about.GetKind(), p.happened, p.past), key, r.channel)
	n.Channel = r.channel
	n.To = &notifyv1.Person{RecipientId: r.person.GetRecipientId(), Sender: r.person.GetSender()}
	return n
}

// link is a person's access to the document, or why there is none. Without an address that stays good the provider is asked
// at the click, which takes the person's id, and a provider that knows more of a document than its addresses.
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

// linkMayCome reports whether a missing link may be there when the provider is asked again. This is so for a provider that
// lists addresses but has no API call for a single one.
func (p *planner) linkMayCome() bool { return p.document.Status == pack.StatusUnknown }

// tells tells whether a message of that kind goes to the same address already.
func (p *planner) tells(kind notifyv1.Kind, to *notifyv1.Person) bool {
	for _, n := range p.told {
		if n.GetKind() == kind && strings.EqualFold(n.GetTo().GetEmail(), to.GetEmail()) && n.GetTo().GetMobile() == to.GetMobile() {
			return true
		}
	}
	return false
}
