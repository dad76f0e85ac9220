package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
)

// Unknown keys and variables are reported together with all other mistakes.
func TestConfigCheckReportsAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "signrelay.yaml")
	text := "mainframe: here\nsources: [{name: acme, provider: clickwrap, region: UK, webhok: {}, webhook: {secrets: [s]}}]\nshortener: {public_url: nowhere}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	status := dispatch(t.Context(), []string{"config", "check", "--config", path, "--email.smtp.port=x", "--nats.password=hunter2"},
		[]string{"SIGNRELAY_LOG_LEVL=info", "SIGNRELAY_NATS_ADDR=:4222"}, os.Stdin, &out, &out)
	for _, want := range []string{
		"mainframe (line 1): unknown key", "sources[0].webhok (line 2): unknown key; did you mean webhook?", "SIGNRELAY_LOG_LEVL: no such setting", "--email.smtp.port: want",
		"--nats.password: a secret", "sources[0].region: want", "shortener.public_url: want", "nats.addr: other machines can reach this address",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not reported", want)
		}
	}
	if status != 1 || strings.Contains(out.String(), "hunter2") || t.Failed() {
		t.Errorf("status %d:\n%s", status, out.String())
	}
	out.Reset()
	if status := dispatch(t.Context(), []string{"config", "check", "--config", path + "x"}, nil, os.Stdin, &out, &out); status != 2 || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("without the file: %d\n%s", status, out.String())
	}
}

// The check warns about settings that work but have a weakness.
func TestConfigCheckWarns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	settings := filepath.Join(dir, "signrelay.yaml")
	if err := os.WriteFile(settings, []byte("sources: [{name: acme, provider: clickwrap, webhook: {secrets: [s]}}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, "old")
	if err := os.MkdirAll(filepath.Join(old, "nats"), 0o700); err != nil {
		t.Fatal(err)
	}
	const https, nats = "SIGNRELAY_SHORTENER_PUBLIC_URL=https://sign.acme.example", "SIGNRELAY_NATS_URL=nats://127.0.0.1:1"
	for name, c := range map[string]struct {
		environ []string
		args    []string
		want    []string
	}{
		"plain HTTP, a new folder": {[]string{"SIGNRELAY_SHORTENER_PUBLIC_URL=http://sign.acme.example"}, nil, nil},
		"https, a new folder":      {[]string{https}, nil, []string{"shortener.trusted_proxies"}},
		"https, a proxy":           {[]string{https, "SIGNRELAY_SHORTENER_TRUSTED_PROXIES=10.0.0.0/8"}, nil, nil},
		"all are proxies":          {[]string{https, "SIGNRELAY_SHORTENER_TRUSTED_PROXIES=0.0.0.0/0"}, nil, []string{"shortener.trusted_proxies"}},
		"a folder without a key":   {[]string{https, "SIGNRELAY_DATA_DIR=" + old}, nil, []string{"master_key", "shortener.trusted_proxies"}},
		"another server":           {[]string{https, nats}, nil, []string{"master_key", "shortener.trusted_proxies"}},
		"a master key":             {[]string{https, nats, "SIGNRELAY_MASTER_KEY=" + strings.Repeat("k", 32)}, nil, []string{"shortener.trusted_proxies"}},
		"ingest alone":             {[]string{https, nats, "SIGNRELAY_REDIS_URL=redis://127.0.0.1:1"}, []string{"--for", "ingest"}, []string{"master_key"}},
	} {
		var stdout, stderr bytes.Buffer
		environ := append([]string{"SIGNRELAY_CONFIG=" + settings, "SIGNRELAY_DATA_DIR=" + filepath.Join(dir, "new")}, c.environ...)
		status := dispatch(t.Context(), append([]string{"config", "check"}, c.args...), environ, os.Stdin, &stdout, &stderr)
		var got []string
		for line := range strings.Lines(stderr.String()) {
			key, _, _ := strings.Cut(strings.TrimPrefix(line, "warning: "), ":")
			got = append(got, key)
		}
		if status != 0 || strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: %d, %v, want %v\n%s", name, status, got, c.want, stderr.String())
		}
	}
}

