package standalone

import (
	"log/slog"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
)

// What the embedded server acknowledges is on disk, so a provider's 2xx survives a power cut.
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
