package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/tests/testenv"
)

// NATS is killed and restarted, then Redis. The log holds each callback that got 2xx once, and no other event.
func TestOutagesLoseAndDuplicateNothing(t *testing.T) {
	t.Parallel()
	h := testenv.Ingest(t, true)
	send := func(document string) (int, http.Header) {
		t.Helper()
		body := fmt.Sprintf(`{"event_type":"request_complete","request":%q,"id":"e-%s"}`, document, document)
		status, _, header := h.CallbackWithHeader(t, http.MethodPost, "/webhooks/clickwrap/demo", nil, http.Header{
			"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"},
		}, []byte(body))
		return status, header
	}
	want := func(document string, status int) {
		t.Helper()
		if got, _ := send(document); got != status {
			t.Errorf("%s: status %d, want %d", document, got, status)
		}
	}
	want("before", 202)

	h.Processes["nats"].Kill()
	status, header := send("without-nats")
	if status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("without NATS: %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	h.Until(t, "ingest reports that it is not ready", func() bool { return h.Ready(t, "ingest") == http.StatusServiceUnavailable })
	h.Processes["nats"].Start()
	h.Until(t, "the provider's retry is accepted", func() bool { status, _ := send("without-nats"); return status == 202 })
	want("without-nats", 200)
	want("before", 200)

	h.Redis.Stop()
	want("without-redis", 202)
	want("without-redis", 200)
	h.Until(t, "ingest is ready without Redis, because it still accepts callbacks", func() bool { return h.Ready(t, "ingest") == http.StatusOK })
	h.Redis.Start()
	want("without-redis", 200)
	want("after", 202)
	want("after", 200)

	for _, document := range []string{"before", "without-nats", "without-redis", "after"} {
		timeline, err := h.Command(t, "timeline", document)
		if err != nil || strings.Count(timeline, "\n") != 1 {
			t.Errorf("timeline of %s: %v\n%s", document, err, timeline)
		}
	}
	log, err := h.Command(t, "tail", "--no-follow")
	if err != nil || strings.Count(log, "\n") != 4 {
		t.Errorf("the log: %v\n%s", err, log)
	}
}
