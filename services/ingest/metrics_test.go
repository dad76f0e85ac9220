package ingest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A source's counters exist before its first callback; a refused request does not count as a callback.
func TestEachSourceIsCounted(t *testing.T) {
	t.Parallel()
	h := open(t)
	registry := h.registry(t)
	began := float64(time.Now().Unix())
	h.send(t, "POST", "/webhooks/clickwrap/acme", http.Header{}, strings.NewReader("{}")) // unauthentic
	if n, err := testutil.GatherAndCount(registry, "signrelay_ingest_last_callback_timestamp_seconds"); err != nil || n != 0 {
		t.Errorf("%d sources have called, %v", n, err)
	}
	h.post(t, "/webhooks/clickwrap/acme", requestSent)
	h.post(t, "/webhooks/clickwrap/acme", requestSent)
	h.post(t, "/webhooks/clickwrap/acme", "no JSON")

	want := `
		# HELP signrelay_ingest_quarantined_total Authentic callbacks, and items of batches, that could not be read and are stored in QUARANTINE; the reason is a label of signrelay_ingest_requests_total.
		# TYPE signrelay_ingest_quarantined_total counter
		signrelay_ingest_quarantined_total{provider="clickwrap",source="acme"} 1
		signrelay_ingest_quarantined_total{provider="esign-v1",source="old"} 0
		signrelay_ingest_quarantined_total{provider="pleasesign",source="plain"} 0
		# HELP signrelay_ingest_requests_total Responses to callbacks, by outcome and its reason.
		# TYPE signrelay_ingest_requests_total counter
		signrelay_ingest_requests_total{outcome="accepted",provider="clickwrap",reason="",source="acme"} 1
		signrelay_ingest_requests_total{outcome="accepted",provider="esign-v1",reason="",source="old"} 0
		signrelay_ingest_requests_total{outcome="accepted",provider="pleasesign",reason="",source="plain"} 0
		signrelay_ingest_requests_total{outcome="duplicate",provider="clickwrap",reason="",source="acme"} 1
		signrelay_ingest_requests_total{outcome="duplicate",provider="esign-v1",reason="",source="old"} 0
		signrelay_ingest_requests_total{outcome="duplicate",provider="pleasesign",reason="",source="plain"} 0
		signrelay_ingest_requests_total{outcome="quarantined",provider="clickwrap",reason="not-json",source="acme"} 1
		signrelay_ingest_requests_total{outcome="refused",provider="clickwrap",reason="unauthentic",source="acme"} 1
		signrelay_ingest_requests_total{outcome="refused",provider="esign-v1",reason="unauthentic",source="old"} 0
		signrelay_ingest_requests_total{outcome="refused",provider="pleasesign",reason="unauthentic",source="plain"} 0
		signrelay_ingest_requests_total{outcome="unavailable",provider="clickwrap",reason="log-away",source="acme"} 0
		signrelay_ingest_requests_total{outcome="unavailable",provider="esign-v1",reason="log-away",source="old"} 0
		signrelay_ingest_requests_total{outcome="unavailable",provider="pleasesign",reason="log-away",source="plain"} 0
	`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "signrelay_ingest_quarantined_total", "signrelay_ingest_requests_total"); err != nil {
		t.Error(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "signrelay_ingest_last_callback_timestamp_seconds" {
			continue
		}
		if len(f.GetMetric()) != 1 || f.GetMetric()[0].GetGauge().GetValue() < began {
			t.Errorf("called: %v", f.GetMetric())
		}
	}
}
