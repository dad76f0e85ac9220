package notification_test

import (
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
)

// An event of a receipt has its own id. That a stage gave up a message, and that a receipt reports no arrival, are two facts.
func TestReceipts(t *testing.T) {
	t.Parallel()
	r := notification.Receipt{Reference: "ref", Parts: 2, Reason: "barred"}
	delivered := notification.Delivered(example(), "sms-sender", time.Unix(1, 0), r)
	undelivered := notification.Undelivered(example(), "sms-sender", time.Unix(1, 0), r)
	if delivered.GetType() != "notification.delivered" || undelivered.GetType() != "notification.failed" ||
		delivered.GetNotice().GetReason() != "" || undelivered.GetNotice().GetReason() != "barred" {
		t.Errorf("events %v, %v", delivered, undelivered)
	}
	ids := map[string]bool{}
	for _, e := range []interface{ GetId() string }{
		delivered, undelivered,
		notification.Sent(example(), "sms-sender", time.Unix(1, 0), r), notification.Failed(example(), "sms-sender", time.Unix(1, 0), "barred", outcome.Recipient),
	} {
		ids[e.GetId()] = true
	}
	if len(ids) != 4 || !ids[notification.Delivered(example(), "sms-sender", time.Unix(2, 0), notification.Receipt{}).GetId()] {
		t.Errorf("ids %v", ids)
	}
	for _, e := range []interface{ String() string }{delivered, undelivered} {
		if s := e.String(); strings.Contains(strings.ToLower(s), "eric") || !strings.Contains(s, `"ref"`) || !strings.Contains(s, "parts:2") {
			t.Errorf("event %s", s)
		}
	}
}
