package security

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A secret that is given as a flag shows in the list of processes: it is refused, and not repeated.
func TestSecretsAreNoFlags(t *testing.T) {
	t.Parallel()
	free := []string{"SIGNRELAY_DATA_DIR=" + filepath.Join(t.TempDir(), "data")}
	for _, args := range [][]string{
		{"run", "--nats.password=hunter2"},
		{"run", "--nats.password", "hunter2"},
		{"run", "-redis.password=hunter2"},
		{"run", "--nats.url=nats://u:hunter2@127.0.0.1:1"},
		{"run", "--redis.url=redis://:hunter2@127.0.0.1:1/0"},
		{"tail", "--nats.password=hunter2"},
		{"config", "check", "--sms.vonage.api_secret=hunter2"},
		{"config", "print", "--master_key=hunter2hunter2hunter2hunter2hunter2"},
		{"doctor", "--email.smtp.password=hunter2"},
		{"provision", "--copy", "--nats.user=billing", "--nats.password", "hunter2"},
		{"--nats.password", "hunter2", "run"},
		{"--nats.password=hunter2", "run"},
		{"run", "--nats.passwort=hunter2"},
	} {
		t.Run(strings.Join(args[:min(2, len(args))], " "), func(t *testing.T) {
			t.Parallel()
			if said, refused := start(t, free, args...); !refused || strings.Contains(said, "hunter2") || strings.Contains(said, "ready after") {
				t.Errorf("%q: refused %t:\n%s", args, refused, said)
			}
		})
	}
	// The same by a variable, by a file, and a flag that is not secret.
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("hunter2\n"), 0o600))
	for _, env := range [][]string{{"SIGNRELAY_NATS_PASSWORD=hunter2"}, {"SIGNRELAY_NATS_PASSWORD_FILE=" + secret}} {
		said, refused := start(t, append(append(env, "SIGNRELAY_NATS_USER=acme"), free...), "config", "print", "--log.level=warn")
		if refused || !strings.Contains(said, "password: \"********\"") && !strings.Contains(said, "password: '********'") && !strings.Contains(said, "password: ********") || strings.Contains(said, "hunter2") {
			t.Errorf("%q: refused %t:\n%s", env, refused, said)
		}
	}
}

// Neither the printed settings nor an error show what a URL has in it.
func TestSecretsInURLsAreNotSaid(t *testing.T) {
	t.Parallel()
	for variable, value := range map[string]string{
		"NATS_URL": "nats://u:hunter2@127.0.0.1:1", "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0", "SMS_VONAGE_BASE_URL": "https://u:hunter2@rest.nexmo.com?apikey=hunter2",
		"SMS_VONAGE_RECEIPTS_URL": "https://sign.acme.example?token=hunter2", "SHORTENER_PUBLIC_URL": "https://sign.acme.example/?password=hunter2",
		"SANDBOX_INGEST_URL": "https://127.0.0.1#hunter2", "KAFKA_BROKERS": "sasl://u:hunter2@k:9092", "NATS_ADDR": "u:hunter2@127.0.0.1:1", "EMAIL_SMTP_PORT": "smtp://u:hunter2@h",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			for _, args := range [][]string{{"config", "print"}, {"config", "check"}} {
				said, _ := start(t, []string{"SIGNRELAY_" + variable + "=" + value}, args...)
				if said == "" || strings.Contains(said, "hunter2") {
					t.Errorf("%s: %s", args, said)
				}
			}
		})
	}
}

// A settings file that refers to itself, or grows without end, is refused and crashes nothing.
func TestHostileSettings(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"an alias to itself": "sources: &a [*a]\n", "keys merged into themselves": "log: &a {<<: *a}\n", "a circle": "sources: [&a {name: a, api: &b {<<: *b}}]\n",
		"deep lists": "sources: " + strings.Repeat("[", 500_000), "deep questions": strings.Repeat("? ", 400_000), "a large file": strings.Repeat("# large\n", 1<<18),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "signrelay.yaml")
			must(t, os.WriteFile(path, []byte(text), 0o600))
			for _, args := range [][]string{{"config", "check"}, {"run"}} {
				said, refused := start(t, nil, append(args, "--config", path)...)
				if !refused || strings.Contains(said, "goroutine") || strings.Contains(said, "panic") || len(said) > 64<<10 {
					t.Errorf("%s: refused %t:\n%.2000s", args, refused, said)
				}
			}
		})
	}
}
