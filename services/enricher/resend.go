package enricher

import (
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/recipient"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// resend plans the invitation of the person of resend.requested, on the channels that the operator chose. It is a message of its own: its id comes
// from the order. The person may have signed at the provider meanwhile, or may wait for another signer.
func (p *planner) resend() {
	id := p.Happened.GetRecipient().GetId()
	about := p.About(notifyv1.Kind_KIND_INVITATION)
	var channels []event.Channel
	for _, name := range strings.Split(p.Happened.GetAttributes()[event.AttributeChannels], ",") {
		if slices.Contains(event.ChannelNames(), name) {
			channels = append(channels, event.ChannelNamed(name))
		}
	}
	p.PeopleOn(p.signers.people, channels...)
	if len(p.signers.people) == 0 {
		p.AwaitSigners(about)
		return
	}
	i := recipient.Only(p.signers.people, func(listed recipient.Person) bool { return listed.ID != "" && listed.ID == id })
	if i < 0 {
		p.Withhold(about, id, recipient.NotListed)
		return
	}
	switch who := p.signers.people[i]; {
	case who.Signed:
		p.Withhold(about, id, event.OverSigned)
	case who.Declined:
		p.Withhold(about, id, event.OverDeclined)
	case !p.signers.turn(who):
		p.Withhold(about, id, recipient.NotTheirTurn)
	default:
		p.Notify(about, who)
	}
}
