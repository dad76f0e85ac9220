package enricher

import (
	"cmp"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// plan says who is told what on which channel: pure, so that a table is its test. signed has the recipients whose
// signature the log knows. The channels on which somebody wants to be told and has no usable address come back as
// untold, one entry a person.
func plan(
	src config.Source, happened *signingv1.SigningEvent, document *pack.Document, signed map[string]bool,
) (told []*notifyv1.Notification, untold []string) {
	people := distinct(document.Recipients)
	who := actor(people, happened)

	about := &notifyv1.Notification{
		EventId: happened.GetId(), Source: happened.GetSource(), Provider: happened.GetProvider(),
		DocumentId: happened.GetDocument().GetId(), DocumentTitle: cmp.Or(document.Title, happened.GetDocument().GetTitle()),
		Kind: kinds[happened.GetType()], SenderName: src.SenderName, Locale: src.Locale, OccurredAt: happened.GetOccurredAt(),
	}
	p := planner{source: src, about: about}
	switch about.Kind {
	case notifyv1.Kind_KIND_INVITATION:
		for _, person := range people {
			// No signing link means that it is not this person's turn.
			if !person.Signed && !signed[person.ID] && person.SigningURL != "" {
				p.tell(person, link(notifyv1.Link_PURPOSE_SIGN, person.SigningURL))
			}
		}
	case notifyv1.Kind_KIND_PROGRESS:
		about.SignaturesMissing = uint32(missing(people, who, signed))
		about.ActorName = actorName(people, who, happened)
		if about.SignaturesMissing == 0 {
			break // the last signature: document.completed tells it
		}
		for i, person := range people {
			if i != who {
				p.tell(person, nil)
			}
		}
	case notifyv1.Kind_KIND_COMPLETED:
		for _, person := range people {
			if target := cmp.Or(person.DownloadURL, person.SigningURL); target != "" {
				p.tell(person, link(notifyv1.Link_PURPOSE_DOWNLOAD, target))
			}
		}
	default: // an event that nobody is told of; kinds has no other
	}
	return p.told, p.untold
}

// missing counts the signatures still missing, never below zero. The log may name signers by ids that the API does not
// know; then its count is believed where it is the larger one.
func missing(people []pack.Recipient, who int, signed map[string]bool) int {
	known := 0
	for i, person := range people {
		if person.Signed || signed[person.ID] || i == who {
			known++
		}
	}
	return max(len(people)-max(known, len(signed)), 0)
}

func link(purpose notifyv1.Link_Purpose, target string) *notifyv1.Link {
	return &notifyv1.Link{Purpose: purpose, Target: target}
}

// planner collects the notifications of one event.
type planner struct {
	source config.Source
	about  *notifyv1.Notification // what they have in common
	told   []*notifyv1.Notification
	untold []string
}

// tell plans one message on each channel that the person wants.
func (p *planner) tell(person pack.Recipient, to *notifyv1.Link) {
	if person.BySMS {
		p.on(notifyv1.Channel_CHANNEL_SMS, person, &notifyv1.Person{Mobile: e164(person.Mobile, p.source.Region)}, to)
	}
	if person.ByEmail {
		p.on(notifyv1.Channel_CHANNEL_EMAIL, person, &notifyv1.Person{Email: bareAddress(person.Email)}, to)
	}
}

func (p *planner) on(channel notifyv1.Channel, person pack.Recipient, reader *notifyv1.Person, to *notifyv1.Link) {
	name := notification.ChannelName(channel)
	if !allowed(p.source.Notify.Channels, name) {
		return
	}
	if reader.GetMobile() == "" && reader.GetEmail() == "" {
		p.untold = append(p.untold, name)
		return
	}
	reader.RecipientId, reader.FirstName, reader.LastName = person.ID, person.FirstName, person.LastName

	n := proto.CloneOf(p.about)
	key := strings.Join([]string{notification.KindName(n.GetKind()), personKey(person), name}, "/")
	n.Id = event.DerivedID(n.GetEventId(), flow.Enricher, key)
	n.Channel, n.To, n.Link = channel, reader, to
	p.told = append(p.told, n)
}
