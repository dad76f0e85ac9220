package config_test

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
	"github.com/signrelay/signrelay/services/sections"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, args, environ []string) config.Config {
	t.Helper()
	cfg, _, err := config.Load(sections.All, args, environ)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// mistakes returns the lines of Load's error.
func mistakes(t *testing.T, args, environ []string) []string {
	t.Helper()
	_, _, err := config.Load(sections.All, args, environ)
	return lines(t, err)
}

func lines(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		t.Fatal("Load returned no error")
	}
	return strings.Split(err.Error(), "\n")
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got:\n%s\nwant:\n%s", g, w)
	}
}

func TestMissingSettingsHaveDefaults(t *testing.T) {
	t.Parallel()
	cfg := load(t, nil, []string{"PATH=/bin", "SIGNRELAY_TEST_REDIS_URL=redis://x", "SIGNRELAY_LOG_LEVEL="})
	if ingestsettings.Section.Of(cfg).Addr != ":8080" || cfg.Admin.Addr != "127.0.0.1:9090" || cfg.Log.Level != "info" {
		t.Errorf("%+v", cfg)
	}
	if err := config.Check(cfg, nil, nil); err != nil {
		t.Errorf("the defaults do not pass the check: %v", err)
	}
}

// Callbacks come from outside; any other public listener needs a setting.
func TestOnlyIngestListensBeyondLoopback(t *testing.T) {
	t.Parallel()
	cfg := load(t, nil, nil)
	if ingestsettings.Section.Of(cfg).Addr != ":8080" {
		t.Errorf("ingest listens on %s", ingestsettings.Section.Of(cfg).Addr)
	}
	for name, addr := range map[string]string{
		"links": shortenersettings.Links.Of(cfg).Addr, "receipts": smssettings.Receipts.Of(cfg).Addr, "sandbox": sandboxsettings.Section.Of(cfg).Addr, "sandbox's SMTP": sandboxsettings.Section.Of(cfg).SMTPAddr,
		"NATS": cfg.NATS.Addr, "admin": cfg.Admin.Addr,
	} {
		if at, err := netip.ParseAddrPort(addr); err != nil || !at.Addr().IsLoopback() {
			t.Errorf("%s listens on %s, beyond loopback", name, addr)
		}
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	path := file(t, "log: {level: warn}\nsms: {vonage: {from: File, timeout: 3s}}\nadmin: {addr: ':1'}\n")
	for name, c := range map[string]struct {
		args, environ []string
		from          string
	}{
		"file over default":         {[]string{"--config", path}, nil, "File"},
		"file by variable":          {nil, []string{"SIGNRELAY_CONFIG=" + path}, "File"},
		"variable over file":        {[]string{"--config", path}, []string{"SIGNRELAY_SMS_VONAGE_FROM=Variable"}, "Variable"},
		"empty variable is none":    {[]string{"--config", path}, []string{"SIGNRELAY_SMS_VONAGE_FROM="}, "File"},
		"flag over variable":        {[]string{"--config", path, "--sms.vonage.from=Flag"}, []string{"SIGNRELAY_SMS_VONAGE_FROM=Variable"}, "Flag"},
		"flag file over variable's": {[]string{"--config", path}, []string{"SIGNRELAY_CONFIG=nowhere"}, "File"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := load(t, c.args, c.environ)
			if smssettings.VonageSection.Of(cfg).From != c.from {
				t.Errorf("from is %q, want %q", smssettings.VonageSection.Of(cfg).From, c.from)
			}
			if smssettings.VonageSection.Of(cfg).Timeout != 3*time.Second || cfg.Log.Level != "warn" || smssettings.VonageSection.Of(cfg).BaseURL != "https://rest.nexmo.com" {
				t.Errorf("the rest of the file or of the defaults is lost: %+v", cfg)
			}
		})
	}
}

