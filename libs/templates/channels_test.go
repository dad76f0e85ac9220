package templates

import (
	"testing"

	"github.com/signrelay/signrelay/libs/event"
)

func TestEveryChannelHasALayout(t *testing.T) {
	t.Parallel()
	for _, name := range event.ChannelNames() {
		if l := layouts[name]; len(l.parts) == 0 || l.render == nil {
			t.Errorf("channel %s: libs/templates/channels.go has no layout", name)
		}
	}
}
