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
	"unicode"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/mailbox"
)

// Check checks the meaning of the settings, and returns all mistakes as one error of one line each; every line names the key
// and how to fix it. providers are the valid names of providers; perSource is the check of a source by its provider, and
// nil means no such check.
func Check(cfg Config, providers []string, perSource func(Source) error) error {
	c := &checker{}
	c.texts(&cfg)
	c.sources(cfg.Sources, providers, perSource)
	c.sms(cfg.SMS.Vonage)
	c.email(cfg.Email)
	c.limits(cfg.Limits)
	c.shortener(cfg.Shortener)
	c.reachable(cfg)

	c.nats(cfg.NATS)
	c.redis(cfg.Redis)
	c.kafka(cfg.Kafka)

	c.address("ingest.addr", cfg.Ingest.Addr)
	if cfg.DrainDelay < 0 || cfg.DrainDelay > longestDrain {
		c.mistake("drain_delay", "want from 0s to %v, not %v", longestDrain, cfg.DrainDelay)
	}
	c.positive("ingest.max_in_flight", int64(cfg.Ingest.MaxInFlight))
	c.address("links.addr", cfg.Links.Addr)
	c.address("receipts.addr", cfg.Receipts.Addr)
	c.address("sandbox.addr", cfg.Sandbox.Addr)
	c.hostNames("sandbox.hosts", cfg.Sandbox.Hosts)
	c.address("sandbox.smtp_addr", cfg.Sandbox.SMTPAddr)
	c.webURL("sandbox.ingest_url", cfg.Sandbox.IngestURL)
	if cfg.Sandbox.Odd < 0 || cfg.Sandbox.Odd > 100 {
		c.mistake("sandbox.odd", "want a percentage from 0 to 100, not %d", cfg.Sandbox.Odd)
	}
	c.address("admin.addr", cfg.Admin.Addr)
	c.hostNames("admin.hosts", cfg.Admin.Hosts)

	for i, key := range cfg.MasterKeys() {
		if len(key) < shortestMasterKey {
			c.mistake("master_key", "want %d characters or more on each line, not %d on line %d: openssl rand -base64 32 makes a key",
				shortestMasterKey, len(key), i+1)
		}
	}
	if cfg.DataDir == "" {
		c.mistake("data_dir", "name a folder, such as ./data")
	}
	c.oneOf("log.level", cfg.Log.Level, "debug", "info", "warn", "error")
	return errors.Join(c.mistakes...)
}

// shortestMasterKey is the minimum length of a master key in characters: 32 hexadecimal digits are 128 bits.
const shortestMasterKey = 32

type checker struct {
	mistakes   []error
	unreadable []string // keys of settings that contain forbidden characters
}

func (c *checker) mistake(key, format string, args ...any) {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = shown(text)
		}
	}
	c.mistakes = append(c.mistakes, fmt.Errorf(key+": "+format, args...))
}

// longestName is the maximum length of a sender's name in characters. With 100 characters a text message needs one more part.
const longestName = 100

// mobile matches a number with its country code and the usual separators between the digits.
var mobile = regexp.MustCompile(`^\+(?:[ ().-]*[0-9]){7,15}$`)

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
		if s.SenderName != "" && len([]rune(s.SenderName)) > longestName {
			c.mistake(key+".sender_name", "want at most %d characters: it is in every text, not %d", longestName, len([]rune(s.SenderName)))
		}
		if id := [2]string{s.Provider, s.Name}; seen[id] {
			c.mistake(key+".name", "%s has another source %q: give this one a name of its own", s.Provider, s.Name)
		} else {
			seen[id] = true
		}
		c.region(key+".region", s.Region)
		c.locale(key+".locale", s.Locale)
		c.oneOf(key+".webhook.digest", s.Webhook.Digest, "sha1", "sha256")
		if slices.Contains(s.Webhook.Secrets, "") {
			c.mistake(key+".webhook.secrets", "an empty secret would let everybody in: remove it")
		}
		c.webURL(key+".api.base_url", s.API.BaseURL)
		if s.API.PerMinute < 0 {
			c.mistake(key+".api.per_minute", "want how many calls a minute, or 0 for the provider's own limit")
		}
		c.mailbox(key+".notify.sender.email", s.Notify.Sender.Email)
		if m := s.Notify.Sender.Mobile; m != "" && !mobile.MatchString(m) {
			c.mistake(key+".notify.sender.mobile", "want one number with its country code, such as +13175550100")
		}
		c.eachOf(key+".notify.channels", s.Notify.Channels, "sms", "email")
		c.eachOf(key+".notify.kinds", s.Notify.Kinds, event.KindNames()...)

		// The provider's check needs readable texts.
		if perSource == nil || len(c.mistakes) > before || !c.readable(key) {
			continue
		}
		if err := perSource(s); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				c.mistake(key, "%s/%s: %s", s.Provider, s.Name, line)
			}
		}
	}
}

