package recipient

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Messages are the messages that follow from one event.
type Messages struct {
	Made       []*notifyv1.Notification // those of a person follow each other, and share one Link
	Suppressed []Suppressed
	Waiting    []Suppressed // a later request to the provider may find their links
}

// Suppressed is a message that a person should get but cannot get.
type Suppressed struct {
	Message *notifyv1.Notification // without an address
	Reason  string
}

// Maker makes the messages about one event of a document, and collects them.
type Maker struct {
	Source   config.Source
	Happened *signingv1.SigningEvent
	Document *pack.Document // from the provider's API
	Sendings Sendings       // of the document, according to the log
	// Invited returns the id of the correction with which a person is invited again; empty for a person who is invited with a sending.
	Invited func(recipientID string) string
	Messages
}

// People sets the destinations of all people of the document, and marks those who share an address.
func (m *Maker) People(people []Person) {
	for i := range people {
		people[i].destinations = destinations(people[i].Recipient, m.Source.Region)
		people[i].others = others(people[i].Recipient, people[i].destinations, m.Source.Region)
		people[i].corrected()
	}
	share(people)
}

// PeopleOn sets the only destinations of all people, one for each channel, also if they do not want it or the settings exclude it. No person gets
// a message on a channel that the provider blocks for the person.
func (m *Maker) PeopleOn(people []Person, channels ...event.Channel) {
	for i := range people {
		people[i].destinations = nil
		for _, channel := range channels {
			r, _ := destinationOn(channel, people[i].Recipient, m.Source.Region)
			r.always = true
			people[i].destinations = append(people[i].destinations, r)
		}
		people[i].corrected()
	}
	share(people)
}

// corrected marks the person's destinations with the latest correction.
func (p *Person) corrected() {
	for _, r := range slices.Concat(p.destinations, p.others) {
		r.person.Correction = p.Correction
	}
}

// About returns the common part of all messages of a kind.
func (m *Maker) About(kind notifyv1.Kind) *notifyv1.Notification {
	return &notifyv1.Notification{
		EventId: m.Happened.GetId(), Source: m.Happened.GetSource(), Provider: m.Happened.GetProvider(),
		DocumentId: m.Happened.GetDocument().GetId(), DocumentTitle: cmp.Or(m.Document.Title, m.Happened.GetDocument().GetTitle()),
		Kind: kind, SenderName: m.Source.SenderName, Locale: m.Source.Locale, OccurredAt: m.Happened.GetOccurredAt(),
		KeepText: m.Source.Keeps(config.KeepTexts),
	}
}

// Notify makes one message to a signer on each wanted channel.
func (m *Maker) Notify(about *notifyv1.Notification, who Person) {
	if len(who.destinations) == 0 {
		reason := NoChannel
		if who.Email+who.Mobile == "" {
			reason = NoAddress
		}
		m.suppress(m.message(about, who.Key, destination{person: &notifyv1.Person{RecipientId: who.ID}}), reason)
		return
	}
	first := len(m.Made)
	to, missing := m.link(event.KindOf(about.GetKind()).Link, who.Recipient)
	m.on(about, who.Key, who.destinations, to, missing, who.Recipient)
	for _, n := range m.Made[first:] {
		n.Alternative = m.alternative(about, who, n.GetChannel())
	}
}

// alternative returns the same message on another wanted channel of the person, for a text beyond the person's daily limit; nil if there is none.
func (m *Maker) alternative(about *notifyv1.Notification, who Person, channel notifyv1.Channel) *notifyv1.Alternative {
	if event.ChannelOf(channel).Address != event.MobileNumber {
		return nil
	}
	for _, r := range who.others {
		if r.channel != channel && m.Source.Notify.WantsChannel(event.ChannelName(r.channel)) {
			return &notifyv1.Alternative{Id: m.message(about, who.Key, r).GetId(), Channel: r.channel, To: r.person}
		}
	}
	return nil
}

// IDs returns the ids of the messages that Notify makes.
func (m *Maker) IDs(about *notifyv1.Notification, who Person) []string {
	ids := make([]string, len(who.destinations))
	for i, r := range who.destinations {
		ids[i] = m.message(about, who.Key, r).GetId()
	}
	return ids
}

// senderKey is the sender's part of a message's id; signers have their own.
const senderKey = "sender/"

// NotifySender makes one message to the document's sender on each channel with an address, with a link if there is one. A sender who also signs
// gets only one message at each address.
func (m *Maker) NotifySender(about *notifyv1.Notification, link *notifyv1.Link) {
	sender := senderOf(m.Source, m.Document)
	destinations := destinations(sender, m.Source.Region)
	if len(destinations) == 0 {
		m.suppress(m.message(about, senderKey, destination{person: &notifyv1.Person{Sender: true}}), NoSenderAddress)
		return
	}
	var others []destination
	for _, r := range destinations {
		if r.person.Sender = true; !m.hasMessage(about.GetKind(), r) {
			others = append(others, r)
		}
	}
	m.on(about, senderKey, others, link, "", sender)
}

