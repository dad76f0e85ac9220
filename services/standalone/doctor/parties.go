package doctor

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/signrelay/signrelay/libs/archive"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/index"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/oauth"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/service"
	archivesettings "github.com/signrelay/signrelay/services/archiver/settings"
	emailsender "github.com/signrelay/signrelay/services/email-sender"
	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
	"github.com/signrelay/signrelay/services/indexer"
	indexsettings "github.com/signrelay/signrelay/services/indexer/settings"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
	"github.com/signrelay/signrelay/services/shortener"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

// unknownDocument is an id that no document has. A request for it changes nothing. If the provider responds that there is no such
// document, it has accepted the credentials.
const unknownDocument = "signrelay-doctor-asks-for-no-document"

// providers calls each source's REST API.
func (e *examination) providers(ctx context.Context) []Finding {
	tokens, done := e.tokens()
	defer done()
	// Mistakes in the settings have their own findings. The other sources are still called.
	sources, _ := providers.Open(e.cfg.Sources, providers.ForEvents, e.limits, nil, tokens)
	var all []Finding
	for _, s := range e.cfg.Sources {
		check := "api " + nameOf(s)
		src, opened := sources[providers.SourceKey{Name: s.Name, Provider: s.Provider}]
		switch {
		case !opened:
			all = append(all, Finding{check, Fail, "cannot be called with these settings", "see \"settings\""})
		case src.API == nil:
			all = append(all, Finding{check, Warn, "the settings lack its API: no messages are sent for this source", "set the keys under api"})
		default:
			_, err := src.API.Document(ctx, unknownDocument)
			all = append(all, judgeAPI(check, err))
		}
	}
	return all
}

// tokens opens the tokens of sources whose applications sign in; nil if there is no such source. The checks of NATS report an unreachable server.
func (e *examination) tokens() (store *oauth.Store, done func()) {
	none := func() {}
	if !slices.ContainsFunc(e.cfg.Sources, func(s config.Source) bool { _, used := providers.OAuth(s); return used }) {
		return nil, none
	}
	conn, err := e.connectNATS()
	if err != nil {
		return nil, none
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, none
	}
	return oauth.NewStore(js, e.ring(), nil), conn.Close
}

// judgeAPI judges a provider's response to a request for a document that does not exist.
func judgeAPI(check string, err error) Finding {
	var (
		call   *pack.CallError
		later  *limit.LaterError
		signIn *oauth.SignInError
	)
	switch o := outcome.Of(err); {
	case err == nil:
		return Finding{check, Warn, "it returned a document that does not exist", "check that api.base_url is the provider's address"}
	case errors.Is(err, pack.ErrNotOurs):
		return passed(check, "reached; the credentials are accepted")
	case errors.As(err, &later):
		return Finding{check, Warn, "not called: " + later.Error(), "run the doctor again when the source is less busy"}
	case errors.As(err, &signIn):
		return Finding{check, Fail, "the provider accepts no call until a person signs in", fmt.Sprintf("signrelay source sign-in %s/%s", signIn.Provider, signIn.Source)}
	case !errors.As(err, &call):
		return Finding{check, Fail, masked(err), "check the settings under api"}
	case o.Kind() == outcome.Held:
		return Finding{check, Fail, masked(err) + ": it rejects the credentials", "set new credentials under api, and check their permissions at the provider"}
	case call.Status == http.StatusNotFound, o.Kind() == outcome.GaveUp:
		return passed(check, "reached; the credentials are accepted")
	case call.Status == http.StatusTooManyRequests:
		return Finding{check, Warn, "it reports too many requests", "lower api.per_minute, or check whether another program uses the account"}
	case call.Status == 0:
		return Finding{check, Fail, masked(err), "check api.base_url, and that the network allows outbound connections"}
	default:
		return Finding{check, Fail, masked(err), "check whether the provider has an outage; until it ends, the work waits"}
	}
}

func (e *examination) sends(channel string) bool {
	return slices.ContainsFunc(e.cfg.Sources, func(s config.Source) bool {
		return len(s.Notify.Channels) == 0 || slices.Contains(s.Notify.Channels, channel)
	})
}

