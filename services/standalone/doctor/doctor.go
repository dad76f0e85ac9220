// Package doctor looks at a set-up with the eyes and the credentials of the services, and says what is wrong with it and
// how to mend it. Examine changes nothing anywhere; Prove stores test events, in a set-up that is for tests.
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

// Status is how a check ended.
type Status string

// How a check can end. A warning is what only the operator can judge, or what makes things worse and not wrong.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Finding is one line of the report. It holds no secret and nothing personal.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Mend   string `json:"mend,omitempty"` // how to; empty where all is well
}

func fine(check, found string, args ...any) Finding {
	return Finding{Check: check, Status: OK, Found: fmt.Sprintf(found, args...)}
}

// Options of an examination.
type Options struct {
	// For are the services whose permissions are looked for; empty for all of them.
	For []string
	// IngestURL is where providers reach ingest; empty looks for it nowhere.
	IngestURL string
	// Embedded is true when the broker is that of a running standalone.
	Embedded bool
	// MonitorURL is the NATS server's monitoring address, which alone tells how it syncs to disk; empty where it cannot be
	// reached.
	MonitorURL string
}

// Check tells what is wrong with the options.
func (o Options) Check() error { return unknownServices(o.For) }

// within bounds one group of checks: a provider may take 20 s for an answer.
const within = 30 * time.Second

// Examine tells what it found, in the order of the checks. They run at once, because what is broken often answers late.
func Examine(ctx context.Context, cfg config.Config, o Options, tell func(Finding)) {
	limits := limit.Limiter(limit.NewLocal())
	if client, err := service.ConnectRedis(cfg.Redis); err == nil {
		defer func() { _ = client.Close() }()
		limits = limit.NewRedis(client, keyring.New(cfg.MasterKeys())) // the doctor's calls count with those of the services
	}
	e := &examination{cfg: cfg, Options: o, limits: limits}
	groups := []func(context.Context) []Finding{
		e.settings, e.templates, e.secrets,
		e.broker, e.memory,
		e.providers, e.texts, e.letters, e.shortener, e.kafka,
		e.links, e.receipts, e.ingest,
	}
	found := make([]chan []Finding, len(groups))
	for i, group := range groups {
		found[i] = make(chan []Finding, 1)
		go func() {
			ctx, cancel := context.WithTimeout(ctx, within)
			defer cancel()
			found[i] <- group(ctx)
		}()
	}
	for _, group := range found {
		for _, f := range <-group {
			tell(f)
		}
	}
}

type examination struct {
	Options

	cfg    config.Config
	limits limit.Limiter
}

// told is an error's text as it may be shown: on one line, without an address or a number of a person.
func told(err error) string {
	return telemetry.Mask(strings.ReplaceAll(err.Error(), "\n", "; "))
}
