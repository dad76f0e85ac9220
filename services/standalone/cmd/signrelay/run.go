package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/telemetry"
	consolesettings "github.com/signrelay/signrelay/services/console/settings"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
	"github.com/signrelay/signrelay/services/standalone"
)

func run(ctx context.Context, c *call) error {
	log := telemetry.Logger(c.stderr, c.cfg.Log.Level, "signrelay")
	service.OneVoice(log)
	service.Together.Apply()
	flush, err := telemetry.Traces(ctx, "signrelay")
	if err != nil {
		return err
	}
	began := time.Now()
	err = standalone.Run(ctx, c.cfg, log, c.starts(), func() { welcome(c.stdout, c.cfg, time.Since(began)) })
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	return errors.Join(err, flush(last))
}

// welcome prints the addresses, and for a first start a command to try.
func welcome(w io.Writer, cfg config.Config, took time.Duration) {
	fmt.Fprintf(w, "\nSignrelay is ready after %d ms. Its state is in %s.\n\n", took.Milliseconds(), cfg.DataDir)
	fmt.Fprintf(w, "  callbacks  %s/webhooks/<provider>/<source>\n", ingestURL(cfg))
	fmt.Fprintf(w, "  console    http://%s  (documents, what is stuck, the flow, its sources)\n", dialable(consolesettings.Section.Of(cfg).Addr))
	fmt.Fprintf(w, "  admin      http://%s/readyz?verbose and /metrics\n", dialable(cfg.Admin.Addr))
	if cfg.NATS.URL == "" {
		fmt.Fprintf(w, "  events     nats://%s  (%s)\n", dialable(cfg.NATS.Addr), standalone.Login(cfg))
	}
	if len(cfg.Sources) > 0 {
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintf(w, "  sandbox    http://%s  (play a story, and see the messages that signers get)\n", dialable(sandboxsettings.Section.Of(cfg).Addr))
	fmt.Fprintf(w, `
Try it:

  curl -i http://%s/webhooks/clickwrap/demo \
    -H 'Content-Type: application/json' -H 'Pactsafe-Webhook-Token: 12345' \
    -d '{"event_type":"request_sent","request":"596f858584281715b3493d0c","activity":"5a26bbf9e623117c2a6eed1b",
         "created_time":"2017-07-19T16:15:28.509Z","id":"596f85a084281715b349513f"}'

  bin/signrelay timeline 596f858584281715b3493d0c

The settings have no sources. So it runs demo sources with public secrets, and the sandbox replaces the providers, Vonage and the mail server.
For real use, pass a settings file with --config; deployments/signrelay.example.yaml shows every key.

`, dialable(ingestsettings.Section.Of(cfg).Addr))
}

// dialable returns a listener's address in the form that a client needs.
func dialable(addr string) string {
	if addr != "" && addr[0] == ':' {
		return "localhost" + addr
	}
	return addr
}

// ingestURL returns the address of ingest: at its listener, or with TLS at the first name of the certificate and the listener's port.
func ingestURL(cfg config.Config) string {
	addr := ingestsettings.Section.Of(cfg).Addr
	names := cfg.TLS.Names()
	if !cfg.TLS.Set() || len(names) == 0 {
		return "http://" + dialable(addr)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "443" {
		return "https://" + names[0]
	}
	return "https://" + net.JoinHostPort(names[0], port)
}

func provisionFlags(fs *flag.FlagSet) {
	fs.Bool("copy", false, "with a subscriber's credentials: create only the copy of the log in its account")
	startFlags(fs)
}

func provision(ctx context.Context, c *call) error {
	if value[bool](c, "copy") {
		ctx, cancel := context.WithTimeout(ctx, provisionTimeout)
		defer cancel()
		cfg, err := standalone.Reach(c.cfg)
		if err != nil {
			return err
		}
		if err := standalone.ProvisionCopy(ctx, cfg, quiet()); err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "copy of   %-12s in the account of these credentials\n", flow.Signing)
		return nil
	}
	if err := c.provisionStreams(ctx); err != nil {
		return err
	}
	for _, s := range flow.Streams {
		fmt.Fprintf(c.stdout, "stream    %-12s %s\n", s.Name, s.Purpose)
	}
	for _, b := range flow.Buckets {
		fmt.Fprintf(c.stdout, "bucket    %-12s %s\n", b.Name, b.Purpose)
	}
	for _, s := range flow.Stages {
		fmt.Fprintf(c.stdout, "consumer  %-12s on %s: %s\n", s.Name, s.Stream, s.Purpose)
	}
	return nil
}

// open opens the same environment that a service has.
func open(ctx context.Context, cfg config.Config) (service.Env, func(), error) {
	cfg, err := standalone.Reach(cfg)
	if err == nil {
		cfg, err = standalone.WithDemo(cfg)
	}
	if err != nil {
		return service.Env{}, nil, err
	}
	return service.Open(ctx, cfg, connectionName, quiet())
}

// connectionName is the name of a command's connection in the listings of NATS.
const connectionName = "signrelay-command"

// connect opens all streams.
func connect(ctx context.Context, cfg config.Config) (jetstream.JetStream, func(), error) {
	env, done, err := open(ctx, cfg)
	return env.JS, done, err
}

// quiet drops the log of libraries: a command prints only the error with which it ends.
func quiet() *slog.Logger {
	if os.Getenv("SIGNRELAY_LOG_LEVEL") == "debug" {
		return telemetry.Logger(os.Stderr, "debug", "signrelay")
	}
	service.OneVoice(slog.New(slog.DiscardHandler))
	return slog.New(slog.DiscardHandler)
}

func healthcheck(ctx context.Context, c *call) error { return service.Healthcheck(ctx, c.cfg) }

func version(_ context.Context, c *call) error {
	fmt.Fprintln(c.stdout, service.About("signrelay"))
	return nil
}

// connectLog opens only the log.
func connectLog(ctx context.Context, cfg config.Config) (jetstream.JetStream, func(), error) {
	cfg, err := standalone.Reach(cfg)
	if err != nil {
		return nil, nil, err
	}
	return service.OpenLog(ctx, cfg, connectionName, quiet())
}
