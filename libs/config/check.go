package config

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Check judges what the settings mean, and returns all mistakes as one error of one line each; every line names the key
// and says how to mend it. providers are the names that a source's provider may have; perSource is what the source's
// provider says of it, and nil asks nobody.
func Check(cfg Config, providers []string, perSource func(Source) error) error {
	c := &checker{}
	c.sources(cfg.Sources, providers, perSource)
	c.sms(cfg.SMS.Vonage)
	c.email(cfg.Email)
	c.shortener(cfg.Shortener)

	c.nats(cfg.NATS)
	c.redis(cfg.Redis)
	c.kafka(cfg.Kafka)

	c.address("ingest.addr", cfg.Ingest.Addr)
	c.positive("ingest.max_in_flight", int64(cfg.Ingest.MaxInFlight))
	c.address("links.addr", cfg.Links.Addr)
	c.address("receipts.addr", cfg.Receipts.Addr)
	c.address("sandbox.addr", cfg.Sandbox.Addr)
	c.address("sandbox.smtp_addr", cfg.Sandbox.SMTPAddr)
	c.webURL("sandbox.ingest_url", cfg.Sandbox.IngestURL)
	c.address("admin.addr", cfg.Admin.Addr)

	if cfg.DataDir == "" {
		c.mistake("data_dir", "name a folder, such as ./data")
	}
	c.oneOf("log.level", cfg.Log.Level, "debug", "info", "warn", "error")
	return errors.Join(c.mistakes...)
}

type checker struct{ mistakes []error }

func (c *checker) mistake(key, format string, args ...any) {
	c.mistakes = append(c.mistakes, fmt.Errorf(key+": "+format, args...))
}

var sourceName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

func (c *checker) sources(sources []Source, providers []string, perSource func(Source) error) {
	seen := map[[2]string]bool{}
	for i, s := range sources {
		key := fmt.Sprintf("sources[%d]", i)
		before := len(c.mistakes)
		if !sourceName.MatchString(s.Name) {
			c.mistake(key+".name", "want 1 to 32 of a-z, 0-9 and -, not %q", s.Name)
		}
		if !slices.Contains(providers, s.Provider) {
			c.mistake(key+".provider", "want one of %s, not %q", strings.Join(providers, ", "), s.Provider)
		}
		if id := [2]string{s.Provider, s.Name}; seen[id] {
			c.mistake(key+".name", "%s has another source %q: give this one a name of its own", s.Provider, s.Name)
		} else {
			seen[id] = true
		}
		c.oneOf(key+".webhook.digest", s.Webhook.Digest, "sha1", "sha256")
		if slices.Contains(s.Webhook.Secrets, "") {
			c.mistake(key+".webhook.secrets", "an empty secret would let everybody in: remove it")
		}
		c.webURL(key+".api.base_url", s.API.BaseURL)
		if s.API.PerMinute < 0 {
			c.mistake(key+".api.per_minute", "want how many calls a minute, or 0 for the provider's own limit")
		}
		c.mailbox(key+".notify.sender.email", s.Notify.Sender.Email)
		c.eachOf(key+".notify.channels", s.Notify.Channels, "sms", "email")
		c.eachOf(key+".notify.kinds", s.Notify.Kinds,
			"invitation", "progress", "completed", "reminder", "declined", "voided", "expired", "undeliverable")

		// Its provider is asked only about what can be read.
		if perSource == nil || len(c.mistakes) > before {
			continue
		}
		if err := perSource(s); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				c.mistake(key, "%s/%s: %s", s.Provider, s.Name, line)
			}
		}
	}
}

func (c *checker) sms(v Vonage) {
	switch {
	case v.APIKey != "" && len(v.APIKey) != 8:
		c.mistake("sms.vonage.api_key", "a Vonage key has 8 characters, this one has %d", len(v.APIKey))
	case v.APIKey == "" && v.APISecret != "":
		c.mistake("sms.vonage.api_key", "api_secret is set: set the key too")
	}
	if v.APIKey != "" && v.APISecret == "" {
		c.mistake("sms.vonage.api_secret", "api_key is set: set the secret too")
	}
	if v.APIKey != "" && v.From == "" {
		c.mistake("sms.vonage.from", "api_key is set: set the sender id or number too")
	}
	c.needed("sms.vonage.base_url", v.BaseURL)
	c.webURL("sms.vonage.base_url", v.BaseURL)
	c.positive("sms.vonage.timeout", int64(v.Timeout))
	c.positive("sms.vonage.per_second", int64(v.PerSecond))
	c.webURL("sms.vonage.receipts_url", v.ReceiptsURL)
	if v.ReceiptsURL != "" && v.SignatureSecret == "" {
		c.mistake("sms.vonage.signature_secret", "receipts_url is set: set the secret that receipts are signed with too, or they are refused")
	}
	if v.SignatureSecret != "" && v.SignatureSecrets() == nil {
		c.mistake("sms.vonage.signature_secret", "there is none on its lines")
	}
	c.oneOf("sms.vonage.signature_method", v.SignatureMethod, "md5hash", "md5", "sha1", "sha256", "sha512")
	c.positive("sms.vonage.receipt_within", int64(v.ReceiptWithin))
}

