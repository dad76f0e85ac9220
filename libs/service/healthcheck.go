package service

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// healthcheckWithin bounds the question; the door's own checks answer within 2 s.
const healthcheckWithin = 4 * time.Second

// Healthcheck asks the program that runs with the same settings on this machine whether it is ready: `ingest healthcheck`, for a
// container whose image holds nothing but the program. It asks /readyz, not /livez: that the process is alive its engine knows by
// itself, and nothing in Docker restarts a container that is not ready. Kubernetes asks the door directly.
func Healthcheck(ctx context.Context, cfg config.Config) error {
	host, port, err := net.SplitHostPort(cfg.Admin.Addr)
	if err != nil {
		return fmt.Errorf("admin.addr: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens on all interfaces
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckWithin)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz?verbose", nil)
	if err != nil {
		return fmt.Errorf("admin.addr: %w", err)
	}
	// Without a proxy that the environment may name.
	answer, err := (&http.Client{Transport: &http.Transport{}}).Do(r)
	if err != nil {
		return fmt.Errorf("no answer at the admin door: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // an engine keeps 4 KiB of it
		return fmt.Errorf("status %d: %s", answer.StatusCode, bytes.TrimSpace(said))
	}
	return nil
}
