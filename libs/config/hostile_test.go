package config_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/services/sections"
)

// A malicious file causes an error.
func TestHostileYAML(t *testing.T) {
	t.Parallel()
	const within = "the alias is inside its own anchor"
	many := func(n int, text func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(text(i))
		}
		return b.String()
	}
	for name, c := range map[string]struct{ text, want string }{
		"an alias to itself":         {"log: &a *a\n", "not YAML"},
		"a list in itself":           {"sources: &a [*a]\n", "sources[0] (line 1): want keys and values, not a list"},
		"keys in themselves":         {"sms: &a {vonage: *a}\n", "unknown key"},
		"keys in themselves, deeper": {"nats: &a\n  tls: &b\n    ca: *a\n", "want a single value"},
		"keys merged into themselves": {
			"log: &a {<<: *a, level: info}\n", within,
		},
		"merged in a circle":          {"sources:\n  - &a {name: a, api: &b {<<: *b}}\n", within},
		"a source merged into itself": {"sources:\n  - &a {name: a, <<: *a, provider: clickwrap}\n", within},
		"sources merged in a circle":  {"sources:\n  - &a {name: a, <<: &b {locale: de, <<: *a}}\n  - *b\n", within},
		"a source in its own list": {
			"sources: &all\n  - {name: a, provider: clickwrap, notify: {kinds: *all}}\n", "want a single value",
		},
		"a list in its own list":       {"sources: [{notify: {kinds: &a [x, *a]}}]\n", "want a single value"},
		"an alias of an alias":         {"log: &a {level: &b *a}\n", "not YAML"},
		"an alias before its anchor":   {"log: *a\nnats: &a {}\n", "no anchor"},
		"a million laughs":             {laughs(9), "unknown key"},
		"laughs in the sources":        {"sources:\n  - &s {name: s, provider: clickwrap, notify: {kinds: [" + many(500, func(int) string { return "x," }) + "]}}\n" + many(2000, func(int) string { return "  - *s\n" }), "more than 200000 values"},
		"unknown keys, multiplied":     {"sources:\n  - &s {" + many(50, func(i int) string { return fmt.Sprintf("k%d: 1, ", i) }) + "}\n" + many(5000, func(int) string { return "  - *s\n" }), "more than 200000 values"},
		"deep lists":                   {"sources: " + strings.Repeat("[", 200_000), "nested more than"},
		"deep lists, closed":           {"sources: " + strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000), "nested more than"},
		"deep keys":                    {strings.Repeat("{log: ", 100_000), "nested more than"},
		"deep keys, on lines":          {strings.Repeat("{log:\n", 100_000), "nested more than"},
		"deep lists in a line":         {"sources:\n" + strings.Repeat("- ", 200_000) + "x", "nested more than"},
		"deep question marks":          {strings.Repeat("? ", 200_000) + "x", "nested more than"},
		"deep keys in a line":          {strings.Repeat("log: ", 200_000) + "x", "nested more than"},
		"anchors in a row":             {"log: " + strings.Repeat("&a ", 200_000) + "x", "nested more than"},
		"tags in a row":                {"log: " + strings.Repeat("!a ", 200_000) + "x", "nested more than"},
		"aliases in a row":             {"log: " + strings.Repeat("*a ", 200_000) + "x", "nested more than"},
		"deep by indentation":          {many(1300, func(i int) string { return strings.Repeat(" ", i) + "log:\n" }), "unknown key"},
		"a large file":                 {"# " + strings.Repeat("x", 2<<20), "more than 1048576 bytes"},
		"a file without an end":        {"", "more than 1048576 bytes"},
		"an endless text":              {`log: {level: "` + strings.Repeat("x", 900_000), "not YAML"},
		"only quotes":                  {strings.Repeat(`"`, 100_001), "not YAML"},
		"a merge of a list":            {"log: {<<: [{level: info}]}\n", "<< wants an alias"},
		"a merge of nothing":           {"log: {<<: ~}\n", "<< wants an alias"},
		"a key that is a list":         {"? [a, b]\n: c\n", ""},
		"NUL":                          {"log: {level: \"a\x00\"}", "NUL"},
		"an anchor without a value":    {"log: &a\n", ""},
		"a tag without a value":        {"log: !!map\n", ""},
		"a directive":                  {"%YAML 9.9\n---\nlog: {level: info}\n", ""},
		"UTF-16":                       {"\xff\xfel\x00o\x00g\x00", "NUL"},
		"bytes that are no characters": {"log: {level: \xff\xfe}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := "/dev/zero"
			if name != "a file without an end" {
				path = file(t, c.text)
			}
			_, _, err := config.Load(sections.All, []string{"--config", path}, nil)
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("want %q, got %.500v", c.want, err)
			}
			if err != nil && len(err.Error()) > 1<<20 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// laughs returns a file in which each level is ten aliases of the previous level ("billion laughs").
