package enricher

import (
	"cmp"
	"net/mail"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Why somebody who was to be told something is not.
const (
	noAddress        = "no-address"        // none on the channel
	addressInvalid   = "address-invalid"   // the text is no e-mail address
	addressSeveral   = "address-several"   // the text has more than one e-mail address
	numberInvalid    = "number-invalid"    // the text is no telephone number
	numberIncomplete = "number-incomplete" // the text has too few digits for a number, or may have a part of one
	numberLetters    = "number-letters"    // letters stand where a number's digits may belong
	numberSeveral    = "number-several"    // the text has more than one number
	noLink           = "no-link"           // neither an address nor an id to ask for one with
	channelOff       = "channel-off"       // he is told nothing at all, because the settings leave his channels out
	noSenderAddress  = "no-sender-address" // neither the settings nor the provider's API know one
)

// tell plans one message to a signer on each channel that he wants.
func (p *planner) tell(about *notifyv1.Notification, person pack.Recipient, purpose notifyv1.Link_Purpose) {
	p.on(about, personKey(person), p.readers(person), purpose, person)
}

// senderKey stands for the sender in ids, where signers have theirs.
const senderKey = "sender/"

// tellSender plans one message to the document's sender on each channel by which he can be reached. A sender who signs as
// well reads it only once at one address.
func (p *planner) tellSender(about *notifyv1.Notification) {
	sender := p.sender()
	readers := p.readers(sender)
	if len(readers) == 0 {
		n := p.message(about, senderKey, reader{person: &notifyv1.Person{}})
		n.To.Sender = true
		p.untold = append(p.untold, untold{n, noSenderAddress})
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
		return pack.Recipient{Email: s.Email, ByEmail: s.Email != "", Mobile: s.Mobile, BySMS: s.Mobile != ""}
	}
	s := p.document.Sender
	first, last, _ := strings.Cut(strings.TrimSpace(s.Name), " ")
	return pack.Recipient{FirstName: first, LastName: last, Email: s.Email, ByEmail: s.Email != ""}
}

// reader is a person on one channel. An address that cannot be used is empty.
type reader struct {
	channel notifyv1.Channel
	person  *notifyv1.Person
}

func (r reader) reachable() bool { return r.person.GetMobile() != "" || r.person.GetEmail() != "" }

// readers is a person on each channel that he wants.
func (p *planner) readers(person pack.Recipient) []reader {
	named := func() *notifyv1.Person {
		return &notifyv1.Person{RecipientId: person.ID, FirstName: person.FirstName, LastName: person.LastName}
	}
	var found []reader
	if person.BySMS {
		r := reader{notifyv1.Channel_CHANNEL_SMS, named()}
		r.person.Mobile, _ = dialable(person.Mobile, p.source.Region)
		found = append(found, r)
	}
	if person.ByEmail {
		r := reader{notifyv1.Channel_CHANNEL_EMAIL, named()}
		r.person.Email, _ = mailbox(person.Email)
		found = append(found, r)
	}
	return found
}

// on plans a message to each reader, who are one person. Where the settings leave a channel out, that is on purpose, and
// worth a word only where nothing else reaches him.
func (p *planner) on(about *notifyv1.Notification, key string, readers []reader, purpose notifyv1.Link_Purpose, person pack.Recipient) {
	to, linked := p.link(purpose, person)
	reached := false
	var off []*notifyv1.Notification
	for _, r := range readers {
		n := p.message(about, key, r)
		switch {
		case !allowed(p.source.Notify.Channels, notification.ChannelName(r.channel)):
			off = append(off, n)
		case !r.reachable():
			p.untold = append(p.untold, untold{n, noAddress})
		case !linked:
			p.untold = append(p.untold, untold{n, noLink})
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
		p.untold = append(p.untold, untold{n, channelOff})
	}
}

// message is one message without an address.
func (p *planner) message(about *notifyv1.Notification, key string, r reader) *notifyv1.Notification {
	n := proto.CloneOf(about)
	n.Id = messageID(about, occasion(about.GetKind(), p.happened, p.past), key, r.channel)
	n.Channel = r.channel
	n.To = &notifyv1.Person{RecipientId: r.person.GetRecipientId(), Sender: r.person.GetSender()}
	return n
}

// link is a person's access to the document; false where there is none. Without an address that stays good the provider
// is asked at the click, which takes the person's id, and a provider that knows more of a document than its addresses.
func (p *planner) link(purpose notifyv1.Link_Purpose, person pack.Recipient) (*notifyv1.Link, bool) {
	target := person.SigningURL
	switch purpose {
	case notifyv1.Link_PURPOSE_UNSPECIFIED:
		return nil, true
	case notifyv1.Link_PURPOSE_DOWNLOAD:
		target = cmp.Or(person.DownloadURL, person.SigningURL)
	default:
	}
	if target == "" && (person.ID == "" || p.document.Status == pack.StatusUnknown) {
		return nil, false
	}
	return &notifyv1.Link{Purpose: purpose, Target: target}, true
}

// tells tells whether a message of that kind goes to the same address already.
func (p *planner) tells(kind notifyv1.Kind, to *notifyv1.Person) bool {
	for _, n := range p.told {
		if n.GetKind() == kind && strings.EqualFold(n.GetTo().GetEmail(), to.GetEmail()) && n.GetTo().GetMobile() == to.GetMobile() {
			return true
		}
	}
	return false
}