// Valid senders at Vonage (developer.vonage.com, "Custom Sender ID"). Vonage changes or drops any other sender. A number may be a
// short code.
var (
	number   = regexp.MustCompile(`^\+?[1-9][0-9]{2,14}$`)
	senderID = regexp.MustCompile(`^[0-9]{0,10}[A-Za-z][A-Za-z0-9]{0,10}$`)
)

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
	if v.From != "" && !number.MatchString(v.From) && !senderID.MatchString(v.From) {
		c.mistake("sms.vonage.from", "want a sender id of 1 to 11 letters and digits without blanks, or a number with its country code and without 00, of at most 15 digits, not %q", v.From)
	}
	c.needed("sms.vonage.base_url", v.BaseURL)
	c.webURL("sms.vonage.base_url", v.BaseURL)
	c.positive("sms.vonage.timeout", int64(v.Timeout))
	c.positive("sms.vonage.per_second", int64(v.PerSecond))
	c.webURL("sms.vonage.receipts_url", v.ReceiptsURL)
	c.base("sms.vonage.receipts_url", v.ReceiptsURL, "/receipts")
	if v.ReceiptsURL != "" && v.SignatureSecret == "" {
		c.mistake("sms.vonage.signature_secret", "receipts_url is set: set the secret that receipts are signed with too, or they are refused")
	}
	if v.SignatureSecret != "" && v.SignatureSecrets() == nil {
		c.mistake("sms.vonage.signature_secret", "there is none on its lines")
	}
	c.oneOf("sms.vonage.signature_method", v.SignatureMethod, "md5hash", "md5", "sha1", "sha256", "sha512")
	c.positive("sms.vonage.receipt_within", int64(v.ReceiptWithin))
}

// linkLife is the maximum lifetime of a link: the retention of its bucket.
const linkLife = 90 * 24 * time.Hour

func (c *checker) shortener(s Shortener) {
	c.oneOf("shortener.kind", s.Kind, "builtin", "bitly", "rebrandly")
	c.webURL("shortener.public_url", s.PublicURL)
	c.base("shortener.public_url", s.PublicURL, "/l")
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
}

// NumberTypes are the valid values of limits.number_types: the types of the library of phone numbers, and "unknown" for a number without a
// known type.
var NumberTypes = []string{
	"mobile", "fixed-line", "voip", "personal-number", "pager", "uan", "voicemail", "shared-cost", "toll-free", "premium-rate", "unknown",
}

// Bounds of limits. The messages to one person are remembered one by one, those of a source are only counted.
const mostToOne, mostToAll = 10_000, 100_000_000

func (c *checker) limits(l Limits) {
	c.most("limits.person_per_day", l.PersonPerDay, mostToOne)
	c.most("limits.number_per_hour", l.NumberPerHour, mostToOne)
	c.most("limits.document", l.Document, mostToAll)
	c.most("limits.source_per_day", l.SourcePerDay, mostToAll)
	for _, code := range l.Countries {
		if code != "*" {
			c.region("limits.countries", code)
		}
	}
	c.eachOf("limits.number_types", l.NumberTypes, NumberTypes...)
}

func (c *checker) most(key string, value, most int) {
	if value < 0 || value > most {
		c.mistake(key, "want how many messages, at most %d, or 0 for no limit, not %d", most, value)
	}
}

func (c *checker) email(e Email) {
	switch {
	case e.SMTP.Host != "" && e.From == "":
		c.mistake("email.from", `smtp.host is set: set the sender too, as "Acme <no-reply@acme.example>"`)
	case e.From != "":
		from, err := mail.ParseAddress(e.From)
		switch {
		case err != nil:
			c.mistake("email.from", `want an address such as "Acme <no-reply@acme.example>"`)
		case strings.ContainsFunc(from.Address, func(r rune) bool { return r > unicode.MaxASCII }):
			c.mistake("email.from", "want an address in ASCII, which every mail server takes; a domain in its xn-- form")
		case !mailbox.PublicAddress(from.Address):
			c.mistake("email.from", "want an address at a domain of the internet: others refuse mail from localhost, an IP address or a host without a dot")
		}
	}
	if strings.ContainsAny(e.SMTP.Host, ":/") && net.ParseIP(e.SMTP.Host) == nil {
		c.mistake("email.smtp.host", "want a name or an IP address alone; the port is smtp.port")
	}
	if e.SMTP.Port < 1 || e.SMTP.Port > 65535 {
		c.mistake("email.smtp.port", "want a port from 1 to 65535, not %d", e.SMTP.Port)
	}
	switch {
	case e.SMTP.Password != "" && e.SMTP.Username == "":
		c.mistake("email.smtp.username", "password is set: set the user's name too")
	case e.SMTP.Username != "" && e.SMTP.TLS == "none" && !loopback(e.SMTP.Host):
		c.mistake("email.smtp.tls", "username is set, and no password is sent in the clear: want mandatory, or no username")
	}
	c.oneOf("email.smtp.tls", e.SMTP.TLS, "mandatory", "opportunistic", "none")
	c.tls("email.smtp", TLS{CA: e.SMTP.CA})
	c.positive("email.smtp.timeout", int64(e.SMTP.Timeout))
	if d := e.SMTP.EndTimeout; d < e.SMTP.Timeout || d > 10*time.Minute {
		c.mistake("email.smtp.end_timeout", "want at least email.smtp.timeout (%v) and at most 10m, not %v", e.SMTP.Timeout, d)
	}
	c.positive("email.smtp.connections", int64(e.SMTP.Connections))
}

