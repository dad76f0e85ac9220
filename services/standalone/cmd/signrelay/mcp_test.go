package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// operators is an MCP client of `signrelay mcp`, and what the command wrote.
type operators struct {
	*mcp.ClientSession
	stdout, stderr bytes.Buffer
	ended          chan int // the command's exit status
}

// startMCP starts the command in this process, and connects the SDK's client to its stdin and stdout.
func startMCP(t *testing.T, args ...string) *operators {
	t.Helper()
	stdin, toStdin, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromStdout, stdout := io.Pipe()
	o := &operators{ended: make(chan int, 1)}
	go func() {
		o.ended <- dispatch(context.WithoutCancel(t.Context()), append([]string{"mcp"}, args...), nil, stdin, io.MultiWriter(&o.stdout, stdout), &o.stderr)
		_ = stdout.Close()
		_ = stdin.Close()
	}()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	if o.ClientSession, err = client.Connect(t.Context(), &mcp.IOTransport{Reader: fromStdout, Writer: toStdin}, nil); err != nil {
		t.Fatal(err)
	}
	return o
}

// ask returns the text of a tool's result.
func (o *operators) ask(t *testing.T, tool string, arguments map[string]any) string {
	t.Helper()
	result, err := o.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		t.Fatal(err)
	}
	return result.Content[0].(*mcp.TextContent).Text
}

// Stdout has the protocol only. The command ends when its client closes stdin, and it reads only and masks unless flags say otherwise.
func TestMCPSpeaksOnStdout(t *testing.T) {
	t.Parallel()
	url, publish := stored(t)
	m, err := event.Message(t.Context(), &signingv1.SigningEvent{
		Id: "1", Source: "acme", Provider: "clickwrap", Type: event.RecipientSent, OccurredAt: timestamppb.Now(), Document: &signingv1.Document{Id: "d1", Title: "Lease of Ludmila"},
		Recipient: &signingv1.Recipient{Id: "r", FirstName: "Ludmila", LastName: hostile}, Verification: signingv1.Verification_VERIFICATION_HMAC,
	})
	if err != nil {
		t.Fatal(err)
	}
	publish(m)
	for name, row := range map[string]struct {
		flags []string
		has   []string
		lacks []string
	}{
		"as it is": {nil, []string{"Signer 1", "needs the role operate", "Your roles: look."}, []string{"Ludmila"}},
		"private":  {[]string{"--private"}, []string{"Signer 1", "Ludmila", "needs the role operate"}, nil},
		"write":    {[]string{"--write", "--by", "mara"}, []string{"Signer 1", "Nothing is selected"}, []string{"Ludmila", "needs the role"}},
	} {
		o := startMCP(t, append([]string{"--nats.url", url}, row.flags...)...)
		o.ask(t, "explain_document", map[string]any{"document_id": "d1"})
		o.ask(t, "plan_drop", map[string]any{"what": "dead", "all_that_match": true})
		if text := o.ask(t, "find_documents", nil); !strings.Contains(text, "index.url") { // it names the setting that is missing
			t.Errorf("%s: without an index: %s", name, text)
		}
		if err := o.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if status := <-o.ended; status != 0 {
			t.Errorf("%s: status %d: %s", name, status, o.stderr.String())
		}
		for line := range strings.Lines(o.stdout.String()) {
			var message struct{ JSONRPC string }
			if err := json.Unmarshal([]byte(line), &message); err != nil || message.JSONRPC != "2.0" {
				t.Errorf("%s: stdout has another line: %v: %s", name, err, line)
			}
		}
		if !strings.Contains(o.stderr.String(), `"a tool was called"`) {
			t.Errorf("%s: stderr has no log: %s", name, o.stderr.String())
		}
		for _, text := range row.has {
			if !strings.Contains(o.stdout.String(), text) {
				t.Errorf("%s: no %q in %s", name, text, o.stdout.String())
			}
		}
		for _, text := range append(row.lacks, hostile, "\u202e") {
			if strings.Contains(o.stdout.String()+o.stderr.String(), text) {
				t.Errorf("%s: %q is in %s, %s", name, text, o.stdout.String(), o.stderr.String())
			}
		}
	}
}

func TestMCPRefusesWrongUse(t *testing.T) {
	t.Parallel()
	empty, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = empty.Close() }()
	for _, row := range []struct {
		args   []string
		status int
		text   string
	}{
		{[]string{"mcp", "now"}, 2, "takes no arguments"},
		{[]string{"mcp", "--writes"}, 2, "writes"},
		{[]string{"mcp", "--nats.url", "nats://127.0.0.1:1"}, 1, "nothing listens at nats.url"},
	} {
		var stdout, stderr bytes.Buffer
		status := dispatch(t.Context(), row.args, nil, empty, &stdout, &stderr)
		if status != row.status || stdout.Len() > 0 || !strings.Contains(stderr.String(), row.text) {
			t.Errorf("%v: status %d, stdout %q, stderr %q", row.args, status, stdout.String(), stderr.String())
		}
	}
	var help bytes.Buffer
	if status := dispatch(t.Context(), []string{"mcp", "-h"}, nil, empty, &help, &help); status != 0 || !strings.Contains(help.String(), "-private") || !strings.Contains(help.String(), "-write") {
		t.Errorf("help: status %d: %s", status, help.String())
	}
}
