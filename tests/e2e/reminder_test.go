package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/tests/testenv"
)

// A person who does not sign is reminded, with a link. The operator lists the schedule, makes a reminder due, and cancels the others.
func TestAPersonWhoDoesNotSignIsReminded(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	document := h.Play(t, "clickwrap", "resend")[0]

	type reminder struct {
		Document, Recipient string
		Number              int
		Due, Invited        time.Time
	}
	list := func(args ...string) []reminder {
		out, err := h.Command(t, append([]string{"reminders", "list", "--json"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		var all []reminder
		for line := range strings.Lines(out) {
			var r reminder
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			all = append(all, r)
		}
		return all
	}
	h.Until(t, "the people are invited", func() bool { return len(list(document)) > 0 })
	h.WaitIdle(t)
	first := list(document)
	for _, r := range first {
		if after := r.Due.Sub(r.Invited); r.Document != document || r.Number != 1 || after != 72*time.Hour {
			t.Errorf("scheduled: %+v, %v after the invitation, want number 1 after 72h", r, after)
		}
	}
	if all := list(); len(all) != len(first) {
		t.Errorf("%d reminders in all, want %d", len(all), len(first))
	}

	invitations := len(h.Messages(t))
	if out, err := h.Command(t, "reminders", "now", document); err == nil || !strings.Contains(out, "To make now") {
		t.Errorf("without a terminal and --yes: %v, %s", err, out)
	}
	if out, err := h.Command(t, "reminders", "now", "--yes", "--recipient", first[0].Recipient, document); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	reminders := func() int {
		return len(slices.DeleteFunc(h.Messages(t), func(m testenv.Message) bool {
			return !strings.Contains(m.Text, "is still waiting for your signature") || !strings.Contains(m.Text, "http")
		}))
	}
	h.Until(t, "the reminder arrives", func() bool { return reminders() > 0 })
	h.WaitIdle(t)
	if all, n := len(h.Messages(t)), reminders(); all-invitations != n {
		t.Errorf("%d messages after %d invitations, %d of them reminders", all, invitations, n)
	}
	i := slices.IndexFunc(list(document), func(r reminder) bool { return r.Recipient == first[0].Recipient })
	if next := list(document); i < 0 || next[i].Number != 2 || next[i].Due.Sub(next[i].Invited) != 168*time.Hour {
		t.Errorf("then scheduled: %+v, want number 2 after 168h", next)
	}

	if out, err := h.Command(t, "reminders", "cancel", "--yes", document); err != nil || !strings.Contains(out, "To cancel") {
		t.Errorf("%v: %s", err, out)
	}
	if left := list(document); len(left) != 0 {
		t.Errorf("after the cancellation %+v are scheduled", left)
	}
	timeline, err := h.Command(t, "timeline", document)
	for _, line := range []string{"reminder.scheduled", "number=1 due=", "reminder.due", "notification.requested", "  reminder/", "reminder.cancelled", "reason=operator"} {
		if err != nil || !strings.Contains(timeline, line) {
			t.Errorf("%v: the timeline has no %q:\n%s", err, line, timeline)
		}
	}
	if dead := deadLetters(t, h); len(dead) > 0 {
		t.Errorf("dead letters: %+v", dead)
	}
}

// The clock of all services jumps over 15 days: each person gets the three reminders, and no more.
func TestNobodySignsForFifteenDays(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	h.Play(t, "clickwrap", "unsigned")
	messages := []string{
		`sms 13175551234: You've been sent "Service Agreement" by PactSafe. Please review & sign: L`,
		`email eric.smith@example.com: Please review & sign "Service Agreement" [1 link]`,
		`email jane.roe@example.com: Please review & sign "Service Agreement" [1 link]`,
	}
	for range 3 {
		messages = append(messages,
			`sms 13175551234: "Service Agreement" from PactSafe is still waiting for your signature. Please review & sign: L`,
			`email eric.smith@example.com: Reminder: please review & sign "Service Agreement" [1 link]`,
			`email jane.roe@example.com: Reminder: please review & sign "Service Agreement" [1 link]`,
		)
	}
	story{provider: "clickwrap", name: "unsigned", messages: messages}.check(t, h)
}
