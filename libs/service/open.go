package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
)

// openWithin is the time for which a command waits for its connections. It is short because a person waits for the command.
const openWithin = 5 * time.Second

// Open gives a command the same connections as a service, and a function that closes them. It opens no listeners.
func Open(ctx context.Context, cfg config.Config, name string, log *slog.Logger) (Env, func(), error) {
	limit, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	cfg.NATS = StopWhenForbidden(cfg.NATS, cancel)
	live := config.NewLive(cfg)
	h := Host{Config: cfg, Log: log, Services: []Service{{Name: name, Calls: []Party{NATS, Redis}}}}
	p, err := h.openParts(limit, live, new(Health), opening{
		connect:  func() (*nats.Conn, error) { return ConnectNow(limit, cfg.NATS, name, log) },
		hopeless: noJetStream,
		operator: true,
	})
	if err != nil {
		return Env{}, nil, err
	}
	env := Env{
		Name: name, Config: cfg, Live: live, Log: log, Metrics: prometheus.NewRegistry(), NATS: p.nats, JS: p.js, Claims: p.claims, Gaps: p.gaps,
		Now: time.Now,
	}
	return env, p.close, nil
}

// OpenLog gives a command access to the log only: a subscriber's account has a copy of the log and no other stream.
func OpenLog(ctx context.Context, cfg config.Config, name string, log *slog.Logger) (jetstream.JetStream, func(), error) {
	limit, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	cfg.NATS = StopWhenForbidden(cfg.NATS, cancel)
	conn, err := ConnectNow(limit, cfg.NATS, name, log)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn)
	if err == nil {
		err = waitForBroker(limit, conn, log, noJetStream, func(ctx context.Context) error {
			_, err := js.Stream(ctx, flow.Signing)
			return err
		})
	}
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return js, conn.Close, nil
}
