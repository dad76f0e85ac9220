package service

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/telemetry"
)

func TestAPublishWhileNATSIsAwayFailsAtOnce(t *testing.T) {
	t.Parallel()
	broker := realtest.NATS(t)
	conn, err := ConnectNATS(config.NATS{URL: broker.URL}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Publish("s", nil); err != nil {
		t.Fatal(err)
	}

	away := conn.StatusChanged(nats.RECONNECTING)
	broker.Stop()
	<-away
	begin := time.Now()
	if err := conn.Publish("s", []byte("x")); err == nil {
		t.Error("it went into a buffer, and nobody knows whether it will happen")
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("it took %s to fail", took)
	}

	back := conn.StatusChanged(nats.CONNECTED)
	broker.Start()
	<-back
	if err := conn.Publish("s", nil); err != nil {
		t.Error(err)
	}
}

func TestNATSMayComeLater(t *testing.T) {
	t.Parallel()
	broker := realtest.NATS(t)
	broker.Stop()
	conn, err := ConnectNATS(config.NATS{URL: broker.URL}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	connected := conn.StatusChanged(nats.CONNECTED)
	broker.Start()
	<-connected
}

func TestAddressesThatAreNoneTellNoPassword(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	_, badNATS := ConnectNATS(config.NATS{URL: "nats://app:hunter2 @%zz:1"}, "test", log)
	_, noCreds := ConnectNATS(config.NATS{URL: "nats://127.0.0.1:1", Creds: t.TempDir() + "/none"}, "test", log)
	_, badRedis := ConnectRedis(config.Redis{URL: "redis://app:hunter2/x@r:6379"})
	_, otherRedis := ConnectRedis(config.Redis{URL: "redis://hunter2/x@r"})
	for name, err := range map[string]error{"nats": badNATS, "creds": noCreds, "redis": badRedis, "redis path": otherRedis} {
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnOutageOfNATSIsToldOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	words := &lastWords{}
	log := telemetry.Logger(&out, "info", "test")
	for _, text := range []string{"refused", "refused", "timeout", "timeout", "", "timeout"} {
		if !words.repeated(text) {
			log.Info("nats cannot be reached", "err", text)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 4 {
		t.Errorf("told %d times, want refused, timeout, (back), timeout:\n%s", n, out.String())
	}
}

// An answer of the log waits whole for whoever reads it slowly: what finds no room on the subscription is dropped, and nobody learns
// whether it was stored.
func TestAnAnswerOfTheLogHasRoom(t *testing.T) {
	t.Parallel()
	conn, err := ConnectNATS(config.NATS{URL: realtest.NATS(t).URL}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	const stored, subject = 600, "signing.v1.acme.clickwrap.recipient.opened.d1"
	for range stored {
		if _, err := js.PublishAsync(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()

	read := 0
	for _, err := range (event.Log{JS: js, Stream: flow.Signing}).Messages(t.Context(), subject, time.Time{}) {
		if err != nil {
			t.Fatalf("after %d: %v", read, err)
		}
		if read++; read%100 == 1 { // what is asked after it is answered after it, so all of the batch is here now
			if _, err := js.Stream(t.Context(), flow.Signing); err != nil {
				t.Fatal(err)
			}
		}
	}
	if read != stored || conn.LastError() != nil {
		t.Errorf("read %d of %d: %v", read, stored, conn.LastError())
	}
}
