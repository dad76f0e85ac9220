package notification

import (
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// ID returns a notification's id, from its occasion, kind, person and channel. All services use the enricher's name in the id: two of them
// that make one message make it once.
func ID(occasion string, kind notifyv1.Kind, person string, channel notifyv1.Channel) string {
	return event.DerivedID(occasion, flow.Enricher, strings.Join([]string{event.KindName(kind), person, event.ChannelName(channel)}, "/"))
}