// vonage only connects to Vonage, because every call of its API costs money or reaches a person.
func (e *examination) vonage(ctx context.Context) []Finding {
	const check = "vonage"
	v := smssettings.VonageSection.Of(e.cfg)
	switch {
	case !e.sends("sms"):
		return []Finding{passed(check, "not needed: no source sends SMS")}
	case v.APIKey == "":
		return []Finding{{check, Fail, "sms.vonage.api_key is empty: no SMS is sent", "set it, or remove sms from the sources' notify.channels"}}
	}
	all := []Finding{{check, OK, "reached; the first SMS will show whether the key is accepted", ""}}
	if err := reach(ctx, v.BaseURL); err != nil {
		all[0] = Finding{check, Fail, masked(err), "check sms.vonage.base_url, and that the network allows outbound connections"}
	}
	if v.SignatureSecret == "" {
		all = append(all, Finding{"vonage receipts", Warn, "sms.vonage.signature_secret is empty: delivery receipts are refused", "set the account's signature secret"})
	}
	return append(all, northAmerica(e.cfg)...)
}

// publicShorteners are the domains that everybody can make links at. Carriers in the US and Canada block them.
var publicShorteners = []string{"bit.ly", "rebrand.ly", "j.mp", "bitly.com", "tinyurl.com"}

// northAmerica warns about settings with which carriers in the US and Canada do not deliver texts, if texts may go there.
func northAmerica(c config.Config) []Finding {
	countries := slices.Clone(c.Limits.Countries)
	if len(countries) == 0 {
		for _, s := range c.Sources {
			countries = append(countries, s.Region)
		}
	}
	if !slices.ContainsFunc(countries, func(country string) bool { return country == "US" || country == "CA" || country == "*" }) {
		return nil
	}
	var all []Finding
	if v := smssettings.VonageSection.Of(c); !v.Replies() {
		all = append(all, Finding{"vonage sender", Warn, fmt.Sprintf("sms.vonage.from is the name %q: carriers in the US and Canada deliver no texts from a name, and a person cannot reply STOP", v.From),
			"use a registered number (10DLC, toll-free or a short code) for these countries, or remove them from limits.countries"})
	}
	if s := shortenersettings.Section.Of(c); slices.Contains(publicShorteners, strings.ToLower(s.Domain())) {
		all = append(all, Finding{"short links", Warn, fmt.Sprintf("links are at %s: carriers in the US and Canada block public shorteners, above all in a first message", s.Domain()),
			"use a domain of your own at the shortener, or shortener.kind: builtin"})
	}
	return all
}

// reach connects to the server of a URL, or to the proxy in front of it, and checks the TLS certificate.
func reach(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("not a URL")
	}
	if r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil); err == nil {
		if proxy, err := http.ProxyFromEnvironment(r); err == nil && proxy != nil {
			u = proxy
		}
	}
	return dial(ctx, net.JoinHostPort(u.Hostname(), port(u)), u.Scheme == "https", u.Hostname())
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

