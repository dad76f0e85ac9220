package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// model connects an MCP client.
func model(t *testing.T, transport mcp.Transport) *mcp.ClientSession {
	t.Helper()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// ask calls a tool that must succeed, and returns the result's text.
func ask(t *testing.T, session *mcp.ClientSession, tool string, arguments map[string]any, into any) string {
	t.Helper()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	text := result.Content[0].(*mcp.TextContent).Text
	if result.IsError {
		t.Fatalf("%s %v: %s", tool, arguments, text)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatalf("%s: %v: %s", tool, err, text)
		}
	}
	return text
}

type foundByModel struct {
	Documents []struct {
		ID       string `json:"document_id"`
		Source   string
		Provider string
	}
}

// A model finds a signer by a piece of the name and by the number, and reads the document's story: by `signrelay mcp --private`, and by the console's address. Without the flag
// no response has personal data.
func TestModelFollowsASigner(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	id := h.Play(t, "pleasesign", "two-signers")[0]
	h.WaitIdle(t)
	for name, transport := range map[string]mcp.Transport{
		"stdin and stdout": &mcp.CommandTransport{Command: h.Prepared(t.Context(), t, "mcp", "--private")},
		"HTTP":             &mcp.StreamableClientTransport{Endpoint: "http://" + h.Address("SIGNRELAY_CONSOLE_ADDR") + "/mcp", DisableStandaloneSSE: true},
	} {
		m := model(t, transport)
		for _, query := range []string{"wil", "0156", "+61491570156", id} {
			var found foundByModel
			h.Until(t, name+" finds "+query, func() bool {
				ask(t, m, "find_documents", map[string]any{"query": query}, &found)
				return len(found.Documents) == 1
			})
			var story struct {
				State, Sentence string
				Events          []struct{ Type string }
			}
			d := found.Documents[0]
			text := ask(t, m, "explain_document", map[string]any{"document_id": d.ID, "source": d.Source, "provider": d.Provider}, &story)
			if story.State != "completed" || len(story.Events) < 5 || !strings.Contains(text, "Jack Wilson") {
				t.Errorf("%s, %s: %s", name, query, text)
			}
		}
	}
	masked := model(t, &mcp.CommandTransport{Command: h.Prepared(t.Context(), t, "mcp")})
	text := ask(t, masked, "find_documents", nil, nil) + ask(t, masked, "explain_document", map[string]any{"document_id": id}, nil) + ask(t, masked, "list_stuck", nil, nil)
	for _, personal := range []string{"Jack", "Wilson", "Olivia", "Nguyen", "example.com", "491570156"} {
		if strings.Contains(text, personal) {
			t.Errorf("without --private a response has %q: %s", personal, text)
		}
	}
	if !strings.Contains(text, "Signer 1") {
		t.Errorf("the story has no signer: %s", text)
	}
	result, err := masked.CallTool(t.Context(), &mcp.CallToolParams{Name: "plan_replay", Arguments: map[string]any{"what": "dead", "all_that_match": true}})
	if err != nil || !result.IsError {
		t.Errorf("without --write a plan is made: %v, %+v", err, result)
	}
}

// The mail server refuses a message once. A model sees the dead letter, plans its replay and starts it; the mail arrives once.
func TestModelReplaysADeadLetter(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	h.InjectFault(t, `{"target":"smtp","mode":"550"}`)
	n := &notifyv1.Notification{
		Id: "n1", EventId: "e1", Source: "demo", Provider: "clickwrap", DocumentId: "d1", DocumentTitle: "Offer", SenderName: "PactSafe", Locale: "en",
		Kind: notifyv1.Kind_KIND_UNDELIVERABLE, Channel: notifyv1.Channel_CHANNEL_EMAIL,
		To: &notifyv1.Person{RecipientId: "r1", FirstName: "Eric", LastName: "Smith", Email: "eric.smith@example.com"},
	}
	h.PublishCause(t, n)
	m, err := notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n)
	h.Publish(t, m, err)
	session := model(t, &mcp.CommandTransport{Command: h.Prepared(t.Context(), t, "mcp", "--write", "--by", "mara")})
	var stuck struct {
		Items []struct{ Key string }
	}
	h.Until(t, "the model sees the dead letter", func() bool {
		ask(t, session, "list_stuck", map[string]any{"what": "dead"}, &stuck)
		return len(stuck.Items) == 1
	})
	var plan struct {
		Token   string `json:"plan_token"`
		Items   int
		Summary string
	}
	ask(t, session, "plan_replay", map[string]any{"keys": []string{stuck.Items[0].Key}}, &plan)
	if plan.Items != 1 || !strings.Contains(plan.Summary, "1 e-mail to 1 person leaves") {
		t.Errorf("the plan: %+v", plan)
	}
	before := mails(t, h)
	var job struct {
		ID string `json:"job_id"`
		By string
	}
	ask(t, session, "start_plan", map[string]any{"plan_token": plan.Token, "items": 1, "reason": "the relay is back"}, &job)
	if job.By != "mara" {
		t.Errorf("the job is of %q", job.By)
	}
	h.Until(t, "the job is done", func() bool {
		return strings.Contains(ask(t, session, "show_job", map[string]any{"job_id": job.ID}, nil), `"state":"done"`)
	})
	h.Until(t, "the mail arrives", func() bool { return mails(t, h) == before+1 })
	h.WaitIdle(t)
	if n := mails(t, h) - before; n != 1 {
		t.Errorf("%d mails arrived", n)
	}
	h.Until(t, "nothing is stuck", func() bool {
		ask(t, session, "list_stuck", nil, &stuck)
		return len(stuck.Items) == 0
	})
}

func mails(t *testing.T, h *testenv.Env) (n int) {
	t.Helper()
	for _, m := range h.Messages(t) {
		if m.Channel == "email" {
			n++
		}
	}
	return n
}
