package shortener

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/telemetry"
)

// door serves the short links to signers.
type door struct {
	links    book
	sources  func() providers.Sources // as the settings are now
	visitors visitors
	patience time.Duration // with a provider; askWithin
	js       jetstream.JetStream
	log      *slog.Logger
	asked    *prometheus.CounterVec
}

func newDoor(env service.Env, links book, sources func() providers.Sources) (*door, error) {
	d := &door{
		links: links, sources: sources, visitors: newVisitors(env.Config.Shortener, env.Limits),
		patience: askWithin, js: env.JS, log: env.Log,
	}
	if err := telemetry.Register(env.Metrics, &d.asked, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_shortener_opened_total",
		Help: "Requests for short links, by what they met with.",
	}, []string{"outcome"})); err != nil {
		return nil, err
	}
	for _, outcome := range []string{"redirected", failed.outcome, busy.outcome} {
		d.asked.WithLabelValues(outcome) // 0, so that the first is seen as growth
	}
	return d, nil
}

// ServeHTTP answers GET and HEAD, and POST, which only the button on one of our own pages sends: that is a person.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")         // every opening is heard of
	h.Set("Referrer-Policy", "no-referrer")    // the code is a secret, and stays out of the target's logs
	h.Set("X-Robots-Tag", "noindex, nofollow") // and out of search engines
	h.Set("X-Content-Type-Options", "nosniff")
	// No form-action: Chromium holds the provider's address that the button leads to against it.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")

	if wait, ok := d.visitors.let(r); !ok {
		d.show(w, r, limited(wait))
		return
	}
	l, err := d.links.open(r.Context(), r.PathValue("code"))
	switch {
	case errors.Is(err, errUnknown):
		d.show(w, r, unknown)
	case errors.Is(err, errExpired):
		d.show(w, r, expired)
	case err != nil:
		d.log.ErrorContext(r.Context(), "short link not looked up", "error", err)
		d.show(w, r, failed)
	case r.Method != http.MethodPost && isPrefetch(r):
		d.show(w, r, prefetch)
	case r.Method != http.MethodPost && isRobot(r):
		d.show(w, r, robot)
	case l.Target != "":
		d.lead(w, r, l, l.Target)
	default:
		d.ask(w, r, l)
	}
}

func (d *door) show(w http.ResponseWriter, r *http.Request, p page) {
	d.asked.WithLabelValues(p.outcome).Inc()
	p.show(w, r, d.log)
}

// lead sends a person to where the link leads.
func (d *door) lead(w http.ResponseWriter, r *http.Request, l link, target string) {
	if u, err := url.Parse(target); err != nil || !isWeb(u) {
		d.log.ErrorContext(r.Context(), "short link leads to no http(s) address", "source", l.Source, "provider", l.Provider)
		d.show(w, r, busyFor(0))
		return
	}
	status := http.StatusFound
	if r.Method == http.MethodPost {
		status = http.StatusSeeOther // and with GET
	}
	w.Header().Set("Location", target)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
	d.asked.WithLabelValues("redirected").Inc()
	d.tell(w, r, l)
}

// tellWithin is how long the log has to take an opening. It is worth less than a handler that hangs.
const tellWithin = time.Second

// tell tells the log that a person has opened the link. The signer is on the way before the log hears of it; still within
// the request, so that a server that is told to stop waits for it.
func (d *door) tell(w http.ResponseWriter, r *http.Request, l link) {
	if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		d.log.DebugContext(r.Context(), "short link's reader left", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), tellWithin)
	defer cancel()
	m, err := opened(ctx, l, rand.Text())
	if err == nil {
		if _, err = d.js.PublishMsg(ctx, m); err != nil {
			err = fmt.Errorf("publish %s: %w", openedType, err)
		}
	}
	if err != nil {
		d.log.WarnContext(ctx, "opening of a short link not recorded", "source", l.Source, "provider", l.Provider, "error", err)
	}
}
