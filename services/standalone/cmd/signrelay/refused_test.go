package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/signrelay/signrelay/libs/realtest"
)

// If NATS cannot be used, each command that needs it prints the same reason as the services, and exits with status 1. It never prints the
// password.
func TestCommandsPrintWhyNATSFails(t *testing.T) {
	t.Parallel()
	authority, stranger := realtest.NewAuthority(t), realtest.NewAuthority(t)
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca, otherCA := file("ca", authority.PEM), file("other-ca", stranger.PEM)
	users := func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "operator", Password: "right-hunter2"},
			{Username: "limited", Password: "right-hunter2", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: []string{"nothing"}}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}},
		}
	}
	secure := func(o *server.Options) { o.TLSConfig, o.TLSTimeout = authority.Server(false), 5 }
	plain, locked, encrypted := realtest.NATS(t).URL, realtest.NATSWith(t, users).URL, realtest.NATSWith(t, secure).URL
	bare := realtest.NATSWith(t, func(o *server.Options) { o.JetStream = false }).URL
	away := realtest.NATS(t)
	away.Stop()

	commands := []string{
		"provision", "provision --copy", "tail", "tail --no-follow", "timeline d1",
		"dlq list", "dlq show 1", "dlq replay 1 --yes", "dlq drop 1", "quarantine list", "quarantine show 1", "quarantine replay all",
		"held list", "held release --yes",
	}
	for name, c := range map[string]struct {
		environ []string
		want    string
	}{
		"a wrong password": {
			[]string{"NATS_URL=" + locked, "NATS_USER=operator", "NATS_PASSWORD=wrong-hunter2"},
			"nats.user and nats.password, or nats.creds, are refused",
		},
		"a wrong password in the URL": {
			[]string{"NATS_URL=" + strings.Replace(locked, "//", "//operator:wrong-hunter2@", 1)},
			"nats.user and nats.password, or nats.creds, are refused",
		},
		"no user": {[]string{"NATS_URL=" + locked}, "nats.user and nats.password, or nats.creds, are refused"},
		"a missing credentials file": {
			[]string{"NATS_URL=" + locked, "NATS_CREDS=/nowhere/hunter3.creds"}, "nats.creds: stat",
		},
		"an unknown authority":     {[]string{"NATS_URL=" + encrypted, "NATS_TLS_CA_FILE=" + otherCA}, "nats.tls.ca lacks the authority"},
		"the system's authorities": {[]string{"NATS_URL=" + encrypted}, "nats.tls.ca lacks the authority"},
		"another name": {
			[]string{"NATS_URL=" + strings.Replace(encrypted, "127.0.0.1", "localhost", 1), "NATS_TLS_CA_FILE=" + ca},
			"the server's certificate is not for the name",
		},
		"a server without TLS":  {[]string{"NATS_URL=" + plain, "NATS_TLS_CA_FILE=" + ca}, "the server does not support TLS"},
		"no such host":          {[]string{"NATS_URL=nats://nats.invalid:4222"}, "the host name in nats.url does not resolve"},
		"nothing listens there": {[]string{"NATS_URL=" + away.URL}, "nothing listens at nats.url"},
		"no JetStream":          {[]string{"NATS_URL=" + bare}, "has no JetStream"},
		"no permission": {
			[]string{"NATS_URL=" + locked, "NATS_USER=limited", "NATS_PASSWORD=right-hunter2"},
			"nats.user may not do this",
		},
	} {
		for i := range c.environ {
			c.environ[i] = "SIGNRELAY_" + c.environ[i]
		}
		for _, line := range commands {
			t.Run(name+"/"+line, func(t *testing.T) {
				t.Parallel()
				// The commands wait for a server that may start later. This test limits the wait.
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				if c.want == "nothing listens at nats.url" {
					cancel()
				}
				defer cancel()
				var stdout, stderr bytes.Buffer
				status := dispatch(ctx, strings.Fields(line), c.environ, os.Stdin, &stdout, &stderr)
				output := stdout.String() + stderr.String()
				if status != 1 || !strings.Contains(output, c.want) {
					t.Errorf("status %d, want %q in:\n%s", status, c.want, output)
				}
				if strings.Contains(output, "hunter2") || strings.Contains(output, "deadline exceeded") {
					t.Errorf("output:\n%s", output)
				}
			})
		}
	}
}
