// Package notification says how a message to a signer travels between the stages, and what the log hears of it: its
// subjects and messages in NOTIFY, and the notification.* events in SIGNING.
package notification

import (
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// LinkSubject is where a notification waits for its short link.
func LinkSubject(n *notifyv1.Notification) string {
	return flow.LinkSubject(n.GetSource(), n.GetProvider(), n.GetDocumentId())
}

// SendSubject is where a notification waits for its sender.
func SendSubject(n *notifyv1.Notification) string {
	return flow.SendSubject(event.ChannelName(n.GetChannel()), n.GetSource(), n.GetProvider(), n.GetDocumentId())
}

// PurposeName is what a link is for, in links and events: "sign", "download".
func PurposeName(p notifyv1.Link_Purpose) string {
	return strings.ToLower(strings.TrimPrefix(p.String(), "PURPOSE_"))
}
