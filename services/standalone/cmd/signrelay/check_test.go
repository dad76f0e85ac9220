package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sections"
	"github.com/signrelay/signrelay/services/standalone"
)

// untilUp stops a program when its log contains "up".
type untilUp struct {
	mu   sync.Mutex
	log  bytes.Buffer
	stop func()
}

func (u *untilUp) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.log.Write(p)
	if strings.Contains(u.log.String(), `"msg":"up"`) {
		u.stop()
	}
	return len(p), nil
}

// those returns the names of the services for which is reports true. They begin with the services of the first release, which are named.
func those(t *testing.T, first string, is func(service.Service) bool) []string {
	t.Helper()
	var names []string
	for _, s := range standalone.Services {
		if is(s) {
			names = append(names, s.Name)
		}
	}
	if !strings.HasPrefix(strings.Join(names, " "), first) {
		t.Fatalf("the services are %q, want first %s", names, first)
	}
	return names
}

// `config check` refuses the settings that a service refuses at its start, with the same text. It accepts all others. The services set
// process-wide state, so they start one after the other.
//
//nolint:paralleltest // see above
func TestConfigCheckAgreesWithTheStart(t *testing.T) {
	broker, memory := realtest.NATS(t), realtest.Redis(t)
	_, js := broker.Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	settings := file("signrelay.yaml", "sources: [{name: acme, provider: clickwrap, webhook: {secrets: [s3cret]}, api: {base_url: 'http://127.0.0.1:1', token: t}}]\n")
	valid := map[string]string{
		"CONFIG": settings, "NATS_URL": broker.URL, "REDIS_URL": memory.URL, "SHORTENER_PUBLIC_URL": "https://sign.acme.example", "KAFKA_BROKERS": "127.0.0.1:1",
		"INGEST_ADDR": "127.0.0.1:0", "LINKS_ADDR": "127.0.0.1:0", "RECEIPTS_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0",
		"CONSOLE_ADDR": "127.0.0.1:0", "SANDBOX_ADDR": "127.0.0.1:0", "SMTP_ADDR": "127.0.0.1:0", "NATS_ADDR": "127.0.0.1:0", "DATA_DIR": filepath.Join(dir, "data"),
		"ARCHIVE_URL": "file://" + filepath.ToSlash(filepath.Join(dir, "archive")),
		"INDEX_URL":   "sqlite://" + filepath.ToSlash(filepath.Join(dir, "index", "index.db")),
	}
	file("templates/en/invitation.sms.tmpl", "{{define \"sms\"}}{{.Nonsense}}{{end}}")
	all := append(those(t, "ingest enricher shortener sms-sender email-sender kafka-bridge sandbox", func(service.Service) bool { return true }), "run")
	withParts := those(t, "ingest enricher shortener sms-sender email-sender kafka-bridge", func(s service.Service) bool { return slices.Contains(s.Calls, service.NATS) })
	withRedis := those(t, "ingest enricher shortener sms-sender email-sender", func(s service.Service) bool { return slices.Contains(s.Calls, service.Redis) })
	withLinks := append(those(t, "shortener sms-sender email-sender", func(s service.Service) bool {
		return slices.Contains(s.Reads, "short-links") || s.Name == "shortener"
	}), "run")
	withTexts := append(those(t, "sms-sender email-sender", func(s service.Service) bool { return slices.Contains(s.Reads, "templates") }), "run")
	for name, c := range map[string]struct {
		spoil   map[string]string
		refused []string // the programs that refuse it
		want    string
	}{
		"no mistake":           {nil, nil, ""},
		"no NATS":              {map[string]string{"NATS_URL": ""}, withParts, "nats.url: "},
		"replicas of one node": {map[string]string{"NATS_URL": "", "NATS_REPLICAS": "3"}, append([]string{"run"}, withParts...), "nats."},
		"no Redis":             {map[string]string{"REDIS_URL": ""}, withRedis, "redis.url: "},
		"no public address":    {map[string]string{"SHORTENER_PUBLIC_URL": ""}, withLinks, "shortener.public_url: "},
		"a wrong address":      {map[string]string{"SHORTENER_PUBLIC_URL": "sign.acme.example"}, all, "shortener.public_url: "},
		"a bad template":       {map[string]string{"TEMPLATES_DIR": filepath.Join(dir, "templates")}, withTexts, "templates.dir: "},
		"a locale":             {map[string]string{"SOURCE_CLICKWRAP_ACME_LOCALE": "fr"}, withTexts, `sources[0].locale: there are no texts in "fr"`},
		"no such templates":    {map[string]string{"TEMPLATES_DIR": "/nowhere-at-all"}, withTexts, "templates.dir"},
		"no Kafka":             {map[string]string{"KAFKA_BROKERS": ""}, []string{"kafka-bridge"}, "kafka.brokers: "},
		"a Kafka password":     {map[string]string{"KAFKA_SASL_MECHANISM": "scram-sha-512", "KAFKA_SASL_USER": "u", "KAFKA_SASL_PASSWORD": "hunter2\u0221"}, []string{"kafka-bridge", "run"}, "kafka.sasl"},
		"no archive":           {map[string]string{"ARCHIVE_URL": ""}, []string{"archiver"}, "archive.url: "},
		"no index":             {map[string]string{"INDEX_URL": ""}, []string{"indexer"}, "index.url: "},
		"an index's path":      {map[string]string{"INDEX_URL": "sqlite://index.db"}, all, "index.url: "},
		"an archive's path":    {map[string]string{"ARCHIVE_URL": "s3://bucket/folder"}, all, "archive.url: "},
		"a sandbox key":        {map[string]string{"SANDBOX_KEY": "no PEM"}, []string{"sandbox"}, "sandbox.key"},
		"a database":           {map[string]string{"REDIS_URL": "redis://127.0.0.1/first"}, all, "redis.url: "},
		"an option of Redis":   {map[string]string{"REDIS_URL": "redis://127.0.0.1?nonsense=1"}, all, "redis.url: "},
		"no such credentials":  {map[string]string{"NATS_CREDS": "/nowhere-at-all"}, all, "nats.creds: "},
		"no credentials":       {map[string]string{"NATS_CREDS": settings}, all, "nats.creds: "},
		"two kinds of NATS":    {map[string]string{"NATS_URL": "nats://127.0.0.1:1,ws://127.0.0.1:1"}, all, "nats.url: "},
		"an e-mail user alone": {map[string]string{"EMAIL_SMTP_USERNAME": "u"}, []string{"email-sender", "run"}, "email.smtp.password: "},
		"no secret":            {map[string]string{"CONFIG": file("none.yaml", "sources: [{name: acme, provider: pleasesign}]")}, all, "webhook.secrets"},
		"half an API":          {map[string]string{"CONFIG": file("half.yaml", "sources: [{name: a, provider: esign-v1, webhook: {token: t}, api: {user: u}}]")}, all, "api.secret"},
		"a region":             {map[string]string{"SOURCE_CLICKWRAP_ACME_REGION": "UK"}, all, "sources[0].region: "},
		"ports of one process": {map[string]string{"ADMIN_ADDR": "127.0.0.1:18080", "INGEST_ADDR": ":18080"}, []string{"ingest", "run"}, "give it another port"},
		"a file for the data":  {map[string]string{"DATA_DIR": settings}, []string{"run"}, "data_dir: "},
		"an open console":      {map[string]string{"CONSOLE_ADDR": ":18081"}, []string{"console", "run"}, "console.addr: "},
		"a level":              {map[string]string{"LOG_LEVEL": "loud"}, all, "log.level: "},
		"a typing error":       {map[string]string{"SMS_VONAGE_FORM": "Acme"}, all, "did you mean SIGNRELAY_SMS_VONAGE_FROM"},
	} {
		var environ []string
		for key, value := range valid {
			if with, spoilt := c.spoil[key]; spoilt {
				value = with
			}
			environ = append(environ, "SIGNRELAY_"+key+"="+value)
		}
		for key, value := range c.spoil {
			if _, there := valid[key]; !there {
				environ = append(environ, "SIGNRELAY_"+key+"="+value)
			}
		}
		check := func(args ...string) (int, string) {
			var out bytes.Buffer
			status := dispatch(t.Context(), append([]string{"config", "check"}, args...), environ, os.Stdin, &out, &out)
			if strings.Contains(out.String(), "hunter2") {
				t.Errorf("%s: the output contains a secret: %s", name, out.String())
			}
			return status, out.String()
		}
		isRefused := func(program string) bool {
			for _, r := range c.refused {
				if r == program {
					return true
				}
			}
			return false
		}
		for _, p := range standalone.Services {
			status, said := check("--for", p.Name)
			if wantRefused := isRefused(p.Name); (status != 0) != wantRefused || wantRefused && !strings.Contains(said, c.want) {
				t.Errorf("%s: the check for %s: %d, %s", name, p.Name, status, said)
			}
			if !isRefused(p.Name) && c.spoil != nil {
				continue
			}
			ctx, stop := context.WithCancel(t.Context())
			log := &untilUp{stop: stop}
			status = service.Start(ctx, p, sections.All, nil, environ, log, log)
			stop()
			if (status != 0) != isRefused(p.Name) || status != 0 && !strings.Contains(log.log.String(), c.want) {
				t.Errorf("%s: the start of %s: %d, %s", name, p.Name, status, log.log.String())
			}
		}
		status, output := check()
		if (status != 0) != isRefused("run") || status != 0 && !strings.Contains(output, c.want) {
			t.Errorf("%s: the check: %d, %s", name, status, output)
		}
		if !isRefused("run") && c.spoil != nil {
			continue
		}
		ctx, stop := context.WithCancel(t.Context())
		log := &untilUp{stop: stop}
		status = dispatch(ctx, []string{"run"}, environ, os.Stdin, log, log)
		stop()
		if (status != 0) != isRefused("run") || status != 0 && !strings.Contains(log.log.String(), c.want) {
			t.Errorf("%s: `signrelay run`: %d, %s", name, status, log.log.String())
		}
	}
}

