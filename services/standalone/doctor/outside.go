package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	emailsender "github.com/signrelay/signrelay/services/email-sender"
	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
	"github.com/signrelay/signrelay/services/shortener"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
)

// nobodys is the id of no document: asking for it changes nothing, and a provider that says so has let us in.
const nobodys = "signrelay-doctor-asks-for-no-document"

// providers asks each source's REST API.
func (e *examination) providers(ctx context.Context) []Finding {
	// What is wrong with the settings is a line of its own; the other sources are asked all the same.
	sources, _ := providers.Open(e.cfg.Sources, providers.ForEvents, e.limits, nil)
	var all []Finding
	for _, s := range e.cfg.Sources {
		check := "api " + nameOf(s)
		src, opened := sources[providers.SourceKey{Name: s.Name, Provider: s.Provider}]
		switch {
		case !opened:
			all = append(all, Finding{check, Fail, "cannot be asked with these settings", "see \"settings\""})
		case src.API == nil:
			all = append(all, Finding{check, Warn, "the settings do not say how to reach it: nobody is told anything", "set what is under api"})
		default:
			_, err := src.API.Document(ctx, nobodys)
			all = append(all, answered(check, err))
		}
	}
	return all
}

// answered judges how a provider's API answered a question after a document that it does not have.
func answered(check string, err error) Finding {
	var (
		call  *pack.CallError
		later *limit.LaterError
	)
	switch o := outcome.Of(err); {
	case err == nil:
		return Finding{check, Warn, "it knows a document that does not exist", "does api.base_url lead to the provider?"}
	case errors.Is(err, pack.ErrNotOurs):
		return fine(check, "reached, and lets us in")
	case errors.As(err, &later):
		return Finding{check, Warn, "not asked: " + later.Error(), "look again when the source is less busy"}
	case !errors.As(err, &call):
		return Finding{check, Fail, told(err), "look at the settings under api"}
	case o.Kind() == outcome.Held:
		return Finding{check, Fail, told(err) + ": it does not let us in", "set the credentials under api anew, and see what they may do at the provider"}
	case call.Status == http.StatusNotFound, o.Kind() == outcome.GaveUp:
		return fine(check, "reached, and lets us in")
	case call.Status == http.StatusTooManyRequests:
		return Finding{check, Warn, "it is asked too often", "lower api.per_minute, or see who else uses the account"}
	case call.Status == 0:
		return Finding{check, Fail, told(err), "does api.base_url lead there, and does the network let us out?"}
	default:
		return Finding{check, Fail, told(err), "see whether the provider has trouble; work waits for it"}
	}
}

func (e *examination) wants(channel string) bool {
	return slices.ContainsFunc(e.cfg.Sources, func(s config.Source) bool {
		return len(s.Notify.Channels) == 0 || slices.Contains(s.Notify.Channels, channel)
	})
}

// texts connects to Vonage and says nothing: every call there costs money or reaches somebody.
func (e *examination) texts(ctx context.Context) []Finding {
	const check = "vonage"
	v := e.cfg.SMS.Vonage
	switch {
	case !e.wants("sms"):
		return []Finding{fine(check, "not needed: no source sends texts")}
	case v.APIKey == "":
		return []Finding{{check, Fail, "sms.vonage.api_key is empty: no text is sent", "set it, or take sms out of the sources' notify.channels"}}
	}
	all := []Finding{{check, OK, "reached; whether it knows the key shows with the first text", ""}}
	if err := reach(ctx, v.BaseURL); err != nil {
		all[0] = Finding{check, Fail, told(err), "does sms.vonage.base_url lead there, and does the network let us out?"}
	}
	if v.SignatureSecret == "" {
		all = append(all, Finding{"vonage receipts", Warn, "sms.vonage.signature_secret is empty: delivery receipts are refused", "set the account's signature secret"})
	}
	return all
}

// reach connects to the server of an URL, or to the proxy on the way to it, up to its certificate.
func reach(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("it is no URL")
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
	dialer := &net.Dialer{Timeout: connectWithin}
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

// letters logs in at the mail server as a letter would, and takes leave.
func (e *examination) letters(ctx context.Context) []Finding {
	const check = "smtp"
	s := emailsettings.Section.Of(e.cfg).SMTP
	switch {
	case !e.wants("email"):
		return []Finding{fine(check, "not needed: no source sends e-mail")}
	case s.Host == "":
		return []Finding{{check, Fail, "email.smtp.host is empty: no e-mail is sent", "set it, or take email out of the sources' notify.channels"}}
	}
	if err := emailsender.Reach(ctx, s); err != nil {
		return []Finding{{check, Fail, told(err), "look at host, port, tls, username and password under email.smtp"}}
	}
	how := "reached, greeted, and logged in"
	if s.Username == "" {
		how = "reached and greeted; without a username nobody logs in"
	}
	if s.TLS == "none" && !loopback(s.Host) {
		return []Finding{{check, Warn, how + ", in the clear", "set email.smtp.tls: mandatory"}}
	}
	return []Finding{fine(check, "%s", how)}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// shortener asks the outside shortener who we are.
func (e *examination) shortener(ctx context.Context) []Finding {
	check := "shortener " + shortenersettings.Section.Of(e.cfg).Kind
	switch err := shortener.Reach(ctx, shortenersettings.Section.Of(e.cfg), e.limits); {
	case shortenersettings.Section.Of(e.cfg).Kind == "builtin":
		return []Finding{fine(check, "our own links")}
	case err != nil:
		return []Finding{{check, Fail, told(err) + ": our own links are used", "look at the settings under shortener." + shortenersettings.Section.Of(e.cfg).Kind}}
	default:
		return []Finding{fine(check, "reached, and lets us in")}
	}
}

// kafka connects to each broker. Whether we may write shows when the bridge starts.
func (e *examination) kafka(ctx context.Context) []Finding {
	var all []Finding
	for i, broker := range kafkasettings.Section.Of(e.cfg).Brokers {
		check := "kafka broker " + strconv.Itoa(i+1)
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		if err := dial(ctx, broker, false, ""); err != nil {
			all = append(all, Finding{check, Fail, told(err), "does kafka.brokers lead there?"})
		} else {
			all = append(all, fine(check, "reached; whether it lets us write shows when the bridge starts"))
		}
		cancel()
	}
	return all
}
