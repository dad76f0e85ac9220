// Package smssender is the stage that sends one SMS for one notification, through Vonage, and the door that takes what Vonage
// tells of it afterwards: POST|GET /receipts/vonage/{source}.
package smssender

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/gsm7"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// Service is the SMS sender as a program of its own.
var Service = service.Service{
	Name:      flow.SMSSender,
	Summary:   "sends texts by Vonage and takes its delivery receipts",
	Run:       Run,
	Check:     check,
	Listeners: []service.Listener{{Name: "http", Key: "receipts.addr", Port: 8084, Path: "/receipts"}},
	Sections:  []config.Declared{smssettings.Receipts},
	Calls:     []service.Party{service.NATS, service.Redis, service.Web},
	Reads:     []string{"sources", "sms", "limits", "short-links", "templates", "hide_sources", "drain_delay", "nats", "redis", "master_key", "log"},
	Secrets:   []string{"sms.vonage.api_key", "sms.vonage.api_secret", "sms.vonage.signature_secret"},
}

// check says what Run refuses, and which source has a locale without texts.
func check(c config.Config) error {
	unrendered := templates.Check(c)
	_, unlinked := newLinks(c)
	_, nowhere := newDestinations(c)
	return errors.Join(unrendered, unlinked, nowhere)
}

// newLinks returns the links that a message may contain.
func newLinks(c config.Config) (notification.Links, error) {
	s := shortenersettings.Section.Of(c)
	return notification.NewLinks(s.PublicURL, s.Domain())
}

// Run works until ctx ends. It fails at once when an operator's template is wrong, or when the bucket of texts is not
// provisioned.
func Run(ctx context.Context, env service.Env) error {
	place, settings := flow.StageNamed(flow.SMSSender), env.Config.SMS.Vonage
	words, err := templates.Open(env.Config.Templates.Dir)
	if err != nil {
		return err
	}
	links, err := newLinks(env.Config)
	if err != nil {
		return err
	}
	to, err := newDestinations(env.Config)
	if err != nil {
		return err
	}
	metrics, err := newMetrics(env.Metrics)
	if err != nil {
		return err
	}
	bucket, err := env.JS.KeyValue(ctx, flow.Texts)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", flow.Texts, err)
	}
	awaited := texts{bucket: bucket, js: env.JS}
	door := newDoor(env, awaited, metrics)
	env.Public.Handle("GET /receipts/vonage/{source}", door)
	env.Public.Handle("POST /receipts/vonage/{source}", door)

	now := func() config.Vonage { return env.Live.Now().SMS.Vonage }
	s := sender{words: words, vonage: newVonage(now, env.Limits, place.Workers), log: env.Log, metrics: metrics}
	deliver := notification.Sender{Vendor: "vonage", Links: links, Destination: to.allow, Settings: func() any { return now() }}
	if settings.SignatureSecret != "" { // else receipts are refused, and nothing need wait for them
		s.texts = &awaited
		deliver.Trace, deliver.WordWithin = awaited.trace, settings.ReceiptWithin
	}
	deliver.Hand = s.hand
	return deliver.Deliver(ctx, env, place)
}

type sender struct {
	words   *templates.Set
	vonage  *vonage
	texts   *texts // nil where no receipts come
	log     *slog.Logger
	metrics metrics
}

// The API's types of a text.
const (
	typeText    = "text"
	typeUnicode = "unicode"
)

// mostParts bounds what one message costs. The built-in texts have four at most; a longer one is a mistake in an operator's
// template, and is better mended than paid for.
const mostParts = 10

// hand sends one notification as one SMS.
func (s sender) hand(ctx context.Context, n *notifyv1.Notification) (notification.Receipt, error) {
	m, parts, err := s.compose(n)
	if err != nil {
		return notification.Receipt{}, err
	}
	if err := s.vonage.wait(ctx); err != nil {
		return notification.Receipt{}, err
	}
	if err := s.expect(ctx, n, parts); err != nil {
		return notification.Receipt{}, err
	}
	a := s.vonage.send(ctx, m)
	receipt, err := a.verdict()
	if err != nil {
		return notification.Receipt{}, err
	}
	s.metrics.parts.WithLabelValues(n.GetSource(), n.GetProvider()).Add(float64(receipt.Parts))
	if s.texts != nil {
		s.metrics.awaited.Add(float64(receipt.Parts))
	}
	receipt.LinkRefused = linkRefused(m.text, n.GetLink().GetShort(), receipt.PartsRefused)
	if int(receipt.Parts) != parts || receipt.PartsRefused != "" {
		s.correct(ctx, n, receipt)
	}
	return receipt, nil
}

// compose writes the message, and counts its parts.
func (s sender) compose(n *notifyv1.Notification) (sms, int, error) {
	text, err := s.words.SMS(n)
	if err != nil {
		return sms{}, 0, outcome.Refused(outcome.Operator, "not-renderable", err)
	}
	kind := typeText // this type replaces characters outside the alphabet with question marks
	parts, unicode := gsm7.Parts(text)
	if unicode {
		kind = typeUnicode
	}
	if parts > mostParts {
		return sms{}, 0, outcome.Refused(outcome.Operator, "message-too-long", fmt.Errorf("%d parts, and %d at most", parts, mostParts))
	}
	m, err := s.vonage.address(sms{to: n.GetTo().GetMobile(), text: text, kind: kind, reference: n.GetId(), source: n.GetSource()})
	return m, parts, err
}

// awayPause is when a bucket that is away is tried again.
const awayPause = 5 * time.Second

// expect lets the message's receipts find it. Without that it is not sent.
func (s sender) expect(ctx context.Context, n *notifyv1.Notification, parts int) error {
	if s.texts == nil {
		return nil
	}
	if err := s.texts.expect(ctx, n, parts); err != nil {
		return errors.Join(outcome.Later(awayPause, "texts-away"), err)
	}
	return nil
}

// linkRefused reports whether one of the refused parts, which are numbers from 1, contains a part of the link.
func linkRefused(text, link, refused string) bool {
	at := strings.Index(text, link)
	if refused == "" || link == "" || at < 0 {
		return false
	}
	first, last := gsm7.PartAt(text, at), gsm7.PartAt(text, at+len(link)-1)
	return slices.ContainsFunc(strings.Split(refused, ","), func(number string) bool {
		n, err := strconv.Atoi(number)
		return err == nil && first <= n && n <= last
	})
}

// correct believes Vonage's count of parts rather than ours. The message is sent: what fails here costs its
// notification.delivered at most, or a second notification.failed.
func (s sender) correct(ctx context.Context, n *notifyv1.Notification, r notification.Receipt) {
	if s.texts == nil {
		return
	}
	if err := s.texts.count(ctx, n, r.Parts, r.PartsRefused != ""); err != nil {
		s.log.WarnContext(ctx, "a text's parts are not corrected", "id", n.GetId(), "error", err)
	}
}
