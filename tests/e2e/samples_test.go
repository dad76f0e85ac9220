package e2e

import (
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/tests/testenv"
)

// `signrelay send` sends every recorded callback: the status is 202, and 200 for the repetition. The log holds each fact once.
func TestEverySampleIsStoredOnce(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	sent := 0
	for _, p := range providers.All {
		names, err := fs.Glob(p.Samples, "*.http")
		if err != nil || len(names) == 0 {
			t.Fatalf("%s has no samples: %v", p.Name, err)
		}
		for _, name := range names {
			sample := strings.TrimSuffix(name, ".http")
			first, err := h.Command(t, "send", p.Name, sample, "--url", h.IngestURL)
			if err != nil || !strings.Contains(first, `"status":"accepted"`) && !strings.Contains(first, `"status":"duplicate"`) {
				t.Errorf("%s %s: %v\n%s", p.Name, sample, err, first)
				continue
			}
			again, err := h.Command(t, "send", p.Name, sample, "--url", h.IngestURL)
			if err != nil || !strings.Contains(again, `"status":"duplicate"`) {
				t.Errorf("%s %s again: %v\n%s", p.Name, sample, err, again)
			}
			sent++
		}
	}
	if sent < 30 {
		t.Errorf("%d samples were sent", sent)
	}
	log, err := h.Command(t, "tail", "--no-follow", "--json")
	if err != nil {
		t.Fatal(err)
	}
	ids, types := map[string]int{}, map[string]bool{}
	for line := range strings.Lines(log) {
		var e struct{ ID, Type string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		ids[e.ID]++
		types[e.Type] = true
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("the log holds %s %d times", id, n)
		}
	}
	for _, typ := range []string{
		"document.created", "document.sent", "document.filled", "document.completed", "document.declined", "document.voided", "document.expired",
		"recipient.queued", "recipient.sent", "recipient.undeliverable", "recipient.opened", "recipient.displayed", "recipient.filled",
		"recipient.awaiting-witness", "recipient.agreed", "recipient.signed", "recipient.downloaded", "recipient.declined",
		"agreement.published", "endpoint.tested", "other.recorded",
	} {
		if !types[typ] {
			t.Errorf("no sample became %s", typ)
		}
	}
}

// A document's timeline shows its whole history, with every field of its callbacks.
func TestTimelineHasEveryField(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	body := `{"type":"webhook","event_type":"activity_agreed","request":"596f858584281715b3493d0c","contract":11501,` +
		`"created_time":"2017-07-19T16:15:43.456Z","deliverable":true,"id":"596f85af22d3a615b6dcfe2e","note":null,` +
		`"render_data":{"Salesforce.Amount":"$100.00"},"fields":{"first_name":"Eric","last_name":"Prugh"}}`
	status, response := h.Callback(t, "POST", "/webhooks/clickwrap/demo", nil, map[string][]string{
		"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"},
	}, []byte(body))
	if status != 202 {
		t.Fatalf("%d %v", status, response)
	}
	line, err := h.Command(t, "timeline", "596f858584281715b3493d0c", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var e struct {
		Type, ProviderType, ProviderEventID, OccurredAt, Verification string
		Document, Agreement                                           map[string]string
		Attributes                                                    map[string]string
	}
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if e.Type != "recipient.agreed" || e.ProviderType != "activity_agreed" || e.OccurredAt != "2017-07-19T16:15:43.456Z" ||
		e.Document["id"] != "596f858584281715b3493d0c" || e.Agreement["contract"] != "11501" || e.Verification != "VERIFICATION_TOKEN" {
		t.Errorf("timeline: %s", line)
	}
	for key, want := range map[string]string{
		"render_data.Salesforce.Amount": "$100.00", "fields.first_name": "Eric", "fields.last_name": "Prugh",
		"deliverable": "true", "type": "webhook", "created_time": "2017-07-19T16:15:43.456Z", "note": "",
	} {
		if got, found := e.Attributes[key]; !found || got != want {
			t.Errorf("attribute %s: %q, %v; want %q", key, got, found, want)
		}
	}
	people, err := h.Command(t, "timeline", "596f858584281715b3493d0c")
	if err != nil || strings.Contains(people, "Prugh") || !strings.Contains(people, "recipient.agreed") {
		t.Errorf("the lines without --json: %v\n%s", err, people)
	}
}

