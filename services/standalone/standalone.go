// Package standalone runs all services in one process. It adds an embedded NATS server, the provisioning and, if the settings have no
// sources, the sandbox in place of the providers, Vonage and the mail server.
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
	"github.com/signrelay/signrelay/services/archiver"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
	"github.com/signrelay/signrelay/services/indexer"
	indexsettings "github.com/signrelay/signrelay/services/indexer/settings"
	kafkabridge "github.com/signrelay/signrelay/services/kafka-bridge"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// Run runs everything until ctx ends. starts are the start positions of missing consumers, as in flow.Provisioner. opened, if not nil, is
// called when all listeners are open.
func Run(ctx context.Context, cfg config.Config, log *slog.Logger, starts map[string]flow.Start, opened func()) error {
	demo := len(cfg.Sources) == 0
	cfg = WithIndex(WithArchive(cfg))
	var dataDir *folder
	if demo || cfg.NATS.URL == "" {
		var err error
		if dataDir, err = makeFolder(cfg.DataDir); err != nil {
			return Once(errors.Join(dataDirError(err), Check(cfg)))
		}
		defer func() { _ = dataDir.close() }()
	}
	if cfg.NATS.URL == "" {
		lock, err := lockDataDir(cfg.DataDir)
		if err != nil {
			return err
		}
		defer func() { _ = lock.Unlock() }() // the end of the process also releases the lock
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
	ended := func() {} // after the broker's end
	if cfg.NATS.URL == "" {
		if cfg, err = dataDir.addSecrets(cfg); err != nil {
			return err
		}
		embedded, err := startBroker(ctx, cfg, log)
		if err != nil {
			return err
		}
		defer func() {
			embedded.stop()
			ended()
		}()
		cfg.NATS.URL, cfg.NATS.Embedded = embedded.ClientURL(), true
		cfg.NATS.Options = append(cfg.NATS.Options, nats.InProcessServer(embedded))
	}
	if err := Provision(ctx, cfg, log, starts, nil); err != nil {
		return err
	}
	if cfg.NATS.Embedded && cfg.Redis.URL == "" {
		if err := provisionCallbacks(ctx, cfg, log, dataDir); err != nil {
			return err
		}
		ended = func() { dataDir.endRun(log) }
	}
	host := service.Host{Config: cfg, Log: log, Services: services(cfg, demo), Demo: demo}
	host.Opened = func(service.Addresses) {
		if opened != nil {
			opened()
		}
	}
	return host.Run(ctx)
}

// Provision creates the streams, buckets and consumers of flow's tables, as a flow.Provisioner does. It waits for the broker until ctx ends.
func Provision(
	ctx context.Context, cfg config.Config, log *slog.Logger, starts map[string]flow.Start, created func(consumer, start string),
) error {
	return provision(ctx, cfg, log, func(ctx context.Context, js jetstream.JetStream, replicas int) error {
		sealed := keyring.New(cfg.MasterKeys()).Set()
		return flow.Provisioner{JS: js, Replicas: replicas, Starts: starts, Created: created, Sealed: sealed}.Run(ctx)
	})
}

// ProvisionCopy creates a subscriber's copy of the log in the subscriber's account. The settings contain the subscriber's credentials.
func ProvisionCopy(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	return provision(ctx, cfg, log, flow.ProvisionCopy)
}

func provision(
	ctx context.Context, cfg config.Config, log *slog.Logger, do func(context.Context, jetstream.JetStream, int) error,
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
	return service.ExplainJetStream(nc, do(ctx, js, cfg.NATS.Replicas))
}

// services returns the services to run, in the order of the flow. One public listener serves callbacks, links and receipts.
func services(cfg config.Config, demo bool) []service.Service {
	var running []service.Service
	for _, s := range Services {
		switch {
		case s.DemoOnly && !demo, s.Name == kafkabridge.Service.Name && !kafkasettings.Section.Of(cfg).Set(),
			s.Name == archiver.Service.Name && !archivesettings.Section.Of(cfg).On(),
			s.Name == indexer.Service.Name && !indexsettings.Section.Of(cfg).On():
			continue
		case s.Name == indexer.Service.Name:
			s.Run = indexer.RunBeside
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
