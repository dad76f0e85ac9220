package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sections"
	"github.com/signrelay/signrelay/services/standalone"
)

// reads returns the top-level keys that a service reads.
func reads(s service.Service) []string {
	var keys []string
	for _, part := range s.Reads {
		switch part {
		case "short-links":
			keys = append(keys, "shortener")
		case "api", "nats", "redis":
		default:
			keys = append(keys, part)
		}
	}
	for _, l := range s.Listeners {
		part, _, _ := strings.Cut(l.Key, ".")
		keys = append(keys, part)
	}
	return append(keys, "admin")
}

// For each service, the test makes each setting that it reads invalid. A service must start with the settings that the check accepts. So the
// test fails if a service's Run refuses more than its Check, and needs no list of mistakes. It omits nats and redis, because the servers
// decide about them. The services set process-wide state, so they start one after the other.
//
//nolint:paralleltest // see above
func TestCheckedSettingsStart(t *testing.T) {
	broker, memory := realtest.NATS(t), realtest.Redis(t)
	_, js := broker.Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "signrelay.yaml")
	if err := os.WriteFile(file, []byte("sources: [{name: acme, provider: clickwrap}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const source = "SOURCE_CLICKWRAP_ACME_"
	valid := map[string]string{
		"CONFIG": file, "NATS_URL": broker.URL, "REDIS_URL": memory.URL,
		source + "WEBHOOK_SECRETS": "s3cret", source + "API_BASE_URL": "http://127.0.0.1:1", source + "API_TOKEN": "t",
		"SMS_VONAGE_API_KEY": "a1b2c3d4", "SMS_VONAGE_API_SECRET": "s", "SMS_VONAGE_FROM": "Acme", "SMS_VONAGE_BASE_URL": "http://127.0.0.1:1",
		"SMS_VONAGE_RECEIPTS_URL": "https://sign.acme.example", "SMS_VONAGE_SIGNATURE_SECRET": "s",
		"EMAIL_FROM": "a@acme.example", "EMAIL_SMTP_HOST": "127.0.0.1", "EMAIL_SMTP_USERNAME": "u", "EMAIL_SMTP_PASSWORD": "p",
		"SHORTENER_KIND": "bitly", "SHORTENER_BITLY_TOKEN": "t", "SHORTENER_PUBLIC_URL": "https://sign.acme.example", "KAFKA_BROKERS": "127.0.0.1:1",
		"INGEST_ADDR": "127.0.0.1:0", "LINKS_ADDR": "127.0.0.1:0", "RECEIPTS_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0",
		"CONSOLE_ADDR": "127.0.0.1:0", "SANDBOX_ADDR": "127.0.0.1:0", "SMTP_ADDR": "127.0.0.1:0",
	}
	var names strings.Builder
	config.Names(&names, sections.All)

	refused, started := 0, 0
	try := func(s service.Service, variable, value string) {
		var environ []string
		for key, text := range valid {
			if key != variable {
				environ = append(environ, "SIGNRELAY_"+key+"="+text)
			}
		}
		environ = append(environ, "SIGNRELAY_"+variable+"="+value)
		var out bytes.Buffer
		status := dispatch(t.Context(), []string{"config", "check", "--for", s.Name}, environ, os.Stdin, &out, &out)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		log := &untilUp{stop: stop}
		switch exit := service.Start(ctx, s, sections.All, nil, environ, log, log); {
		case status != 0 && exit == 2:
			refused++
		case status == 0 && exit == 0:
			started++
		default:
			t.Errorf("%s with %s=%q: the check returns %d, the start ends with %d\n%s%s", s.Name, variable, value, status, exit, &out, &log.log)
		}
	}
	for _, s := range standalone.Services {
		try(s, "LOG_LEVEL", "info") // the control
		for line := range strings.Lines(names.String()) {
			key, _, _ := strings.Cut(line, ":")
			part, below, _ := strings.Cut(key, ".")
			variable := strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
			if part == "sources" {
				variable = source + strings.TrimPrefix(variable, "SOURCES_")
			}
			if !slices.Contains(reads(s), part) || part == "sources" && (below == "name" || below == "provider") {
				continue
			}
			for _, value := range []string{"", "-1", "nonsense"} {
				if _, needed := valid[variable]; value != "" || needed { // an empty variable is an unset one
					try(s, variable, value)
				}
			}
		}
	}
	if refused < 200 || started < 200 {
		t.Errorf("%d were refused and %d started: the table has changed", refused, started)
	}
}
