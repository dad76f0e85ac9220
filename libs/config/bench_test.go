package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/services/sections"
)

// manySources returns a settings file with 300 sources that have most of their fields.
func manySources() string {
	var b strings.Builder
	b.WriteString("shortener: {public_url: 'https://sign.acme.example'}\nemail: {from: 'Acme <no-reply@acme.example>'}\nkafka: {brokers: ['k:9092']}\nsources:\n")
	for i := range 300 {
		fmt.Fprintf(&b, "  - {name: s%d, provider: clickwrap, sender_name: Acme, locale: de, region: DE, webhook: {secrets: [one, two]}, "+
			"api: {base_url: 'https://api.example/v1', token: t, per_minute: 100}, notify: {channels: [sms], kinds: [invitation], sender: {email: a@acme.example}}}\n", i)
	}
	return b.String()
}

// A reload checks all settings again, so both are measured.
func BenchmarkLoad(b *testing.B) {
	path := b.TempDir() + "/settings.yaml"
	writeFile(b, path, manySources())
	for b.Loop() {
		if _, _, err := config.Load(sections.All, []string{"--config", path}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReload(b *testing.B) {
	path, token := b.TempDir()+"/settings.yaml", b.TempDir()+"/token"
	writeFile(b, path, manySources())
	writeFile(b, token, "t0")
	cfg, _, err := config.Load(sections.All, []string{"--config", path}, []string{"SIGNRELAY_SOURCE_CLICKWRAP_S7_API_TOKEN_FILE=" + token})
	if err != nil {
		b.Fatal(err)
	}
	live := config.NewLive(cfg)
	for i := 0; b.Loop(); i++ {
		writeFile(b, token, fmt.Sprint("t", i+1))
		keys, err := live.Reread(func(c config.Config) error { return config.Check(c, providers, nil) }, true)
		if err != nil || len(keys) != 1 {
			b.Fatal(keys, err)
		}
	}
}

func writeFile(b *testing.B, path, text string) {
	b.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}
