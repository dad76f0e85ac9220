// Package standalone is the whole house in one process, with an embedded NATS server. Its services are those of the
// images; it adds the broker, the provisioning, and for a newcomer the sandbox as the world outside.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/service"
	kafkabridge "github.com/signrelay/signrelay/services/kafka-bridge"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// Run runs everything until ctx ends. Starts are where consumers begin that are missing, as in flow.Provisioner. Opened, when it is
// not nil, is called once all doors are open.
func Run(ctx context.Context, cfg config.Config, log *slog.Logger, starts map[string]flow.Start, opened func()) error {
	demo := len(cfg.Sources) == 0
	var dataDir *folder
	if demo || cfg.NATS.URL == "" {
		var err error
		if dataDir, err = makeFolder(cfg.DataDir); err != nil {
			return Once(errors.Join(dataDirError(err), Check(cfg)))
		}
		defer func() { _ = dataDir.close() }()
	}
	if cfg.NATS.URL == "" {
		lock, err := hold(cfg.DataDir)
		if err != nil {
			return err
		}
		defer func() { _ = lock.Unlock() }() // the process's end unlocks it too
	}
	if demo {
		if err := dataDir.makeDemoKey(); err != nil {
			return err
		}
	}
	cfg, err := WithDemo(cfg)
	if err != nil {
		return err
	}
	if err := check(cfg, demo); err != nil {
		return err
	}
	if cfg.NATS.URL == "" {
		if cfg, err = dataDir.keep(cfg); err != nil {
			return err
		}
		embedded, err := startBroker(ctx, cfg, log)
		if err != nil {
			return err
		}
		defer embedded.stop()
		cfg.NATS.URL = embedded.ClientURL()
		cfg.NATS.Options = append(cfg.NATS.Options, nats.InProcessServer(embedded))
	}
	if err := Provision(ctx, cfg, log, starts, nil); err != nil {
		return err
	}
	host := service.Host{Config: cfg, Log: log, Services: services(cfg, demo)}
	host.Opened = func(service.Addresses) {
		if opened != nil {
			opened()
		}
	}
	return host.Run(ctx)
}

// Provision makes what flow's tables say on the broker of the settings, as a flow.Provisioner does. It waits for the broker until ctx
// ends.
func Provision(
	ctx context.Context, cfg config.Config, log *slog.Logger, starts map[string]flow.Start, tell func(consumer, start string),
) error {
	return provision(ctx, cfg, log, func(ctx context.Context, js jetstream.JetStream, replicas int) error {
		sealed := keyring.New(cfg.MasterKeys()).Set()
		return flow.Provisioner{JS: js, Replicas: replicas, Starts: starts, Tell: tell, Sealed: sealed}.Run(ctx)
	})
}

// ProvisionCopy makes a subscriber's copy of the log there, with the subscriber's credentials in the settings.
func ProvisionCopy(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	return provision(ctx, cfg, log, flow.ProvisionCopy)
}

func provision(
	ctx context.Context, cfg config.Config, log *slog.Logger, what func(context.Context, jetstream.JetStream, int) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	nc, err := service.ConnectNow(ctx, service.StopWhenForbidden(cfg.NATS, cancel), "signrelay-provision", log)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	return service.ExplainJetStream(nc, what(ctx, js, cfg.NATS.Replicas))
}

// services in the order of the flow. One public listener serves callbacks, links and receipts.
func services(cfg config.Config, demo bool) []service.Service {
	var running []service.Service
	for _, s := range Services {
		switch {
		case s.DemoOnly && !demo, s.Name == kafkabridge.Service.Name && !kafkasettings.Section.Of(cfg).Set():
			continue
		case s.Name == kafkabridge.Service.Name:
			s.Run = kafkabridge.RunBeside
		}
		s.Listeners = slices.Clone(s.Listeners)
		for i := range s.Listeners {
			if s.Listeners[i].Path != "" {
				s.Listeners[i].Key = "ingest.addr"
			}
		}
		running = append(running, s)
	}
	return running
}
