package recipient

import (
	"cmp"
	"net/mail"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// destination is a person on one channel. Without a usable address, reason says why.
type destination struct {
	channel notifyv1.Channel
	person  *notifyv1.Person
	reason  string
	always  bool // also if the settings exclude the channel
}

// address returns the destination's number or e-mail address in one spelling; empty for none.
func (r destination) address() string {
	return cmp.Or(r.person.GetMobile(), strings.ToLower(r.person.GetEmail()))
}

// destinations returns a destination for each channel that a person wants. If the person must not get messages on any of the wanted
// channels, the other channels that replace them (event.Channel.Replaces) and for which the person has an address do so. A number without a
// country code belongs to the region.
func destinations(who pack.Recipient, region string) []destination {
	var all []destination
	wanted, blocked := 0, 0
	for _, c := range event.Channels {
		r, isBlocked := destinationOn(c, who, region)
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

// others returns a destination for each channel that can replace another one, if it reaches the person. For a channel on which the person gets
// messages anyway, it is the same destination.
func others(who pack.Recipient, known []destination, region string) []destination {
	var all []destination
	for _, c := range event.Channels {
		if i := slices.IndexFunc(known, func(r destination) bool { return r.channel == c.Channel }); i >= 0 && known[i].reason == "" {
			all = append(all, known[i])
		} else if r, _ := destinationOn(c, who, region); i < 0 && c.Replaces && r.reason == "" {
			all = append(all, r)
		}
	}
	return all
}

// destinationOn returns a person's destination on one channel, and whether the person must not get messages there.
func destinationOn(c event.Channel, who pack.Recipient, region string) (r destination, blocked bool) {
	r = destination{channel: c.Channel, person: &notifyv1.Person{RecipientId: who.ID, FirstName: who.FirstName, LastName: who.LastName}}
	if r.reason = string(who.Blocked[c.Channel]); r.reason != "" {
		return r, true
	}
	switch c.Address {
	case event.MobileNumber:
		r.person.Mobile, r.reason = dialable(who.Mobile, region)
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

// senderOf returns the document's sender, with the addresses from the settings, otherwise from the provider's API.
func senderOf(source config.Source, document *pack.Document) pack.Recipient {
	if s := source.Notify.Sender; s.Email != "" || s.Mobile != "" {
		if parsed, err := mail.ParseAddress(s.Email); err == nil {
			s.Email = parsed.Address // the settings may have "Contracts <contracts@acme.example>"
		}
		sender := pack.Recipient{Email: s.Email, Mobile: s.Mobile}
		sender.Wants = sender.Reachable()
		return sender
	}
	s := document.Sender
	first, last, _ := strings.Cut(strings.TrimSpace(s.Name), " ")
	sender := pack.Recipient{FirstName: first, LastName: last, Email: s.Email}
	sender.Wants = sender.Reachable()
	return sender
}

// share marks the people of a document who share an address, so that a message names its person: by the name; if the name is missing or the
// same, by the position among the people at this address.
func share(people []Person) {
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
	for _, who := range people { // a message on another channel may be the only one there, so it names its person by the name
		for _, r := range who.others {
			if here := (place{r.channel, r.address()}); !slices.Contains(at[here], r.person) && len(at[here]) > 0 {
				r.person.SharedBy = uint32(len(at[here])) + 1
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
