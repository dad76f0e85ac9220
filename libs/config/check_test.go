package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	packs "github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/clickwrap"
	"github.com/signrelay/signrelay/libs/providers/esignv1"
	"github.com/signrelay/signrelay/libs/providers/pleasesign"
	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
	"github.com/signrelay/signrelay/services/sections"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

var providers = func() (names []string) {
	for _, p := range packs.All {
		names = append(names, p.Name)
	}
	return names
}()

func TestAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	cfg := config.Default(sections.All...)
	source := config.DefaultSource()
	source.Name, source.Provider = "ok", "clickwrap"
	twin := source
	bad := config.Source{
		Name: "Bad_Name", Provider: "docusign",
		API: config.API{BaseURL: "api.example", PerMinute: -1},
		Notify: config.Notify{
			Channels: []string{"fax"}, Kinds: []string{"completed", "gossip"}, Sender: config.Sender{Email: "Ann <ann@acme.example>"},
		},
	}
	cfg.Sources = []config.Source{
		source, bad, twin,
		esignv1.Settings.New("signed").With("webhook.digest=md5"),
		clickwrap.Settings.Source("bare", clickwrap.Source{Webhook: clickwrap.Webhook{Secrets: []string{""}}}),
		pleasesign.Settings.Source("bare", pleasesign.Source{Webhook: pleasesign.Webhook{Secrets: []string{"s", ""}}}),
	}
	*smssettings.VonageSection.In(&cfg) = smssettings.Vonage{APIKey: "short", BaseURL: "https://user:hunter2@x", ReceiptsURL: "https://r.example", SignatureMethod: "rot13"}
	*emailsettings.Section.In(&cfg) = emailsettings.Email{SMTP: emailsettings.SMTP{Host: "smtp:587", Port: 70000, Password: "hunter2", TLS: "maybe"}}
	*shortenersettings.Section.In(&cfg) = shortenersettings.Shortener{Kind: "bitly", PublicURL: "sign.example", ExpireAfter: 2161 * time.Hour, TrustedProxies: []string{"10.0.0.1"}}
	cfg.NATS = config.NATS{URL: "http://hunter2@x", Addr: "4222"}
	cfg.Redis.URL = "http://:hunter2@x"
	*kafkasettings.Section.In(&cfg) = kafkasettings.Kafka{
		Brokers: []string{"kafka"}, Topic: "a topic", Format: "avro",
		TLS: kafkasettings.TLS{CA: "no PEM"}, SASL: kafkasettings.SASL{Mechanism: "gssapi", User: "u"},
	}
	*ingestsettings.Section.In(&cfg) = ingestsettings.Ingest{Addr: "nowhere"}
	smssettings.Receipts.In(&cfg).Addr = "8084"
	shortenersettings.Links.In(&cfg).Addr, cfg.Admin.Addr = ":x", "1.2.3.4"
	sandbox := sandboxsettings.Section.In(&cfg)
	sandbox.Addr, sandbox.SMTPAddr, sandbox.IngestURL = ":99999", "", "http://x?a=b"
	sandbox.Hosts, cfg.Admin.Hosts = []string{"sandbox:8082"}, []string{"*.example", "admin.example"}
	cfg.DataDir = ""
	cfg.Log.Level = "loud"

	perSource := func(config.Source) error {
		return errors.Join(errors.New("webhook.secrets: needed"), errors.New("api.token: needed"))
	}
	wantLines(t, lines(t, config.Check(cfg, providers, perSource)),
		`sources[0]: clickwrap/ok: webhook.secrets: needed`,
		`sources[0]: clickwrap/ok: api.token: needed`,
		`sources[1].name: want 1 to 32 of a-z, 0-9 and -, not "Bad_Name"`,
		`sources[1].provider: want one of clickwrap, esign-v1, pleasesign, not "docusign"`,
		`sources[1].api.base_url: want an absolute URL, such as https://sign.acme.example`,
		`sources[1].api.per_minute: want the number of calls a minute, or 0 for the provider's own limit`,
		`sources[1].notify.sender.email: want one address alone, such as contracts@acme.example`,
		`sources[1].notify.channels: want `+strings.Join(event.ChannelNames(), " or ")+`, not "fax"`,
		`sources[1].notify.kinds: want `+strings.Join(event.KindNames(), " or ")+`, not "gossip"`,
		`sources[2].name: clickwrap has another source "ok": give this one another name`,
		`sources[3].webhook.digest: want sha1 or sha256, not "md5"`,
		`sources[4].webhook.secrets: an empty secret would accept every callback: remove it`,
		`sources[5].webhook.secrets: an empty secret would accept every callback: remove it`,
		`sms.vonage.api_key: want the 8 characters of a Vonage key, not 5`,
		`sms.vonage.api_secret: api_key is set: set the secret too`,
		`sms.vonage.from: api_key is set: set the sender id or number too`,
		`sms.vonage.base_url: want a URL with no user, no query and no fragment, such as https://sign.acme.example`,
		`sms.vonage.timeout: must be more than 0`,
		`sms.vonage.per_second: must be more than 0`,
		`sms.vonage.signature_secret: receipts_url is set: set the secret that signs receipts too, or all receipts are refused`,
		`sms.vonage.signature_method: want md5hash or md5 or sha1 or sha256 or sha512, not "rot13"`,
		`sms.vonage.receipt_within: must be more than 0`,
		`email.from: smtp.host is set: set the sender too, as "Acme <no-reply@acme.example>"`,
		`email.smtp.host: want a name or an IP address alone; the port is smtp.port`,
		`email.smtp.port: want a port from 1 to 65535, not 70000`,
		`email.smtp.username: password is set: set the user's name too`,
		`email.smtp.tls: want mandatory or opportunistic or none, not "maybe"`,
		`email.smtp.timeout: must be more than 0`,
		`email.smtp.connections: must be more than 0`,
		`shortener.public_url: want an absolute URL, such as https://sign.acme.example`,
		`shortener.expire_after: want more than 0 and at most 2160h0m0s, not 2161h0m0s`,
		`shortener.per_minute: must be more than 0`,
		`shortener.trusted_proxies: want networks such as 10.0.0.0/8 or 2001:db8::/32, not "10.0.0.1"`,
		`shortener.bitly.base_url: must not be empty`,
		`shortener.rebrandly.base_url: must not be empty`,
		`nats.url: want nats://host:port or tls://host:port, several separated by commas`,
		`nats.addr: want host:port, such as 127.0.0.1:8080 or :8080, not "4222"`,
		`nats.replicas: want 1 for a single node or 3 for a cluster, not 0`,
		`redis.url: want redis://user:password@host:port/db, or rediss:// for TLS`,
		`kafka.brokers: want host:port, several separated by commas, not "kafka"`,
		`kafka.topic: want 1 to 249 of letters, digits, dots, dashes and underscores, not "a topic"`,
		`kafka.format: want protobuf or json, not "avro"`,
		`kafka.partitions: must be more than 0`,
		`kafka.replication_factor: must be more than 0`,
		`kafka.tls.enabled: a certificate or key is set: set it to true, or nothing is encrypted`,
		`kafka.tls.ca: want PEM of certificates`,
		`kafka.sasl.mechanism: want none or plain or scram-sha-256 or scram-sha-512, not "gssapi"`,
		`kafka.sasl.user: sasl.mechanism is set: set user and password too`,
		`ingest.addr: want host:port, such as 127.0.0.1:8080 or :8080, not "nowhere"`,
		`ingest.max_in_flight: must be more than 0`,
		`links.addr: want host:port, such as 127.0.0.1:8080 or :8080, not ":x"`,
		`receipts.addr: want host:port, such as 127.0.0.1:8080 or :8080, not "8084"`,
		`sandbox.addr: want host:port, such as 127.0.0.1:8080 or :8080, not ":99999"`,
		`sandbox.hosts: want host names without a port, such as signrelay-sandbox, not "sandbox:8082"`,
		`sandbox.smtp_addr: want host:port, such as 127.0.0.1:8080 or :8080, not ""`,
		`sandbox.ingest_url: want a URL with no user, no query and no fragment, such as https://sign.acme.example`,
		`admin.addr: want host:port, such as 127.0.0.1:8080 or :8080, not "1.2.3.4"`,
		`admin.hosts: want host names without a port, such as signrelay-sandbox, not "*.example"`,
		`data_dir: name a folder, such as ./data`,
		`log.level: want debug or info or warn or error, not "loud"`,
	)
}

