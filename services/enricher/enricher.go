// Package enricher is the stage that asks a provider's REST API who must be told what, when something happened to a
// document.
package enricher

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Service is the enricher as a program of its own.
var Service = service.Service{
	Name:              flow.Enricher,
	Summary:           "asks the providers who receives which message",
	Run:               Run,
	Calls:             []service.Party{service.NATS, service.Redis, service.Web},
	Reads:             []string{"sources", "api", "nats", "redis", "master_key", "log"},
	WorksWithoutRedis: true, // each process then limits its own rate
}

// Run works until ctx ends. It fails at once when a source's API settings are unusable.
func Run(ctx context.Context, env service.Env) error {
	circuit := func(vendor string) (*limit.Breaker, error) { return env.Circuit(vendor, service.CircuitPauses) }
	sources, err := config.Derive(env.Live, func(c config.Config) (providers.Sources, error) {
		return providers.Open(c.Sources, providers.ForEvents, env.Limits, circuit)
	})
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
	e := &enricher{sources: sources, log: event.Log{JS: env.JS, Stream: flow.Signing}, metrics: metrics, now: time.Now}
	runner := stage.Runner[*signingv1.SigningEvent]{
		Stage: flow.StageNamed(flow.Enricher), JS: env.JS, Decode: event.Decode, Do: e.tell, GivenUp: denied, Log: env.Log, Metrics: env.Metrics,
	}
	env.Up()
	return runner.Run(ctx)
}

type enricher struct {
	sources func() providers.Sources // as the settings are now
	log     event.Log
	metrics metrics
	now     func() time.Time
}

// tell makes one notification for each person and channel that must hear of the event. What costs nothing is asked
// first, then the log, then the provider.
func (e *enricher) tell(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
	src, err := e.source(in.Data)
	if err != nil {
		return nil, err
	}
	happened, err := withDocument(ctx, src.API, in.Data)
	if err != nil {
		return nil, err
	}
	past, err := e.history(ctx, happened, in.Stored)
	if err != nil {
		return nil, err
	}
	reason := "" // why nobody is told, whatever the provider says
	switch {
	case happened.GetAttributes()[pack.OlderThanLog] != "":
		reason = notification.OlderThanLog
	case over(happened, past.completed, past.ended):
		reason = documentOver
	}
	document, err := src.API.Document(ctx, happened.GetDocument().GetId())
	e.metrics.answered(src.Settings, err)
	if reason != "" && unknown(err) {
		document, err = &pack.Document{}, nil // nothing tells whose messages they are
	}
	if err != nil {
		return nil, verdict(err)
	}
	p := plan(src.Settings, happened, document, past)
	if reason != "" {
		return e.suppress(ctx, happened, p, in.Stored, reason)
	}
	if err := confirm(happened, document, in.Attempt, e.now()); err != nil {
		return e.unconfirmed(ctx, happened, p, in.Stored, err)
	}
	if over(happened, document.Status == pack.StatusCompleted, ended(document.Status)) {
		return e.suppress(ctx, happened, p, in.Stored, documentOver)
	}

	var later error
	if len(p.waiting) > 0 {
		if later = notYet(in.Stored, in.Attempt, e.now()); later == nil {
			p.untold = append(p.untold, p.waiting...)
		}
	}
	if later == nil && len(p.told)+len(p.untold) == 0 {
		return nil, outcome.Skip("nobody-to-tell")
	}
	if later == nil {
		e.metrics.count(p)
	}
	var requested map[string]bool
	shared := p.shared(happened)
	if shared {
		if requested, err = e.requested(ctx, happened); err != nil {
			return nil, err
		}
	}
	all, err := outs(ctx, in.Data, p, in.Stored, requested)
	if err == nil && shared && len(p.untold) > 0 {
		all, err = stage.Unheard(ctx, e.log.JS, all)
	}
	return all, cmp.Or(err, later)
}

// source is the account that the event came from, where it can be asked and wants its people told.
func (e *enricher) source(happened *signingv1.SigningEvent) (providers.Source, error) {
	src, ok := e.sources()[providers.SourceKey{Name: happened.GetSource(), Provider: happened.GetProvider()}]
	switch {
	case !ok:
		// In the DLQ it can be replayed once the source is back in the settings.
		return src, outcome.Permanent(errors.New("the event's source is not in the settings"))
	case !wants(src.Settings, happened):
		return src, outcome.Skip("not-wanted")
	case src.API == nil:
		return src, outcome.Skip("no-api")
	default:
		return src, nil
	}
}

// wants tells whether the source's people hear of such an event at all, so that none is asked for in vain.
func wants(s config.Source, e *signingv1.SigningEvent) bool {
	for _, kind := range event.KindsAfter(e.GetType()) {
		if allowed(s.Notify.Kinds, event.KindName(kind)) {
			return true
		}
	}
	return false
}

// allowed tells whether a source's list has the name; an empty list has all.
func allowed(list []string, name string) bool {
	return len(list) == 0 || slices.Contains(list, name)
}

// withDocument is the event with the document that it happened to. A provider whose callbacks about a person do not say
// which document he is on is asked for it; all that follows then bears that document.
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
		return nil, verdict(err)
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
