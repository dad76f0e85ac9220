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

// thirdParty asks the outside shortener, and says when our own link has to do.
type thirdParty struct {
	name        string // "bitly", "rebrandly"
	outside     outside
	ours        notification.Links
	circuit     *limit.Breaker
	log         *slog.Logger
	substituted *prometheus.CounterVec
}

// newThirdParty is nil where the settings want our own links.
func newThirdParty(env service.Env, ours notification.Links) (*thirdParty, error) {
	o := newOutside(shortenersettings.Section.Follow(env.Live), env.Limits)
	if o == nil {
		return nil, nil //nolint:nilnil // our own links need nobody
	}
	circuit, err := env.Circuit(shortenersettings.Section.Of(env.Config).Kind, circuitPauses)
	if err != nil {
		return nil, err
	}
	t := &thirdParty{name: shortenersettings.Section.Of(env.Config).Kind, outside: o, ours: ours, circuit: circuit, log: env.Log}
	return t, telemetry.Register(env.Metrics, &t.substituted, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_shortener_substituted_total",
		Help: "Messages that got our own link because the outside shortener gave none, by why.",
	}, []string{"shortener", "reason"}))
}

// formWithin bounds one attempt, which can be six calls: below the stage's own 30 s.
const formWithin = 15 * time.Second

// form returns the outside form of our own link: the one kept beside it, or a new one. Where there is none to be had, it is
// our own link, and the event that says so comes with it. Its errors are the stage's.
func (t *thirdParty) form(ctx context.Context, in stage.Event[*notifyv1.Notification], links book, e entry, own string) (string, []stage.Out, error) {
	channel := event.ChannelName(in.Data.GetChannel())
	if kept := e.Outside[channel]; kept.By == t.name && kept.Of == own && t.ours.Outside(kept.Short) {
		return kept.Short, nil, nil
	}
	pass, wait := t.circuit.Begin()
	reason, _, _ := t.circuit.State()
	if wait == 0 {
		bounded, cancel := context.WithTimeout(ctx, formWithin)
		short, failed := t.outside.shorten(bounded, own)
		cancel()
		if failed == nil && !t.ours.Outside(short) { // no sender would send it
			failed = unusable("what came back is no link at the domain in the settings")
		}
		v := judge(failed, in.Attempt)
		pass.End(v.says, "")
		if failed == nil {
			kept, err := links.keep(ctx, e, channel, outsideForm{By: t.name, Of: own, Short: short})
			return kept.Short, nil, err
		}
		if v.again != nil && reason == "" { // in an outage each message would wait as long as the first one
			return "", nil, v.again
		}
		if v.lasts {
			t.circuit.Open(v.reason)
		}
		reason = cmp.Or(v.reason, reason)
		t.log.WarnContext(ctx, "our own link is used", "shortener", t.name, "reason", reason, "error", failed)
	}
	reason = cmp.Or(reason, "unavailable") // the circuit closed between the two questions
	t.substituted.WithLabelValues(t.name, reason).Inc()
	told, err := substituted(ctx, in.Data, in.Stored, t.name, reason)
	if err != nil {
		return "", nil, outcome.Permanent(err)
	}
	return own, []stage.Out{told}, nil
}

// How long a signer waits for an outside link: a minute. By the stage's back-off the seventh attempt comes 63 s after the
// first. Where a time was named, by the other side or by our own limiter, as many of them as there were attempts must fit
// into the minute; our own limiter is not asked more often than every 10 s.
const (
	lastAttempt = 7
	longestWait = time.Minute
	leastWait   = 10 * time.Second
)

// judgement says what follows from a failed attempt.
type judgement struct {
	again  error        // what the stage gets, to try again; nil when our own link is to be used
	reason string       // why our own link is used
	lasts  bool         // the next message would fail as well
	says   limit.Result // what the attempt says of the other side
}

// judge is the only map from an outside shortener's failures to what follows.
func judge(failed error, attempt int) judgement {
	if failed == nil {
		return judgement{says: limit.Success}
	}
	tooLong := func(wait time.Duration) bool {
		return attempt >= lastAttempt || time.Duration(attempt)*wait > longestWait
	}
	switch o := outcome.Of(failed); {
	case o.Kind() == outcome.Waits: // our own limit
		wait := max(o.After(), leastWait)
		if tooLong(wait) {
			return judgement{reason: o.Reason()}
		}
		return judgement{again: outcome.Later(wait, o.Reason())}
	case o.Cause() == "":
		return judgement{again: failed} // our own mistake, not theirs
	case o.Kind() == outcome.GaveUp:
		return judgement{reason: o.Cause(), says: limit.Success}
	case o.Kind() == outcome.Held || tooLong(o.After()):
		return judgement{reason: o.Cause(), lasts: true, says: limit.Failure}
	case o.After() > 0:
		return judgement{again: failed}
	default:
		return judgement{again: failed, says: limit.Failure}
	}
}

// circuitPauses are those of an outside shortener's circuit, which opens when a message has waited its minute. Without it each message of an
// outage would wait a minute of its own, and those behind it longer, because those that wait hold all the workers.
var circuitPauses = limit.BreakerOptions{First: time.Minute, Longest: 15 * time.Minute}
