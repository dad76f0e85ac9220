// Package doctor checks an installation with the settings and credentials of the services. It reports each fault and its fix.
// Examine changes nothing. Prove stores test events, and only in an installation for tests.
package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/telemetry"
)

// Status is the result of a check.
type Status string

// The results of a check. A warning reports a state that only the operator can judge, or a state that makes failures worse but is not a
// failure.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Finding is one line of the report. It contains no secret and no personal data.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Fix    string `json:"mend,omitempty"` // how to fix it; empty if the check passed
}

func passed(check, found string, args ...any) Finding {
	return Finding{Check: check, Status: OK, Found: fmt.Sprintf(found, args...)}
}

// Options of an examination.
type Options struct {
	// For lists the services whose permissions are checked; empty means all services.
	For []string
	// IngestURL is the address at which providers reach ingest. If it is empty, that check is omitted.
	IngestURL string
	// Embedded is true if the broker is the embedded server of a running standalone.
	Embedded bool
	// MonitorURL is the NATS server's monitoring address; empty if it cannot be reached. The server reports its syncing to disk only there.
	MonitorURL string
}

// Check returns the mistake in the options.
func (o Options) Check() error { return unknownServices(o.For) }

// groupTimeout bounds one group of checks: a provider's response may take 20 s.
const groupTimeout = 30 * time.Second

// Examine runs all checks concurrently, because a broken server often responds late. It reports the findings in the order of the checks.
func Examine(ctx context.Context, cfg config.Config, o Options, report func(Finding)) {
	limits := limit.Limiter(limit.NewLocal())
	if client, err := service.ConnectRedis(cfg.Redis); err == nil {
		defer func() { _ = client.Close() }()
		limits = limit.NewRedis(client, keyring.New(cfg.MasterKeys())) // the doctor's calls count against the same rate limits as the services' calls
	}
	e := &examination{cfg: cfg, Options: o, limits: limits}
	groups := []func(context.Context) []Finding{
		e.settings, e.templates, e.secrets,
		e.nats, e.redis,
		e.providers, e.vonage, e.smtp, e.shortener, e.archive, e.index, e.kafka,
		e.links, e.receipts, e.ingest, e.certificates,
	}
	found := make([]chan []Finding, len(groups))
	for i, group := range groups {
		found[i] = make(chan []Finding, 1)
		go func() {
			ctx, cancel := context.WithTimeout(ctx, groupTimeout)
			defer cancel()
			found[i] <- group(ctx)
		}()
	}
	for _, group := range found {
		for _, f := range <-group {
			report(f)
		}
	}
}

type examination struct {
	Options

	cfg    config.Config
	limits limit.Limiter
}

// masked returns an error's text on one line, without personal addresses and numbers.
func masked(err error) string {
	return telemetry.Mask(strings.ReplaceAll(err.Error(), "\n", "; "))
}
