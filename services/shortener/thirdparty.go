package shortener

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	"github.com/signrelay/signrelay/libs/telemetry"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// thirdParty calls the outside shortener, and decides when a message gets our own link instead.
type thirdParty struct {
	name        string // "bitly", "rebrandly"
	outside     outside
	ours        notification.Links
	circuit     *limit.Breaker
	log         *slog.Logger
	substituted *prometheus.CounterVec
}

// newThirdParty returns nil for kind builtin.
func newThirdParty(env service.Env, ours notification.Links) (*thirdParty, error) {
	o := newOutside(shortenersettings.Section.Follow(env.Live), env.Limits)
	if o == nil {
		return nil, nil //nolint:nilnil // our own links need no vendor
	}
	circuit, err := env.Circuit(shortenersettings.Section.Of(env.Config).Kind, circuitPauses)
	if err != nil {
		return nil, err
	}
	t := &thirdParty{name: shortenersettings.Section.Of(env.Config).Kind, outside: o, ours: ours, circuit: circuit, log: env.Log}
	return t, telemetry.Register(env.Metrics, &t.substituted, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_shortener_substituted_total",
		Help: "Messages that got our own link because the outside shortener returned none, by reason.",
	}, []string{"shortener", "reason"}))
}

// formTimeout limits one attempt of up to six calls. The stage's own timeout is 30 s.
const formTimeout = 15 * time.Second

// form returns the outside form of our own link: the stored one, or a new one. If there is none, it returns our own link and the event that
// reports this. Its errors are for the stage.
func (t *thirdParty) form(ctx context.Context, in stage.Event[*notifyv1.Notification], links store, e entry, own string) (string, []stage.Out, error) {
	channel := event.ChannelName(in.Data.GetChannel())
	if kept := e.Outside[channel]; kept.By == t.name && kept.Of == own && t.ours.Outside(kept.Short) {
		return kept.Short, nil, nil
	}
	pass, wait := t.circuit.Begin()
	reason, _, _ := t.circuit.State()
	if wait == 0 {
		bounded, cancel := context.WithTimeout(ctx, formTimeout)
		short, failed := t.outside.shorten(bounded, own)
		cancel()
		if failed == nil && !t.ours.Outside(short) { // senders would refuse it
			failed = unusable("the response contains no link at the domain in the settings")
		}
		v := decide(failed, in.Attempt)
		pass.End(v.result, "")
		if failed == nil {
			kept, err := links.keepOutside(ctx, e, channel, outsideForm{By: t.name, Of: own, Short: short})
			return kept.Short, nil, err
		}
		if v.again != nil && reason == "" { // in an outage only the first message waits
			return "", nil, v.again
		}
		if v.lasts {
			t.circuit.Open(v.reason)
		}
		reason = cmp.Or(v.reason, reason)
		t.log.WarnContext(ctx, "our own link is used", "shortener", t.name, "reason", reason, "error", failed)
	}
	reason = cmp.Or(reason, "unavailable") // the circuit closed between Begin and State
	t.substituted.WithLabelValues(t.name, reason).Inc()
	event, err := substituted(ctx, in.Data, in.Stored, t.name, reason)
	if err != nil {
		return "", nil, outcome.Permanent(err)
	}
	return own, []stage.Out{event}, nil
}

// A signer waits at most a minute for an outside link. With the stage's backoff the seventh attempt is 63 s after the first. If the vendor
// or our own limiter named a delay, this delay times the number of attempts must be at most a minute. Our own limiter is called again after
// 10 s or later.
const (
	lastAttempt = 7
	longestWait = time.Minute
	leastWait   = 10 * time.Second
)

// decision is the consequence of a failed attempt.
type decision struct {
	again  error        // for the stage, to retry; nil if our own link is used
	reason string       // the reason to use our own link
	lasts  bool         // the next message would fail too
	result limit.Result // of the attempt, for the circuit breaker
}

// decide returns the consequence of an outside shortener's failure. No other code maps failures to consequences.
func decide(failed error, attempt int) decision {
	if failed == nil {
		return decision{result: limit.Success}
	}
	tooLong := func(wait time.Duration) bool {
		return attempt >= lastAttempt || time.Duration(attempt)*wait > longestWait
	}
	switch o := outcome.Of(failed); {
	case o.Kind() == outcome.Waits: // our own limit
		wait := max(o.After(), leastWait)
		if tooLong(wait) {
			return decision{reason: o.Reason()}
		}
		return decision{again: outcome.Later(wait, o.Reason())}
	case o.Cause() == "":
		return decision{again: failed} // our own failure, not the vendor's
	case o.Kind() == outcome.GaveUp:
		return decision{reason: o.Cause(), result: limit.Success}
	case o.Kind() == outcome.Held || tooLong(o.After()):
		return decision{reason: o.Cause(), lasts: true, result: limit.Failure}
	case o.After() > 0:
		return decision{again: failed}
	default:
		return decision{again: failed, result: limit.Failure}
	}
}

// circuitPauses belong to an outside shortener's circuit, which opens when a message has waited its minute. Without the circuit, each message
// of an outage would wait a minute. Later messages would wait longer, because the waiting messages occupy all workers.
var circuitPauses = limit.BreakerOptions{First: time.Minute, Longest: 15 * time.Minute}