// Settings that are valid alone and contradictory or incomplete together; and invalid certificates.
func TestSettingsThatContradictEachOther(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   []string
	}{
		"a signature secret of blank lines": {
			func(c *config.Config) { smssettings.VonageSection.In(c).SignatureSecret = "\n\n" },
			[]string{`sms.vonage.signature_secret: its lines contain no secret`},
		},
		"a NATS password without a user": {
			func(c *config.Config) { c.NATS.URL, c.NATS.Password = "nats://n", "hunter2" },
			[]string{`nats.user: password is set: set the user's name too`},
		},
		"a NATS user beside creds": {
			func(c *config.Config) {
				c.NATS.URL, c.NATS.User, c.NATS.Password, c.NATS.Creds = "nats://n", "u", "hunter2", "hunter2"
			},
			[]string{`nats.user: creds is set too: keep one`},
		},
		"a NATS user beside one in the URL": {
			func(c *config.Config) {
				c.NATS.URL, c.NATS.User, c.NATS.Password = "nats://n,nats://v:hunter2@n", "u", "hunter2"
			},
			[]string{`nats.user: nats.url has a user in it too: keep one`},
		},
		"a NATS authority that is no PEM": {
			func(c *config.Config) { c.NATS.TLS.CA = "hunter2" },
			[]string{`nats.tls.ca: want PEM of certificates`},
		},
		"a certificate for a Redis without TLS": {
			func(c *config.Config) { c.Redis.URL, c.Redis.TLS.CA = "redis://r", "hunter2" },
			[]string{
				`redis.tls: a certificate or key is set: want rediss:// in redis.url, or nothing is encrypted`,
				`redis.tls.ca: want PEM of certificates`,
			},
		},
		"a Redis password beside one in the URL": {
			func(c *config.Config) { c.Redis.URL, c.Redis.Password = "redis://:hunter2@r", "hunter3" },
			[]string{`redis.password: redis.url has a user or password in it too: keep one`},
		},
		"a Redis user beside one in the URL": {
			func(c *config.Config) {
				c.Redis.URL, c.Redis.Username, c.Redis.Password = "redis://u:hunter2@r", "u", "hunter2"
			},
			[]string{`redis.password: redis.url has a user or password in it too: keep one`},
		},
		"a Redis user without a password": {
			func(c *config.Config) { c.Redis.URL, c.Redis.Username = "redis://r", "u" },
			[]string{`redis.password: username is set: set the password too`},
		},
		"several addresses of one Redis": {
			func(c *config.Config) { c.Redis.URL = "redis://:hunter2@a:1,b:2" },
			[]string{`redis.url: 2 addresses: set redis.sentinel.master if they are Sentinels, or redis.cluster: true if they are nodes of a cluster; keep one address for one server`},
		},
		"Sentinel and a cluster": {
			func(c *config.Config) {
				c.Redis.URL, c.Redis.Sentinel.Master, c.Redis.Cluster = "redis://a:1,b:2", "m", true
			},
			[]string{`redis.cluster: redis.sentinel.master is set too: keep one; a Redis Cluster has no Sentinels`},
		},
		"a database of a cluster": {
			func(c *config.Config) { c.Redis.URL, c.Redis.Cluster = "redis://a:1,b:2/3", true },
			[]string{`redis.url: it names database 3, and a Redis Cluster has only database 0: remove it`},
		},
		"a socket of a cluster": {
			func(c *config.Config) { c.Redis.URL, c.Redis.Cluster = "unix:///run/redis", true },
			[]string{`redis.url: unix:// is one server: remove redis.sentinel.master and redis.cluster, or want redis://host:port,host:port`},
		},
		"a password for no Sentinel": {
			func(c *config.Config) { c.Redis.URL, c.Redis.Sentinel.Password = "redis://a", "hunter2" },
			[]string{`redis.sentinel.master: it is empty, and a user or password for Sentinels is set: set the name of the primary in sentinel.conf`},
		},
		"a user of Sentinels without a password": {
			func(c *config.Config) {
				c.Redis.URL, c.Redis.Sentinel = "redis://a", config.RedisSentinel{Master: "m", Username: "u"}
			},
			[]string{`redis.sentinel.password: username is set: set the password too`},
		},
		"an address twice": {
			func(c *config.Config) { c.Redis.URL, c.Redis.Cluster = "redis://a:1,b:2,a:1", true },
			[]string{`redis.url: address 3 is there twice`},
		},
		"a password in front of each address": {
			func(c *config.Config) { c.Redis.URL, c.Redis.Cluster = "redis://u:hunter2@a:1,u:hunter2@b:2/0", true },
			[]string{`redis.url: a user or password is in front of several addresses: write them once, redis://user:password@host:port,host:port/db; in a password @ is written %40`},
		},
		"a password in front of each address, without ports": {
			func(c *config.Config) { c.Redis.URL, c.Redis.Sentinel.Master = "rediss://u:hunter2@a,u:hunter2@b", "m" },
			[]string{`redis.url: a user or password is in front of several addresses: write them once, redis://user:password@host:port,host:port/db; in a password @ is written %40`},
		},
		"an address without a host": {
			func(c *config.Config) { c.Redis.URL, c.Redis.Cluster = "redis://a:1,:2", true },
			[]string{`redis.url: address 2 of 2 is not host:port; the user, the password and the database are written once, redis://user:password@host:port,host:port/db`},
		},
		"a mail server's authority that is no PEM": {
			func(c *config.Config) { emailsettings.Section.In(c).SMTP.CA = "hunter2" },
			[]string{`email.smtp.ca: want PEM of certificates`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Default(sections.All...)
			c.change(&cfg)
			wantLines(t, lines(t, config.Check(cfg, providers, nil)), c.want...)
		})
	}
}

