// Package shortener is the stage that makes short links, and the HTTP handler that serves them: GET /l/{code}.
package shortener

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// Service is the shortener as a separate program.
var Service = service.Service{
	Name:              flow.Shortener,
	Run:               Run,
	Check:             check,
	Listeners:         []service.Listener{{Name: "http", Key: "links.addr", Port: 8083, Path: "/l", HTTPS: "shortener.public_url"}},
	Sections:          []config.Declared{shortenersettings.Section, shortenersettings.Links},
	Calls:             []service.Party{service.NATS, service.Redis, service.Web},
	Reads:             []string{"sources", "api", "shortener", "archive", "drain_delay", "tls", "nats", "redis", "master_key", "log"},
	WorksWithoutRedis: true, // links still open, and each process limits its own rate
}

// check reports the settings that Run refuses, and an outside shortener without its key. The senders also read these settings, for the
// beginning of our links, but they have no key.
func check(c config.Config) error {
	s := shortenersettings.Section.Of(c)
	_, err := notification.NewLinks(s.PublicURL, s.Domain())
	switch {
	case s.Kind == "bitly" && s.Bitly.Token == "":
		err = errors.Join(err, errors.New("shortener.bitly.token: shortener.kind is bitly: set its access token"))
	case s.Kind == "rebrandly" && s.Rebrandly.APIKey == "":
		err = errors.Join(err, errors.New("shortener.rebrandly.apikey: shortener.kind is rebrandly: set its API key"))
	}
	return err
}

// Run works until ctx ends. It fails at once if shortener.public_url is missing, if a source's API settings are wrong, or if the bucket of
// links is not provisioned.
func Run(ctx context.Context, env service.Env) error {
	sources, err := env.Sources(providers.ForClicks)
	if err != nil {
		return fmt.Errorf("open the sources: %w", err)
	}
	return run(ctx, env, sources.Now)
}

func run(ctx context.Context, env service.Env, sources func() providers.Sources) error {
	settings := shortenersettings.Section.Of(env.Config)
	ours, err := notification.NewLinks(settings.PublicURL, settings.Domain())
	if err != nil {
		return err
	}
	links, err := openStore(ctx, env.JS, keyring.New(env.Config.MasterKeys()), settings.ExpireAfter, env.Log)
	if err != nil {
		return err
	}

	optOuts, err := optout.Open(ctx, env.JS, keyring.New(env.Config.MasterKeys()))
	if err != nil {
		return err
	}
	handler, err := newHandler(env, links, optOuts, sources)
	if err != nil {
		return err
	}
	if kept := archivesettings.Section.Of(env.Config); kept.On() {
		if handler.archive, err = archive.Open(ctx, kept.URL); err != nil { // links open without it, too
			env.Log.ErrorContext(ctx, "the archive was not opened: documents that their providers have no more are not served", "error", err)
		} else {
			defer func() { _ = handler.archive.Close() }()
		}
	}
	// The patterns also match a slash after a code; that of GET also matches HEAD.
	env.Public.Handle("GET /l/{code...}", handler)
	env.Public.Handle("POST /l/{code...}", handler)
	env.Public.TakeEscapes("/l/") // after the code, because mail programs may include a character of the text

	third, err := newThirdParty(env, ours)
	if err != nil {
		return err
	}
	s := &shortener{js: env.JS, links: links, base: ours.Base(), sources: sources, third: third}
	runner := stage.Runner[*notifyv1.Notification]{
		Stage: flow.StageNamed(flow.Shortener), JS: env.JS, Decode: notification.Decode, Do: s.shorten,
		Log: env.Log, Metrics: env.Metrics,
	}
	env.Up()
	return runner.Run(ctx)
}

type shortener struct {
	js      jetstream.JetStream
	links   store
	base    string
	sources func() providers.Sources // of the current settings
	third   *thirdParty              // nil for kind builtin
}

// operatorPause is the stage's delay if only the operator can fix the cause.
const operatorPause = 15 * time.Minute

// shorten sets the short link of a person's notifications and sends each of them to the sender of its channel. A second attempt finds the same
// link.
//
// The stage has no claims although it calls an outside shortener. A vendor returns the same short form for the same link, and the form is
// stored with the link, so a repeated call is harmless.
func (s *shortener) shorten(ctx context.Context, in stage.Event[*notifyv1.Notification]) ([]stage.Out, error) {
	all, err := notification.PerChannel(in.Data)
	if err != nil {
		return nil, outcome.Permanent(err)
	}
	n := all[0] // the others have the same link
	wanted, err := linkOf(n)
	if err != nil {
		return nil, outcome.Permanent(err)
	}
	if wanted.Target == "" && s.sources()[providers.SourceKey{Name: n.GetSource(), Provider: n.GetProvider()}].API == nil {
		return nil, outcome.RetryAfter(operatorPause, errors.New("no-api: the provider resolves the link at the click, and the settings have no API for it"))
	}
	e, err := s.links.getOrCreate(ctx, pairOf(n), wanted)
	if err != nil {
		return nil, err
	}
	var sends, reports []stage.Out
	for _, n := range all {
		short := s.base + e.code + suffixOf(n.GetChannel())
		if s.third != nil && !wanted.corrects() { // an outside shortener has no need to know a link with which addresses are changed
			var also []stage.Out
			if short, also, err = s.third.form(ctx, of(in, n), s.links, e, short); err != nil {
				return nil, err
			}
			reports = append(reports, also...)
		}
		n.Link.Short = short
		m, err := sendMessage(ctx, n)
		if err != nil {
			return nil, outcome.Permanent(err)
		}
		sends = append(sends, m)
	}
	if len(reports) > 0 { // NOTIFY may contain a message twice, if two events caused it
		if reports, err = stage.Unpublished(ctx, s.js, reports); err != nil {
			return nil, err
		}
	}
	return append(reports, sends...), nil
}

// of returns an input as if it had only this one notification.
func of(in stage.Event[*notifyv1.Notification], n *notifyv1.Notification) stage.Event[*notifyv1.Notification] {
	in.Data = n
	return in
}