func TestDocumentedVariableNames(t *testing.T) {
	t.Parallel()
	cfg := load(t, nil, []string{
		"SIGNRELAY_INGEST_ADDR=:1", "SIGNRELAY_LINKS_ADDR=:2", "SIGNRELAY_SANDBOX_ADDR=:3", "SIGNRELAY_SMTP_ADDR=:4",
		"SIGNRELAY_ADMIN_ADDR=:5", "SIGNRELAY_NATS_ADDR=:6", "SIGNRELAY_NATS_URL=nats://n", "SIGNRELAY_REDIS_URL=redis://r",
		"SIGNRELAY_DATA_DIR=d", "SIGNRELAY_LOG_LEVEL=debug",
	})
	got := []string{
		ingestsettings.Section.Of(cfg).Addr, shortenersettings.Links.Of(cfg).Addr, sandboxsettings.Section.Of(cfg).Addr, sandboxsettings.Section.Of(cfg).SMTPAddr, cfg.Admin.Addr, cfg.NATS.Addr,
		cfg.NATS.URL, cfg.Redis.URL, cfg.DataDir, cfg.Log.Level,
	}
	wantLines(t, got, ":1", ":2", ":3", ":4", ":5", ":6", "nats://n", "redis://r", "d", "debug")
}

func TestArgumentsAfterTheFlagsAreReturned(t *testing.T) {
	t.Parallel()
	_, rest, err := config.Load(sections.All, []string{"--log.level", "warn", "clickwrap", "sample"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, rest, "clickwrap", "sample")

	fs := flag.NewFlagSet("tail", flag.ContinueOnError)
	since := fs.Duration("since", 0, "")
	cfg, rest, err := config.LoadWith(fs, sections.All, []string{"--since=1h", "--log.level=warn", "signing.v1.>"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, rest, "signing.v1.>")
	if *since != time.Hour || cfg.Log.Level != "warn" {
		t.Errorf("since %v, level %s", *since, cfg.Log.Level)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	if _, _, err := config.Load(sections.All, []string{"-h"}, nil); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
	var text strings.Builder
	if err := config.Usage(&text, sections.All); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"(sms.vonage.api_secret: no flag)", "SIGNRELAY_SMS_VONAGE_API_SECRET[_FILE]", "--ingest.addr", ":8080"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the help does not contain %s", want)
		}
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	secret := file(t, " two words \n")
	keys := file(t, "old\nnew\n")
	pem := file(t, "-----BEGIN-----\nx\n-----END-----\n")
	path := file(t, "sources: [{name: a-b, provider: esign-v1}]")
	cfg := load(t, []string{"--config", path}, []string{
		"SIGNRELAY_SMS_VONAGE_API_SECRET_FILE=" + secret,
		"SIGNRELAY_SOURCE_ESIGN_V1_A_B_WEBHOOK_SECRETS_FILE=" + keys,
		"SIGNRELAY_SOURCE_ESIGN_V1_A_B_WEBHOOK_CERTIFICATE_FILE=" + pem,
	})
	if got := smssettings.VonageSection.Of(cfg).APISecret; got != "two words" {
		t.Errorf("secret %q: white space from an editor is not trimmed", got)
	}
	wantLines(t, []string{cfg.Sources[0].Text("webhook.secrets")}, "old,new")
	if got := cfg.Sources[0].Text("webhook.certificate"); got != "-----BEGIN-----\nx\n-----END-----" {
		t.Errorf("certificate %q", got)
	}
}

func TestSecretFileMistakes(t *testing.T) {
	t.Parallel()
	got := mistakes(t, nil, []string{
		"SIGNRELAY_REDIS_URL=redis://a", "SIGNRELAY_REDIS_URL_FILE=" + file(t, "redis://b"),
		"SIGNRELAY_EMAIL_SMTP_PASSWORD_FILE=hunter2", // the secret itself, by mistake
		"SIGNRELAY_LOG_LEVEL_FILE=x",                 // not a secret
	})
	wantLines(t, got,
		"SIGNRELAY_EMAIL_SMTP_PASSWORD_FILE: read the file that it names: no such file or directory",
		"SIGNRELAY_REDIS_URL and SIGNRELAY_REDIS_URL_FILE are both set: keep one",
		"SIGNRELAY_LOG_LEVEL_FILE: no such setting; only a secret comes from a file",
	)
}

func TestSourcesByVariable(t *testing.T) {
	t.Parallel()
	path := file(t, `
sources:
  - {name: acme, provider: clickwrap, locale: de, webhook: {secrets: [file]}}
  - {name: acme-api, provider: clickwrap}
`)
	cfg := load(t, []string{"--config", path}, []string{
		"SIGNRELAY_SOURCE_CLICKWRAP_ACME_WEBHOOK_SECRETS=old, new",
		"SIGNRELAY_SOURCE_CLICKWRAP_ACME_API_TOKEN=t1",
		"SIGNRELAY_SOURCE_CLICKWRAP_ACME_API_API_TOKEN=t2",
		"SIGNRELAY_SOURCE_CLICKWRAP_ACME_NOTIFY_CHANNELS=sms",
		"SIGNRELAY_SOURCE_CLICKWRAP_ACME_WEBHOOK_ALLOW_UNVERIFIED=true",
	})
	acme, other := cfg.Sources[0], cfg.Sources[1]
	wantLines(t, []string{acme.Text("webhook.secrets")}, "old,new")
	wantLines(t, acme.Notify.Channels, "sms")
	if acme.Text("api.token") != "t1" || other.Text("api.token") != "t2" || acme.Text("webhook.allow_unverified") != "true" {
		t.Errorf("%+v", cfg.Sources)
	}
	if acme.Locale != "de" || acme.Region != "US" || other.Locale != "en" {
		t.Errorf("a source's defaults: %+v", cfg.Sources)
	}
}

func TestUnknownNames(t *testing.T) {
	t.Parallel()
	path := file(t, `
sources:
  - {name: acme, provider: clickwrap, webhok: {secrets: [x]}}
sms:
  vonage: {form: Acme}
mainframe: {address: here}
`)
	wantLines(t, mistakes(t, []string{"--config", path}, []string{
		"SIGNRELAY_INGEST_ADR=:1", "SIGNRELAY_SOURCE_CLICKWRAP_OTHER_PLACE_API_TOKEN=x", "SIGNRELAY_ZZZZ=x",
		"SIGNRELAY_SOURCE_CLICKWRAP_ACME_API_TOKN=x",
	}),
		`sources[0].webhok (line 3): unknown key; did you mean webhook?`,
		`sms.vonage.form (line 5): unknown key; did you mean from?`,
		`mainframe (line 6): unknown key`,
		`SIGNRELAY_INGEST_ADR: no such setting; did you mean SIGNRELAY_INGEST_ADDR?`,
		`SIGNRELAY_SOURCE_CLICKWRAP_ACME_API_TOKN: no such setting; did you mean SIGNRELAY_SOURCE_CLICKWRAP_ACME_API_TOKEN?`,
		`SIGNRELAY_SOURCE_CLICKWRAP_OTHER_PLACE_API_TOKEN: no such setting; the file must name the source, by its name and provider`,
		`SIGNRELAY_ZZZZ: no such setting`,
	)
	wantLines(t, mistakes(t, []string{"--sms.vonage.form=x"}, nil), `--sms.vonage.form: unknown flag; did you mean --sms.vonage.from?`)
}

func TestWrongTypesAreAllReportedWithoutSecrets(t *testing.T) {
	t.Parallel()
	path := file(t, `
sources: [{name: acme, provider: clickwrap, webhook: {secrets: hunter2, token: [hunter2]}}]
sms:
  vonage: {api_secret: hunter2, timeout: 10}
email: here
ingest: {max_in_flight: many}
`)
	got := mistakes(t, []string{"--config", path, "--email.smtp.port=x"}, []string{"SIGNRELAY_EMAIL_SMTP_TIMEOUT=soon"})
	wantLines(t, got,
		`sources[0].webhook.secrets (line 2): want a list, not a single value`,
		`sources[0].webhook.token (line 2): want a single value, not a list`,
		`sms.vonage.timeout (line 4): want a duration such as 500ms, 10s or 5m, not "10"`,
		`email (line 5): want keys and values, not a single value`,
		`ingest.max_in_flight (line 6): want a whole number, not "many"`,
		`SIGNRELAY_EMAIL_SMTP_TIMEOUT: want a duration such as 500ms, 10s or 5m, not "soon"`,
		`--email.smtp.port: want a whole number, not "x"`,
	)
	broken := file(t, "sms:\n  vonage: {api_secret: hunter2\nlog: {")
	for _, line := range mistakes(t, []string{"--config", broken}, nil) {
		if strings.Contains(line, "hunter2") || !strings.HasPrefix(line, "not YAML: [") {
			t.Errorf("broken file: %s", line)
		}
	}
}

func TestTextIsReadUnchanged(t *testing.T) {
	t.Parallel()
	path := file(t, `
sms:
  vonage: {api_key: 0x123456, api_secret: 01234567, from: +447700900000}
email:
  from: ~
  smtp:
redis: {url: 'redis://:it''s@r'}
sources:
  - &first
    name: "12"
    provider: esign-v1
    webhook:
      secrets: [1e5, true, 1_000]
      certificate: |
        -----BEGIN-----
        -----END-----
  - <<: *first
    name: second
`)
	cfg := load(t, []string{"--config", path}, nil)
	v, second := smssettings.VonageSection.Of(cfg), cfg.Sources[1]
	wantLines(t, []string{v.APIKey, v.APISecret, v.From, cfg.Redis.URL}, "0x123456", "01234567", "+447700900000", "redis://:it's@r")
	wantLines(t, []string{second.Text("webhook.secrets")}, "1e5,true,1_000")
	wantLines(t, []string{second.Text("webhook.certificate"), cfg.Sources[0].Name, cfg.Sources[1].Name}, "-----BEGIN-----\n-----END-----", "12", "second")
	if emailsettings.Section.Of(cfg).SMTP.Port != 587 {
		t.Error("an empty key erased its defaults")
	}
}

func TestFilesThatAreNotSettings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                            "",
		"# nothing but a comment\n":   "",
		"- a\n":                       "the file (line 1): want keys and values, not a list",
		"log: {level: info}\n---\n{}": "not one YAML document but several: remove the part after ---",
		"log: {}\nlog: {}\n":          `not YAML: [2:1] mapping key "log" already defined at [1:1]`,
		"log: *missing\n":             "log (line 1): there is no anchor of that name above",
		"log: {<<: x}\n":              "log (line 1): << wants an alias of keys and values",
	} {
		_, _, err := config.Load(sections.All, []string{"--config", file(t, text)}, nil)
		if got := errorText(err); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if _, _, err := config.Load(sections.All, []string{"--config", filepath.Join(t.TempDir(), "none")}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Paths are appended to URLs, so each loses its trailing slashes when it is loaded.
func TestURLsLoseTheirTrailingSlashes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	file := "sources: [{name: a, provider: clickwrap, api: {base_url: 'https://api.example/v1//'}}]\n" +
		"shortener: {bitly: {base_url: 'https://b.example/'}, rebrandly: {base_url: 'https://r.example/x/'}}\n" +
		"sms: {vonage: {base_url: 'https://v.example/', receipts_url: 'https://w.example/y/'}}\n"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := load(t, []string{"--config", path, "--shortener.public_url=https://s.example/x/", "--sandbox.ingest_url=http://i:1/"}, nil)
	wantLines(t, []string{
		shortenersettings.Section.Of(cfg).PublicURL, sandboxsettings.Section.Of(cfg).IngestURL, cfg.Sources[0].API.BaseURL, shortenersettings.Section.Of(cfg).Bitly.BaseURL, shortenersettings.Section.Of(cfg).Rebrandly.BaseURL,
		smssettings.VonageSection.Of(cfg).BaseURL, smssettings.VonageSection.Of(cfg).ReceiptsURL,
	}, "https://s.example/x", "http://i:1", "https://api.example/v1", "https://b.example", "https://r.example/x", "https://v.example", "https://w.example/y")
}