// AwaitSigners makes one waiting message in place of those to all signers, for a document whose list of signers is not ready yet.
func (m *Maker) AwaitSigners(about *notifyv1.Notification) {
	m.Waiting = append(m.Waiting, Suppressed{m.toSigners(about), NoSigners})
}

// IDWithoutSigners returns the id of the message that AwaitSigners makes.
func (m *Maker) IDWithoutSigners(about *notifyv1.Notification) string {
	return m.toSigners(about).GetId()
}

func (m *Maker) toSigners(about *notifyv1.Notification) *notifyv1.Notification {
	return m.message(about, "signers/", destination{person: &notifyv1.Person{}})
}

// on makes a message for each destination of a person, with a link, or the reason why the link is missing. A channel that the settings exclude is
// reported only if no other channel reaches the person.
func (m *Maker) on(
	about *notifyv1.Notification, key string, destinations []destination, to *notifyv1.Link, missing string, who pack.Recipient,
) {
	reached := false
	var off []*notifyv1.Notification
	for _, r := range destinations {
		n := m.message(about, key, r)
		switch {
		case !r.always && !m.Source.Notify.WantsChannel(event.ChannelName(r.channel)):
			off = append(off, n)
		case r.reason != "":
			m.suppress(n, r.reason)
		case missing == NoLink && m.linkMayCome():
			m.Waiting = append(m.Waiting, Suppressed{n, NoLink})
			reached = true
		case missing != "":
			m.suppress(n, missing)
		default:
			n.To, n.Link, n.QuietHours = r.person, to, m.quietHours(n.GetKind(), who)
			m.Made = append(m.Made, n)
			reached = true
		}
	}
	if reached {
		return
	}
	for _, n := range off {
		m.suppress(n, ChannelOff)
	}
}

// Withhold makes no message to a person, and reports the reason.
func (m *Maker) Withhold(about *notifyv1.Notification, recipientID, reason string) {
	m.suppress(m.message(about, recipientID, destination{person: &notifyv1.Person{RecipientId: recipientID}}), reason)
}

func (m *Maker) suppress(n *notifyv1.Notification, reason string) {
	m.Suppressed = append(m.Suppressed, Suppressed{n, reason})
}

// message returns one message without an address.
func (m *Maker) message(about *notifyv1.Notification, key string, r destination) *notifyv1.Notification {
	n := proto.CloneOf(about)
	n.Id = messageID(about, m.occasion(about.GetKind(), r.person.GetRecipientId()), key, r.channel)
	n.Channel = r.channel
	n.To = &notifyv1.Person{RecipientId: r.person.GetRecipientId(), Sender: r.person.GetSender()}
	return n
}

// occasion returns the occasion of a message to a person. A person who was corrected is invited again, with the correction as the occasion. If
// that does not reach the person either, the sender gets another message.
func (m *Maker) occasion(kind notifyv1.Kind, recipientID string) string {
	about := ""
	switch {
	case m.Invited == nil:
	case kind == notifyv1.Kind_KIND_UNDELIVERABLE:
		about = m.Happened.GetRecipient().GetId()
	case kind == notifyv1.Kind_KIND_INVITATION && m.Happened.GetType() != event.ResendRequested && m.Happened.GetType() != event.NotificationFallback:
		about = recipientID
	}
	if about != "" {
		if correction := m.Invited(about); correction != "" {
			return correction
		}
	}
	return occasion(kind, m.Happened, m.Sendings)
}

// HasLink reports whether a person has the link of a kind of message.
func (m *Maker) HasLink(kind notifyv1.Kind, who Person) bool {
	_, missing := m.link(event.KindOf(kind).Link, who.Recipient)
	return missing == ""
}

// link returns a person's access to the document, or the reason why there is none. Without a permanent address the provider resolves the link
// at the click. This needs the person's id, and a provider whose API has a call for a single address.
func (m *Maker) link(purpose notifyv1.Link_Purpose, who pack.Recipient) (to *notifyv1.Link, missing string) {
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
		return nil, LinkInvalid
	case who.ID == "" || m.Document.Status == pack.StatusUnknown:
		return nil, NoLink
	default:
		return &notifyv1.Link{Purpose: purpose}, ""
	}
}

// linkMayCome reports whether a later request may find the missing link: the provider lists addresses but has no API call for a single one.
func (m *Maker) linkMayCome() bool { return m.Document.Status == pack.StatusUnknown }

// hasMessage reports whether a message of this kind to the same address is made already.
func (m *Maker) hasMessage(kind notifyv1.Kind, to destination) bool {
	return slices.ContainsFunc(m.Made, func(n *notifyv1.Notification) bool {
		made := destination{channel: n.GetChannel(), person: n.GetTo()}
		return n.GetKind() == kind && made.channel == to.channel && made.address() == to.address()
	})
}
