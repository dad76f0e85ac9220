package notification

import (
	"errors"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// ForShortener returns one message for the notifications of one person with one link, one for each channel. The shortener then makes the link
// once, and not at the same time in two replicas. A single notification stays as it is.
//
// The message's id depends on all of them: another event may cause the same notification without the other channel, and the stream must
// not drop one of the two messages as a copy of the other. The senders recognize a notification by its own id.
func ForShortener(stage string, all []*notifyv1.Notification) *notifyv1.Notification {
	if len(all) == 1 {
		return all[0]
	}
	ids := make([]string, len(all))
	for i, n := range all {
		ids[i] = n.GetId()
	}
	return &notifyv1.Notification{
		Id:         event.DerivedID(ids[0], stage, "with/"+strings.Join(ids[1:], "/")),
		DocumentId: all[0].GetDocumentId(), Link: &notifyv1.Link{},
		PerChannel: all,
	}
}

// PerChannel returns the notifications in a message for the shortener. It fails unless they are of one person and have one link: otherwise
// one person would get another person's link.
func PerChannel(n *notifyv1.Notification) ([]*notifyv1.Notification, error) {
	all := n.GetPerChannel()
	if len(all) == 0 {
		return []*notifyv1.Notification{n}, nil
	}
	for _, one := range all {
		switch {
		case one.GetId() == "", len(one.GetPerChannel()) > 0:
			return nil, errors.New("a notification for a channel has no id, or has notifications itself")
		case one.GetSource() != all[0].GetSource(), one.GetProvider() != all[0].GetProvider(), one.GetDocumentId() != all[0].GetDocumentId(),
			one.GetTo().GetRecipientId() != all[0].GetTo().GetRecipientId(), !proto.Equal(one.GetLink(), all[0].GetLink()):
			return nil, errors.New("the notifications for several channels are of several people or links")
		case one.GetTo().GetRecipientId() == "" && one.GetLink().GetTarget() == "" && one.GetLink().GetRecipientId() == "":
			return nil, errors.New("the person of several notifications has neither an id nor a target")
		}
	}
	return all, nil
}
