package enricher

import (
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// resend plans the invitation of the person of resend.requested, on the channels that were chosen, or on the person's own. It is a message of its own: its id comes
// from the order. The person may have signed at the provider meanwhile, or may wait for another signer.
func (p *planner) resend() {
	about := p.About(notifyv1.Kind_KIND_INVITATION)
	var channels []event.Channel
	for _, name := range strings.Split(p.Happened.GetAttributes()[event.AttributeChannels], ",") {
		if slices.Contains(event.ChannelNames(), name) {
			channels = append(channels, event.ChannelNamed(name))
		}
	}
	if len(channels) > 0 {
		p.PeopleOn(p.signers.people, channels...)
	} else {
		p.People(p.signers.people)
	}
	if len(p.signers.people) == 0 {
		p.AwaitSigners(about)
		return
	}
	if who, waits := p.waiting(about); waits {
		p.Notify(about, who)
	}
}
