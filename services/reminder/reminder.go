// Package reminder is the service that reminds people who have not signed. A person on a document has at most one scheduled reminder: a message
// in the stream REMIND that the server itself publishes when it is due. When it is due, the service writes reminder.due into the log, and
// schedules the person's next reminder. The enricher makes the messages that follow.
// It also finds invitations and reminders that did not arrive on one of a person's channels, see fallbacks.
package reminder

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Service is the reminder as a separate program.
var Service = service.Service{
	Name:              flow.Reminder,
	Run:               Run,
	Calls:             []service.Party{service.NATS, service.Redis},
	Reads:             []string{"sources", "nats", "redis", "log"},
	WorksWithoutRedis: true, // each process then limits its own rate
}

// Run works until ctx ends.
func Run(ctx context.Context, env service.Env) error {
	return run(ctx, env, countEvery, flow.StageNamed)
}

func run(ctx context.Context, env service.Env, countEvery time.Duration, stageNamed func(string) flow.Stage) error {
	r := reminder{
		sources: config.Pick(env.Live, sources).Now,
		log:     event.Log{JS: env.JS, Stream: flow.Signing}, scheduled: event.Log{JS: env.JS, Stream: flow.Remind},
		slots: env.Limits, now: env.Now,
	}
	count, err := newCounter(r, env.Log, env.Metrics)
	if err != nil {
		return err
	}
	f := fallbacks{sources: r.sources, log: r.log, scheduled: r.scheduled, now: env.Now}
	env.Up()
	all, ctx := errgroup.WithContext(ctx)
	for _, place := range []struct {
		stage string
		do    stage.Func[*signingv1.SigningEvent]
	}{{flow.Reminder, both(r.schedule, f.follow)}, {flow.ReminderDue, r.remind}, {flow.FallbackDue, f.overdue}} {
		all.Go(func() error {
			return stage.Runner[*signingv1.SigningEvent]{
				Stage: stageNamed(place.stage), JS: env.JS, Decode: event.Decode, Do: place.do, Log: env.Log, Metrics: env.Metrics,
			}.Run(ctx)
		})
	}
	all.Go(func() error { return count.run(ctx, countEvery) })
	return all.Wait()
}

// both returns a function that gives each event to two functions. One stage for reminders and fallbacks costs less CPU than two, because the log
// delivers each event once. If both skip the event, the reason is that of the first.
func both(first, second stage.Func[*signingv1.SigningEvent]) stage.Func[*signingv1.SigningEvent] {
	return func(ctx context.Context, in stage.Event[*signingv1.SigningEvent]) ([]stage.Out, error) {
		outs, err := first(ctx, in)
		skipped := outcome.Of(err).Kind() == outcome.Skips
		if err != nil && !skipped {
			return nil, err
		}
		more, other := second(ctx, in)
		if other != nil && outcome.Of(other).Kind() != outcome.Skips {
			return nil, other
		}
		if skipped && other != nil {
			return nil, err
		}
		return append(outs, more...), nil
	}
}

type reminder struct {
	sources   func() map[sourceKey]config.Source // of the current settings
	log       event.Log                          // SIGNING
	scheduled event.Log                          // REMIND
	slots     limit.Limiter
	now       func() time.Time
}

type sourceKey struct{ name, provider string }

func sources(c config.Config) map[sourceKey]config.Source {
	all := make(map[sourceKey]config.Source, len(c.Sources))
	for _, s := range c.Sources {
		all[sourceKey{s.Name, s.Provider}] = s
	}
	return all
}

// settings returns the reminders of e's source; none if they are off.
func (r reminder) settings(e *signingv1.SigningEvent) config.Reminders {
	src, ok := r.sources()[sourceKey{e.GetSource(), e.GetProvider()}]
	if !ok || !src.Notify.WantsKind(event.KindName(notifyv1.Kind_KIND_REMINDER)) {
		return config.Reminders{}
	}
	return src.Reminders
}

// slot takes one slot of the source's rate, or returns the delay until there is one. After an outage all late reminders are due at once.
func (r reminder) slot(ctx context.Context, e *signingv1.SigningEvent, s config.Reminders) error {
	rate := limit.Rate{Count: s.PerMinute, Per: time.Minute, Burst: max(s.PerMinute/10, 1)}
	key := flow.RateReminders + "/" + e.GetProvider() + "/" + e.GetSource()
	wait, taken, err := r.slots.Take(ctx, key, rate, 0)
	switch {
	case err != nil:
		return err
	case !taken:
		return outcome.Later(max(wait, time.Second), "rate")
	default:
		return nil
	}
}
