package operate

import (
	"cmp"
	"hash/fnv"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// About is the subject matter of a dead letter. Fields from the payload are empty if it cannot be decoded.
type About struct {
	Source, Provider string // from its subject; "_" if the subject lacks them
	Document         string // its id, or its token in the subject
	Recipient        string // the provider's id of the person
	What             string // "document.sent", "invitation by sms"
	// Person is an address. It only serves to count different people, and must not be shown.
	Person   string
	Channels []string                 // of a message: "sms"
	Messages []*notifyv1.Notification // of a message, one for each channel
}

// AboutOf reads what a dead letter is about.
func AboutOf(l stage.DeadLetter) About {
	if event.InLog(l.Subject) {
		at, _ := event.ParseSubject(l.Subject)
		return aboutEvent(About{Source: at.Source, Provider: at.Provider, Document: at.Document}, l.Data)
	}
	if at, ok := flow.ParseNotification(l.Subject); ok {
		return aboutNotification(About{Source: at.Source, Provider: at.Provider, Document: at.Document}, l.Data)
	}
	return About{}.complete()
}

func aboutEvent(a About, data []byte) About {
	if e, err := event.Decode(data); err == nil && e.GetId() != "" {
		a.Document, a.Recipient, a.What = e.GetDocument().GetId(), e.GetRecipient().GetId(), e.GetType()
	}
	return a.complete()
}

func aboutNotification(a About, data []byte) About {
	if n, err := notification.Decode(data); err == nil {
		all := n.GetPerChannel() // of a message for the shortener
		if len(all) == 0 {
			all = []*notifyv1.Notification{n}
		}
		for _, one := range all {
			a.Channels = append(a.Channels, event.ChannelName(one.GetChannel()))
		}
		a.Messages, n = all, all[0]
		a.Document, a.Recipient = n.GetDocumentId(), n.GetTo().GetRecipientId()
		a.What = event.KindName(n.GetKind()) + " by " + strings.Join(a.Channels, " and ")
		a.Person = personOf(n)
	}
	return a.complete()
}

// personOf identifies the person of a message, to count different people. It is personal data.
func personOf(n *notifyv1.Notification) string {
	return cmp.Or(strings.ToLower(n.GetTo().GetEmail()), n.GetTo().GetMobile(), "?"+n.GetTo().GetRecipientId())
}

// complete fills in the tokens that an event's subject requires.
func (a About) complete() About {
	a.Source, a.Provider = cmp.Or(a.Source, event.None), cmp.Or(a.Provider, event.None)
	if a.Document == event.None {
		a.Document = ""
	}
	return a
}

// people counts different people by 64 bits of a hash, so that 10^5 people take about 4 MB and none of them is named.
type people map[uint64]struct{}

func (p people) add(person uint64) { p[person] = struct{}{} }

// personHash returns the hash of what identifies a person.
func personHash(parts ...string) uint64 {
	h := fnv.New64a()
	for _, part := range parts {
		_, _ = h.Write([]byte(part))
		_, _ = h.Write([]byte{0})
	}
	return max(h.Sum64(), 1)
}
