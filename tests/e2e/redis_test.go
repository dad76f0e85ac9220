package e2e

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// Replicas share rates and claims through Redis, so services that run as separate processes refuse to start without it.
func TestSeparateServicesNeedRedis(t *testing.T) {
	t.Parallel()
	limit, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a service that starts waits for NATS without limit
	defer cancel()
	for _, service := range testenv.Services[1:] {
		if service == flow.Console || service == flow.Indexer { // they share neither
			continue
		}
		cmd := exec.CommandContext(limit, testenv.Program(t, service))
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SIGNRELAY_NATS_URL=nats://127.0.0.1:1", "SIGNRELAY_SHORTENER_PUBLIC_URL=https://sign.acme.example"}
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "SIGNRELAY_REDIS_URL") || strings.Contains(string(out), "SIGNRELAY_NATS_URL") {
			t.Errorf("%s without Redis: %v\n%s", service, err, out)
		}
	}
}

// Redis stops. People can still open links, so the shortener stays ready. The senders wait for Redis, because without it they could send twice.
func TestLinksOpenWithoutRedis(t *testing.T) {
	t.Parallel()
	h := testenv.Separate(t)
	h.Play(t, "clickwrap", "resend")
	h.Until(t, "the texts have arrived", func() bool { return len(h.Messages(t)) == 6 })

	h.Redis.Stop()
	h.Until(t, "the senders report that they are not ready", func() bool {
		return h.Ready(t, "sms-sender") == http.StatusServiceUnavailable && h.Ready(t, "email-sender") == http.StatusServiceUnavailable
	})
	for _, service := range []string{"enricher", "shortener"} {
		if status := h.Ready(t, service); status != http.StatusOK {
			t.Errorf("%s: status %d", service, status)
		}
	}
	followLink(t, linkIn(h.Messages(t), "Consulting Agreement"), http.StatusOK)

	h.ClearMessages(t)
	h.Redis.Start()
	h.Play(t, "clickwrap", "resend")
	h.Until(t, "the senders have continued", func() bool { return len(h.Messages(t)) == 6 })
}
