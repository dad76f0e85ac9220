package dedupe

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/realtest"
)

// A replica that could not poll for longer than believe must assume a gap: the stream's duplicate window no longer protects it.
func TestAReplicaThatCannotPollAssumesAGap(t *testing.T) {
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
	if err := g.Close(); err != nil { // the polling ends
		t.Fatal(err)
	}
	long := time.Now().Add(-believe - time.Second)
	g.looked.Store(&long)
	if span, found := g.since(oldest); !found || !span.Since.Equal(oldest) || !span.Until.IsZero() {
		t.Errorf("after the polling ended: span %v, gap %v; want an open gap", span, found)
	}
}
