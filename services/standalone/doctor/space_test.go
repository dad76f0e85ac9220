package doctor_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/services/standalone/doctor"
)

// The server sets the store's limit. Only its monitoring reports it. A full store accepts no new messages, but serves the stored ones. With
// more space it accepts messages again, and its clients need no restart.
func TestTheStoresFreeSpace(t *testing.T) {
	t.Parallel()
	const limit = 8 << 20
	s, url := broker(t, func(o *server.Options) { o.JetStreamMaxStore = limit })
	js := connected(t, url("all"))
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.NATS.URL = url("all")
	watched := doctor.Options{MonitorURL: "http://" + s.MonitorAddr().String()}
	publish := func() error {
		_, err := js.Publish(t.Context(), "signing.v1.acme.clickwrap.document.sent.d1", bytes.Repeat([]byte("x"), 512<<10))
		return err
	}
	fill := func(share float64) {
		t.Helper()
		for {
			log, err := js.Stream(t.Context(), flow.Signing)
			if err != nil {
				t.Fatal(err)
			}
			if float64(log.CachedInfo().State.Bytes) > share*limit {
				return
			}
			if err := publish(); err != nil {
				t.Fatal(err)
			}
		}
	}

	examine(t, cfg, doctor.Options{}).want(t, "room", doctor.Warn, "cannot read the server's limit")
	examine(t, cfg, doctor.Options{Embedded: true}).want(t, "room", doctor.OK, "the disk is the limit")
	examine(t, cfg, watched).want(t, "room", doctor.OK, "0 of 8 MB, the server's max_file_store")
	fill(0.82)
	examine(t, cfg, watched).want(t, "room", doctor.Warn, "of 8 MB, the server's max_file_store")
	fill(0.96)
	examine(t, cfg, watched).want(t, "room", doctor.Fail, "of 8 MB, the server's max_file_store: when it is full")

	var err error
	for range 4 {
		err = publish()
	}
	var refused *jetstream.APIError
	if !errors.As(err, &refused) || refused.Code != 503 {
		t.Fatalf("a full store responds with %v", err)
	}
	if _, err := js.Stream(t.Context(), flow.Signing); err != nil {
		t.Errorf("a full store serves no reads: %v", err)
	}
	log, err := js.Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Purge(t.Context(), jetstream.WithPurgeKeep(1)); err != nil {
		t.Fatal(err)
	}
	if err := publish(); err != nil {
		t.Errorf("with free space again: %v", err)
	}
}
