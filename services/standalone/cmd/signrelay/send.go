package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/telemetry"
	"github.com/signrelay/signrelay/services/standalone"
)

func sendFlags(fs *flag.FlagSet) {
	fs.String("source", "", "the `source` to send as; by default the provider's first")
	fs.String("url", "", "the `URL` of ingest; by default from ingest.addr")
}

func send(ctx context.Context, c *call) error {
	if len(c.args) < 1 || len(c.args) > 2 {
		return usageError{"want a provider and the name of a sample"}
	}
	p, known := providers.ByName(c.args[0])
	if !known {
		return usageError{fmt.Sprintf("no provider %q; there are %s", c.args[0], strings.Join(providerNames(), ", "))}
	}
	if len(c.args) == 1 {
		return listSamples(c.stdout, p)
	}
	cfg, err := standalone.WithDemo(c.cfg)
	if err != nil {
		return err
	}
	src, err := sourceToSendAs(cfg, p.Name, c.flag("source"))
	if err != nil {
		return err
	}
	sample, err := pack.ReadSample(p.Samples, c.args[1])
	if err != nil {
		return usageError{fmt.Sprintf("no sample %q; `signrelay send %s` lists them", c.args[1], p.Name)}
	}
	key, err := standalone.DemoKey(cfg.DataDir)
	if err != nil {
		return err
	}
	signed, err := p.Sign(src, key, sample.Request)
	if err != nil {
		return err
	}
	ingest := strings.TrimRight(cmp.Or(c.flag("url"), ingestURL(cfg)), "/")
	return post(ctx, c, ingest+"/webhooks/"+p.Name+"/"+src.Name, signed)
}

func providerNames() []string {
	names := make([]string, len(providers.All))
	for i, p := range providers.All {
		names[i] = p.Name
	}
	return names
}

func listSamples(w io.Writer, p pack.Pack) error {
	files, err := fs.Glob(p.Samples, "*.http")
	if err != nil {
		return err
	}
	for _, f := range files {
		fmt.Fprintln(w, strings.TrimSuffix(f, ".http"))
	}
	return nil
}

func sourceToSendAs(cfg config.Config, provider, name string) (config.Source, error) {
	for _, s := range cfg.Sources {
		if s.Provider == provider && (name == "" || s.Name == name) {
			return s, nil
		}
	}
	return config.Source{}, fmt.Errorf("the settings have no source %q of %s", name, provider)
}

func post(ctx context.Context, c *call, base string, r pack.Request) error {
	req, err := r.To(ctx, base+r.Route)
	if err != nil {
		return errors.New("--url is not a URL")
	}
	resp, err := (&http.Client{Timeout: 15 * time.Second}).Do(req)
	if err != nil {
		return fmt.Errorf("the request failed; check that ingest runs: %w", telemetry.WithoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	response, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%s\n%s\n", resp.Status, response)
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("ingest returned %s", resp.Status)
	}
	return nil
}