// A service starts with some settings that can never work.
func TestConfigCheckReportsSettingsThatCannotWork(t *testing.T) {
	for locale, want := range map[string]string{
		"en": "", "de": "", "en-AU": "", "DE-at": "", "fr": `there are no texts in "fr", only in de, en`, "pt-BR": `there are no texts in "pt-BR"`, "english": "BCP 47",
	} {
		path := filepath.Join(t.TempDir(), "signrelay.yaml")
		if err := os.WriteFile(path, []byte("sources: [{name: acme, provider: clickwrap, locale: "+locale+", webhook: {secrets: [s]}}]\nshortener: {public_url: 'https://a.example'}"), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		status := dispatch(t.Context(), []string{"config", "check", "--config", path}, nil, os.Stdin, &out, &out)
		if (status == 0) != (want == "") || !strings.Contains(out.String(), want) {
			t.Errorf("locale %s: %d, %s", locale, status, out.String())
		}
	}
	t.Setenv("OTEL_TRACES_EXPORTER", "nonsense")
	var out bytes.Buffer
	if status := dispatch(t.Context(), []string{"config", "check"}, nil, os.Stdin, &out, &out); status != 1 || !strings.Contains(out.String(), "exporter of traces") {
		t.Errorf("an unknown exporter: %d, %s", status, out.String())
	}
	names := those(t, "ingest", func(service.Service) bool { return true })
	if status := dispatch(t.Context(), []string{"config", "check", "--for", "ingest,sms"}, nil, os.Stdin, &out, &out); status != 2 || !strings.Contains(out.String(), `no service "sms"; there are `+strings.Join(names, ", ")) {
		t.Errorf("an unknown service: %d, %s", status, out.String())
	}
}
