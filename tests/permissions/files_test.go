package permissions_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// The files are those that the map makes.
func TestTheFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	for name, want := range flow.AccountFiles() {
		is, err := os.ReadFile(filepath.Join(testenv.Root(), "deployments", "nats", name))
		if err != nil || string(is) != want {
			t.Errorf("deployments/nats/%s is not what `make generate` makes (%v)", name, err)
		}
	}
}

// One server alone as nats.conf sets it up: a provider's 2xx survives a power cut, and no callback is too large.
func TestWhatIsAcknowledgedIsOnDisk(t *testing.T) {
	t.Parallel()
	h := testenv.Guarded(t, testenv.AroundTheSandbox)
	out, err := h.Command(t, "doctor", "--json", "--nats-monitor", h.NATSMonitor()) // no service is there, which it finds too
	for _, want := range []string{
		`{"check":"nats sync_interval","status":"ok","found":"always"}`,
		`{"check":"nats max_payload","status":"ok","found":"8388608 bytes"}`,
	} {
		if !slices.Contains(strings.Split(out, "\n"), want) {
			t.Errorf("the doctor does not say %s: %v\n%s", want, err, out)
		}
	}
}

// Three servers as cluster.conf sets them up: the log has three copies, and so have the teams' copies of it. Services reach streams that
// other servers lead, and go on when a server is lost.
func TestACluster(t *testing.T) {
	t.Parallel()
	h := testenv.GuardedCluster(t, testenv.AroundTheSandbox)
	h.Timeout = 2 * time.Minute // messages in flight through the lost server are delivered again after flow.AckWait
	for _, name := range testenv.Services {
		h.StartService(t, name, name, testenv.As(name)...)
	}
	h.CopyLog(t, "billing")
	operator, team := connect(t, h, flow.Operator), connect(t, h, "billing")
	for _, u := range []user{operator, team} {
		if copies := must(u).CachedInfo().Config.Replicas; copies != 3 {
			t.Errorf("%s: %d copies", u.name, copies)
		}
	}
	// Of a story that is told late only the end is told: who has signed is not invited any more.
	story := func(messages int) {
		h.Play(t, "clickwrap", "one-signer")
		h.Until(t, "the end of the story is told", func() bool {
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
	h.Idle(t)
	h.Until(t, "the copy goes on", func() bool { return messages(team) == messages(operator) })
	for _, node := range []string{"nats-1", "nats-3"} {
		if said := regexp.MustCompile(`.*(Publish|Subscription) Violation.*`).FindString(h.Processes[node].Output()); said != "" {
			t.Error(said)
		}
	}
}

// Another team is another block of subscribers.conf, and a restart of the server.
func TestAnotherTeam(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	if err := os.CopyFS(files, os.DirFS(filepath.Join(testenv.Root(), "deployments", "nats"))); err != nil {
		t.Fatal(err)
	}
	h := testenv.GuardedBy(t, testenv.AroundTheSandbox, files)
	publish(connect(t, h, flow.Operator), 0)
	h.CopyLog(t, "billing")
	if letIn(h, "audit", testenv.PasswordOf("audit")) {
		t.Error("the team is let in before it is there")
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

// A password is rotated: the service's file first, which is read when it next connects, then the server's variable.
func TestAnotherPassword(t *testing.T) {
	t.Parallel()
	h := testenv.Guarded(t, testenv.AroundTheSandbox)
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
		t.Error("the old password is still good, or the new one is not")
	}
}

// Servers can be told to write acks in another way, which will be theirs by default one day: with the account in them.
func TestAcksOfTheNextVersion(t *testing.T) {
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
	h := testenv.GuardedBy(t, testenv.AroundTheSandbox, files)
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
		t.Fatalf("no message, or an ack as of old: %v", batch.Error())
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Error(err)
	}
	if connect(t, h, flow.Enricher).may(&nats.Msg{Subject: m.Reply()}) {
		t.Error("another may ack it")
	}
}
