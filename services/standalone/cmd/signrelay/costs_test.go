package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
)

// `config check` prints the number of SMS parts of the operator's own templates, with the operator's own names and links. It also prints the
// characters that more than double the cost.
func TestConfigCheckPrintsTheCostOfTexts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("templates/en/voided.sms.tmpl", `{{define "sms"}}`+strings.Repeat("Withdrawn – sorry… ", 10)+`{{end}}`)
	write("templates/en/expired.sms.tmpl", `{{define "sms"}}Expired ☹ {{.Title}}{{end}}`)
	source := func(name, sender, locale, channels string) string {
		return "  - {name: " + name + ", provider: clickwrap, sender_name: '" + sender + "', locale: " + locale + ", notify: {channels: [" + channels + "]}, webhook: {secrets: ['12345']}}\n"
	}
	settings := write("signrelay.yaml", "templates: {dir: "+filepath.Join(dir, "templates")+"}\nshortener: {public_url: 'https://sign.acme.example'}\nsources:\n"+
		source("a", "Acme’s", "en", "sms")+source("b", "Acme’s", "en", "")+source("c", "Łódź", "de", "sms")+source("d", "Letters", "en", "email"))

	var stdout, stderr bytes.Buffer
	if status := dispatch(t.Context(), []string{"config", "check", "--config", settings}, nil, os.Stdin, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d: %s", status, stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	want := []string{
		"ok: 4 sources",
		`SMS parts in en from "Acme’s", for a title of 20 characters: invitation 1, progress 1, completed 1, reminder 1, declined 1, voided 2, expired 1 (GSM-7 lacks "☹"), undeliverable 1`,
		`SMS parts in de from "Łódź", for a title of 20 characters: invitation 2 (GSM-7 lacks "Łóź"), progress 1, completed 1, reminder 3 (GSM-7 lacks "Łóź"), declined 1, voided 2 (GSM-7 lacks "Łóź"), expired 2 (GSM-7 lacks "Łóź"), undeliverable 1`,
	}
	if len(lines) != len(want) || lines[0] != want[0] {
		t.Fatalf("it prints\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	// The kinds of later releases follow in the order of the contract.
	var later strings.Builder
	for _, kind := range event.KindNames()[8:] {
		later.WriteString(", " + kind + ` [0-9]+( \([^)]*\))?`)
	}
	rests := regexp.MustCompile("^" + later.String() + "$")
	for i, line := range lines[1:] {
		rest, found := strings.CutPrefix(line, want[i+1])
		if !found || !rests.MatchString(rest) {
			t.Errorf("it prints\n%s\nwant\n%s, then %s", line, want[i+1], rests)
		}
	}
}

// A text from a name says how to get no more texts, because no reply to it arrives. The printed cost includes that sentence.
func TestConfigCheckCountsTheSentenceOfATextFromAName(t *testing.T) {
	t.Parallel()
	parts := func(from string) string {
		settings := filepath.Join(t.TempDir(), "signrelay.yaml")
		text := "shortener: {public_url: 'https://sign.acme.example'}\nsms: {vonage: {from: '" + from + "'}}\n" +
			"opt_out: {contact: 'https://www.acme.example/messages/opt-out'}\n" +
			"sources:\n  - {name: a, provider: clickwrap, sender_name: Acme, locale: en, webhook: {secrets: ['12345']}}\n"
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		if status := dispatch(t.Context(), []string{"config", "check", "--config", settings}, nil, os.Stdin, &stdout, &stderr); status != 0 {
			t.Fatalf("status %d: %s", status, stderr.String())
		}
		return stdout.String()
	}
	if got := parts("13175550100"); !strings.Contains(got, ": invitation 1, progress 1, completed 1, ") {
		t.Errorf("from a number: %s", got)
	}
	if got := parts("Acme"); !strings.Contains(got, ": invitation 2, progress 2, completed 2, ") {
		t.Errorf("from a name: %s", got)
	}
}