// linkLife is the longest that a link can live: as long as its bucket keeps it.
const linkLife = 90 * 24 * time.Hour

func (c *checker) shortener(s Shortener) {
	c.oneOf("shortener.kind", s.Kind, "builtin", "bitly", "rebrandly")
	c.webURL("shortener.public_url", s.PublicURL)
	if s.ExpireAfter <= 0 || s.ExpireAfter > linkLife {
		c.mistake("shortener.expire_after", "want more than 0 and at most %v, not %v", linkLife, s.ExpireAfter)
	}
	c.positive("shortener.per_minute", int64(s.PerMinute))
	for _, network := range s.TrustedProxies {
		if _, err := netip.ParsePrefix(network); err != nil {
			c.mistake("shortener.trusted_proxies", "want networks such as 10.0.0.0/8 or 2001:db8::/32, not %q", network)
		}
	}
	c.needed("shortener.bitly.base_url", s.Bitly.BaseURL)
	c.webURL("shortener.bitly.base_url", s.Bitly.BaseURL)
	c.needed("shortener.rebrandly.base_url", s.Rebrandly.BaseURL)
	c.webURL("shortener.rebrandly.base_url", s.Rebrandly.BaseURL)
	switch {
	case s.Kind == "bitly" && s.Bitly.Token == "":
		c.mistake("shortener.bitly.token", "shortener.kind is bitly: set its access token")
	case s.Kind == "rebrandly" && s.Rebrandly.APIKey == "":
		c.mistake("shortener.rebrandly.apikey", "shortener.kind is rebrandly: set its API key")
	}
}

func (c *checker) email(e Email) {
	switch {
	case e.SMTP.Host != "" && e.From == "":
		c.mistake("email.from", `smtp.host is set: set the sender too, as "Acme <no-reply@acme.example>"`)
	case e.From != "":
		if _, err := mail.ParseAddress(e.From); err != nil {
			c.mistake("email.from", `want an address such as "Acme <no-reply@acme.example>"`)
		}
	}
	if strings.ContainsAny(e.SMTP.Host, ":/") && net.ParseIP(e.SMTP.Host) == nil {
		c.mistake("email.smtp.host", "want a name or an IP address alone; the port is smtp.port")
	}
	if e.SMTP.Port < 1 || e.SMTP.Port > 65535 {
		c.mistake("email.smtp.port", "want a port from 1 to 65535, not %d", e.SMTP.Port)
	}
	if e.SMTP.Password != "" && e.SMTP.Username == "" {
		c.mistake("email.smtp.username", "password is set: set the user's name too")
	}
	c.oneOf("email.smtp.tls", e.SMTP.TLS, "mandatory", "opportunistic", "none")
	c.tls("email.smtp", TLS{CA: e.SMTP.CA})
	c.positive("email.smtp.timeout", int64(e.SMTP.Timeout))
	c.positive("email.smtp.connections", int64(e.SMTP.Connections))
}

// mailbox wants one bare e-mail address, or none.
func (c *checker) mailbox(key, text string) {
	if text == "" {
		return
	}
	if a, err := mail.ParseAddress(text); err != nil || a.Address != text {
		c.mistake(key, "want one address alone, such as contracts@acme.example")
	}
}

func (c *checker) nats(n NATS) {
	if n.URL != "" {
		for server := range strings.SplitSeq(n.URL, ",") {
			u, err := url.Parse(strings.TrimSpace(server))
			if err != nil || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) || u.Hostname() == "" {
				c.mistake("nats.url", "want nats://host:port or tls://host:port, several separated by commas")
				break
			}
		}
	}
	switch {
	case n.User == "" && n.Password != "":
		c.mistake("nats.user", "password is set: set the user's name too")
	case n.User != "" && n.Creds != "":
		c.mistake("nats.user", "creds is set too: keep one")
	case n.User != "" && strings.Contains(n.URL, "@"):
		c.mistake("nats.user", "nats.url has a user in it too: keep one")
	}
	c.tls("nats.tls", n.TLS)
	c.address("nats.addr", n.Addr)
	if n.Replicas < 1 || n.Replicas > 5 {
		c.mistake("nats.replicas", "want 1 for a single node or 3 for a cluster, not %d", n.Replicas)
	}
}

