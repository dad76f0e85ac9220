package notification

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
)

// Intervals between probes. A vendor that returns only errors is probed every few seconds, because it recovers by itself. An account that the
// operator must fix is probed rarely, because a vendor locks an account after several attempts with a wrong password.
var (
	circuitPauses = service.CircuitPauses
	holdPauses    = limit.BreakerOptions{First: time.Minute, Longest: 15 * time.Minute}
)

// recheckAfter is the time after which a held message is checked again, so that it notices an operator's release. releasePoll is the
// interval at which a sender that holds messages polls for a release.
var recheckAfter, releasePoll = 45 * time.Second, 5 * time.Second

// gates stop messages before they are sent: one gate for the vendor, one for the account, and one for each reason for which single
// messages are held.
type gates struct {
	circuit  *limit.Breaker
	account  *limit.Breaker
	settings func() any // comparable; when they change, held messages are tried at once
	bucket   jetstream.KeyValue
	channel  string
	log      *slog.Logger

	mu       sync.Mutex
	reasons  map[string]*limit.Breaker
	seen     any       // the settings at the last check
	release  uint64    // revision of the last release
	polledAt time.Time // for a release
}

func newGates(ctx context.Context, env service.Env, bucket jetstream.KeyValue, channel, vendor string, settings func() any) (*gates, error) {
	if settings == nil {
		settings = func() any { return nil }
	}
	g := &gates{bucket: bucket, channel: channel, settings: settings, seen: settings(), log: env.Log, reasons: map[string]*limit.Breaker{}}
	var err error
	if g.circuit, err = env.Circuit(vendor, circuitPauses); err != nil {
		return nil, err
	}
	g.account = limit.NewBreaker(holdPauses, g.logChange("all messages"))
	if g.release, err = g.released(ctx); err != nil {
		return nil, fmt.Errorf("read the releases in %s: %w", flow.Attempts, err)
	}
	return g, nil
}

// logChange logs that messages are held, or that they are sent again.
func (g *gates) logChange(which string) func(open bool, reason string) {
	return func(open bool, reason string) {
		if open {
			g.log.Error("messages are held until the operator fixes the problem", "channel", g.channel, "which", which, "reason", reason)
			return
		}
		g.log.Info("held messages are sent again", "channel", g.channel, "which", which, "reason", reason)
	}
}

// pass is the permission to send one message.
type pass struct{ circuit, account, reason limit.Pass }

// refusal is the reason why a message is not sent now.
type refusal struct {
	wait time.Duration
	why  error // the outcome of a message at the closed gate
}

// begin requests the permission to send a message; refused is nil if the message may be sent.
func (g *gates) begin(ctx context.Context, r record) (p pass, refused *refusal) {
	g.reopen(ctx)
	var wait time.Duration
	if p.account, wait = g.account.Begin(); wait > 0 {
		reason, _, _ := g.account.State()
		return pass{}, &refusal{min(wait, recheckAfter), outcome.NeedsOperator(outcome.Account, reason, nil)}
	}
	if r.Held != nil && r.Held.ByReason {
		if p.reason, wait = g.reason(r.Held.Reason).Begin(); wait > 0 {
			p.end(outcome.Outcome{}, false)
			return pass{}, &refusal{min(wait, recheckAfter), outcome.NeedsOperator(outcome.Reason, r.Held.Reason, nil)}
		}
	}
	if reason, _, _ := g.circuit.State(); reason != "" {
		wait = max(r.tooSoon(time.Now()), 0)
	}
	if wait == 0 {
		p.circuit, wait = g.circuit.Begin()
	}
	if wait > 0 {
		p.end(outcome.Outcome{}, false)
		reason, _, _ := g.circuit.State() // another message may have opened or closed it meanwhile
		return pass{}, &refusal{min(wait, recheckAfter), outcome.Failure(outcome.Provider, cmp.Or(reason, "circuit-open"), nil)}
	}
	return p, nil
}

// end reports the result. tried is false if nothing was tried, or if this program ended the attempt.
func (p pass) end(o outcome.Outcome, tried bool) {
	switch {
	case !tried:
		p.report(limit.Inconclusive, limit.Inconclusive, limit.Inconclusive, "")
	case o.Kind() == outcome.Done:
		p.report(limit.Success, limit.Success, limit.Success, "")
	case o.Scope() == outcome.Service:
		p.report(limit.Failure, limit.Inconclusive, limit.Inconclusive, o.Cause())
	case o.Kind() == outcome.Held && o.Scope() == outcome.Account:
		p.report(limit.Success, limit.Failure, limit.Inconclusive, o.Cause())
	case o.Kind() == outcome.Held && o.Scope() == outcome.Reason:
		p.report(limit.Success, limit.Success, limit.Failure, o.Cause())
	case o.Fault() == outcome.Recipient: // the account was accepted
		p.report(limit.Success, limit.Success, limit.Inconclusive, o.Cause())
	default:
		p.report(limit.Success, limit.Inconclusive, limit.Inconclusive, o.Cause())
	}
}

func (p pass) report(circuit, account, reason limit.Result, why string) {
	p.circuit.End(circuit, why)
	p.account.End(account, why)
	p.reason.End(reason, why)
}

// hold closes the gate for an outcome's scope, and stores when its next message is tried.
func (g *gates) hold(ctx context.Context, o outcome.Outcome) {
	var gate *limit.Breaker
	switch o.Scope() {
	case outcome.Account:
		gate = g.account
	case outcome.Reason:
		gate = g.reason(o.Cause())
	case outcome.Input, outcome.Service:
		return
	}
	gate.Open(o.Cause())
	data, err := json.Marshal(probe{Next: gate.Next()})
	if err == nil {
		_, err = g.bucket.Put(ctx, probeKey(g.channel, o.Cause()), data)
	}
	if err != nil {
		g.log.WarnContext(ctx, "the time of the next attempt is not shown: it could not be stored", "channel", g.channel, "reason", o.Cause(), "error", err)
	}
}

func (g *gates) reason(reason string) *limit.Breaker {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.reasons[reason]
	if b == nil {
		b = limit.NewBreaker(holdPauses, g.logChange("those refused for the same reason"))
		g.reasons[reason] = b
	}
	return b
}

// reopen opens the gates if the operator has changed the settings, or released the messages.
func (g *gates) reopen(ctx context.Context) {
	account, _, _ := g.account.State()
	g.mu.Lock()
	defer g.mu.Unlock()
	if account == "" && len(g.reasons) == 0 {
		return
	}
	changed := false
	if now := g.settings(); now != g.seen {
		g.seen, changed = now, true
	}
	if time.Since(g.polledAt) > releasePoll {
		g.polledAt = time.Now()
		if revision, err := g.released(ctx); err == nil && revision > g.release {
			g.release, changed = revision, true
		}
	}
	if !changed {
		return
	}
	g.account.Close()
	for _, b := range g.reasons {
		b.Close()
	}
}

// released returns the revision of the operator's last release; 0 for none.
func (g *gates) released(ctx context.Context) (uint64, error) {
	entry, err := g.bucket.Get(ctx, releaseKey(g.channel))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return entry.Revision(), nil
}