// A command refuses arguments that it does not understand. In earlier versions, `run my.yaml` ran the demo sources, and `config check
// my.yaml` reported "ok".
func TestWrongUseIsRefused(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"run my.yaml":                       "takes no arguments, got 1; pass a settings file with --config",
		"config check my.yaml":              "takes no arguments, got 1",
		"config print my.yaml":              "takes no arguments, got 1",
		"provision my.yaml":                 "takes no arguments, got 1",
		"doctor my.yaml":                    "takes no arguments, got 1",
		"healthcheck my.yaml":               "takes no arguments, got 1",
		"version my.yaml":                   "takes no arguments, got 1",
		"dlq list 17":                       "takes no arguments, got 1",
		"held list sms":                     "takes no arguments, got 1",
		"held release abc":                  "takes no arguments, got 1",
		"quarantine list 17":                "takes no arguments, got 1",
		"kafka refill all":                  "takes no arguments, got 1",
		"dlq lst":                           `no command "dlq lst"`,
		"dlq":                               `no command "dlq"`,
		"dlq --json":                        `no command "dlq"`,
		"held relase":                       `no command "held relase"`,
		"lst dlq":                           `no command "lst"`,
		"tail document.completed":           "matches no event: want a filter of signing.v1.",
		"tail signing.v1.>.x":               "matches no event",
		"tail signing.v1.acme":              "matches no event",
		"tail signing.v1.*.*.*.*.*.*":       "matches no event",
		"tail signing..v1.>":                "matches no event",
		"tail signing.v2.>":                 "matches no event",
		"tail notify.v1.>":                  "matches no event",
		"tail signing.v1.*.*.document.> -x": "signrelay tail",
		"tail --since 5":                    "for flag -since: want a duration such as 90s, 15m, 24h or 7d",
		"tail --since yesterday":            "want a duration such as",
		"tail --since 5day":                 "want a duration such as",
		"tail --since 1d-5m":                "want a duration such as",
		"tail --since 999999999d":           "want a duration such as",
		"dlq list --since d":                "want a duration such as",
		"kafka refill --since 1w":           "want a duration such as",
		"kafka refill --rate 0":             "for flag -rate: want a number from 1 to 100000, such as 500",
		"documents --state lost":            "for flag -state: want one of created, waiting, completed",
		"documents --since week":            "The key since accepts a number of hours or days, such as 24h or 7d",
		"documents --limit 0":               "for flag -limit: want a number from 1 to 10000, such as 50",
		"dlq list --stage enric":            "for flag -stage: want one of enricher, shortener, sms-sender",
		"dlq replay --all --rate 0":         "for flag -rate: want a number from 1 to 1000, such as 10",
		"dlq replay --all --rate fast":      "for flag -rate: want a number from 1 to 1000, such as 10",
		"dlq replay":                        "want either numbers from `signrelay dlq list`, or flags that select, or --all",
		"dlq replay all 17":                 "\"all\" is not a number",
		"quarantine replay":                 "want either numbers from `signrelay quarantine list`, or flags that select, or --all",
		"quarantine replay 17 --all":        "want either numbers from `signrelay quarantine list`, or flags that select, or --all",
		"quarantine replay 17 --reason x":   "want either numbers from `signrelay quarantine list`, or flags that select, or --all",
		"quarantine replay all --source x":  "want either numbers from `signrelay quarantine list`, or flags that select, or --all",
		"quarantine replay x":               "\"x\" is not a number",
		"quarantine replay 17 --rate 1001":  "for flag -rate: want a number from 1 to 1000, such as 10",
		"quarantine list --since soon":      "want a duration such as",
		"held list --channel fax":           "for flag -channel: want one of sms, email",
		"held release --rate -1":            "for flag -rate: want a number from 1 to 1000, such as 10",
		"doctor --callbacks none":           "for flag -callbacks: want a number from 1 to 2147483647, such as 50",
		"doctor --kills 0":                  "for flag -kills: want a number from 1 to",
		"doctor --every -1s":                "for flag -every: want a duration of at least 0s, such as 100ms",
		"doctor --patience 0s":              "for flag -patience: want a duration of at least 1ms, such as 5m0s",
	} {
		var out bytes.Buffer
		if status := dispatch(t.Context(), strings.Fields(line), nil, os.Stdin, &out, &out); status != 2 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %d\n%s", line, status, out.String())
		}
	}
	for _, filter := range []string{">", "signing.>", "signing.v1.>", "signing.v1.*.*.document.>", "*.*.acme.>", "signing.v1.acme.clickwrap.document.sent.R1", "signing.v1.*.*.*.*.*"} {
		if !event.MatchesLog(filter) {
			t.Errorf("%s is refused", filter)
		}
	}
}
