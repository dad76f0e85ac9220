package operate

import (
	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/gsm7"
	"github.com/signrelay/signrelay/libs/prices"
	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// cost adds a text message to a cost.
func (o *Operator) cost(c *prices.Cost, n *notifyv1.Notification) {
	if o.Parts == nil || n == nil {
		c.AddUnknown()
		return
	}
	parts, err := o.Parts(n)
	if err != nil {
		c.AddUnknown()
		return
	}
	c.Add(o.Prices, prices.Country(n.GetTo().GetMobile()), parts)
}

// TextParts returns a function for Operator.Parts. link is a link of the length that the settings produce, for messages whose link is not made yet.
func TextParts(texts *templates.Set, from templates.TextSender, link string) func(*notifyv1.Notification) (int, error) {
	return func(n *notifyv1.Notification) (int, error) {
		if n.GetLink() != nil && n.GetLink().GetShort() == "" {
			n = withLink(n, link)
		}
		text, err := texts.SMSFrom(n, from)
		if err != nil {
			return 0, err
		}
		parts, _ := gsm7.Parts(text)
		return parts, nil
	}
}

// isText reports whether a message is a text.
func isText(channel string) bool { return event.ChannelNamed(channel).Address == event.MobileNumber }

func withLink(n *notifyv1.Notification, short string) *notifyv1.Notification {
	n = proto.CloneOf(n)
	n.Link.Short = short
	return n
}
