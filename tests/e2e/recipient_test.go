package e2e

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/tests/testenv"
)

// An operator corrects a person whom PleaseSign could not reach, at PleaseSign, and invites another person again by our own channels. PleaseSign accepts a
// request for its own message only after 30 minutes, and the command says when.
func TestAnOperatorCorrectsAndInvitesPeople(t *testing.T) {
	t.Parallel()
	h := testenv.Standalone(t)
	document := h.Play(t, "pleasesign", "bounced")[0] // PleaseSign's e-mail to Mia Kelly bounces; Olivia Nguyen is silent
	timeline := func() string {
		out, err := h.Command(t, "timeline", document)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	undeliverable := regexp.MustCompile(`recipient\.undeliverable .* recipient=(\S+)`)
	h.Until(t, "PleaseSign reports that it could not reach Mia Kelly", func() bool { return undeliverable.MatchString(timeline()) })
	h.WaitIdle(t)
	mia := undeliverable.FindStringSubmatch(timeline())[1]
	olivia := regexp.MustCompile(`notification\.sent .* recipient=(\S+)  invitation/sms`).FindStringSubmatch(timeline())[1]

	_, err := h.Command(t, "recipient", "correct", "--recipient="+mia, "--mobile=+13175551234", "--reason=TICKET-1", "--yes", document)
	if err == nil || !strings.Contains(err.Error(), "--mobile: PleaseSign takes Australian mobile numbers only") {
		t.Errorf("a number that PleaseSign does not accept: %v", err)
	}
	out, err := h.Command(t, "recipient", "correct", "--recipient="+mia, "--email=mia.kelly@example.com", "--reason=TICKET-1", "--json", "--yes", document)
	var is struct {
		Recipient string
		Done      bool
		Text      string
	}
	if json.Unmarshal([]byte(out), &is) != nil || err != nil || !is.Done || is.Recipient == mia || is.Text != "The person is corrected at PleaseSign. The new invitation is on its way." {
		t.Fatalf("%v: %s", err, out)
	}
	h.Until(t, "PleaseSign writes to the new address", func() bool {
		return regexp.MustCompile(`recipient\.sent .* recipient=` + is.Recipient).MatchString(timeline())
	})
	if text := timeline(); !strings.Contains(text, "scope=provider previous="+mia) || strings.Contains(text, "example.com") {
		t.Errorf("the timeline:\n%s", text)
	}
	if _, err = h.Command(t, "recipient", "resend", "--recipient="+is.Recipient, "--reason=TICKET-2", "--yes", document); err == nil || !strings.Contains(err.Error(), "accepts the next request at") {
		t.Errorf("PleaseSign has just written: %v", err)
	}
	before := len(h.Messages(t))
	if out, err = h.Command(t, "recipient", "resend", "--recipient="+olivia, "--reason=TICKET-3", "--yes", document); err != nil || !strings.Contains(out, "The invitation is on its way once more by text and e-mail.") {
		t.Errorf("%v: %s", err, out)
	}
	h.Until(t, "both messages have arrived", func() bool { return len(h.Messages(t)) >= before+2 })
	h.WaitIdle(t)
	if n := len(h.Messages(t)); n != before+2 {
		t.Errorf("%d messages arrived, want 2", n-before)
	}
}
