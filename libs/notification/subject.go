// Package notification has the parts that the stages of a message to a signer share: its subjects and messages in NOTIFY, its notification.*
// events in SIGNING, and the work of all senders around the call that sends it.
package notification

import (
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// LinkSubject returns the subject of a notification that waits for its short link.
func LinkSubject(n *notifyv1.Notification) string {
	return flow.LinkSubject(n.GetSource(), n.GetProvider(), n.GetDocumentId())
}

// SendSubject returns the subject of a notification that waits for its sender.
func SendSubject(n *notifyv1.Notification) string {
	if event.KindOf(n.GetKind()).Replies {
		return flow.ReplySubject(event.ChannelName(n.GetChannel()), n.GetSource(), n.GetProvider(), n.GetDocumentId())
	}
	return flow.SendSubject(event.ChannelName(n.GetChannel()), n.GetSource(), n.GetProvider(), n.GetDocumentId())
}

// PurposeName returns the name of a link's purpose, in links and events: "sign", "download".
func PurposeName(p notifyv1.Link_Purpose) string {
	return strings.ToLower(strings.TrimPrefix(p.String(), "PURPOSE_"))
}