func TestQuarantineCommands(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	header := map[string][]string{"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"}}
	bad := `{"event_type":"request_sent","request":"r1"} ` + "\xff"
	if status, response := h.Callback(t, "POST", "/webhooks/clickwrap/demo", nil, header, []byte(bad)); status != 202 || response["status"] != "quarantined" {
		t.Fatalf("%d %v", status, response)
	}
	list, err := h.Command(t, "quarantine", "list", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var entry struct {
		Number         uint64
		Reason, Source string
	}
	if err := json.Unmarshal([]byte(list), &entry); err != nil || entry.Source != "demo" || entry.Reason == "" {
		t.Fatalf("list: %v\n%s", err, list)
	}
	if shown, err := h.Command(t, "quarantine", "show", "1", "--body"); err != nil || shown != bad {
		t.Errorf("show: %v, %q, want %q", err, shown, bad)
	}
	if out, err := h.Command(t, "quarantine", "replay", "1"); err == nil || !strings.Contains(err.Error(), "Not a terminal: pass --yes to confirm") {
		t.Errorf("replay without a terminal: %v\n%s", err, out)
	}
	if out, err := h.Command(t, "quarantine", "replay", "1", "--yes"); err == nil || !strings.Contains(out, "number 1 is not replayed (1 of 1)") {
		t.Errorf("replay of an unreadable callback: %v\n%s", err, out)
	}
	corrected := t.TempDir() + "/mended.json"
	write(t, corrected, `{"event_type":"request_sent","request":"r1","id":"e1"}`)
	if out, err := h.Command(t, "quarantine", "replay", "1", "--yes", "--body", corrected); err != nil {
		t.Fatalf("replay: %v\n%s", err, out)
	}
	if line, err := h.Command(t, "timeline", "r1"); err != nil || !strings.Contains(line, "document.sent") {
		t.Errorf("timeline: %v\n%s", err, line)
	}
	if list, err := h.Command(t, "quarantine", "list"); err != nil || strings.TrimSpace(list) != "" {
		t.Errorf("after the replay the quarantine lists: %v\n%s", err, list)
	}
}

// Accepted callbacks survive a kill -9, and the provider's retry is a duplicate.
func TestAcceptedCallbackSurvivesKill(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	if out, err := h.Command(t, "send", "pleasesign", "validating-webhooks", "--url", h.IngestURL); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	h.Processes["signrelay"].Kill()
	h.Processes["signrelay"].Start()
	// The kill may come between the response and the confirmation. Then the claim lasts for its lease, 15 s, and a retry gets 503 until it lapses.
	h.Until(t, "the retry is a duplicate", func() bool {
		out, err := h.Command(t, "send", "pleasesign", "validating-webhooks", "--url", h.IngestURL)
		if err == nil && !strings.Contains(out, `"duplicate"`) || err != nil && !strings.Contains(err.Error()+out, `"held"`) {
			t.Fatalf("the retry: %v\n%s", err, out)
		}
		return err == nil
	})
	log, err := h.Command(t, "timeline", "PLSDOC6b776e1a931ef27ca87e56b6fb")
	if err != nil || strings.Count(log, "document.sent") != 1 {
		t.Errorf("timeline: %v\n%s", err, log)
	}
	if status := h.Processes["signrelay"].Stop(); status != 0 {
		t.Errorf("SIGTERM: exit status %d", status)
	}
}

// Two brokers on one directory would destroy each other's data.
func TestSecondStandaloneOnSameDataIsRefused(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	out, err := h.Command(t, "run", "--nats.url=", "--nats.addr=127.0.0.1:0")
	if err == nil || !strings.Contains(err.Error(), "in use by another signrelay") {
		t.Errorf("a second run: %v\n%s", err, out)
	}
	if out, err := h.Command(t, "send", "clickwrap", "request-sent"); err != nil {
		t.Errorf("the first afterwards: %v\n%s", err, out)
	}
}

func TestExitStatus(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	for args, want := range map[string]string{
		"version":                    "",
		"config check":               "",
		"config print":               "",
		"nonsense":                   "exit status 2",
		"timeline":                   "exit status 2",
		"send docusign x":            "exit status 2",
		"send clickwrap no-such":     "exit status 2",
		"config check --log.level=x": "exit status 1",
		"config check --no.such=1":   "exit status 2",
		"provision":                  "",
		"timeline nothing --nats.url=nats://127.0.0.1:1": "exit status 1",
	} {
		out, err := h.Command(t, strings.Fields(args)...)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("signrelay %s: %v, want %q\n%s", args, err, want, out)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
