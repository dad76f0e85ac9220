package shortener

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/telemetry"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// door serves the short links to signers.
type door struct {
	links    book
	sources  func() providers.Sources // as the settings are now
	visitors visitors
	patience time.Duration // with a provider; askWithin
	https    bool          // responses ask browsers for https only
	js       jetstream.JetStream
	log      *slog.Logger
	asked    *prometheus.CounterVec
	proxied  prometheus.Counter
	warned   sync.Once // of a proxy that is not named
}

func newDoor(env service.Env, links book, sources func() providers.Sources) (*door, error) {
	d := &door{
		links: links, sources: sources, visitors: newVisitors(shortenersettings.Section.Of(env.Config), env.Limits),
		patience: askWithin, js: env.JS, log: env.Log, https: byHTTPSOnly(shortenersettings.Section.Of(env.Config).PublicURL),
	}
	if err := telemetry.Register(env.Metrics, &d.asked, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_shortener_opened_total",
		Help: "Requests for short links, by what they met with.",
	}, []string{"outcome"})); err != nil {
		return nil, err
	}
	if err := telemetry.Register(env.Metrics, &d.proxied, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "signrelay_shortener_unnamed_proxy_total",
		Help: "Requests for short links with X-Forwarded-For or Forwarded from an address that shortener.trusted_proxies does not name.",
	})); err != nil {
		return nil, err
	}
	for _, outcome := range []string{"redirected", failed.outcome, busy.outcome} {
		d.asked.WithLabelValues(outcome) // 0, so that the first is seen as growth
	}
	return d, nil
}

// oneYearHTTPS has browsers ask this host by https only (RFC 6797). It says nothing of the names below it, which may be others'. Browsers
// ignore it where the host is an IP address, and where it came over http.
const oneYearHTTPS = "max-age=31536000"

// byHTTPSOnly reports whether the links' address is an https one of a host that other programs do not share, as they share localhost.
func byHTTPSOnly(publicURL string) bool {
	u, err := url.Parse(publicURL)
	return err == nil && u.Scheme == "https" && u.Hostname() != "localhost" && !strings.HasSuffix(u.Hostname(), ".localhost")
}

// visit is one request for a link.
type visit struct {
	w       http.ResponseWriter
	r       *http.Request
	entry   entry // the link, once it is looked up
	channel string
}

// ServeHTTP answers GET and HEAD, and POST, which only the button on one of our own pages sends: that is a person. A link whose
// provider is asked at the click shows its button to all others, because what the provider gives may work once.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")         // every opening is recorded, and going back fetches the button again
	h.Set("Referrer-Policy", "no-referrer")    // the code is a secret, and stays out of the target's logs
	h.Set("X-Robots-Tag", "noindex, nofollow") // and out of search engines
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", contentPolicy)
	if d.https {
		h.Set("Strict-Transport-Security", oneYearHTTPS)
	}

	v := &visit{w: w, r: r}
	d.noticeProxy(v)
	code, channel, ok := readCode(r.PathValue("code"))
	if !ok || !strings.HasPrefix(r.URL.EscapedPath(), "/l/"+code) { // a code has one spelling; only text after it may be escaped
		d.guessed(v)
		return
	}
	var err error
	v.channel = channel
	v.entry, err = d.links.open(r.Context(), code)
	if errors.Is(err, errUnknown) {
		d.guessed(v)
		return
	}
	if err == nil {
		service.Verified(r.Context()) // the code is
	}
	if wait, ok := d.visitors.mayOpen(r, code); !ok {
		d.show(v, limited(wait))
		return
	}
	switch {
	case errors.Is(err, errExpired):
		d.show(v, expired)
	case err != nil:
		d.log.ErrorContext(r.Context(), "short link not looked up", "error", err)
		d.show(v, failed)
	case r.Method == http.MethodPost && fromElsewhere(r):
		d.show(v, button(v.entry.link))
	case r.Method == http.MethodPost:
		d.open(v)
	default:
		d.look(v)
	}
}

// guessed responds to a code that no link has.
func (d *door) guessed(v *visit) {
	if wait, ok := d.visitors.mayGuess(v.r); !ok {
		d.show(v, limited(wait))
		return
	}
	d.show(v, unknown)
}

