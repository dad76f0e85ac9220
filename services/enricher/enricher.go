// Package enricher is the stage that asks a provider's REST API who must be told what, when something happened to a
// document.
package enricher

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Run works until ctx ends. It fails at once when a source's API settings are unusable.
func Run(ctx context.Context, env service.Env) error {
	sources, err := providers.Open(env.Config.Sources, env.Limits)
	if err != nil {
		return err
	}
	e := &enricher{
		sources: sources,
		log:     event.Log{JS: env.JS, Stream: flow.Signing},
		untold: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signrelay_enricher_untold_total",
			Help: "People who were to be told on a channel and have no usable address on it.",
		}, []string{"source", "provider", "channel"}),
	}
	if err := env.Metrics.Register(e.untold); err != nil {
		return fmt.Errorf("register the enricher's metrics: %w", err)
	}
	runner := stage.Runner[*signingv1.SigningEvent]{
		Stage: flow.StageNamed(flow.Enricher), JS: env.JS, Decode: event.Decode, Do: e.tell, Log: env.Log, Metrics: env.Metrics,
	}
	env.Up()
	return runner.Run(ctx)
}

type enricher struct {
	sources providers.Sources
	log     event.Log
	untold  *prometheus.CounterVec
}

// tell makes one notification for each person and channel that must hear of the event.
func (e *enricher) tell(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
	happened := in.Data
	src, ok := e.sources[providers.SourceKey{Name: happened.GetSource(), Provider: happened.GetProvider()}]
	switch {
	case !ok:
		// In the DLQ it can be replayed once the source is back in the settings.
		return nil, stage.Permanent(errors.New("the event's source is not in the settings"))
	case src.API == nil:
		return nil, stage.Skip("no-api")
	case happened.GetDocument().GetId() == "":
		return nil, stage.Skip("no-document")
	case !wants(src.Settings, happened):
		return nil, stage.Skip("not-wanted")
	}

	past, err := e.history(ctx, happened)
	if err != nil {
		return nil, err
	}
	if past.ended {
		return nil, stage.Skip("document-ended")
	}
	document, err := src.API.Document(ctx, happened.GetDocument().GetId())
	if err != nil {
		return nil, verdict(err)
	}

	told, untold := plan(src.Settings, happened, document, past.signed)
	for _, channel := range untold {
		e.untold.WithLabelValues(happened.GetSource(), happened.GetProvider(), channel).Inc()
	}
	if len(told) == 0 {
		return nil, stage.Skip("nobody-to-tell")
	}
	return messages(ctx, told)
}

// messages addresses each notification: one with a link goes to the shortener first.
func messages(ctx context.Context, told []*notifyv1.Notification) ([]stage.Out, error) {
	outs := make([]stage.Out, 0, len(told))
	for _, n := range told {
		subject := notification.SendSubject(n)
		if n.GetLink() != nil {
			subject = notification.LinkSubject(n)
		}
		m, err := notification.Message(ctx, subject, n.GetId(), n)
		if err != nil {
			return nil, stage.Permanent(err)
		}
		outs = append(outs, m)
	}
	return outs, nil
}

// verdict is what a failed REST call means for the work.
func verdict(err error) error {
	var call *pack.CallError
	switch {
	case !errors.As(err, &call):
		return err
	case call.Then == pack.GiveUp:
		return stage.Permanent(err)
	case call.RetryAfter > 0:
		return stage.RetryAfter(call.RetryAfter, err)
	default:
		return err
	}
}

// wants tells whether the source's signers hear of such an event at all, so that none is asked for in vain.
func wants(s config.Source, e *signingv1.SigningEvent) bool {
	kind, ok := kinds[e.GetType()]
	return ok && allowed(s.Notify.Kinds, notification.KindName(kind))
}

// kinds is what each event is about for the signers.
var kinds = map[string]notifyv1.Kind{
	"document.sent":      notifyv1.Kind_KIND_INVITATION,
	"recipient.signed":   notifyv1.Kind_KIND_PROGRESS,
	"document.completed": notifyv1.Kind_KIND_COMPLETED,
}

// allowed tells whether a source's list has the name; an empty list has all.
func allowed(list []string, name string) bool {
	return len(list) == 0 || slices.Contains(list, name)
}
