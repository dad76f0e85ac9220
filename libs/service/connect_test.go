package service

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
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
		t.Error("the client buffered the message, so the outcome of the publish is unknown")
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

func TestNATSMayStartLater(t *testing.T) {
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

func TestErrorsOfInvalidAddressesContainNoPassword(t *testing.T) {
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

func TestAReasonIsLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reasons := &loggedReasons{}
		for _, step := range []struct {
			text     string
			after    time.Duration
			repeated bool
		}{
			{"refused", 0, false},
			{"refused", time.Second, true},
			{"timeout from port 1234", 0, false},
			{"refused", 0, true}, // two alternating reasons
			{"timeout from port 1235", time.Second, true},
			{"refused", logReasonEvery - 3*time.Second, true},
			{"refused", time.Second, false},
			{"refused", time.Second, true},
		} {
			time.Sleep(step.after)
			if got := reasons.repeated(step.text); got != step.repeated {
				t.Errorf("%q is repeated: %v", step.text, got)
			}
		}
		reasons.over()
		if reasons.repeated("refused") {
			t.Error("the next outage after a reconnect is not logged")
		}
	})
}

// attempts counts logins and refuses all of them.
type attempts struct{ n atomic.Int32 }

func (a *attempts) Check(server.ClientAuthentication) bool {
	a.n.Add(1)
	return false
}

// Without the limit, each attempt with a wrong password logs up to three lines, twice a second.
func TestAWrongPasswordIsLoggedOnce(t *testing.T) {
	t.Parallel()
	logins := &attempts{}
	broker := realtest.NATSWith(t, func(o *server.Options) { o.CustomClientAuthentication = logins })
	log := &lockedBuffer{}
	conn, err := ConnectNATS(config.NATS{URL: broker.URL, User: "ingest", Password: "wrong"}, "test", telemetry.Logger(log, "info", "test"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	until(t, "it has been tried five times", func() bool { return logins.n.Load() >= 5 })
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "nats.user and nats.password") {
		t.Errorf("%d lines:\n%s", n, log)
	}
}

// The subscription has room for a whole batch of the log's messages, also for a slow reader. The library drops messages that do not fit, and
// the reader would miss them without an error.
func TestTheSubscriptionHasRoomForABatchOfTheLog(t *testing.T) {
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
		if read++; read%100 == 1 { // the server sends this response after the batch, so the whole batch has arrived
			if _, err := js.Stream(t.Context(), flow.Signing); err != nil {
				t.Fatal(err)
			}
		}
	}
	if read != stored || conn.LastError() != nil {
		t.Errorf("read %d of %d: %v", read, stored, conn.LastError())
	}
}
