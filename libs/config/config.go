// Package config loads, checks and prints settings. It defines the settings that several services share; each service declares its own as a
// Section.
//
// Precedence: flags (except secrets) > environment (SIGNRELAY_…) > YAML file > Default. Unknown keys fail; all mistakes are reported at
// once; every secret also comes from the variable's name with _FILE.
package config

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Config is the settings that several services share, and the sections of the services. Field tags: yaml is the key in the file. secret:"true" marks a value that Print masks and that a
// …_FILE variable may supply, secret:"url" a URL, or several with commas, of which Print masks only the password and the
// query. file:"true" marks a value that is not secret but that a …_FILE variable may supply, file:"once" a value that is
// read from there only at the start. All other values from such files may be replaced while a program runs: see Live.
// variable:"X" adds the variable SIGNRELAY_X to the one that is named like the key.
// lines:"true" marks a value that may have several lines.
type Config struct {
	Sources   []Source  `yaml:"sources"`
	Limits    Limits    `yaml:"limits"`
	Templates Templates `yaml:"templates"`

	NATS  NATS  `yaml:"nats"`
	Redis Redis `yaml:"redis"`

	// HideSources responds to callbacks and receipts for an unknown source as to a wrong signature, with 401 instead of 404, so that strangers
	// cannot find out which sources exist. Default false: the response to a wrong address names the mistake.
	HideSources bool `yaml:"hide_sources"`

	// TLS is the TLS of the public listeners.
	TLS ServerTLS `yaml:"tls"`

	Admin Admin `yaml:"admin"` // SIGNRELAY_ADMIN_ADDR

	// DrainDelay is the time for which public listeners continue to serve after SIGTERM while /readyz reports draining. It must be longer than a load
	// balancer needs to detect the shutdown; default 5s, 0 closes them at once.
	DrainDelay time.Duration `yaml:"drain_delay"`

	// MasterKey protects the data in Redis and in the bucket LINKS from readers of these stores. One key a line, the newest first, each of
	// 32 characters or more; empty protects nothing there.
	MasterKey string `yaml:"master_key" secret:"true" file:"once" lines:"true"` // SIGNRELAY_MASTER_KEY

	DataDir string `yaml:"data_dir"` // the folder of standalone's state: SIGNRELAY_DATA_DIR
	Log     Log    `yaml:"log"`

	entries []entry    `yaml:"-"` // all settings, these fields and the sections, in the order of the list
	files   []fromFile `yaml:"-"` // the settings that came from files
}

// MasterKeys returns the master keys, the newest first.
func (c Config) MasterKeys() []string { return Lines(c.MasterKey) }

