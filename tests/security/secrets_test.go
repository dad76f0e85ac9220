package security

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The list of processes shows a secret in a flag, so the flag is refused, and the secret is not printed.
func TestSecretsAreRefusedAsFlags(t *testing.T) {
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
			if output, refused := start(t, free, args...); !refused || strings.Contains(output, "hunter2") || strings.Contains(output, "ready after") {
				t.Errorf("%q: refused %t:\n%s", args, refused, output)
			}
		})
	}
	// The same in a variable, in a file, and a flag that is not secret.
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("hunter2\n"), 0o600))
	for _, env := range [][]string{{"SIGNRELAY_NATS_PASSWORD=hunter2"}, {"SIGNRELAY_NATS_PASSWORD_FILE=" + secret}} {
		output, refused := start(t, append(append(env, "SIGNRELAY_NATS_USER=acme"), free...), "config", "print", "--log.level=warn")
		if refused || !strings.Contains(output, "password: \"********\"") && !strings.Contains(output, "password: '********'") && !strings.Contains(output, "password: ********") || strings.Contains(output, "hunter2") {
			t.Errorf("%q: refused %t:\n%s", env, refused, output)
		}
	}
}

// The printed settings and the errors show no secret of a URL.
func TestSecretsInURLsAreMasked(t *testing.T) {
	t.Parallel()
	for variable, value := range map[string]string{
		"NATS_URL": "nats://u:hunter2@127.0.0.1:1", "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0", "SMS_VONAGE_BASE_URL": "https://u:hunter2@rest.nexmo.com?apikey=hunter2",
		"SMS_VONAGE_RECEIPTS_URL": "https://sign.acme.example?token=hunter2", "SHORTENER_PUBLIC_URL": "https://sign.acme.example/?password=hunter2",
		"SANDBOX_INGEST_URL": "https://127.0.0.1#hunter2", "KAFKA_BROKERS": "sasl://u:hunter2@k:9092", "NATS_ADDR": "u:hunter2@127.0.0.1:1", "EMAIL_SMTP_PORT": "smtp://u:hunter2@h",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			for _, args := range [][]string{{"config", "print"}, {"config", "check"}} {
				output, _ := start(t, []string{"SIGNRELAY_" + variable + "=" + value}, args...)
				if output == "" || strings.Contains(output, "hunter2") {
					t.Errorf("%s: %s", args, output)
				}
			}
		})
	}
}

// A settings file that refers to itself, or grows without end, is refused and causes no crash.
func TestHostileSettings(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"an alias to itself": "sources: &a [*a]\n", "keys merged into themselves": "log: &a {<<: *a}\n", "a circle": "sources: [&a {name: a, api: &b {<<: *b}}]\n",
		"deep lists": "sources: " + strings.Repeat("[", 500_000), "deep requestsAbout": strings.Repeat("? ", 400_000), "a large file": strings.Repeat("# large\n", 1<<18),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "signrelay.yaml")
			must(t, os.WriteFile(path, []byte(text), 0o600))
			for _, args := range [][]string{{"config", "check"}, {"run"}} {
				output, refused := start(t, nil, append(args, "--config", path)...)
				if !refused || strings.Contains(output, "goroutine") || strings.Contains(output, "panic") || len(output) > 64<<10 {
					t.Errorf("%s: refused %t:\n%.2000s", args, refused, output)
				}
			}
		})
	}
}
