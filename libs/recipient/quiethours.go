package recipient

import (
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// quietHours returns the times at which a message to a person is not sent; nil if it is sent at any time. An e-mail has the zones of the person's
// number, too.
func (m *Maker) quietHours(kind notifyv1.Kind, who pack.Recipient) *notifyv1.QuietHours {
	q := m.Source.QuietHours
	if !q.Applies(event.KindName(kind)) {
		return nil
	}
	number, _ := dialable(who.Mobile, m.Source.Region)
	rule := q.Rule(number)
	if rule.Hours.Off() {
		return nil
	}
	made := &notifyv1.QuietHours{From: uint32(rule.Hours.From), To: uint32(rule.Hours.To), HomeZone: rule.Home.String()}
	for _, zone := range rule.Zones {
		made.Zones = append(made.Zones, zone.String())
	}
	return made
}
