package ingest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/servicetest"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
)

// parts returns settings of an ingest with one source, with a real provisioned broker and Redis.
func parts(t *testing.T, broker *realtest.Broker, redis *realtest.RedisServer) config.Config {
	t.Helper()
	_, js := broker.Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.NATS.URL, cfg.Redis.URL = broker.URL, redis.URL
	ingestsettings.Section.In(&cfg).Addr, cfg.Admin.Addr = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Sources = []config.Source{providers.NewSource("clickwrap", "acme", "webhook.secrets=12345")}
	return cfg
}

// ready returns the response of /readyz?verbose.
func (h *harness) ready(t *testing.T) (status int, said string) {
	t.Helper()
	resp, err := http.Get(h.admin + "/readyz?verbose")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// If the broker may refuse a large callback, ingest is not ready and names the setting to raise. It still accepts smaller callbacks.
func TestASmallMaxPayloadIsNotReady(t *testing.T) {
	t.Parallel()
	for payload, want := range map[int32]struct{ ready, largest int }{
		1 << 20: {503, 413}, flow.SmallestPayload - 1: {503, 200}, flow.SmallestPayload: {200, 200}, 8 << 20: {200, 200},
	} {
		h := host(t, parts(t, realtest.NATSWith(t, func(o *server.Options) { o.MaxPayload = payload }), realtest.Redis(t)), new(servicetest.Logged))
		status, said := h.ready(t)
		if status != want.ready || status == 503 && !strings.Contains(said, "max_payload: 8MB") {
			t.Errorf("%d bytes: %d %s", payload, status, said)
		}
		if got := h.post(t, "/webhooks/clickwrap/acme", requestSent); got.status != 202 {
			t.Errorf("%d bytes: %d %v", payload, got.status, got.body)
		}
		largest := requestSent + strings.Repeat(" ", 1<<20-len(requestSent))
		if got := h.post(t, "/webhooks/clickwrap/acme", largest); got.status != want.largest {
			t.Errorf("%d bytes: a body of 1 MiB: %d %v", payload, got.status, got.body)
		}
	}
}

// Ingest stays ready without its dedupe store. It reports this in the log, in a metric and in /readyz?verbose, once at each change.
func TestIngestReportsThatTheDedupeStoreIsAway(t *testing.T) {
	t.Parallel()
	redis, logged := realtest.Redis(t), new(servicetest.Logged)
	h := host(t, parts(t, realtest.NATSWith(t, func(o *server.Options) { o.MaxPayload = 8 << 20 }), redis), logged)
	send := func(id string) {
		t.Helper()
		if got := h.post(t, "/webhooks/clickwrap/acme", `{"event_type":"test_event","id":"`+id+`"}`); got.status != 202 {
			t.Errorf("%s: %d %v", id, got.status, got.body)
		}
	}
	wantReport := func(want bool, gauge string) {
		t.Helper()
		status, body := 0, ""
		h.until(t, "/readyz reports it", func() bool {
			status, body = h.ready(t)
			return strings.Contains(body, "stored without the dedupe store") == want
		})
		if status != 200 {
			t.Errorf("%d %s", status, body)
		}
		resp, err := http.Get(h.admin + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), `signrelay_ingest_without_memory{component="ingest"} `+gauge) {
			t.Errorf("without_memory is not %s: %v", gauge, err)
		}
	}
	send("a")
	wantReport(false, "0")
	redis.Stop()
	send("b")
	send("c")
	wantReport(true, "1")
	redis.Start()
	wantReport(false, "0") // even without callbacks
	send("d")
	if log := logged.String(); strings.Count(log, "without the dedupe store") != 1 || strings.Count(log, "dedupe store is back") != 1 {
		t.Errorf("logged: %s", log)
	}
}
