package subscribe_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/subscribe"
	"github.com/signrelay/signrelay/tests/testenv"
)

func TestMain(m *testing.M) {
	status := m.Run()
	testenv.Cleanup()
	os.Exit(status)
}

// Each command of the page has an entry here or in tests/kafka.
func TestEveryCommandOfThePageRuns(t *testing.T) {
	t.Parallel()
	run := 0
	for _, tool := range []string{"nats", "signrelay", "python", "pip", "export", "kcat"} {
		run += len(subscribe.Commands(t, tool))
	}
	lines := 0
	for _, block := range subscribe.Blocks(t, "sh") {
		lines += strings.Count(block, "\n")
	}
	if run != lines {
		t.Errorf("of %d commands, tests run %d", lines, run)
	}
}

// team is a team with a copy of the log: ten events, of two documents in turn; every second one is a signature.
type team struct {
	*testenv.Env
	t     *testing.T
	shell *subscribe.Shell
	next  int
}

func newTeam(t *testing.T) *team {
	t.Helper()
	h := testenv.WithAccounts(t, testenv.SandboxSettings)
	password := testenv.PasswordOf("billing")
	h.CopyLog(t, "billing")
	var env []string
	for _, line := range subscribe.Commands(t, "export") {
		for _, variable := range strings.Fields(line)[1:] {
			env = append(env, strings.NewReplacer("nats://nats.example:4222", h.NATSURL, "…", password,
				"$NATS_URL", h.NATSURL, "$NATS_USER", "billing", "$NATS_PASSWORD", password).Replace(variable))
		}
	}
	x := &team{Env: h, t: t, shell: subscribe.NewShell(t, env...)}
	for range 10 {
		x.publish()
	}
	nc, err := nats.Connect(h.NATSURL, nats.UserInfo("billing", password))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	h.Until(t, "the copy is complete", func() bool {
		log, err := js.Stream(context.Background(), flow.Signing)
		return err == nil && log.CachedInfo().State.LastSeq == 10
	})
	return x
}

func (x *team) publish() {
	x.t.Helper()
	document := &signingv1.Document{Id: []string{"other", "PLSDOC1970"}[x.next%2]}
	m, err := event.Message(x.t.Context(), &signingv1.SigningEvent{
		Id: "event-" + strconv.Itoa(x.next), Source: "acme", Provider: "pleasesign", Document: document, OccurredAt: timestamppb.Now(),
		Type: []string{"recipient.opened", "recipient.signed"}[x.next%2],
	})
	x.Publish(x.t, m, err)
	x.next++
}

// A command must show some events, and must not show others.
type command struct {
	shows, hides []string
	live         bool // it shows later events
}

var odd = command{shows: []string{"event-1\n", "event-9\n"}, hides: []string{"event-0\n", "event-8\n"}}

func TestNATSCommands(t *testing.T) {
	t.Parallel()
	x := newTeam(t)
	x.shell.WithTool("nats", testenv.NATSCLI(t))
	all := command{shows: []string{"event-0\n", "event-9\n"}}
	does := map[string]command{
		"--new 'signing.v1.*.*.recipient.signed.>'": {shows: []string{"recipient.signed"}, hides: []string{"event-9\n", "recipient.opened"}, live: true},
		"--since 1h 'signing.v1.>'":                 all,
		"--start-sequence 6 'signing.v1.>'":         {shows: []string{"event-5\n", "event-9\n"}, hides: []string{"event-4\n"}},
		"--all 'signing.v1.*.*.*.*.PLSDOC1970'":     odd,
		"--all --translate 'python -m grpc_tools.protoc -I proto --decode=signrelay.signing.v1.SigningEvent signrelay/signing/v1/event.proto' 'signing.v1.>'": {
			shows: []string{`id: "event-0"`, `id: "event-9"`, `provider: "pleasesign"`}},
	}
	for _, line := range subscribe.Commands(t, "nats") {
		c, known := does[strings.TrimPrefix(line, "nats sub --stream SIGNING ")]
		if !known {
			t.Errorf("this test does not know the output of: %s", line)
			continue
		}
		if strings.Contains(line, "protoc") {
			x.shell.WithPython()
		}
		x.follow(line, c)
	}
}

func (x *team) follow(line string, c command) {
	x.t.Helper()
	output := x.shell.Follow(line, c.shows, func() {
		if c.live {
			x.publish()
		}
	})
	x.hidden(line, output, c)
}

func (x *team) hidden(line, output string, c command) {
	x.t.Helper()
	for _, text := range c.hides {
		if strings.Contains(output, text) {
			x.t.Errorf("%s: shows %q:\n%s", line, text, output)
		}
	}
}

func TestSignrelayCommands(t *testing.T) {
	t.Parallel()
	x := newTeam(t)
	x.shell.WithTool("signrelay", testenv.Program(t, "signrelay"))
	for _, line := range subscribe.Commands(t, "signrelay") {
		switch line {
		case "signrelay tail --json 'signing.v1.*.*.recipient.signed.>'":
			x.follow(line, command{shows: []string{"recipient.signed"}, hides: []string{`"event-9"`, "recipient.opened"}, live: true})
		case "signrelay tail --json --since 1h --no-follow":
			if output := x.shell.Run(line); strings.Count(output, "\n") != x.next || !strings.Contains(output, `"event-0"`) {
				t.Errorf("%s, of %d events:\n%s", line, x.next, output)
			}
		case "signrelay timeline --json PLSDOC1970":
			output := x.shell.Run(line)
			if strings.Count(output, "\n") != x.next/2 || !strings.Contains(output, `"event-1"`) || strings.Contains(output, `"other"`) {
				t.Errorf("%s, of %d events:\n%s", line, x.next/2, output)
			}
		default:
			t.Errorf("this test does not know the output of: %s", line)
		}
	}
}

// The page's commands generate the contract, and it has the fields that the examples read. The tests have installed the packages from the same
// file.
func TestPythonReadsTheContract(t *testing.T) {
	t.Parallel()
	shell := subscribe.NewShell(t)
	shell.WithPython()
	for _, line := range subscribe.Commands(t, "pip") {
		if line != "pip install -r examples/python/requirements.txt" {
			t.Errorf("the tests do not install this: %s", line)
		}
	}
	for _, line := range subscribe.Commands(t, "python") {
		shell.Run(line)
	}
	output := shell.Run(`python -c 'from signrelay.signing.v1.event_pb2 import SigningEvent; print(SigningEvent(id="it works").id)'`)
	if output != "it works\n" {
		t.Error(output)
	}
}
