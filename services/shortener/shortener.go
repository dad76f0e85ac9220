// Package shortener is the stage that gives each link its short form, and the door that serves it: GET /l/{code}.
package shortener

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Run works until ctx ends. It fails at once when nobody said what the short links begin with, or when the bucket of
// links is not provisioned.
func Run(ctx context.Context, env service.Env) error {
	base, err := linkBase(env.Config.Shortener.PublicURL)
	if err != nil {
		return err
	}
	bucket, err := env.JS.KeyValue(ctx, flow.Links)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", flow.Links, err)
	}
	links := book{bucket: bucket}
	door := &door{
		links: links, js: env.JS, log: env.Log,
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_shortener_opened_total",
			Help: "Requests for short links, by what they met with.",
		}, []string{"outcome"}),
	}
	if err := env.Metrics.Register(door.asked); err != nil {
		return fmt.Errorf("register the shortener's metrics: %w", err)
	}
	env.Public.Handle("GET /l/{code}", door) // the pattern takes HEAD as well

	shortener := &shortener{links: links, base: base}
	runner := stage.Runner[*notifyv1.Notification]{
		Stage: flow.StageNamed(flow.Shortener), JS: env.JS, Decode: notification.Decode, Do: shortener.shorten,
		Log: env.Log, Metrics: env.Metrics,
	}
	env.Up()
	return runner.Run(ctx)
}

// linkBase is what every short link begins with: "https://sign.acme.example/l/".
func linkBase(publicURL string) (string, error) {
	u, err := url.Parse(publicURL)
	if err != nil || !isWeb(u) || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("shortener.public_url must be the http(s) address that signers' links begin with, e.g. https://sign.acme.example")
	}
	return strings.TrimRight(u.String(), "/") + "/l/", nil
}

// isWeb tells whether u is an absolute http or https address: all that a signer is ever sent to.
func isWeb(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

type shortener struct {
	links book
	base  string
}

// shorten sets the notification's short link and passes it on to its sender. Done again, it finds the same link.
func (s *shortener) shorten(ctx context.Context, in stage.Event[*notifyv1.Notification]) ([]stage.Out, error) {
	n := in.Data
	target, err := url.Parse(n.GetLink().GetTarget())
	if err != nil || !isWeb(target) {
		return nil, stage.Permanent(errors.New("the link's target is no http(s) address")) // and the target is a secret
	}
	code, err := s.links.code(ctx, linkOf(n, target))
	if err != nil {
		return nil, err
	}
	n.Link.Short = s.base + code
	m, err := notification.Message(ctx, notification.SendSubject(n), event.DerivedID(n.GetId(), flow.Shortener, "send"), n)
	if err != nil {
		return nil, stage.Permanent(err)
	}
	return []stage.Out{m}, nil
}
