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

	"github.com/signrelay/signrelay/libs/archive"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/telemetry"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// handler serves the short links to signers.
type handler struct {
	links           store
	sources         func() providers.Sources // of the current settings
	visitors        visitors
	providerTimeout time.Duration
	archive         *archive.Store // nil if the settings have none
	https           bool           // responses have a Strict-Transport-Security header
	js              jetstream.JetStream
	signing         event.Log
	optOuts         optout.Store
	wishes          optout.Counters
	log             *slog.Logger
	opened          *prometheus.CounterVec
	proxied         prometheus.Counter
	warned          sync.Once // of a proxy that the settings do not name
}

func newHandler(env service.Env, links store, optOuts optout.Store, sources func() providers.Sources) (*handler, error) {
	d := &handler{
		optOuts: optOuts,
		links:   links, sources: sources, visitors: newVisitors(shortenersettings.Section.Of(env.Config), env.Limits),
		providerTimeout: providerTimeout, js: env.JS, signing: event.Log{JS: env.JS, Stream: flow.Signing}, log: env.Log, https: byHTTPSOnly(shortenersettings.Section.Of(env.Config).PublicURL),
	}
	if err := telemetry.Register(env.Metrics, &d.opened, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "signrelay_shortener_opened_total",
		Help: "Requests for short links, by their result.",
	}, []string{"outcome"})); err != nil {
		return nil, err
	}
	if err := telemetry.Register(env.Metrics, &d.proxied, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "signrelay_shortener_unnamed_proxy_total",
		Help: "Requests for short links with X-Forwarded-For or Forwarded from an address that shortener.trusted_proxies does not name.",
	})); err != nil {
		return nil, err
	}
	var err error
	if d.wishes, err = optout.NewCounters(env.Metrics, optout.ByPage, env.Config.Sources); err != nil {
		return nil, err
	}
	for _, outcome := range []string{"redirected", failed.outcome, busy.outcome} {
		d.opened.WithLabelValues(outcome) // start at 0: Prometheus misses a counter that first appears as 1
	}
	return d, nil
}

// oneYearHTTPS makes browsers use https only for this host (RFC 6797). It does not include subdomains, which may belong to other
// programs. Browsers ignore it if the host is an IP address, and in a response over http.
const oneYearHTTPS = "max-age=31536000"

// byHTTPSOnly reports whether the links have an https address whose host no other program shares. Programs share localhost.
func byHTTPSOnly(publicURL string) bool {
	u, err := url.Parse(publicURL)
	return err == nil && u.Scheme == "https" && u.Hostname() != "localhost" && !strings.HasSuffix(u.Hostname(), ".localhost")
}

// visit is one request for a link.
type visit struct {
	w       http.ResponseWriter
	r       *http.Request
	entry   entry // the link after its lookup
	channel string
	form    *wish // after it was read
}

// ServeHTTP serves GET, HEAD and POST. Only the button on one of our own pages sends a POST, so a POST comes from a person. Any other request
// for a link that the provider resolves at the click gets the page with the button, because the provider's address may work only once.
func (d *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")         // each opening is recorded, and the browser's "back" fetches the page again
	h.Set("Referrer-Policy", "no-referrer")    // the code is a secret and must not be in the target's logs
	h.Set("X-Robots-Tag", "noindex, nofollow") // search engines must not index it
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
		service.Verified(r.Context()) // by its code
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
	case d.replaced(v):
	case r.Method == http.MethodPost && fromElsewhere(r):
		d.show(v, button(v.entry.link))
	case r.Method == http.MethodPost && wishOf(v) != "":
		d.take(v, wishOf(v))
	case r.Method == http.MethodPost && v.entry.corrects():
		d.correct(v)
	case r.Method == http.MethodPost:
		d.press(v)
	default:
		d.get(v)
	}
}

// guessed serves a code without a link.
func (d *handler) guessed(v *visit) {
	if wait, ok := d.visitors.mayGuess(v.r); !ok {
		d.show(v, limited(wait))
		return
	}
	d.show(v, unknown)
}

