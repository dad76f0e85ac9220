package permissions_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// The files equal those generated from the map of the flow.
func TestNATSFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	for name, want := range flow.AccountFiles() {
		is, err := os.ReadFile(filepath.Join(testenv.Root(), "deployments", "nats", name))
		if err != nil || string(is) != want {
			t.Errorf("deployments/nats/%s is stale: run `make generate` (%v)", name, err)
		}
	}
}

// A single server with nats.conf: a callback with status 2xx survives a power cut, and no allowed callback is too large.
func TestAcknowledgedMessagesAreOnDisk(t *testing.T) {
	t.Parallel()
	h := testenv.WithAccounts(t, testenv.SandboxSettings)
	out, err := h.Command(t, "doctor", "--json", "--nats-monitor", h.NATSMonitor()) // the doctor also reports that no service runs
	for _, want := range []string{
		`{"check":"nats sync_interval","status":"ok","found":"always"}`,
		`{"check":"nats max_payload","status":"ok","found":"8388608 bytes"}`,
	} {
		if !slices.Contains(strings.Split(out, "\n"), want) {
			t.Errorf("the doctor does not print %s: %v\n%s", want, err, out)
		}
	}
}

// Three servers with cluster.conf: the log has three replicas, and so do the teams' copies. Services reach streams that other servers lead,
// and continue when a server is lost.
func TestClusterServesAccounts(t *testing.T) {
	t.Parallel()
	h := testenv.ClusterWithAccounts(t, testenv.SandboxSettings)
	for _, name := range testenv.Services {
		h.StartService(t, name, name, testenv.NATSUser(name)...)
	}
	h.CopyLog(t, "billing")
	operator, team := connect(t, h, flow.Operator), connect(t, h, "billing")
	for _, u := range []user{operator, team} {
		if copies := must(u).CachedInfo().Config.Replicas; copies != 3 {
			t.Errorf("%s: %d copies", u.name, copies)
		}
	}
	// Late events of a story cause only the completion's message: a person who has signed is not invited again.
	story := func(messages int) {
		h.Play(t, "clickwrap", "one-signer")
		h.Until(t, "the completion's message has arrived", func() bool {
			ends := 0
			for _, m := range h.Messages(t) {
				if strings.Contains(m.Subject+m.Text, "has been accepted by all parties") {
					ends++
				}
			}
			return ends >= messages
		})
	}
	story(2)
	h.Processes["nats-2"].Kill()
	h.Until(t, "the log has a leader", func() bool {
		_, err := operator.js.Publish(t.Context(), "signing.v1.acme.clickwrap.endpoint.tested._", nil, jetstream.WithMsgID("id"))
		return err == nil
	})
	story(4)
	h.WaitIdle(t)
	h.Until(t, "the copy continues", func() bool { return messages(team) == messages(operator) })
	for _, node := range []string{"nats-1", "nats-3"} {
		if output := regexp.MustCompile(`.*(Publish|Subscription) Violation.*`).FindString(h.Processes[node].Output()); output != "" {
			t.Error(output)
		}
	}
}

// Another team needs another block of subscribers.conf, and a restart of the server.
func TestTeamIsAdded(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	if err := os.CopyFS(files, os.DirFS(filepath.Join(testenv.Root(), "deployments", "nats"))); err != nil {
		t.Fatal(err)
	}
	h := testenv.WithAccountsFrom(t, testenv.SandboxSettings, files)
	publish(connect(t, h, flow.Operator), 0)
	h.CopyLog(t, "billing")
	if letIn(h, "audit", testenv.PasswordOf("audit")) {
		t.Error("the team can connect before it exists")
	}

	path := filepath.Join(files, "subscribers.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "include reader.conf\n")
	audit := strings.NewReplacer("billing", "audit", "BILLING", "AUDIT").Replace(block)
	if err := os.WriteFile(path, append(text, audit...), 0o600); err != nil {
		t.Fatal(err)
	}
	h.RestartNATS(t, "")
	h.CopyLog(t, "audit")
	publish(connect(t, h, flow.Operator), 1)
	for _, name := range []string{"billing", "audit"} {
		team := connect(t, h, name)
		h.Until(t, name+" has all of the log", func() bool { return messages(team) == 2 })
	}
}

func letIn(h *testenv.Env, name, password string) bool {
	nc, err := nats.Connect(h.NATSURL, nats.UserInfo(name, password))
	if err == nil {
		nc.Close()
	}
	return err == nil
}

// A password is rotated: first in the service's file, which is read at the next connection, then in the server's variable.
func TestPasswordIsRotated(t *testing.T) {
	t.Parallel()
	h := testenv.WithAccounts(t, testenv.SandboxSettings)
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(testenv.PasswordOf("ingest"))
	h.StartService(t, "ingest", "ingest", "SIGNRELAY_NATS_USER=ingest", "SIGNRELAY_NATS_PASSWORD=", "SIGNRELAY_NATS_PASSWORD_FILE="+file)
	write("another")
	h.Processes["nats"].Stop()
	h.Processes["nats"].SetEnv(flow.Password("ingest"), "another")
	h.Processes["nats"].Start()
	h.Until(t, "ingest is back", func() bool { return h.Ready(t, "ingest") == http.StatusOK })
	if letIn(h, "ingest", testenv.PasswordOf("ingest")) || !letIn(h, "ingest", "another") {
		t.Error("the old password is still valid, or the new one is not")
	}
}

// Servers can be set to write acks with the account in the subject, which is to become the default.
func TestAcksWithAccount(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	if err := os.CopyFS(files, os.DirFS(filepath.Join(testenv.Root(), "deployments", "nats"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(files, "nats.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, "feature_flags: {js_ack_fc_v2: true}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	h := testenv.WithAccountsFrom(t, testenv.SandboxSettings, files)
	operator, bridge := connect(t, h, flow.Operator), connect(t, h, flow.KafkaBridge)
	publish(operator, 0)
	c, err := bridge.js.Consumer(t.Context(), flow.Signing, flow.KafkaBridge)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.Fetch(1, jetstream.FetchPriorityGroup(flow.Active))
	if err != nil {
		t.Fatal(err)
	}
	m := <-batch.Messages()
	if m == nil || strings.HasPrefix(m.Reply(), "$JS.ACK.SIGNING.") {
		t.Fatalf("no message, or an ack in the old form: %v", batch.Error())
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Error(err)
	}
	if connect(t, h, flow.Enricher).may(&nats.Msg{Subject: m.Reply()}) {
		t.Error("another user may ack it")
	}
}
