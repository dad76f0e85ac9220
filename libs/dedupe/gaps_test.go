package dedupe

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/realtest"
)

// Who could not look for longer than the stream refuses what it has seen takes nothing for new.
func TestWhoCouldNotLookKnowsNothing(t *testing.T) {
	t.Parallel()
	_, js := realtest.NATS(t).Connect()
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "STATE"})
	if err != nil {
		t.Fatal(err)
	}
	g, err := WatchGaps(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	oldest := time.Now().Add(-time.Hour)
	if span, found := g.since(oldest); found {
		t.Errorf("a gap where none was marked: %v", span)
	}
	if err := g.Close(); err != nil { // nobody looks any more
		t.Fatal(err)
	}
	long := time.Now().Add(-believe - time.Second)
	g.looked.Store(&long)
	if span, found := g.since(oldest); !found || !span.Since.Equal(oldest) || !span.Until.IsZero() {
		t.Errorf("what nobody looked at is believed: %v %v", span, found)
	}
}
