package observe_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/tests/testenv"
)

// settings names outside parties, but this test does not call them.
const settings = `
sources:
  - {name: demo, provider: clickwrap, webhook: {secrets: ["12345"]}, api: {base_url: "http://127.0.0.1:1", token: t}}
sms: {vonage: {api_key: sandbox0, api_secret: s, from: "13175550100", base_url: "http://127.0.0.1:1"}}
email: {from: no-reply@signrelay.example, smtp: {host: 127.0.0.1, port: 1, tls: none}}
shortener: {public_url: "http://127.0.0.1:1"}
kafka: {create_topic: true, replication_factor: 1, partitions: 1}
`

// probed is a service whose connections to NATS, Redis and Kafka the test can cut.
type probed struct {
	*testenv.Env
	*testenv.Process
	wires map[string]*wire
}

type health struct {
	Status string `json:"status"`
	Checks map[string]struct {
		OK bool `json:"ok"`
	} `json:"checks"`
}

func (p probed) probe(t *testing.T) (status int, h health) {
	t.Helper()
	status, body := get(t, p.AdminURL()+"/readyz?verbose")
	if status != 0 {
		if err := json.Unmarshal(body, &h); err != nil {
			t.Fatalf("%d %s", status, body)
		}
	}
	return status, h
}

// hasMetric reports whether /metrics has this line.
func (p probed) hasMetric(t *testing.T, line string) bool {
	t.Helper()
	_, body := get(t, p.AdminURL()+"/metrics")
	return strings.Contains("\n"+string(body), "\n"+line+"\n")
}

// If NATS or Redis does not respond, because connections are cut or silent, every service reports the part within 5 s, and is ready again
// when the part is back. The senders must remember which messages they sent, so they need Redis; the other services stay ready without it
// and report it.
func TestReadyzNamesUnavailablePart(t *testing.T) {
	t.Parallel()
	h := testenv.Infrastructure(t, func(*testenv.Env) string { return settings })
	kafka := testenv.Kafka(t)
	for _, name := range []string{"ingest", "enricher", "shortener", "sms-sender", "email-sender", "kafka-bridge"} {
		p := probed{Env: h, wires: map[string]*wire{
			"nats":  newWire(t, strings.TrimPrefix(h.NATSURL, "nats://")),
			"redis": newWire(t, strings.TrimSuffix(strings.TrimPrefix(h.Redis.URL, "redis://"), "/0")),
		}}
		p.Process = h.StartService(t, name, name, "SIGNRELAY_NATS_URL=nats://"+p.wires["nats"].addr,
			"SIGNRELAY_REDIS_URL=redis://"+p.wires["redis"].addr+"/0", "SIGNRELAY_KAFKA_BROKERS="+kafka.ListenAddrs()[0])
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for part, w := range p.wires {
				for _, broken := range []state{cut, silent} {
					p.away(t, part, w, broken, part == "redis" && !strings.HasSuffix(name, "-sender"))
				}
			}
		})
	}
}

// away makes a part unavailable and restores it.
func (p probed) away(t *testing.T, part string, w *wire, broken state, degrades bool) {
	t.Helper()
	wants, ready := http.StatusServiceUnavailable, "0"
	if degrades {
		wants, ready = http.StatusOK, "1"
	}
	w.set(broken)
	began := time.Now()
	p.Until(t, fmt.Sprintf("%s reports that %s is unavailable (%v)", p.Name, part, broken), func() bool {
		status, h := p.probe(t)
		check, known := h.Checks[part]
		return status == wants && known && !check.OK
	})
	t.Logf("%s %v: %d after %v", part, broken, wants, time.Since(began).Round(10*time.Millisecond))
	for other := range p.wires {
		if _, h := p.probe(t); other != part && !h.Checks[other].OK {
			t.Errorf("%s is unavailable, and %s is reported too", part, other)
		}
	}
	check := fmt.Sprintf(`signrelay_ready_checks{check=%q,component=%q,degrades="%v"} `, part, p.Name, degrades)
	p.Until(t, "the metrics show it too", func() bool {
		return p.hasMetric(t, check+"0") && p.hasMetric(t, fmt.Sprintf(`signrelay_ready{component=%q} %s`, p.Name, ready))
	})

	w.set(whole)
	began = time.Now()
	p.Until(t, fmt.Sprintf("%s is ready again after %s was away (%v)", p.Name, part, broken), func() bool {
		status, h := p.probe(t)
		return status == http.StatusOK && h.Status == "ready" && h.Checks[part].OK && p.hasMetric(t, check+"1")
	})
	t.Logf("%s %v: ready again after %v", part, broken, time.Since(began).Round(10*time.Millisecond))
}

// The bridge also reports Kafka.
func TestReadyzNamesKafka(t *testing.T) {
	t.Parallel()
	h := testenv.Infrastructure(t, func(*testenv.Env) string { return settings })
	kafka := testenv.Kafka(t)
	p := probed{Env: h}
	p.Process = h.StartService(t, "kafka-bridge", "kafka-bridge", "SIGNRELAY_KAFKA_BROKERS="+kafka.ListenAddrs()[0])
	kafka.Close()
	began := time.Now()
	h.Until(t, "Kafka is named", func() bool {
		status, h := p.probe(t)
		return status == http.StatusServiceUnavailable && !h.Checks["kafka"].OK && h.Checks["nats"].OK
	})
	t.Logf("kafka away: 503 after %v", time.Since(began).Round(10*time.Millisecond))
}
