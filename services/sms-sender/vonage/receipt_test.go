package vonage

import (
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
)

func TestReadReceipt(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	pushed := time.Date(2026, 11, 4, 10, 20, 30, 0, time.UTC)
	good := func(changes ...string) map[string]string {
		p := map[string]string{
			"client-ref": "n1", "messageId": "0A00000123ABCD1", "status": "delivered", "err-code": "0", "msisdn": "13175551234",
			"message-timestamp": "2026-11-04 10:20:30", "scts": "2611041019",
		}
		for i := 0; i < len(changes); i += 2 {
			p[changes[i]] = changes[i+1]
		}
		return p
	}
	for _, test := range []struct {
		name       string
		parameters map[string]string
		status     gateway.Status
		reason     string
		fault      outcome.Fault
		at         time.Time
	}{
		{"arrived", good(), "delivered", "", "", pushed},
		{"a code, but not lost", good("err-code", "7"), "delivered", "", "", pushed},
		{"on the way", good("status", "accepted"), "accepted", "", "", pushed},
		{"an unknown status", good("status", "unknown", "err-code", "1"), "unknown", "", "", pushed},
		{"a future status", good("status", "13175551234"), "other", "", "", pushed},
		{"absent", good("status", "failed", "err-code", "2"), "failed", "absent-subscriber", outcome.Recipient, pushed},
		{"gone", good("status", "failed", "err-code", "3"), "failed", "absent-subscriber-permanent", outcome.Recipient, pushed},
		{"barred", good("status", "rejected", "err-code", "4"), "rejected", "barred", outcome.Recipient, pushed},
		{"busy", good("status", "failed", "err-code", "7"), "failed", "handset-busy", outcome.Recipient, pushed},
		{"unroutable", good("status", "rejected", "err-code", "11"), "rejected", "unroutable", outcome.Provider, pushed},
		{"another code", good("status", "failed", "err-code", "51"), "failed", "error-51", outcome.Provider, pushed},
		{"no reason known", good("status", "failed", "err-code", "1"), "failed", "failed", outcome.Provider, pushed},
		{"no code", good("status", "expired", "err-code", ""), "expired", "expired", outcome.Provider, pushed},
		{"too many codes", good("status", "expired", "err-code", "1234"), "expired", "expired", outcome.Provider, pushed},
		{"no code at all", good("status", "rejected", "err-code", "+13175551234"), "rejected", "rejected", outcome.Provider, pushed},
		{"the carrier's time", good("message-timestamp", ""), "delivered", "", "", time.Date(2026, 11, 4, 10, 19, 0, 0, time.UTC)},
		{"no time", good("message-timestamp", "yesterday", "scts", "soon"), "delivered", "", "", now},
	} {
		want := gateway.DeliveryReceipt{Reference: "n1", Part: "0A00000123ABCD1", Status: test.status, Reason: test.reason, Fault: test.fault, At: test.at}
		if got, err := readReceipt(test.parameters, now); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", test.name, got, err, want)
		}
	}
	for name, p := range map[string]map[string]string{
		"no part": good("messageId", ""), "a long part": good("messageId", string(make([]byte, 65))), "no status": good("status", ""),
	} {
		if got, err := readReceipt(p, now); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}