func (c *checker) redis(r Redis) {
	if r.URL == "" {
		return
	}
	u, err := url.Parse(r.URL)
	switch {
	case err != nil || !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme):
		c.mistake("redis.url", "want redis://user:password@host:port/db, or rediss:// for TLS")
	case u.Scheme != "unix" && u.Hostname() == "":
		c.mistake("redis.url", "the host is missing: want redis://host:port/db")
	case u.Scheme != "rediss" && r.TLS.Set():
		c.mistake("redis.tls", "a certificate or key is set: want rediss:// in redis.url, or nothing is encrypted")
	case u.User != nil && (r.Username != "" || r.Password != ""):
		c.mistake("redis.password", "redis.url has a user or password in it too: keep one")
	}
	if r.Username != "" && r.Password == "" {
		c.mistake("redis.password", "username is set: set the password too")
	}
	c.tls("redis.tls", r.TLS)
}

// kafkaTopic is what Kafka takes for a topic's name.
var kafkaTopic = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func (c *checker) kafka(k Kafka) {
	for _, broker := range k.Brokers {
		host, port, err := net.SplitHostPort(broker)
		if n, errPort := strconv.Atoi(port); err != nil || errPort != nil || host == "" || n < 1 || n > 65535 {
			c.mistake("kafka.brokers", "want host:port, several separated by commas, not %q", broker)
		}
	}
	if !kafkaTopic.MatchString(k.Topic) || k.Topic == "." || k.Topic == ".." {
		c.mistake("kafka.topic", "want 1 to 249 of letters, digits, dots, dashes and underscores, not %q", k.Topic)
	}
	c.oneOf("kafka.format", k.Format, "protobuf", "json")
	c.positive("kafka.partitions", int64(k.Partitions))
	c.positive("kafka.replication_factor", int64(k.ReplicationFactor))

	if !k.TLS.Enabled && k.TLS.Parts().Set() {
		c.mistake("kafka.tls.enabled", "a certificate or key is set: set it to true, or nothing is encrypted")
	}
	c.tls("kafka.tls", k.TLS.Parts())

	c.oneOf("kafka.sasl.mechanism", k.SASL.Mechanism, "none", "plain", "scram-sha-256", "scram-sha-512")
	switch named := k.SASL.User != "" && k.SASL.Password != ""; {
	case k.SASL.Mechanism == "none" && (k.SASL.User != "" || k.SASL.Password != ""):
		c.mistake("kafka.sasl.mechanism", "a user or password is set: say plain, scram-sha-256 or scram-sha-512")
	case k.SASL.Mechanism != "none" && !named:
		c.mistake("kafka.sasl.user", "sasl.mechanism is set: set user and password too")
	}
}

func (c *checker) tls(key string, t TLS) {
	if _, err := t.Client(""); err != nil {
		c.mistakes = append(c.mistakes, fmt.Errorf("%s.%w", key, err))
	}
}

func (c *checker) needed(key, value string) {
	if value == "" {
		c.mistake(key, "must not be empty")
	}
}

// address wants host:port, where an empty host means all interfaces and port 0 any free port.
func (c *checker) address(key, addr string) {
	_, port, err := net.SplitHostPort(addr)
	if n, errPort := strconv.Atoi(port); err != nil || errPort != nil || n < 0 || n > 65535 {
		c.mistake(key, "want host:port, such as 127.0.0.1:8080 or :8080, not %q", addr)
	}
}

// webURL wants an absolute http or https URL, or none. It does not repeat what it found: it may hold a password.
func (c *checker) webURL(key, text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		c.mistake(key, "want an absolute URL, such as https://sign.acme.example")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		c.mistake(key, "want a URL with no user, no query and no fragment, such as https://sign.acme.example")
	}
}

func (c *checker) positive(key string, value int64) {
	if value <= 0 {
		c.mistake(key, "must be more than 0")
	}
}

func (c *checker) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		c.mistake(key, "want %s, not %q", strings.Join(allowed, " or "), value)
	}
}

func (c *checker) eachOf(key string, values []string, allowed ...string) {
	for _, v := range values {
		c.oneOf(key, v, allowed...)
	}
}