func laughs(levels int) string {
	var text strings.Builder
	text.WriteString("a0: &a0 x\n")
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&text, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	return text.String()
}

// An ordinary file may use aliases, merges and multi-line texts.
func TestValidYAMLWithAliases(t *testing.T) {
	t.Parallel()
	cfg := load(t, []string{"--config", file(t, `
sources:
  - &base {name: a, provider: clickwrap, webhook: &secrets {secrets: [one]}, notify: {channels: &both [sms, email]}}
  - {<<: *base, name: b}
  - {name: c, provider: pleasesign, webhook: *secrets, notify: {channels: *both}}
`)}, nil)
	for i, name := range []string{"a", "b", "c"} {
		if s := cfg.Sources[i]; s.Name != name || s.Text("webhook.secrets") != "one" || len(s.Notify.Channels) != 2 {
			t.Errorf("source %s: %+v", name, s)
		}
	}
}

// For any file, Load and Check return, and readable settings can be printed.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{
		"", "log: {level: info}", "sources: &a [*a]", "log: &a *a", "sms: {<<: *x}", "a: [", "- - -", "? x\n: y", "log: |\n  x", "nats: {url: 'nats://u:p@h'}",
		"sources:\n  - &b {name: a, provider: clickwrap}\n  - <<: *b\n", "sources:\n  - {webhook: {token: t}, <<: &c {provider: &p esign-v1}}\n  - {<<: *c, provider: *p}\n", "email: {smtp: {port: 1}}", "%YAML 1.2\n---\n", "drain_delay: !!str 5s", laughs(2), "\"a\\u0000\": 1",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, _, err := config.Load(sections.All, []string{"--config", file(t, string(data))}, nil)
		if !config.Readable(err) {
			return
		}
		_ = config.Check(cfg, providers, nil) // any file may be wrong
		for _, s := range cfg.Sources {
			if own := len(s.Settings()) > 0; err == nil && own != slices.Contains(providers, s.Provider) {
				t.Errorf("a source of %q has settings of its provider: %t", s.Provider, own)
			}
		}
		_ = config.Warnings(cfg)
		var out bytes.Buffer
		if err := config.Print(&out, cfg); err != nil {
			t.Errorf("print: %v", err)
		}
	})
}

// A secret is not accepted as a flag: the error omits the value, names the variable, and lists all other mistakes too.
func TestASecretIsNoFlag(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{
		"nats.password", "redis.password", "master_key", "sms.vonage.api_key", "sms.vonage.api_secret", "sms.vonage.signature_secret",
		"email.smtp.password", "shortener.bitly.token", "shortener.rebrandly.apikey", "nats.tls.key", "redis.tls.key", "kafka.tls.key",
		"kafka.sasl.password", "sandbox.key",
	} {
		variable := "SIGNRELAY_" + strings.ToUpper(strings.ReplaceAll(flag, ".", "_"))
		for _, args := range [][]string{{"--" + flag, "hunter2"}, {"--" + flag + "=hunter2"}, {"-" + flag + "=hunter2"}, {"before", "--" + flag, "hunter2", "behind"}} {
			got := strings.Join(mistakes(t, append(args, "--email.smtp.port=x"), nil), "\n")
			if strings.Contains(got, "hunter2") || !strings.Contains(got, "--"+flag+": a secret is not taken from a flag") ||
				!strings.Contains(got, variable+", or "+variable+"_FILE") || !strings.Contains(got, "--email.smtp.port: want a whole number") {
				t.Errorf("%q:\n%s", args, got)
			}
		}
	}
	for flag, refused := range map[string]bool{
		"--nats.url=nats://u:hunter2@n:4222": true, "--nats.url=nats://hunter2@n": true, "--nats.url=nats://n:4222,nats://u:hunter2@m": true,
		"--redis.url=redis://:hunter2@r": true, "--redis.url=redis://r?password=hunter2": true, "--redis.url=u:hunter2@r:6379": true,
		"--nats.url=nats://n:4222": false, "--redis.url=rediss://r:6379/0": false, "--nats.tls.ca=x": false, "--nats.user=u": false,
	} {
		_, _, err := config.Load(sections.All, []string{flag}, nil)
		if (err != nil) != refused || strings.Contains(errorText(err), "hunter2") {
			t.Errorf("%s: %v", flag, err)
		}
	}
	if got := strings.Join(mistakes(t, []string{"--nats.pasword=hunter2"}, nil), "\n"); strings.Contains(got, "hunter2") || strings.Contains(got, "did you mean") {
		t.Errorf("a secret flag, mistyped: %s", got)
	}
}