func dial(ctx context.Context, address string, encrypted bool, name string) error {
	dialer := &net.Dialer{Timeout: connectTimeout}
	var conn net.Conn
	var err error
	if encrypted {
		conn, err = (&tls.Dialer{NetDialer: dialer, Config: &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", address)
	} else {
		conn, err = dialer.DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return err
	}
	return conn.Close()
}

// smtp logs in at the mail server as the email-sender does, and quits without sending an e-mail.
func (e *examination) smtp(ctx context.Context) []Finding {
	const check = "smtp"
	s := emailsettings.Section.Of(e.cfg).SMTP
	switch {
	case !e.sends("email"):
		return []Finding{passed(check, "not needed: no source sends e-mail")}
	case s.Host == "":
		return []Finding{{check, Fail, "email.smtp.host is empty: no e-mail is sent", "set it, or remove email from the sources' notify.channels"}}
	}
	if err := emailsender.Reach(ctx, s); err != nil {
		return []Finding{{check, Fail, masked(err), "check host, port, tls, username and password under email.smtp"}}
	}
	state := "reached; logged in"
	if s.Username == "" {
		state = "reached; no login, because email.smtp.username is empty"
	}
	if s.TLS == "none" && !loopback(s.Host) {
		return []Finding{{check, Warn, state + ", without TLS", "set email.smtp.tls: mandatory"}}
	}
	return []Finding{passed(check, "%s", state)}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// shortener requests our own account from the outside shortener.
func (e *examination) shortener(ctx context.Context) []Finding {
	check := "shortener " + shortenersettings.Section.Of(e.cfg).Kind
	switch err := shortener.Reach(ctx, shortenersettings.Section.Of(e.cfg), e.limits); {
	case shortenersettings.Section.Of(e.cfg).Kind == "builtin":
		return []Finding{passed(check, "the built-in shortener")}
	case err != nil:
		return []Finding{{check, Fail, masked(err) + ": the built-in shortener makes the links", "check the settings under shortener." + shortenersettings.Section.Of(e.cfg).Kind}}
	default:
		return []Finding{passed(check, "reached; the credentials are accepted")}
	}
}

// archive writes an object, reads it and deletes it.
func (e *examination) archive(ctx context.Context) []Finding {
	const check = "archive"
	a := archivesettings.Section.Of(e.cfg)
	switch {
	case a.Disabled:
		return []Finding{passed(check, "not needed: archive.disabled is true")}
	case !a.On():
		return []Finding{{check, Warn, "archive.url is empty: the files of completed documents are not stored", "set it, or archive.disabled: true if that is intended"}}
	}
	store, err := archive.Open(ctx, a.URL)
	if err == nil {
		err = errors.Join(store.Probe(ctx, rand.Text()), store.Close())
	}
	if err != nil {
		return []Finding{{check, Fail, masked(err), "check archive.url, the credentials in the environment, and their permissions: list, read, write and delete objects"}}
	}
	return []Finding{passed(check, "an object was written, read and deleted")}
}

// kafka connects to each broker. The bridge checks its permission to write when it starts.
func (e *examination) kafka(ctx context.Context) []Finding {
	var all []Finding
	for i, broker := range kafkasettings.Section.Of(e.cfg).Brokers {
		check := "kafka broker " + strconv.Itoa(i+1)
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		if err := dial(ctx, broker, false, ""); err != nil {
			all = append(all, Finding{check, Fail, masked(err), "check kafka.brokers"})
		} else {
			all = append(all, passed(check, "reached; kafka-bridge checks its permission to write when it starts"))
		}
		cancel()
	}
	return all
}

// farBehind is the age of an event that is not in the index yet, from which the doctor reports it: 60 times the usual.
const farBehind = time.Minute

// index compares the search index with the log.
func (e *examination) index(ctx context.Context) []Finding {
	const check = "search index"
	is := indexsettings.Section.Of(e.cfg)
	switch {
	case is.Disabled:
		return []Finding{passed(check, "not needed: index.disabled is true")}
	case !is.On():
		return []Finding{{check, Warn, "index.url is empty: documents cannot be searched", "set it, or index.disabled: true if that is intended"}}
	case index.Missing(is.URL):
		return []Finding{{check, Warn, "there is no such file here: the indexer creates it when it starts", "run the doctor where the indexer runs, to check the index"}}
	}
	i, err := index.Open(ctx, is.URL)
	if err != nil {
		return []Finding{{check, Fail, masked(err), "check index.url, and the rights of its user: create schemas and tables"}}
	}
	defer func() { _ = i.Close() }()
	at, err := i.Position(ctx)
	if err != nil {
		return []Finding{{check, Fail, masked(err), "see docs/operate.md, \"The search index\""}}
	}
	env, done, err := service.Open(ctx, e.cfg, "signrelay-doctor", slog.New(slog.DiscardHandler))
	if err != nil {
		return []Finding{{check, Fail, masked(err), "the log cannot be read: see the findings about NATS"}}
	}
	defer done()
	lag, err := indexer.Behind(ctx, event.Log{JS: env.JS, Stream: flow.Signing}, at, time.Now())
	switch {
	case err != nil:
		return []Finding{{check, Fail, masked(err), "the log cannot be read: see the findings about NATS"}}
	case lag.For > farBehind:
		return []Finding{{
			check, Fail, fmt.Sprintf("%d events behind the log, for %s", lag.Events, lag.For.Round(time.Second)),
			"is the indexer running? Its log has the reason",
		}}
	}
	return []Finding{passed(check, "%d events behind the log", lag.Events)}
}
