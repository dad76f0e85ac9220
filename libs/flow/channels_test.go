package flow_test

import (
	"slices"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// Each channel has the stage that the table of channels names, and that stage consumes only the channel's messages.
func TestEveryChannelHasASender(t *testing.T) {
	t.Parallel()
	for _, c := range event.Channels {
		stage := flow.StageNamed(c.Stage)
		if !slices.Equal(stage.Consumes, []string{flow.SendFilter(c.Name)}) {
			t.Errorf("%s takes %q, want the messages of %s", c.Stage, stage.Consumes, c.Name)
		}
		if own := (flow.Keys{Bucket: flow.Attempts, Keys: "message." + c.Name + ".>"}); !slices.Contains(stage.Uses.Buckets, own) {
			t.Errorf("%s may not write %v", c.Stage, own)
		}
	}
	if flow.SMSSender != event.ChannelOf(event.SMS).Stage || flow.EmailSender != event.ChannelOf(event.Email).Stage {
		t.Error("the senders' names differ from those in the table of channels")
	}
}
