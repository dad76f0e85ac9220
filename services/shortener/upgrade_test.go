package shortener

import (
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// A shortener of a version without the field per_channel finds no API for a message to several channels. It returns the message to the stream,
// and a newer replica gets it. It neither loses the message nor makes it a dead letter.
func TestAnOlderVersionLeavesAMessageForSeveralChannels(t *testing.T) {
	t.Parallel()
	link := &notifyv1.Link{Purpose: notifyv1.Link_PURPOSE_SIGN, Target: "https://provider.example/r"}
	n := notification.ForShortener("enricher", []*notifyv1.Notification{
		{Id: "n1", Source: "acme", Provider: "clickwrap", DocumentId: "doc", Channel: notifyv1.Channel_CHANNEL_SMS, Link: link},
		{Id: "n2", Source: "acme", Provider: "clickwrap", DocumentId: "doc", Channel: notifyv1.Channel_CHANNEL_EMAIL, Link: link},
	})
	n.PerChannel = nil // an older version does not see it
	sources := providers.Sources{{Name: "acme", Provider: "clickwrap"}: {API: silent{}}}
	s := &shortener{sources: func() providers.Sources { return sources }}
	outs, err := s.shorten(t.Context(), stage.Event[*notifyv1.Notification]{ID: n.GetId(), Attempt: 1, Stored: time.Now(), Data: n})
	if o := outcome.Of(err); len(outs) > 0 || o.Kind() == outcome.GaveUp || o.After() != operatorPause {
		t.Errorf("%d outputs, %v", len(outs), err)
	}
}
