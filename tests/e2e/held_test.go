package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/tests/testenv"
)

// Vonage refuses our credentials, so the texts wait for the operator. The list of held messages shows nothing personal, the timeline
// shows the messages, and there is no dead letter. A release prints its plan and asks for confirmation.
func TestHeldMessagesAreListedAndReleased(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	setFault(t, h, `{"target":"vonage","mode":"4","count":100}`)
	documents := h.Play(t, "clickwrap", "two-signers")

	type held struct {
		ID                                       string `json:"notification_id"`
		Channel, Source, Provider, Reason, Fault string
	}
	var all []held
	var list string
	h.Until(t, "texts are held", func() bool {
		var err error
		if list, err = h.Command(t, "held", "list", "--json"); err != nil {
			t.Fatal(err)
		}
		all = nil
		for line := range strings.Lines(list) {
			var it held
			if err := json.Unmarshal([]byte(line), &it); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			all = append(all, it)
		}
		return len(all) > 0
	})
	for _, it := range all {
		if it.ID == "" || it.Channel != "sms" || it.Source != "demo" || it.Provider != "clickwrap" || it.Fault != "operator" || it.Reason == "" {
			t.Errorf("held: %+v", it)
		}
	}
	h.Until(t, "the e-mails arrived", func() bool { return len(h.Messages(t)) > 0 }) // a control: the other channel works
	for _, m := range h.Messages(t) {
		if m.Channel == "sms" || strings.Contains(list, m.To) {
			t.Errorf("a message by %s; its address in the list: %v", m.Channel, strings.Contains(list, m.To))
		}
	}
	timeline, err := h.Command(t, "timeline", documents[0])
	if err != nil || !strings.Contains(timeline, "notification.deferred") || strings.Contains(timeline, "notification.failed") {
		t.Errorf("%v: the timeline is\n%s", err, timeline)
	}
	if dead := deadLetters(t, h); len(dead) > 0 {
		t.Errorf("dead letters: %+v", dead)
	}
	if out, err := h.Command(t, "held", "list", "--channel", "email"); err != nil || out != "" {
		t.Errorf("held e-mails: %v %s", err, out)
	}
	if _, err := h.Command(t, "held", "release"); err == nil || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("a release without a terminal: %v", err)
	}
	if out, err := h.Command(t, "held", "release", "--yes"); err != nil || !strings.Contains(out, "by sms") || !strings.Contains(out, "Released") {
		t.Errorf("a release: %v %s", err, out)
	}
}
