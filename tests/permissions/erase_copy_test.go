package permissions_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// A team's copy follows an erasure when its second user runs `erase --copy`; its usual user may not remove anything. That user may do nothing
// else.
func TestACopyFollowsAnErasure(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	if err := os.CopyFS(files, os.DirFS(filepath.Join(testenv.Root(), "deployments", "nats"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(files, "subscribers.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const users = "permissions: $READS}"
	changed := "include eraser.conf\n" + strings.Replace(string(text), users, users+", {user: audit, password: $NATS_AUDIT_PASSWORD, permissions: $ERASES}", 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	h := testenv.WithAccountsFrom(t, testenv.SandboxSettings, files)
	for n, document := range []string{"gone-document", "kept-document", "gone-document"} {
		m, err := event.Message(t.Context(), &signingv1.SigningEvent{
			Id: "event-" + string(rune('0'+n)), Source: "acme", Provider: "pleasesign", Type: event.RecipientSigned, OccurredAt: timestamppb.Now(),
			Document: &signingv1.Document{Id: document}, Recipient: &signingv1.Recipient{Id: "r", Email: document + "@example.com"},
		})
		h.Publish(t, m, err)
	}
	h.CopyLog(t, "billing")
	team := connect(t, h, "billing")
	h.Until(t, "the copy is complete", func() bool { return messages(team) == 3 })
	if output, err := h.Command(t, "erase", "gone-document", "--reason", "request 12", "--by", "ops", "--yes"); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	h.Until(t, "the copy has the report", func() bool { return messages(team) == 4 })
	if output, err := h.CommandWith(t, testenv.NATSUser("billing"), "erase", "--copy", "--yes"); err == nil {
		t.Errorf("the reader removed events: %s", output)
	}
	if output, err := h.CommandWith(t, testenv.NATSUser("audit"), "erase", "--copy", "--yes"); err != nil || !strings.Contains(output, "Removed: 2 events") {
		t.Fatalf("%v: %s", err, output)
	}
	if n := messages(team); n != 2 { // the other document, and the report
		t.Errorf("the copy has %d messages", n)
	}
	if output, err := h.CommandWith(t, testenv.NATSUser("audit"), "erase", "--copy", "--yes"); err != nil {
		t.Errorf("again: %v: %s", err, output)
	}
	if err := connect(t, h, "audit").js.DeleteStream(t.Context(), "SIGNING"); err == nil {
		t.Error("the user that erases removed the copy")
	}
	// The bytes are gone from the log and from the copy.
	h.Processes["nats"].Stop()
	left, err := erase.SearchFiles(t.Context(), h.DataDir, "gone-document")
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if kept, err := erase.SearchFiles(t.Context(), h.DataDir, "kept-document"); err != nil || len(kept) < 2 {
		t.Errorf("the control: %v, %v", kept, err)
	}
}
