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

// fsync checks that the broker writes a message to disk before it acknowledges it. Only the monitoring address reports it.
func (e *examination) fsync(ctx context.Context) Finding {
	const (
		check = "nats sync_interval"
		fix   = "set sync_interval: always in the server's jetstream block, or run a cluster of three with nats.replicas: 3"
	)
	if e.Embedded {
		return passed(check, "always: the embedded server writes each message to disk before it acknowledges it")
	}
	if e.MonitorURL == "" {
		if e.cfg.NATS.Replicas >= 3 {
			return passed(check, "cannot be read; it matters only if all %d replicas lose power at once", e.cfg.NATS.Replicas)
		}
		return Finding{check, Warn, "cannot be read with these credentials; unless it is \"always\", a power cut can lose up to 2 minutes of accepted callbacks", fix + "; pass --nats-monitor http://<server>:8222 to check it"}
	}
	server, err := monitoring(ctx, e.MonitorURL)
	if err == nil && !server.Config.SyncAlways && server.Config.SyncInterval == 0 {
		err = errNoJetStream
	}
	switch {
	case err != nil:
		return Finding{check, Warn, "cannot be read: the monitoring address does not report it", "check that --nats-monitor is the server's http_port"}
	case server.Config.SyncAlways:
		return passed(check, "always")
	case e.cfg.NATS.Replicas >= 3:
		return passed(check, "%v; it matters only if all %d replicas lose power at once", server.Config.SyncInterval, e.cfg.NATS.Replicas)
	default:
		return Finding{check, Fail, server.Config.SyncInterval.String() + ": a power cut can lose the callbacks that were accepted in that time", fix}
	}
}

var errNoJetStream = errors.New("the monitoring does not report JetStream")

// jetStream is the response to GET /jsz of the server's monitoring. Sizes are in bytes.
type jetStream struct {
	Store  int64 `json:"storage"`
	Config struct {
		MaxStore     int64         `json:"max_storage"`
		SyncAlways   bool          `json:"sync_always"`
		SyncInterval time.Duration `json:"sync_interval"`
	} `json:"config"`
}

func monitoring(ctx context.Context, monitor string) (state jetStream, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(monitor, "/")+"/jsz", nil)
	if err != nil {
		return state, err
	}
	response, err := (&http.Client{Timeout: connectTimeout}).Do(r)
	if err != nil {
		return state, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return state, err
	}
	return state, json.Unmarshal(body, &state)
}
