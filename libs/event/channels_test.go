package event_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Each channel of the contract has one row, and no two rows share a value that distinguishes channels.
func TestEveryChannelHasARow(t *testing.T) {
	t.Parallel()
	for number, name := range notifyv1.Channel_name {
		c := notifyv1.Channel(number)
		if c == notifyv1.Channel_CHANNEL_UNSPECIFIED {
			continue
		}
		row := event.ChannelOf(c)
		if want := strings.ToLower(strings.TrimPrefix(name, "CHANNEL_")); row.Name != want || row.Address == 0 || len(row.Suffix) != 1 {
			t.Errorf("the row of %s is %+v", name, row)
		}
		if found, ok := event.ChannelOfStage(row.Stage); !ok || found.Channel != c {
			t.Errorf("the stage %q sends the messages of %q, want %q", row.Stage, found.Name, row.Name)
		}
		if same := slices.IndexFunc(event.Channels, func(other event.Channel) bool { return other.Suffix == row.Suffix }); event.Channels[same].Channel != c {
			t.Errorf("%s and %s have the same suffix", row.Name, event.Channels[same].Name)
		}
	}
	if got := event.ChannelNames(); len(got) != len(notifyv1.Channel_name)-1 || !slices.Equal(got[:2], []string{"sms", "email"}) {
		t.Errorf("channels %q: want one row each, and first sms and email, which are in settings, subjects and events, so they never change", got)
	}
	if got := event.ChannelName(notifyv1.Channel(77)); got != "77" {
		t.Errorf("a channel of a later release is called %q", got)
	}
	if c, ok := event.ChannelOfStage("enricher"); ok {
		t.Errorf("the enricher sends the messages of %q", c.Name)
	}
}