// Secrets in a URL are masked wherever the URL is printed or quoted.
func TestSecretsInURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"https://u:hunter2@h", "https://hunter2@h", "https://u:hun/ter2@h", "https://u:hunter2@x@h", "https://u:a,hunter2@h", "https://:hunter2@h",
		"https://h?token=hunter2", "https://h/?a=b&password=hunter2", "https://h?apikey=hunter2#x", "https://h/#hunter2", "https://h?hunter2", "https://h/p;x?k=hunter2;t=hunter2",
		"https://h?x=1&X-Amz-Signature=hunter2", "https://h?t=a@hunter2", "https://h?%74oken=hunter2", "https://h?u=https://v:hunter2@h", "https://h?#access_token=hunter2",
		"https://h, https://u:hunter2@i", "HTTPS://U:hunter2@H", "u:hunter2@h:80", "//u:hunter2@h",
	} {
		for _, c := range []struct{ where, text string }{
			{"base_url", "sources: [{name: a, provider: clickwrap, api: {base_url: %q}}]"}, {"vonage", "sms: {vonage: {base_url: %q}}"},
			{"receipts_url", "sms: {vonage: {receipts_url: %q}}"}, {"public_url", "shortener: {public_url: %q}"}, {"bitly", "shortener: {bitly: {base_url: %q}}"},
			{"rebrandly", "shortener: {rebrandly: {base_url: %q}}"}, {"ingest_url", "sandbox: {ingest_url: %q}"}, {"nats", "nats: {url: %q}"}, {"redis", "redis: {url: %q}"},
			{"brokers", "kafka: {brokers: [%q]}"}, {"an address", "nats: {addr: %q}"}, {"a host", "email: {smtp: {host: %q}}"}, {"a number", "email: {smtp: {port: %q}}"},
			{"a word", "log: {level: %q}"}, {"a network", "shortener: {trusted_proxies: [%q]}"}, {"a key", "%q: x"},
		} {
			if c.where == "an address" && strings.HasPrefix(url, "//") || strings.HasPrefix(url, "//") && !strings.HasSuffix(c.text, "url: %q}") {
				continue
			}
			cfg, _, err := config.Load(sections.All, []string{"--config", file(t, fmt.Sprintf(c.text, url))}, nil)
			mistakes := errorText(err) + "\n" + errorText(config.Check(cfg, providers, nil))
			if strings.Contains(mistakes, "hunter2") || strings.Contains(mistakes, "ter2") {
				t.Errorf("%s %s: an error contains the secret:\n%s", c.where, url, mistakes)
			}
			var out bytes.Buffer
			if err := config.Print(&out, cfg); err != nil || strings.Contains(out.String(), "ter2") {
				t.Errorf("%s %s is printed: %v\n%s", c.where, url, err, grep(out.String(), "ter2"))
			}
		}
	}
	var out bytes.Buffer
	plain := "sources: [{name: a, provider: clickwrap, api: {base_url: 'https://api.acme.example/v1'}, notify: {sender: {email: a@acme.example}}}]\n" +
		"nats: {url: 'nats://u:p@a:4222,nats://b:4222,c'}\nredis: {url: 'redis://u:p@r:6379/2'}\nkafka: {brokers: ['k:9092']}\nemail: {from: 'Acme: A <a@acme.example>'}"
	if err := config.Print(&out, load(t, []string{"--config", file(t, plain)}, nil)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"https://api.acme.example/v1", "nats://u:********@a:4222,nats://b:4222,c", "redis://u:********@r:6379/2", "k:9092", "a@acme.example", "Acme: A <a@acme.example>"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not printed:\n%s", want, out.String())
		}
	}
}

func grep(text, word string) string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	key := "master_key: " + strings.Repeat("k", 32) + "\n"
	for text, want := range map[string]string{
		"":  "master_key",
		key: "",
		key + "shortener: {public_url: 'https://s.example'}":                                        "shortener.trusted_proxies",
		key + "shortener: {public_url: 'http://s.example'}":                                         "",
		key + "shortener: {public_url: 'https://s.example', trusted_proxies: [10.0.0.0/8]}":         "",
		key + "shortener: {trusted_proxies: [0.0.0.0/0]}":                                           "shortener.trusted_proxies",
		key + "shortener: {trusted_proxies: [10.0.0.0/8, '::/0']}":                                  "shortener.trusted_proxies",
		"shortener: {public_url: 'https://s.example', trusted_proxies: [10.0.0.0/8, 'fd00::/8']}\n": "master_key",
	} {
		var got []string
		for _, w := range config.Warnings(load(t, []string{"--config", file(t, text)}, nil)) {
			got = append(got, w.Key)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %q", text, got, want)
		}
	}
}
