package notification

import (
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/quiet"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// QuietHours is the reason of a message that waits for the end of the quiet hours.
const QuietHours = "quiet-hours"

// quietUntil returns the first moment from now on at which a message may be sent, and whether that is later than now. A reply to a person's own
// text is sent at once: the person is awake, and the confirmation of a STOP must arrive within 5 minutes.
func quietUntil(n *notifyv1.Notification, now time.Time) (until time.Time, waits bool) {
	if event.KindOf(n.GetKind()).Replies {
		return now, false
	}
	until = quietRule(n).Next(now)
	return until, until.After(now)
}

// quietRule returns the law of a message's quiet hours. A zone that this version's database does not have counts as unknown; without the zone of
// the source there are no quiet hours.
func quietRule(n *notifyv1.Notification) quiet.Rule {
	q := n.GetQuietHours()
	home, err := quiet.Zone(q.GetHomeZone())
	if err != nil {
		return quiet.Rule{}
	}
	rule := quiet.Rule{Hours: quiet.Hours{From: int(q.GetFrom() % quiet.Day), To: int(q.GetTo() % quiet.Day)}, Home: home}
	for _, name := range q.GetZones() {
		zone, err := quiet.Zone(name)
		if err != nil {
			rule.Zones = nil
			break
		}
		rule.Zones = append(rule.Zones, zone)
	}
	return rule
}
