package kafka_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/tests/examples"
)

// The examples connect to a broker with TLS and a password. With a wrong password or CA, they report it and keep running. With
// the right ones, they print the events.
func TestKafkaExamplesAuthenticate(t *testing.T) {
	t.Parallel()
	s := sharedSecured(t)
	const topic = "examples"
	b := s.at(t, s.login, topic, fmt.Sprintf("  tls:\n    enabled: true\n    ca: %s  sasl: {mechanism: scram-sha-512, user: signrelay, password: %s}\n", indented(s.ca), password))
	files := map[string]string{"ca": s.ca, "stranger": s.stranger}
	for name, text := range files {
		files[name] = filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(files[name], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := event.Message(t.Context(), examples.Signature(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.JetStream(t).PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	b.StartService(t, "kafka-bridge", "bridge")
	b.untilRead(1)
	examples.Each(t, func(t *testing.T, language string) {
		for name, c := range map[string]struct{ password, ca, want string }{
			"another password":      {"battery-staple", files["ca"], "authentication"},
			"another CA":            {password, files["stranger"], "certificate"},
			"right password and CA": {password, files["ca"], ""},
		} {
			p := examples.Start(t, language, "kafka", "KAFKA_BROKERS="+s.login, "KAFKA_TOPIC="+topic, "KAFKA_GROUP="+language+"-"+strings.ReplaceAll(name, " ", "-"),
				"KAFKA_USER=signrelay", "KAFKA_PASSWORD="+c.password, "KAFKA_CA="+c.ca)
			if c.want != "" {
				b.Until(t, name+" is named", func() bool { return strings.Count(strings.ToLower(p.Stderr()), c.want) > 1 })
			} else {
				b.Until(t, "the signature is printed", func() bool { return len(p.Lines()) == 1 })
			}
			p.Stop()
			if strings.Contains(p.Stderr(), "Traceback") || strings.Contains(p.Stderr(), c.password) {
				t.Errorf("%s: its output is\n%s", name, p.Stderr())
			}
		}
	})
}
