package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
	"github.com/signrelay/signrelay/services/standalone"
)

// page contains the callbacks in one provider's documentation. They are about a document that the sandbox has from its start and does not
// change.
type page struct {
	provider, title string
	callbacks       []callback
}

type callback struct {
	sample   string
	status   int // of the response
	messages int // that it causes
}

var printed = []page{
	// One signer: an invitation by SMS and by e-mail, and no progress message.
	{"pleasesign", "PleaseSign", []callback{
		{"document-created", http.StatusAccepted, 2},
		{"recipient-sent", http.StatusAccepted, 0},
		{"recipient-opened", http.StatusAccepted, 0},
		{"recipient-complete", http.StatusAccepted, 0},
	}},
	// Both callbacks report that one document is complete: one download link by SMS and by e-mail. The second callback adds the title,
	// which is stored as document.updated.
	{"esign-v1", "the eSignature API v1", []callback{
		{"all", http.StatusAccepted, 2},
		{"signed", http.StatusAccepted, 0},
	}},
}

// send sends the callback, signed as the provider signs.
func (c callback) send(ctx context.Context, w io.Writer, cfg config.Config, provider string) error {
	cfg, err := standalone.WithDemo(cfg)
	if err != nil {
		return err
	}
	key, err := standalone.DemoKey(cfg.DataDir)
	if err != nil {
		return err
	}
	p, _ := providers.ByName(provider)
	sample, err := pack.ReadSample(p.Samples, c.sample)
	if err != nil {
		return err
	}
	signed, err := p.Sign(sourceOf(cfg, provider), key, sample.Request)
	if err != nil {
		return err
	}
	status, ids, err := post(ctx, "http://"+ingestsettings.Section.Of(cfg).Addr+"/webhooks/"+provider+"/"+standalone.DemoSource, signed)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "  callback  %-18s response %d, %s\n", strings.ReplaceAll(c.sample, "-", "."), status, stored(ids))
	if status != c.status {
		return fmt.Errorf("the response to %s is %d, want %d", c.sample, status, c.status)
	}
	return nil
}

func stored(ids []string) string {
	if len(ids) == 0 {
		return "already in the log"
	}
	return "stored as " + strings.Join(ids, ", ")
}

func sourceOf(cfg config.Config, provider string) config.Source {
	for _, s := range cfg.Sources {
		if s.Provider == provider {
			return s
		}
	}
	return config.Source{} // unreachable, because the demo has a source of each provider
}

func post(ctx context.Context, url string, r pack.Request) (status int, ids []string, err error) {
	req, err := r.To(ctx, url+r.Route)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var response struct {
		IDs []string `json:"ids"`
	}
	err = json.NewDecoder(resp.Body).Decode(&response)
	return resp.StatusCode, response.IDs, err
}
