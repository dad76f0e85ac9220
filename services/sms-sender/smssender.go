// Package smssender is the stage that sends one SMS for one notification, and the route for the delivery receipts of these texts:
// POST|GET /receipts/vonage/{source}, and for the texts that people reply: POST|GET /inbound/vonage/{source}. The SMS vendor is behind the interface in package gateway.
package smssender

import (
	"context"
	"errors"
	"fmt"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/templates"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
	"github.com/signrelay/signrelay/services/sms-sender/vonage"
)

// Service is the SMS sender as a separate program.
var Service = service.Service{
	Name:      flow.SMSSender,
	Run:       Run,
	Check:     check,
	Listeners: []service.Listener{{Name: "http", Key: "receipts.addr", Port: 8084, Path: "/receipts", Also: []string{"/inbound"}}},
	Sections:  []config.Declared{smssettings.VonageSection, smssettings.OptOutSection, smssettings.Receipts},
	Calls:     []service.Party{service.NATS, service.Redis, service.Web},
	Reads:     []string{"sources", "sms", "opt_out", "limits", "short-links", "templates", "hide_sources", "drain_delay", "tls", "nats", "redis", "master_key", "log"},
	Secrets:   []string{"sms.vonage.api_key", "sms.vonage.api_secret", "sms.vonage.signature_secret"},
}

// check returns the mistakes that Run would refuse, and each source whose locale has no texts.
func check(c config.Config) error {
	_, noLinks := newLinks(c)
	_, noDestinations := newDestinations(c)
	return errors.Join(templates.Check(c), noLinks, noDestinations)
}

// newLinks returns the links that a message may contain.
func newLinks(c config.Config) (notification.Links, error) {
	s := shortenersettings.Section.Of(c)
	return notification.NewLinks(s.PublicURL, s.Domain())
}

// Run works until ctx ends. It fails at once if an operator's template is wrong, or if the bucket of pending receipts is not
// provisioned.
func Run(ctx context.Context, env service.Env) error {
	return run(ctx, env, flow.StageNamed(flow.SMSSender))
}

func run(ctx context.Context, env service.Env, place flow.Stage) error {
	set, err := templates.Open(env.Config.Templates.Dir)
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
	metrics, err := newMetrics(env.Metrics, env.Config.Sources)
	if err != nil {
		return err
	}
	bucket, err := env.JS.KeyValue(ctx, flow.Texts)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", flow.Texts, err)
	}
	inbound, err := env.JS.KeyValue(ctx, flow.Inbound)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", flow.Inbound, err)
	}
	ring := keyring.New(env.Config.MasterKeys())
	keys := ring.For("inbound")
	optOuts, err := optout.Open(ctx, env.JS, ring)
	if err != nil {
		return err
	}
	store := pendingReceipts{bucket: bucket, js: env.JS}
	vendor := vonage.New(smssettings.VonageSection.Follow(env.Live), place.Workers)
	receipts := newReceiptsHandler(env, vendor, store, metrics)
	path := "/receipts/" + vendor.Name() + "/{source}"
	env.Public.Handle("GET "+path, receipts)
	env.Public.Handle("POST "+path, receipts)

	people := replies{
		texts: inboundTexts{env.JS, keys, inbound}, optOuts: optOuts, last: lastTexts{bucket, keys}, js: env.JS, log: event.Log{JS: env.JS, Stream: flow.Signing},
		sources: env.Config.Sources, settings: smssettings.OptOutSection.Follow(env.Live), vendor: vendor.Name(), metrics: metrics, now: env.Now,
	}
	texted := newInboundHandler(env, vendor, people, metrics)
	texts := "/inbound/" + vendor.Name() + "/{source}"
	env.Public.Handle("GET "+texts, texted)
	env.Public.Handle("POST "+texts, texted)

	s := sender{last: people.last, optOut: people.settings, texts: set, vendor: vendor, limits: env.Limits, log: env.Log, metrics: metrics}
	deliver := notification.Sender{Vendor: vendor.Name(), Links: links, Destination: to.allow, Settings: vendor.Settings}
	if within, refused := vendor.Receipts(); refused == nil { // otherwise no receipt is accepted, so no message waits for one
		s.pending = &store
		deliver.FindReceipt, deliver.ReceiptWithin = store.find, within
	}
	deliver.Send, deliver.Compose = s.send, s.again
	return deliver.Deliver(ctx, env, place)
}
