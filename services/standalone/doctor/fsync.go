package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// fsync tells whether what the broker acknowledges is on disk. Ordinary credentials cannot ask; the monitoring can.
func (e *examination) fsync(ctx context.Context) Finding {
	const (
		check = "nats sync_interval"
		mend  = "set sync_interval: always in the server's jetstream block, or run a cluster of three with nats.replicas: 3"
	)
	if e.Embedded {
		return fine(check, "always: the embedded server writes to the disk before it acknowledges")
	}
	if e.MonitorURL == "" {
		if e.cfg.NATS.Replicas >= 3 {
			return fine(check, "cannot be seen, and matters only when all %d copies lose power at once", e.cfg.NATS.Replicas)
		}
		return Finding{check, Warn, "cannot be seen with these credentials; unless it is \"always\", a power cut takes up to 2 minutes of what was answered 2xx", mend + "; --nats-monitor http://<server>:8222 looks"}
	}
	server, err := monitored(ctx, e.MonitorURL)
	if err == nil && !server.Config.SyncAlways && server.Config.SyncInterval == 0 {
		err = errNotSaid
	}
	switch {
	case err != nil:
		return Finding{check, Warn, "cannot be seen: the monitoring address gave no answer that says it", "does --nats-monitor lead to the server's http port?"}
	case server.Config.SyncAlways:
		return fine(check, "always")
	case e.cfg.NATS.Replicas >= 3:
		return fine(check, "%v, which matters only when all %d copies lose power at once", server.Config.SyncInterval, e.cfg.NATS.Replicas)
	default:
		return Finding{check, Fail, server.Config.SyncInterval.String() + ": a power cut takes that much of what was answered 2xx", mend}
	}
}

var errNotSaid = errors.New("the monitoring does not tell of JetStream")

// jetStream is what GET /jsz of the server's monitoring says; sizes are in bytes.
type jetStream struct {
	Store  int64 `json:"storage"`
	Config struct {
		MaxStore     int64         `json:"max_storage"`
		SyncAlways   bool          `json:"sync_always"`
		SyncInterval time.Duration `json:"sync_interval"`
	} `json:"config"`
}

func monitored(ctx context.Context, monitor string) (said jetStream, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(monitor, "/")+"/jsz", nil)
	if err != nil {
		return said, err
	}
	answer, err := (&http.Client{Timeout: connectWithin}).Do(r)
	if err != nil {
		return said, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return said, err
	}
	return said, json.Unmarshal(body, &said)
}
