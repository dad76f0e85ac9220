package config

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/mailbox"
)

// Check checks the meaning of the settings. It returns all mistakes as one error with one line for each mistake. Every line names the key and
// how to fix it. providers are the valid names of providers; perSource is the check of a source by its provider, and nil means no such check.
func Check(cfg Config, providers []string, perSource func(Source) error) error {
	c := &Checker{providers: providers, perSource: perSource}
	c.texts(&cfg)
	for _, e := range cfg.list() {
		e.of.check(c, cfg)
	}
	return errors.Join(c.mistakes...)
}

// sharedSettings are the fields of Config.
var sharedSettings = []*shared{
	{"sources", sourcesCheck, sourceWarnings},
	{"limits", func(c *Checker, all Config) { c.limits(all.Limits) }, nil},
	{"templates", nil, nil},
	{"nats", func(c *Checker, all Config) { c.nats(all.NATS) }, nil},
	{"redis", func(c *Checker, all Config) { c.redis(all.Redis) }, nil},
	{"hide_sources", nil, nil},
	{"tls", func(c *Checker, all Config) { c.serverTLS(all) }, nil},
	{"admin", func(c *Checker, all Config) {
		c.Address("admin.addr", all.Admin.Addr)
		c.HostNames("admin.hosts", all.Admin.Hosts)
	}, nil},
	{"drain_delay", func(c *Checker, all Config) { c.drainDelay(all.DrainDelay) }, nil},
	{"master_key", func(c *Checker, all Config) { c.masterKeys(all.MasterKeys()) }, nil},
	{"data_dir", func(c *Checker, all Config) {
		if all.DataDir == "" {
			c.Mistake("data_dir", "name a folder, such as ./data")
		}
	}, nil},
	{"log", func(c *Checker, all Config) { c.OneOf("log.level", all.Log.Level, "debug", "info", "warn", "error") }, nil},
}

func sourcesCheck(c *Checker, all Config) { c.sources(all.Sources) }

func (c *Checker) drainDelay(d time.Duration) {
	if d < 0 || d > longestDrain {
		c.Mistake("drain_delay", "want from 0s to %v, not %v", longestDrain, d)
	}
}

func (c *Checker) masterKeys(keys []string) {
	for i, key := range keys {
		if len(key) < shortestMasterKey {
			c.Mistake("master_key", "want %d characters or more on each line, not %d on line %d: openssl rand -base64 32 makes a key",
				shortestMasterKey, len(key), i+1)
		}
	}
}

// shortestMasterKey is the minimum length of a master key in characters: 32 hexadecimal digits are 128 bits.
const shortestMasterKey = 32

// longestName is the maximum length of a sender's name in characters. With 100 characters a text message needs one more part.
const longestName = 100

// mobile matches a number with its country code and the usual separators between the digits.
var mobile = regexp.MustCompile(`^\+(?:[ ().-]*[0-9]){7,15}$`)

var sourceName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

