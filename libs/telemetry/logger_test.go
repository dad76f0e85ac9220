package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/telemetry"
)

// line logs once and returns the line.
func line(t *testing.T, log func(*slog.Logger)) (map[string]any, string) {
	t.Helper()
	var out bytes.Buffer
	log(telemetry.Logger(&out, "debug", "ingest"))
	var fields map[string]any
	if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
		t.Fatalf("not one JSON line: %v: %s", err, out.String())
	}
	return fields, out.String()
}

func TestALineHasTheFieldsThatOperatorsNeed(t *testing.T) {
	t.Parallel()
	got, _ := line(t, func(log *slog.Logger) {
		log.Info("attempt", "stage", "sms-sender", "attempt", 3, "took", 1500*time.Millisecond, "ok", true,
			"subject", "signing.v1.acme.clickwrap.recipient.signed.5abc", "id", "0123456789abcdef", "empty_token", "",
			"err", errors.New("stream SIGNING: no responders"), "counts", map[string]int{"done": 12345678})
	})
	delete(got, "time")
	want := map[string]any{
		"level": "INFO", "msg": "attempt", "service": "ingest", "stage": "sms-sender", "attempt": 3.0, "took": 1.5e9, "ok": true,
		"subject": "signing.v1.acme.clickwrap.recipient.signed.5abc", "id": "0123456789abcdef", "empty_token": "",
		"err": "stream SIGNING: no responders", "counts": map[string]any{"done": 12345678.0},
	}
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1, "": 3} {
		var out bytes.Buffer
		log := telemetry.Logger(&out, level, "x")
		log.Debug("m")
		log.Info("m")
		log.Warn("m")
		log.Error("m")
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("level %q wrote %d lines, want %d", level, got, want)
		}
	}
}

type mail struct {
	To      string `json:"to"`
	Nested  struct{ Mobile int64 }
	Comment string
}

// All ways in which personal data could get into a log.
func TestNothingPersonalIsLogged(t *testing.T) {
	t.Parallel()
	m := mail{To: "eric.smith", Comment: "call +447700900123"}
	m.Nested.Mobile = 447700900123
	for name, log := range map[string]func(*slog.Logger){
		"key email":         func(l *slog.Logger) { l.Info("m", "email", "eric.smith") },
		"key to":            func(l *slog.Logger) { l.Info("m", "to", "447700900123") },
		"key first_name":    func(l *slog.Logger) { l.Info("m", "first_name", "eric.smith") },
		"key name":          func(l *slog.Logger) { l.Info("m", "name", "eric.smith") },
		"key signerEmail":   func(l *slog.Logger) { l.Info("m", "signerEmail", "eric.smith") },
		"key short-url":     func(l *slog.Logger) { l.Info("m", "short-url", "hunter2") },
		"key webhookToken":  func(l *slog.Logger) { l.Info("m", "webhookToken", "hunter2") },
		"key Authorization": func(l *slog.Logger) { l.Info("m", "Authorization", "hunter2") },
		"key signature":     func(l *slog.Logger) { l.Info("m", "signature", []byte("hunter2")) },
		"number":            func(l *slog.Logger) { l.Info("m", "mobile", 447700900123) },
		"group":             func(l *slog.Logger) { l.Info("m", slog.Group("phone", "value", "447700900123")) },
		"with":              func(l *slog.Logger) { l.With("password", "hunter2").WithGroup("g").Info("m", "secret", "hunter2") },
		"message":           func(l *slog.Logger) { l.Info("sent to eric.smith@acme.example") },
		"error": func(l *slog.Logger) {
			l.Info("m", "err", fmt.Errorf("rcpt: %w", errors.New("550 <eric.smith@acme.example>: no")))
		},
		"error under a key": func(l *slog.Logger) { l.Info("m", "token", errors.New("hunter2")) },
		"struct":            func(l *slog.Logger) { l.Info("m", "mail", m) },
		"list":              func(l *slog.Logger) { l.Info("m", "list", []string{"eric.smith@acme.example"}) },
		"map": func(l *slog.Logger) {
			l.Info("m", "map", map[string]any{"x": []any{map[string]string{"api_secret": "hunter2"}}})
		},
		"value that hides": func(l *slog.Logger) { l.Info("m", "v", hides{}) },
	} {
		_, text := line(t, log)
		for _, personal := range []string{"eric", "smith", "7700900", "hunter2", "aHVudGVyMg"} {
			if strings.Contains(text, personal) {
				t.Errorf("%s: %q in %s", name, personal, text)
			}
		}
	}
}

type hides struct{}

func (hides) LogValue() slog.Value { return slog.GroupValue(slog.String("mobile", "447700900123")) }

func TestMask(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                          "",
		"nothing to hide":           "nothing to hide",
		"a + b @ c, 1+1":            "a + b @ c, 1+1",
		"2026-10-26T10:00:00+01:00": "2026-10-26T10:00:00+01:00",
		"goroutine 1 +0x1a4":        "goroutine 1 +0x1a4",
		"/mod/github.com/nats-io/nats.go@v1.55.0/nats.go:12": "/mod/github.com/nats-io/nats.go@v1.55.0/nats.go:12",
		"e@x.example":                    "********",
		"to <e.s+tag@x.co.uk>, and more": "to <********>, and more",
		`rcpt "e@localhost"`:             `rcpt "********"`,
		"\"to\":\"ünï@x.example\"":       "\"to\":\"********\"",
		"+447700900123":                  "********",
		"+1 (317) 403-7298 ok":           "******** ok",
		"+44.7700.900.123, +612345":      "********, +612345",
		"?to=%2B447700900123&x":          "?to=********&x",
		"+12345678":                      "+12345678",
		"+123456789":                     "********",
		`Get "https://api.acme.example/sign/abc?token=x": EOF`: `Get "https://api.acme.example/********": EOF`,
		"see http://127.0.0.1:8081/ and http://[::1]:8080":     "see http://127.0.0.1:8081/ and http://[::1]:8080",
		"dial redis://app:p@ss/w:rd@127.0.0.1:6379/0":          "dial redis://127.0.0.1:6379/********",
		"nats://token@n1:4222,nats://n2:4222":                  "nats://n1:4222,nats://n2:4222",
		"user:pw@10.0.0.1:25 refused":                          "******** refused",
		"https://x.example?e=a@b.example":                      "https://b.example",
	} {
		if got := telemetry.Mask(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add("e@x.example +447700900123 https://u:p@h/p?q#f %2B")
	f.Fuzz(func(t *testing.T, s string) {
		once := telemetry.Mask(s)
		if twice := telemetry.Mask(once); twice != once {
			t.Errorf("masking %q again changes %q to %q", s, once, twice)
		}
		if got := telemetry.Mask("x e.smith@acme.example " + s); strings.Contains(got, "smith") {
			t.Errorf("an address before %q is left: %q", s, got)
		}
	})
}

func BenchmarkLogger(b *testing.B) {
	nowhere := io.Discard
	for name, log := range map[string]*slog.Logger{
		"masking": telemetry.Logger(io.Discard, "info", "ingest"),
		"plain":   slog.New(slog.NewJSONHandler(nowhere, nil)).With("service", "ingest"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				log.Info("callback", "source", "acme", "provider", "clickwrap", "outcome", "accepted", "status", 202,
					"took", time.Millisecond, "events", 1, "verification", "token", "bytes", 1024, "id", "0123456789abcdef")
			}
		})
	}
}
