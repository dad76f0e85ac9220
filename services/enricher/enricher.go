// Package enricher is the stage that decides which person gets which message about an event of a document. It calls the provider's REST API
// for the people of the document.
package enricher

import (
	"cmp"
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/recipient"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Service is the enricher as a separate program.
var Service = service.Service{
	Name:              flow.Enricher,
	Run:               Run,
	Calls:             []service.Party{service.NATS, service.Redis, service.Web},
	Reads:             []string{"sources", "api", "nats", "redis", "master_key", "log"},
	WorksWithoutRedis: true, // each process then limits its own rate
}

// Run works until ctx ends. It fails at once if a source's API settings are invalid.
func Run(ctx context.Context, env service.Env) error {
	sources, err := env.Sources(providers.ForEvents)
	if err != nil {
		return err
	}
	return run(ctx, env, sources.Now)
}

func run(ctx context.Context, env service.Env, sources func() providers.Sources) error {
	metrics, err := newMetrics(env.Metrics)
	if err != nil {
		return err
	}
	metrics.begin(sources())
	optOuts, err := optout.Open(ctx, env.JS, keyring.New(env.Config.MasterKeys()))
	if err != nil {
		return err
	}
	e := &enricher{sources: sources, log: event.Log{JS: env.JS, Stream: flow.Signing}, optOuts: optOuts, metrics: metrics, now: time.Now}
	runner := stage.Runner[*signingv1.SigningEvent]{
		Stage: flow.StageNamed(flow.Enricher), JS: env.JS, Decode: event.Decode, Do: e.enrich, GivenUp: denied, Log: env.Log, Metrics: env.Metrics,
	}
	env.Up()
	return runner.Run(ctx)
}

type enricher struct {
	sources func() providers.Sources // of the current settings
	log     event.Log
	optOuts optout.Store // has the corrections
	metrics metrics
	now     func() time.Time
}

// enrich makes one notification for each person and channel that must get a message about the event. It checks the settings first, because
// this needs no request, then the log, then the provider's API.
func (e *enricher) enrich(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
	switch in.Data.GetType() {
	case event.CorrectionRequested:
		return e.correct(ctx, in)
	case event.ResendRequested:
		if in.Data.GetAttributes()[event.AttributeChannels] == event.ByProvider {
			return e.resend(ctx, in)
		}
	}
	src, err := e.source(in.Data)
	if err != nil {
		return nil, err
	}
	happened, err := withDocument(ctx, src.API, in.Data)
	if err != nil {
		return nil, err
	}
	if fallsBack(src.Settings, happened) {
		return e.fallBack(ctx, src.Settings, happened, in.Stored)
	}
	past, err := e.history(ctx, happened, in.Stored)
	if err != nil {
		return nil, err
	}
	reason := "" // the reason against all messages, for any response of the provider
	switch {
	case happened.GetAttributes()[pack.OlderThanLog] != "":
		reason = notification.OlderThanLog
	case over(happened, past.Completed, past.Ended):
		reason = documentOver
	}
	document, err := src.API.Document(ctx, happened.GetDocument().GetId())
	e.metrics.countCall(src.Settings, err)
	if reason != "" && unknown(err) {
		document, err = &pack.Document{}, nil // no person of the messages is known
	}
	if err != nil {
		return nil, outcomeOf(err)
	}
	made := plan(src.Settings, happened, document, past)
	if reason != "" {
		return e.suppress(ctx, happened, made, in.Stored, reason)
	}
	if err := confirm(happened, document, in.Attempt, e.now()); err != nil {
		return e.unconfirmed(ctx, happened, made, in.Stored, err)
	}
	if over(happened, document.Status == pack.StatusCompleted, ended(document.Status)) {
		return e.suppress(ctx, happened, made, in.Stored, documentOver)
	}

	var later error
	if len(made.Waiting) > 0 {
		if later = notYet(in.Stored, in.Attempt, e.now()); later == nil {
			made.Suppressed = append(made.Suppressed, made.Waiting...)
		}
	}
	if later == nil && len(made.Made)+len(made.Suppressed) == 0 {
		return nil, outcome.Skip("nobody-to-tell")
	}
	if later == nil {
		e.metrics.count(made)
		e.metrics.countFallback(happened, made)
	}
	var requested map[string]bool
	shared := made.Shared(happened)
	if shared {
		if requested, err = e.requested(ctx, happened); err != nil {
			return nil, err
		}
	}
	all, err := recipient.Outs(ctx, flow.Enricher, in.Data, made, in.Stored, requested)
	if err == nil && shared && len(made.Suppressed) > 0 {
		all, err = stage.Unpublished(ctx, e.log.JS, all)
	}
	return all, cmp.Or(err, later)
}

// source returns the event's source, if it has an API and its people get messages about such an event.
func (e *enricher) source(happened *signingv1.SigningEvent) (providers.Source, error) {
	src, ok := e.sources()[providers.SourceKey{Name: happened.GetSource(), Provider: happened.GetProvider()}]
	switch {
	case !ok:
		// A dead letter can be replayed when the settings contain the source again.
		return src, outcome.Permanent(errors.New("the event's source is not in the settings"))
	case !wants(src.Settings, happened):
		return src, outcome.Skip("not-wanted")
	case src.API == nil:
		return src, outcome.Skip("no-api")
	default:
		return src, nil
	}
}

// wants reports whether the source's people get messages about such an event. If not, no API call is made.
func wants(s config.Source, e *signingv1.SigningEvent) bool {
	for _, kind := range event.KindsAfter(e.GetType()) {
		if s.Notify.WantsKind(event.KindName(kind)) {
			return true
		}
	}
	return false
}

// withDocument returns the event with its document. If a provider's callback about a person does not contain the document, it is requested
// from the API, and all messages of the event contain it.
func withDocument(ctx context.Context, api pack.API, happened *signingv1.SigningEvent) (*signingv1.SigningEvent, error) {
	if happened.GetDocument().GetId() != "" {
		return happened, nil
	}
	finder, ok := api.(pack.Finder)
	if !ok || happened.GetRecipient().GetId() == "" {
		return nil, outcome.Skip("no-document")
	}
	id, err := finder.DocumentOf(ctx, happened.GetRecipient().GetId())
	if err != nil {
		return nil, outcomeOf(err)
	}
	if id == "" {
		return nil, outcome.Skip("no-document")
	}
	found := proto.CloneOf(happened)
	if found.Document == nil {
		found.Document = new(signingv1.Document)
	}
	found.Document.Id = id
	return found, nil
}
