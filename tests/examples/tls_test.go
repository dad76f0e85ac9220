package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/examples"
	"github.com/signrelay/signrelay/tests/testenv"
)

// A server accepts only TLS, with a certificate of a CA that the system does not know. Each client gets the CA as the page for subscribers
// describes. With another CA, the client reports the cause.
func TestExamplesTrustTheCA(t *testing.T) {
	t.Parallel()
	ours, theirs := realtest.NewAuthority(t), realtest.NewAuthority(t)
	broker := realtest.NATSWith(t, func(o *server.Options) {
		o.TLSConfig, o.TLSVerify, o.TLSTimeout = ours.Server(false), false, 5
		o.Users = []*server.User{{Username: "billing", Password: "made-up"}}
	})
	files := map[string]string{}
	for name, authority := range map[string]*realtest.Authority{"ours": ours, "theirs": theirs} {
		files[name] = filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(files[name], []byte(authority.PEM), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	nc, err := nats.Connect(broker.URL, nats.RootCAs(files["ours"]), nats.UserInfo("billing", "made-up"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: flow.Signing, Subjects: []string{"signing.v1.>"}}); err != nil {
		t.Fatal(err)
	}
	m, err := event.Message(t.Context(), examples.Signature(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	url := strings.Replace(broker.URL, "nats://", "tls://", 1)
	env := func(authority string) []string {
		return []string{"NATS_URL=" + url, "NATS_USER=billing", "NATS_PASSWORD=made-up", "NATS_CA=" + files[authority]}
	}

	until := (&testenv.Env{Timeout: 2 * time.Minute}).Until
	examples.Each(t, func(t *testing.T, language string) {
		wrong := examples.Start(t, language, "nats", append(env("theirs"), "NATS_DURABLE="+language)...)
		until(t, "it reports the certificate", func() bool { return strings.Count(strings.ToLower(wrong.Stderr()), "certificate") > 1 })
		if wrong.Stop(); strings.Contains(wrong.Stderr(), "Traceback") {
			t.Errorf("a traceback:\n%s", wrong.Stderr())
		}
		right := examples.Start(t, language, "nats", append(env("ours"), "NATS_DURABLE="+language)...)
		until(t, "the signature is printed", func() bool { return len(right.Lines()) == 1 })
		right.Stop()
	})
	t.Run("nats", func(t *testing.T) {
		t.Parallel()
		for authority, works := range map[string]bool{"ours": true, "theirs": false} {
			cmd := exec.CommandContext(t.Context(), testenv.NATSCLI(t), "sub", "--stream", flow.Signing, "--all", "--count", "1", "signing.v1.>")
			cmd.Env = append(env(authority), "HOME="+t.TempDir(), "PATH="+os.Getenv("PATH"))
			output, err := cmd.CombinedOutput()
			if works != (err == nil && strings.Contains(string(output), "signature-0000")) || !works && !strings.Contains(string(output), "certificate") {
				t.Errorf("with the authority %s: %v\n%s", authority, err, output)
			}
		}
	})
}
