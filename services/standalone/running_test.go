package standalone

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
)

// run is one run of a broker in a data directory. It ends in an orderly way if orderly is true, and otherwise leaves the files of a killed process.
func runOnce(t *testing.T, dir string, orderly bool, work func(service.Env)) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	cfg := config.Default()
	cfg.DataDir, cfg.NATS.Addr = dir, "127.0.0.1:0"
	f, err := makeFolder(dir)
	must(err)
	defer func() { must(f.close()) }()
	cfg, err = f.addSecrets(cfg)
	must(err)
	log := slog.New(slog.DiscardHandler)
	b, err := startBroker(t.Context(), cfg, log)
	must(err)
	cfg.NATS.URL, cfg.NATS.Embedded = b.ClientURL(), true
	must(Provision(t.Context(), cfg, log, nil, nil))
	must(provisionCallbacks(t.Context(), cfg, log, f))
	env, closeEnv, err := service.Open(t.Context(), cfg, "test", log)
	must(err)
	work(env)
	bucket, err := env.JS.Stream(t.Context(), "KV_"+flow.Callbacks)
	must(err)
	if is := bucket.CachedInfo(); is.State.Msgs == 0 || is.Config.PersistMode != jetstream.AsyncPersistMode {
		t.Errorf("the bucket has %d entries and the mode %v", is.State.Msgs, is.Config.PersistMode)
	}
	closeEnv()
	b.stop()
	if orderly {
		f.endRun(log)
	}
}

// After an end that may have lost claims, ids that the bucket lacks are looked up in the log.
func TestARunThatDidNotEndIsAGap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/data"
	for _, c := range []struct {
		name    string
		orderly bool // how this run ends
		want    dedupe.State
	}{
		{"the first run", true, dedupe.Claimed},
		{"after an orderly end", false, dedupe.Claimed},
		{"after a kill", true, dedupe.Pending},
		{"after an orderly end, within the 4 days of the gap", true, dedupe.Pending},
	} {
		runOnce(t, dir, c.orderly, func(env service.Env) {
			store := env.Claims(dedupe.Options{Namespace: flow.IngestClaims, Lease: time.Minute, Remember: flow.Remember})
			claims, err := store.Claim(context.Background(), dedupe.NewOwner(), event.DerivedID(c.name, "test", ""))
			if err != nil || claims[0].State != c.want {
				t.Errorf("%s: a new id is %v %v, want %v", c.name, claims, err, c.want)
			}
		})
	}
}

// The senders use their bucket for the first time after the log has its first event. That is no gap.
func TestTheFirstMessageOfANewInstallationIsNoGap(t *testing.T) {
	t.Parallel()
	runOnce(t, t.TempDir()+"/data", true, func(env service.Env) {
		ingest := env.Claims(dedupe.Options{Namespace: flow.IngestClaims, Lease: time.Minute, Remember: flow.Remember})
		sender := env.Claims(dedupe.Options{Namespace: flow.SMSSender, Lease: time.Minute, Remember: flow.RememberSent, Waits: true})
		if _, err := ingest.Claim(t.Context(), dedupe.NewOwner(), "callback"); err != nil {
			t.Fatal(err)
		}
		if _, err := env.JS.Publish(t.Context(), "signing.v1.a.b.c.d._", nil); err != nil {
			t.Fatal(err)
		}
		claims, err := sender.Claim(t.Context(), dedupe.NewOwner(), "message")
		if err != nil || claims[0].State != dedupe.Claimed {
			t.Errorf("the first message's id is %v, %v", claims, err)
		}
	})
}