// Lines returns the non-empty lines of a text.
func Lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = clean(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// Limits bounds the number and the destinations of messages. A message beyond them is held until the operator releases it. Each channel
// counts separately, and 0 means no limit.
type Limits struct {
	PersonPerDay  int `yaml:"person_per_day"`  // to one number or address in 24 hours; default 60
	NumberPerHour int `yaml:"number_per_hour"` // texts to one number in an hour; default 30
	// TextsPerDay is the number of texts to one number in 24 hours, of all documents; default 10. A text beyond it is not held: it goes to the
	// person's other channel, or waits until there is room.
	TextsPerDay  int `yaml:"texts_per_day"`
	Document     int `yaml:"document"`       // about one document in 30 days; default 1000
	SourcePerDay int `yaml:"source_per_day"` // of one source in 24 hours; default 10000
	// Countries are the destinations of text messages, as in ISO 3166; "*" means all. Empty: those of the sources' regions, and of the
	// numbers in their notify.sender.mobile.
	Countries []string `yaml:"countries"`
	// NumberTypes are the kinds of number that texts go to; default mobile, which includes numbers that may be either mobile or
	// fixed, as in the US.
	NumberTypes []string `yaml:"number_types"`
}

// Templates configures the texts of messages.
type Templates struct {
	Dir string `yaml:"dir"` // a folder of <locale>/<kind>.<channel>.tmpl that replace the built-in ones
}

// NATS is the broker.
type NATS struct {
	URL      string `yaml:"url" secret:"url" file:"once"` // SIGNRELAY_NATS_URL; empty: standalone embeds its own
	Addr     string `yaml:"addr"`                         // the listener of standalone's embedded server: SIGNRELAY_NATS_ADDR
	User     string `yaml:"user"`                         // our user there: SIGNRELAY_NATS_USER
	Password string `yaml:"password" secret:"true"`
	Creds    string `yaml:"creds"`    // path of a credentials file, in place of user and password; read at each connect
	TLS      TLS    `yaml:"tls"`      // if any field is set, all data is encrypted
	Replicas int    `yaml:"replicas"` // of each stream; default 1
	// Options are set by a program that embeds a service (standalone connects in-process); never from a file.
	Options []nats.Option `yaml:"-"`
	// Embedded is set for the server of `signrelay run`; never from a file.
	Embedded bool `yaml:"-"`
}

// Redis is the server of the dedupe store and the shared rate limits: one server, the primary that Sentinels name, or a cluster.
type Redis struct {
	// URL is redis://user:password@host:port/db: SIGNRELAY_REDIS_URL. With Sentinel or a cluster it has several addresses,
	// redis://host:port,host:port.
	URL string `yaml:"url" secret:"url"`
	// Username and Password may be set here instead of in the URL: a password in a separate file can be rotated. A password without a
	// username belongs to Redis's user "default".
	Username string `yaml:"username"`
	Password string `yaml:"password" secret:"true"`
	TLS      TLS    `yaml:"tls"` // of a rediss:// URL
	// Sentinel, if its master is set: the addresses in URL are those of Sentinels.
	Sentinel RedisSentinel `yaml:"sentinel"`
	Cluster  bool          `yaml:"cluster"` // the addresses in URL are those of some nodes of a Redis Cluster
}

// RedisSentinel says which primary the Sentinels name, and how to log in to the Sentinels.
type RedisSentinel struct {
	Master   string `yaml:"master"`   // the primary's name in sentinel.conf
	Username string `yaml:"username"` // if the Sentinels have users of their own
	Password string `yaml:"password" secret:"true"`
}

// Set reports whether the server is found through Sentinels.
func (s RedisSentinel) Set() bool { return s.Master != "" }

// Failover reports whether another server may take the place of the one that is used.
func (r Redis) Failover() bool { return r.Cluster || r.Sentinel.Set() }

// Addresses returns the addresses in the URL, and the URL with the first of them only.
func (r Redis) Addresses() (all []string, first string) {
	begin := 0
	if i := strings.Index(r.URL, "://"); i >= 0 {
		begin = i + len("://")
	}
	end := len(r.URL)
	if i := strings.IndexAny(r.URL[begin:], "/?#"); i >= 0 {
		end = begin + i
	}
	begin += strings.LastIndexByte(r.URL[begin:end], '@') + 1
	all = strings.Split(r.URL[begin:end], ",")
	return all, r.URL[:begin] + all[0] + r.URL[end:]
}

// repeatsLogin reports whether the URL has a user or password in front of more than one address. The client would take the first addresses as a
// part of the password.
func (r Redis) repeatsLogin() bool {
	_, first := r.Addresses()
	_, login, _ := strings.Cut(first, "://")
	login, _, _ = strings.Cut(login, "/")
	login = login[:max(strings.LastIndexByte(login, '@'), 0)]
	_, addresses, found := strings.Cut(login, "@")
	return found && strings.Contains(addresses, ",")
}

// TLS is the CA that connections to a server trust, and the client certificate for them, all in PEM.
type TLS struct {
	CA          string `yaml:"ca" file:"true" lines:"true"`          // the authority of the other side's certificate; empty: the system's
	Certificate string `yaml:"certificate" file:"true" lines:"true"` // our own, if the other side requires one
	Key         string `yaml:"key" secret:"true" lines:"true"`       // the key of our certificate
}

// Listen is a listener's address.
type Listen struct {
	Addr string `yaml:"addr"`
}

// Admin is the listener for operators, probes and Prometheus.
type Admin struct {
	Addr string `yaml:"addr"`
	// Hosts are the accepted names in the Host header, besides localhost and IP addresses. A request with another name is refused, because
	// it may come from a web page whose name resolves to this listener (DNS rebinding).
	Hosts []string `yaml:"hosts"`
	Pprof bool     `yaml:"pprof"` // serve Go's profiles under /debug/pprof/; default false
}

// Log configures the services' logs.
type Log struct {
	Level string `yaml:"level"` // debug, info (default), warn, error
}