func (c *Checker) sources(sources []Source) {
	seen := map[[2]string]bool{}
	for i, s := range sources {
		key := fmt.Sprintf("sources[%d]", i)
		before := len(c.mistakes)
		if !sourceName.MatchString(s.Name) {
			c.Mistake(key+".name", "want 1 to 32 of a-z, 0-9 and -, not %q", s.Name)
		}
		if !slices.Contains(c.providers, s.Provider) {
			c.Mistake(key+".provider", "want one of %s, not %q", strings.Join(c.providers, ", "), s.Provider)
		}
		if s.SenderName != "" && len([]rune(s.SenderName)) > longestName {
			c.Mistake(key+".sender_name", "want at most %d characters: it is in every text, not %d", longestName, len([]rune(s.SenderName)))
		}
		if id := [2]string{s.Provider, s.Name}; seen[id] {
			c.Mistake(key+".name", "%s has another source %q: give this one another name", s.Provider, s.Name)
		} else {
			seen[id] = true
		}
		c.region(key+".region", s.Region)
		c.locale(key+".locale", s.Locale)
		if s.provided != nil && s.provided.layout.of != nil {
			s.provided.layout.of.check(c, key, s)
		}
		c.WebURL(key+".api.base_url", s.API.BaseURL)
		if s.API.PerMinute < 0 {
			c.Mistake(key+".api.per_minute", "want the number of calls a minute, or 0 for the provider's own limit")
		}
		c.mailbox(key+".notify.sender.email", s.Notify.Sender.Email)
		if m := s.Notify.Sender.Mobile; m != "" && !mobile.MatchString(m) {
			c.Mistake(key+".notify.sender.mobile", "want one number with its country code, such as +13175550100")
		}
		c.EachOf(key+".notify.channels", s.Notify.Channels, event.ChannelNames()...)
		c.EachOf(key+".notify.kinds", s.Notify.Kinds, event.KindNames()...)
		c.reminders(key+".reminders", s.Reminders)
		if s.Retention != 0 && (s.Retention < leastRetention || s.Retention > mostRetention) {
			c.Mistake(key+".retention", "want %v to %v, or 0 to keep documents as long as the log keeps events", leastRetention, mostRetention)
		}
		c.quietHours(key+".quiet_hours", s.QuietHours)
		c.fallback(key+".fallback", s.Fallback)
		c.EachOf(key+".keep", s.Keep, KeepCallbacks, KeepTexts)
		c.reconcile(key+".reconcile", s.Reconcile)

		// The provider's check needs readable texts.
		if c.perSource == nil || len(c.mistakes) > before || !c.readable(key) {
			continue
		}
		if err := c.perSource(s); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				c.Mistake(key, "%s/%s: %s", s.Provider, s.Name, line)
			}
		}
	}
}

// NumberTypes are the valid values of limits.number_types: the types of the library of phone numbers, and "unknown" for a number without a
// known type.
var NumberTypes = []string{
	"mobile", "fixed-line", "voip", "personal-number", "pager", "uan", "voicemail", "shared-cost", "toll-free", "premium-rate", "unknown",
}

// Bounds of limits. Each message to a person is remembered; messages of a source are only counted.
const mostToOne, mostToAll = 10_000, 100_000_000

func (c *Checker) limits(l Limits) {
	c.most("limits.person_per_day", l.PersonPerDay, mostToOne)
	c.most("limits.number_per_hour", l.NumberPerHour, mostToOne)
	c.most("limits.texts_per_day", l.TextsPerDay, mostToOne)
	c.most("limits.document", l.Document, mostToAll)
	c.most("limits.source_per_day", l.SourcePerDay, mostToAll)
	for _, code := range l.Countries {
		if code != "*" {
			c.region("limits.countries", code)
		}
	}
	c.EachOf("limits.number_types", l.NumberTypes, NumberTypes...)
}

func (c *Checker) most(key string, value, most int) {
	if value < 0 || value > most {
		c.Mistake(key, "want the number of messages, at most %d, or 0 for no limit, not %d", most, value)
	}
}

// mailbox checks that a value is empty or one bare e-mail address.
func (c *Checker) mailbox(key, text string) {
	if text == "" {
		return
	}
	if a, err := mail.ParseAddress(text); err != nil || a.Address != text {
		c.Mistake(key, "want one address alone, such as contracts@acme.example")
	} else if !mailbox.PublicAddress(a.Address) {
		c.Mistake(key, "want an address at a domain of the internet, such as contracts@acme.example: not at localhost, an IP address or a host without a dot")
	}
}

func (c *Checker) natsURL(text string) {
	if text == "" {
		return
	}
	sockets, servers := 0, strings.Split(text, ",")
	for _, server := range servers {
		u, err := url.Parse(strings.TrimSpace(server))
		switch {
		case err != nil || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) || u.Hostname() == "" || !port(u):
			c.Mistake("nats.url", "want nats://host:port or tls://host:port, several separated by commas")
			return
		case strings.HasPrefix(u.Scheme, "ws"):
			sockets++
		case strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
			c.Mistake("nats.url", "want no path or query after the port: nats://host:port")
			return
		}
	}
	if sockets != 0 && sockets != len(servers) {
		c.Mistake("nats.url", "want ws:// or wss:// for all servers, or for none")
	}
}

