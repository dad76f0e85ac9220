package standalone

import (
	"log/slog"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
)

// A message is on disk before the embedded server acknowledges it, so an accepted callback survives a power cut.
func TestTheEmbeddedServerSyncsBeforeItAcknowledges(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.NATS.Addr, cfg.DataDir = "127.0.0.1:0", t.TempDir()
	b, err := startBroker(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer b.stop()
	if is := b.JetStreamConfig(); is == nil || !is.SyncAlways {
		t.Errorf("JetStream runs with %+v", is)
	}
}
