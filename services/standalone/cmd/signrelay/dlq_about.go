package main

import (
	"cmp"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// about describes the subject matter of a dead letter. Fields from the payload are empty if it cannot be decoded.
type about struct {
	source, provider string   // from its subject; "_" if the subject lacks them
	document         string   // its id, or its token in the subject
	recipient        string   // the provider's id of the person
	what             string   // "document.sent", "invitation by sms"
	person           string   // an address, used only to count different people; never printed
	channels         []string // of a message: "sms"
}

func aboutOf(l stage.DeadLetter) about {
	if event.InLog(l.Subject) {
		at, _ := event.ParseSubject(l.Subject)
		return aboutEvent(about{source: at.Source, provider: at.Provider, document: at.Document}, l.Data)
	}
	if at, ok := flow.ParseNotification(l.Subject); ok {
		return aboutNotification(about{source: at.Source, provider: at.Provider, document: at.Document}, l.Data)
	}
	return about{}.complete()
}

func aboutEvent(a about, data []byte) about {
	if e, err := event.Decode(data); err == nil && e.GetId() != "" {
		a.document, a.recipient, a.what = e.GetDocument().GetId(), e.GetRecipient().GetId(), e.GetType()
	}
	return a.complete()
}

func aboutNotification(a about, data []byte) about {
	if n, err := notification.Decode(data); err == nil {
		all := n.GetPerChannel() // of a message for the shortener
		if len(all) == 0 {
			all = []*notifyv1.Notification{n}
		}
		for _, one := range all {
			a.channels = append(a.channels, event.ChannelName(one.GetChannel()))
		}
		n = all[0]
		a.document, a.recipient = n.GetDocumentId(), n.GetTo().GetRecipientId()
		a.what = event.KindName(n.GetKind()) + " by " + strings.Join(a.channels, " and ")
		a.person = cmp.Or(strings.ToLower(n.GetTo().GetEmail()), n.GetTo().GetMobile(), "?"+a.recipient)
	}
	return a.complete()
}

// complete fills in the tokens that an event's subject requires.
func (a about) complete() about {
	a.source, a.provider = cmp.Or(a.source, event.None), cmp.Or(a.provider, event.None)
	if a.document == event.None {
		a.document = ""
	}
	return a
}