// DoctorCode is the code that `signrelay doctor` requests. No link has this code. The response has the header ProxyHeader with the value
// ProxyUnnamed if the request came through a proxy that the settings do not name.
const (
	DoctorCode   = "signrelaydoctor"
	ProxyHeader  = "Signrelay-Proxy"
	ProxyUnnamed = "unnamed"
)

// noticeProxy counts a request that came through a proxy that the settings do not name, and warns of the first.
func (d *handler) noticeProxy(v *visit) {
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

// get serves requests that are not from the button: from robots, browsers that prefetch, and people.
func (d *handler) get(v *visit) {
	robotic := robotOf(v.r)
	switch {
	case isPrefetch(v.r):
		d.show(v, prefetch)
		d.recordFetched(v, prefetcher)
	case robotic != "":
		d.show(v, robot)
		d.recordFetched(v, robotic)
	case v.entry.corrects() && v.entry.Order != "":
		d.showOrder(v)
	case v.entry.corrects():
		d.show(v, button(v.entry.link))
	case v.entry.Target == "":
		d.show(v, button(v.entry.link))
		d.recordFetched(v, browser)
	default:
		d.redirect(v, v.entry.Target)
	}
}

// press serves the person who pressed the button.
func (d *handler) press(v *visit) {
	if v.entry.Target != "" {
		d.redirect(v, v.entry.Target)
		return
	}
	d.resolve(v)
}

func (d *handler) show(v *visit, p page) {
	d.opened.WithLabelValues(p.outcome).Inc()
	p.show(v, d.log)
}

// redirect sends a person to the link's target.
func (d *handler) redirect(v *visit, target string) {
	if !pack.Address(target) {
		d.log.ErrorContext(v.r.Context(), "short link has a target that is not an http(s) address", "source", v.entry.Source, "provider", v.entry.Provider)
		d.show(v, busyFor(0))
		return
	}
	status, certainty := http.StatusFound, viewed
	if v.r.Method == http.MethodPost {
		status, certainty = http.StatusSeeOther, clicked // the browser then uses GET
	}
	v.w.Header().Set("Location", target)
	v.w.Header().Set("Content-Length", "0")
	v.w.WriteHeader(status)
	d.opened.WithLabelValues("redirected").Inc()
	d.recordOpened(v, certainty)
}

// recordTimeout limits the time to store an event about a link. A free handler is more important than this event.
const recordTimeout = time.Second

// recordOpened stores the event that the link was opened.
func (d *handler) recordOpened(v *visit, certainty string) {
	d.record(v, event.LinkOpened, func(ctx context.Context) (*nats.Msg, error) { return opened(ctx, v, certainty, rand.Text()) })
}

// recordFetched stores the event that a kind of program fetched the link and was not redirected, once a day. If this fails, the day has no
// such event. A retry is not worth its cost.
func (d *handler) recordFetched(v *visit, client string) {
	day := d.links.now().UTC().Format(time.DateOnly)
	if v.entry.Fetched[client] == day || v.entry.corrects() { // the events of links are about the person who signs
		return
	}
	d.record(v, event.LinkFetched, func(ctx context.Context) (*nats.Msg, error) {
		first, err := d.links.fetched(ctx, v.entry, client, day)
		if err != nil || !first {
			return nil, err
		}
		return fetched(ctx, v, client, day)
	})
}

// record stores an event about a link, if there is one. The visitor gets the response before that. The event is stored within the request, so
// that a server waits for it when it shuts down.
func (d *handler) record(v *visit, typ string, event func(context.Context) (*nats.Msg, error)) {
	if err := http.NewResponseController(v.w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		d.log.DebugContext(v.r.Context(), "short link's visitor disconnected", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), recordTimeout)
	defer cancel()
	m, err := event(ctx)
	if err == nil && m != nil {
		_, err = d.js.PublishMsg(ctx, m)
	}
	if err != nil {
		d.log.WarnContext(ctx, "event of a short link not recorded", "type", typ, "source", v.entry.Source, "provider", v.entry.Provider, "error", err)
	}
}
