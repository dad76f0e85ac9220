package smssender

import (
	"slices"
	"strings"
	"testing"
	"time"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// What the log is told when receipts of a text in two parts come one after the other.
func TestWhatReceiptsTell(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		parts    uint32
		receipts string // part:status
		want     string // what is told after which receipt
	}{
		"one part":                         {1, "a:delivered", "1 delivered a"},
		"on the way, then there":           {1, "a:accepted a:buffered a:delivered", "3 delivered a"},
		"told once":                        {1, "a:delivered a:delivered a:accepted", "1 delivered a"},
		"all parts":                        {2, "b:delivered a:delivered", "2 delivered a"},
		"the same part twice is one":       {2, "a:delivered a:delivered", ""},
		"one part is lost":                 {2, "a:failed b:delivered", "1 failed a"},
		"one part is lost at last":         {2, "a:delivered b:expired", "2 failed b"},
		"both parts are lost":              {2, "b:rejected a:failed", "1 failed b"},
		"a last state stays":               {1, "a:delivered a:failed", "1 delivered a"},
		"sent twice, the second arrives":   {1, "a:failed b:delivered", "1 failed a 2 delivered b"},
		"sent twice, the second is lost":   {1, "a:delivered b:failed", "1 delivered a"},
		"on the way for ever":              {1, "a:accepted a:unknown b:other", ""},
		"more parts than anybody expected": {1, "a:delivered b:delivered", "1 delivered a"},
	} {
		about := text{Source: "acme", Provider: "clickwrap", Document: "doc1", Recipient: "s1", Kind: 1, EventID: "e1", Parts: test.parts}
		var told []string
		for i, r := range strings.Fields(test.receipts) {
			part, status, _ := strings.Cut(r, ":")
			at := time.Unix(int64(1000+i), 0)
			if !about.hear(receipt{reference: "n1", part: part, status: status, reason: "why-" + part, at: at}) {
				continue
			}
			e := about.due("n1")
			if e == nil {
				continue
			}
			told = append(told, string(rune('1'+i)), strings.TrimPrefix(e.GetType(), "notification."), e.GetNotice().GetReference())
			wantReason, wantFault := "", ""
			if e.GetType() == "notification.failed" {
				wantReason, wantFault = "why-"+part, "provider"
			}
			want := &signingv1.Notice{
				NotificationId: "n1", Kind: "invitation", Channel: "sms", EventId: "e1", Parts: test.parts,
				Reference: e.GetNotice().GetReference(), Reason: wantReason, Fault: wantFault,
			}
			if e.GetNotice().String() != want.String() || !e.GetOccurredAt().AsTime().Equal(at) || e.GetRecipient().GetId() != "s1" || e.GetDocument().GetId() != "doc1" {
				t.Errorf("%s: event %v", name, e)
			}
		}
		if !slices.Equal(told, strings.Fields(test.want)) {
			t.Errorf("%s: told %q, want %q", name, told, test.want)
		}
	}
}

// What was heard is not changed under the feet of who reads it meanwhile.
func TestHearingChangesACopy(t *testing.T) {
	t.Parallel()
	before := text{Parts: 1, Heard: map[string]word{"a": {Status: "accepted"}}}
	after := before
	if !after.hear(receipt{part: "a", status: "delivered"}) || before.Heard["a"].Status != "accepted" {
		t.Errorf("before %v, after %v", before, after)
	}
}
