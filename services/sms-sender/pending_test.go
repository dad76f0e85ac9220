package smssender

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
)

// The events that follow from the receipts of a text in two parts, one after the other.
func TestEventsOfReceipts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		parts    uint32
		receipts string // part:status
		want     string // the expected event after each receipt
	}{
		"one part":                       {1, "a:delivered", "1 delivered a"},
		"on the way, then delivered":     {1, "a:accepted a:buffered a:delivered", "3 delivered a"},
		"published once":                 {1, "a:delivered a:delivered a:accepted", "1 delivered a"},
		"all parts":                      {2, "b:delivered a:delivered", "2 delivered a"},
		"two receipts of one part":       {2, "a:delivered a:delivered", ""},
		"one part is lost":               {2, "a:failed b:delivered", "1 failed a"},
		"the second part is lost":        {2, "a:delivered b:expired", "2 failed b"},
		"both parts are lost":            {2, "b:rejected a:failed", "1 failed b"},
		"a final status stays":           {1, "a:delivered a:failed", "1 delivered a"},
		"sent twice, the second arrives": {1, "a:failed b:delivered", "1 failed a 2 delivered b"},
		"sent twice, the second is lost": {1, "a:delivered b:failed", "1 delivered a"},
		"never final":                    {1, "a:accepted a:unknown b:other", ""},
		"more parts than expected":       {1, "a:delivered b:delivered", "1 delivered a"},
	} {
		about := pending{Source: "acme", Provider: "clickwrap", Document: "doc1", Recipient: "s1", Kind: 1, EventID: "e1", Parts: test.parts}
		var published []string
		for i, r := range strings.Fields(test.receipts) {
			part, status, _ := strings.Cut(r, ":")
			at := time.Unix(int64(1000+i), 0)
			if !about.record(gateway.DeliveryReceipt{Reference: "n1", Part: part, Status: gateway.Status(status), Reason: "why-" + part, Fault: outcome.Provider, At: at}) {
				continue
			}
			e := about.due("n1")
			if e == nil {
				continue
			}
			published = append(published, string(rune('1'+i)), strings.TrimPrefix(e.GetType(), "notification."), e.GetNotice().GetReference())
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
		if !slices.Equal(published, strings.Fields(test.want)) {
			t.Errorf("%s: published %q, want %q", name, published, test.want)
		}
	}
}

// Recording a receipt does not change a copy of the text.
func TestRecordDoesNotChangeACopy(t *testing.T) {
	t.Parallel()
	before := pending{Parts: 1, Statuses: map[string]partStatus{"a": {Status: gateway.Accepted}}}
	after := before
	if !after.record(gateway.DeliveryReceipt{Part: "a", Status: gateway.Delivered}) || before.Statuses["a"].Status != gateway.Accepted {
		t.Errorf("before %v, after %v", before, after)
	}
}