// DoctorCode is the code that `signrelay doctor` asks for, and no link has. The answer to it has the header ProxyHeader, with the value
// ProxyUnnamed, where it came through a proxy that the settings do not name.
const (
	DoctorCode   = "signrelaydoctor"
	ProxyHeader  = "Signrelay-Proxy"
	ProxyUnnamed = "unnamed"
)

// noticeProxy counts a request that came through a proxy that the settings do not name, and warns of the first.
func (d *door) noticeProxy(v *visit) {
	if !d.visitors.unnamedProxy(v.r) {
		return
	}
	d.proxied.Inc()
	d.warned.Do(func() {
		d.log.WarnContext(v.r.Context(), "a request for a link came through a proxy that the settings do not name, so all its clients count as one: "+
			"set shortener.trusted_proxies to its network")
	})
	if v.r.PathValue("code") == DoctorCode {
		v.w.Header().Set(ProxyHeader, ProxyUnnamed)
	}
}

// look responds to clients that have not pressed the button: robots, browsers that prefetch, and people.
func (d *door) look(v *visit) {
	robotic := robotOf(v.r)
	switch {
	case isPrefetch(v.r):
		d.show(v, prefetch)
		d.tellFetched(v, prefetcher)
	case robotic != "":
		d.show(v, robot)
		d.tellFetched(v, robotic)
	case v.entry.Target == "":
		d.show(v, button(v.entry.link))
		d.tellFetched(v, browser)
	default:
		d.lead(v, v.entry.Target)
	}
}

// open is for the person who pressed the button.
func (d *door) open(v *visit) {
	if v.entry.Target != "" {
		d.lead(v, v.entry.Target)
		return
	}
	d.ask(v)
}

func (d *door) show(v *visit, p page) {
	d.asked.WithLabelValues(p.outcome).Inc()
	p.show(v, d.log)
}

// lead sends a person to where the link leads.
func (d *door) lead(v *visit, target string) {
	if u, err := url.Parse(target); err != nil || !isWeb(u) {
		d.log.ErrorContext(v.r.Context(), "short link leads to no http(s) address", "source", v.entry.Source, "provider", v.entry.Provider)
		d.show(v, busyFor(0))
		return
	}
	status, certainty := http.StatusFound, viewed
	if v.r.Method == http.MethodPost {
		status, certainty = http.StatusSeeOther, clicked // and with GET
	}
	v.w.Header().Set("Location", target)
	v.w.Header().Set("Content-Length", "0")
	v.w.WriteHeader(status)
	d.asked.WithLabelValues("redirected").Inc()
	d.tellOpened(v, certainty)
}

// tellWithin is how long the log has to take an event about a link. It is worth less than a handler that hangs.
const tellWithin = time.Second

// tellOpened tells the log that the link was opened.
func (d *door) tellOpened(v *visit, certainty string) {
	d.tell(v, event.LinkOpened, func(ctx context.Context) (*nats.Msg, error) { return opened(ctx, v, certainty, rand.Text()) })
}

// tellFetched tells the log that a kind of program fetched the link and was not led on, once a day. Where the log then does
// not take it, that day has none: what robots do is worth no second try.
func (d *door) tellFetched(v *visit, client string) {
	day := d.links.now().UTC().Format(time.DateOnly)
	if v.entry.Fetched[client] == day {
		return
	}
	d.tell(v, event.LinkFetched, func(ctx context.Context) (*nats.Msg, error) {
		first, err := d.links.fetched(ctx, v.entry, client, day)
		if err != nil || !first {
			return nil, err
		}
		return fetched(ctx, v, client, day)
	})
}

// tell puts an event about a link into the log, if there is one. The visitor gets the response before the event is stored. The
// event is still stored within the request, so that a server that shuts down waits for it.
func (d *door) tell(v *visit, typ string, event func(context.Context) (*nats.Msg, error)) {
	if err := http.NewResponseController(v.w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		d.log.DebugContext(v.r.Context(), "short link's reader left", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), tellWithin)
	defer cancel()
	m, err := event(ctx)
	if err == nil && m != nil {
		_, err = d.js.PublishMsg(ctx, m)
	}
	if err != nil {
		d.log.WarnContext(ctx, "event of a short link not recorded", "type", typ, "source", v.entry.Source, "provider", v.entry.Provider, "error", err)
	}
}