// reachable refuses a loopback address in messages to other machines. An installation whose messages stay on this machine may use one.
func (c *checker) reachable(cfg Config) {
	vonage, err := url.Parse(cfg.SMS.Vonage.BaseURL)
	if err != nil || cfg.SMS.Vonage.APIKey == "" || vonage.Scheme != "https" || loopback(vonage.Hostname()) {
		return
	}
	for _, address := range []struct{ key, url, whose string }{
		{"shortener.public_url", cfg.Shortener.PublicURL, "signers"},
		{"sms.vonage.receipts_url", cfg.SMS.Vonage.ReceiptsURL, "Vonage"},
	} {
		if u, err := url.Parse(address.url); err == nil && loopback(u.Hostname()) {
			c.mistake(address.key, "it leads to this machine, where %s cannot get: want a public address, such as https://sign.acme.example", address.whose)
		}
	}
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && (ip.IsLoopback() || ip.IsUnspecified())
}

// mailbox checks that a value is empty or one bare e-mail address.
func (c *checker) mailbox(key, text string) {
	if text == "" {
		return
	}
	if a, err := mail.ParseAddress(text); err != nil || a.Address != text {
		c.mistake(key, "want one address alone, such as contracts@acme.example")
	} else if !mailbox.PublicAddress(a.Address) {
		c.mistake(key, "want an address at a domain of the internet, such as contracts@acme.example: not at localhost, an IP address or a host without a dot")
	}
}

func (c *checker) natsURL(text string) {
	if text == "" {
		return
	}
	sockets, servers := 0, strings.Split(text, ",")
	for _, server := range servers {
		u, err := url.Parse(strings.TrimSpace(server))
		switch {
		case err != nil || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) || u.Hostname() == "" || !port(u):
			c.mistake("nats.url", "want nats://host:port or tls://host:port, several separated by commas")
			return
		case strings.HasPrefix(u.Scheme, "ws"):
			sockets++
		case strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
			c.mistake("nats.url", "want nothing behind the port: nats://host:port")
			return
		}
	}
	if sockets != 0 && sockets != len(servers) {
		c.mistake("nats.url", "want either ws:// and wss:// in all of it, or in none")
	}
}

// port reports whether an address has a valid port, or none.
func port(u *url.URL) bool {
	n, err := strconv.Atoi(u.Port())
	return u.Port() == "" || err == nil && n >= 1 && n <= 65535
}

func (c *checker) nats(n NATS) {
	c.natsURL(n.URL)
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
	case err != nil || !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme) || !port(u):
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

// kafkaTopic matches a valid name of a Kafka topic.
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

// address checks for host:port, where an empty host means all interfaces and port 0 any free port.
func (c *checker) address(key, addr string) {
	_, port, err := net.SplitHostPort(addr)
	if n, errPort := strconv.Atoi(port); err != nil || errPort != nil || n < 0 || n > 65535 {
		c.mistake(key, "want host:port, such as 127.0.0.1:8080 or :8080, not %q", addr)
	}
}

// hostName matches a name in a Host header, without its port. Compose and Kubernetes allow an underscore in it.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)

// hostNames checks for names without a wildcard: a wildcard would accept names of other parties.
func (c *checker) hostNames(key string, names []string) {
	for _, name := range names {
		if !hostName.MatchString(name) {
			c.mistake(key, "want host names without a port, such as signrelay-sandbox, not %q", name)
		}
	}
}

// webURL checks that a value is empty or an absolute http or https URL. Its error omits the value, which may contain a password.
func (c *checker) webURL(key, text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || !port(u):
		c.mistake(key, "want an absolute URL, such as https://sign.acme.example")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		c.mistake(key, "want a URL with no user, no query and no fragment, such as https://sign.acme.example")
	}
}

// base checks a base URL, to which Signrelay appends its own path.
func (c *checker) base(key, text, path string) {
	if u, err := url.Parse(text); err == nil && (strings.HasSuffix(u.Path, path) || strings.Contains(u.Path, path+"/")) {
		c.mistake(key, "leave out %s and what follows: it is appended", path)
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

// longestDrain is longer than a load balancer needs to notice the shutdown. A supervisor must wait this long plus 20 s before it kills a process.
const longestDrain = 2 * time.Minute