func TestValidSettingsPassTheCheck(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Config){
		"one name at two providers": func(c *config.Config) {
			a, b := config.DefaultSource(), config.DefaultSource()
			a.Name, a.Provider, b.Name, b.Provider = "demo", "clickwrap", "demo", "pleasesign"
			c.Sources = []config.Source{a, b}
		},
		"a sender with a name": func(c *config.Config) { emailsettings.Section.In(c).From = "\"Acme, Inc\" <no-reply@acme.example>" },
		"a cluster":            func(c *config.Config) { c.NATS.URL = "nats://a:4222, tls://u:p@b:4222" },
		"an IPv6 mail server": func(c *config.Config) {
			email := emailsettings.Section.In(c)
			email.SMTP.Host, email.From = "::1", "a@b.example"
		},
		"any free port":    func(c *config.Config) { ingestsettings.Section.In(c).Addr = "[::1]:0" },
		"a Redis with TLS": func(c *config.Config) { c.Redis.URL = "rediss://u:p@r:6380/1" },
		"Sentinels": func(c *config.Config) {
			c.Redis.URL, c.Redis.Sentinel = "rediss://u:p,q@a:26379,[::1]:26379,c/1", config.RedisSentinel{Master: "m", Username: "s", Password: "p"}
		},
		"a Redis Cluster":                func(c *config.Config) { c.Redis.URL, c.Redis.Cluster = "redis://a:6379,b:6379/0", true },
		"one address of a Redis Cluster": func(c *config.Config) { c.Redis.URL, c.Redis.Cluster = "redis://a", true },
		"Kafka with a user": func(c *config.Config) {
			kafkasettings.Section.In(c).Brokers = []string{"a:9092", "[::1]:9092"}
			kafkasettings.Section.In(c).TLS.Enabled = true
			kafkasettings.Section.In(c).SASL = kafkasettings.SASL{Mechanism: "plain", User: "u", Password: "p"}
		},
	} {
		cfg := config.Default(sections.All...)
		change(&cfg)
		if err := config.Check(cfg, providers, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
