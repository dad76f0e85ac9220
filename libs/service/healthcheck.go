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

// healthcheckWithin limits the request; the checks behind /readyz end within 2 s.
const healthcheckWithin = 4 * time.Second

// Healthcheck requests the readiness of the program that runs with the same settings on this machine. It is for `ingest healthcheck` in a
// container whose image contains only the program. It requests /readyz, not /livez, because the container engine itself knows whether the
// process is alive. Docker does not restart a container that is not ready. Kubernetes probes the admin listener directly.
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
	// The empty transport ignores a proxy in the environment.
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(r)
	if err != nil {
		return fmt.Errorf("no response from the admin listener: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // a container engine keeps 4 KiB of it
		return fmt.Errorf("status %d: %s", resp.StatusCode, bytes.TrimSpace(body))
	}
	return nil
}