func (c *Checker) nats(n NATS) {
	c.natsURL(n.URL)
	switch {
	case n.User == "" && n.Password != "":
		c.Mistake("nats.user", "password is set: set the user's name too")
	case n.User != "" && n.Creds != "":
		c.Mistake("nats.user", "creds is set too: keep one")
	case n.User != "" && strings.Contains(n.URL, "@"):
		c.Mistake("nats.user", "nats.url has a user in it too: keep one")
	}
	c.TLS("nats.tls", n.TLS)
	c.Address("nats.addr", n.Addr)
	if n.Replicas < 1 || n.Replicas > 5 {
		c.Mistake("nats.replicas", "want 1 for a single node or 3 for a cluster, not %d", n.Replicas)
	}
}

func (c *Checker) redis(r Redis) {
	if r.URL == "" {
		return
	}
	all, first := r.Addresses()
	u, err := url.Parse(first)
	switch {
	case r.repeatsLogin():
		c.Mistake("redis.url", "a user or password is in front of several addresses: write them once, redis://user:password@host:port,host:port/db; in a password @ is written %%40")
	case err != nil || !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme) || !port(u):
		c.Mistake("redis.url", "want redis://user:password@host:port/db, or rediss:// for TLS")
	case u.Scheme != "unix" && u.Hostname() == "":
		c.Mistake("redis.url", "the host is missing: want redis://host:port/db")
	case u.Scheme != "rediss" && r.TLS.Set():
		c.Mistake("redis.tls", "a certificate or key is set: want rediss:// in redis.url, or nothing is encrypted")
	case u.User != nil && (r.Username != "" || r.Password != ""):
		c.Mistake("redis.password", "redis.url has a user or password in it too: keep one")
	default:
		c.redisAddresses(r, u, all)
	}
	if r.Username != "" && r.Password == "" {
		c.Mistake("redis.password", "username is set: set the password too")
	}
	switch s := r.Sentinel; {
	case s.Set() && r.Cluster:
		c.Mistake("redis.cluster", "redis.sentinel.master is set too: keep one; a Redis Cluster has no Sentinels")
	case !s.Set() && (s.Username != "" || s.Password != ""):
		c.Mistake("redis.sentinel.master", "it is empty, and a user or password for Sentinels is set: set the name of the primary in sentinel.conf")
	case s.Username != "" && s.Password == "":
		c.Mistake("redis.sentinel.password", "username is set: set the password too")
	}
	c.TLS("redis.tls", r.TLS)
}

// redisAddresses checks the addresses in redis.url against the mode.
func (c *Checker) redisAddresses(r Redis, u *url.URL, all []string) {
	for i, a := range all {
		address, err := url.Parse("redis://" + a)
		switch {
		case i > 0 && (err != nil || address.Hostname() == "" || address.User != nil || !port(address)):
			c.Mistake("redis.url", "address %d of %d is not host:port; the user, the password and the database are written once, redis://user:password@host:port,host:port/db", i+1, len(all))
			return
		case slices.Contains(all[:i], a):
			c.Mistake("redis.url", "address %d is there twice", i+1)
			return
		}
	}
	switch {
	case u.Scheme == "unix" && r.Failover():
		c.Mistake("redis.url", "unix:// is one server: remove redis.sentinel.master and redis.cluster, or want redis://host:port,host:port")
	case len(all) > 1 && !r.Failover():
		c.Mistake("redis.url", "%d addresses: set redis.sentinel.master if they are Sentinels, or redis.cluster: true if they are nodes of a cluster; keep one address for one server", len(all))
	case r.Cluster && !slices.Contains([]string{"", "0"}, strings.TrimPrefix(u.Path, "/")):
		c.Mistake("redis.url", "it names database %s, and a Redis Cluster has only database 0: remove it", strings.TrimPrefix(u.Path, "/"))
	}
}

// longestDrain is longer than a load balancer needs to notice the shutdown. A supervisor must wait this long plus 20 s before it kills a process.
const longestDrain = 2 * time.Minute

// A shorter retention could end while a provider still repeats a callback; a longer one would be without effect, because the log keeps events
// for 90 days.
const (
	leastRetention = 7 * 24 * time.Hour
	mostRetention  = 89 * 24 * time.Hour
)
