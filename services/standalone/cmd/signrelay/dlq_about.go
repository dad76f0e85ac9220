package main

import (
	"cmp"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/stage"
)

// about describes the subject matter of a dead letter. Fields from the payload are empty if it cannot be decoded.
type about struct {
	source, provider string // from its subject; "_" if the subject lacks them
	document         string // its id, or its token in the subject
	recipient        string // the provider's id of the person
	what             string // "document.sent", "invitation by sms"
	person           string // an address, used only to count different people; never printed
	channel          string // of a message: "sms"
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
		a.document, a.recipient = n.GetDocumentId(), n.GetTo().GetRecipientId()
		a.channel = event.ChannelName(n.GetChannel())
		a.what = event.KindName(n.GetKind()) + " by " + a.channel
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
