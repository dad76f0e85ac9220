package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
)

// openWithin is how long a command waits for the parts; a person is waiting for it.
const openWithin = 5 * time.Second

// Open gives a command the connections that a service is given, and a function that closes them. It has no doors.
func Open(ctx context.Context, cfg config.Config, name string, log *slog.Logger) (Env, func(), error) {
	limit, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	live := config.NewLive(cfg)
	p, err := Host{Config: cfg, Log: log, Services: []Service{{Name: name}}}.openParts(limit, live, new(Health))
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no provisioned NATS within %s at nats.url: is it running, and was `signrelay provision` run?", openWithin)
	}
	if err != nil {
		return Env{}, nil, err
	}
	env := Env{
		Name: name, Config: cfg, Live: live, Log: log, Metrics: prometheus.NewRegistry(), NATS: p.nats, JS: p.js, Claims: p.claims, Gaps: p.gaps,
	}
	return env, p.close, nil
}
