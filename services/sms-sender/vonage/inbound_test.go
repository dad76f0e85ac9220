package vonage

import (
	"testing"
	"time"

	"github.com/signrelay/signrelay/services/sms-sender/gateway"
)

func TestReadText(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	received := time.Date(2026, 11, 4, 10, 20, 30, 0, time.UTC)
	good := func(changes ...string) map[string]string {
		p := map[string]string{
			"msisdn": "13175551234", "to": "13175550100", "messageId": "0A00000123ABCD1", "text": "Stop", "type": "text", "keyword": "STOP",
			"message-timestamp": "2026-11-04 10:20:30",
		}
		for i := 0; i < len(changes); i += 2 {
			if changes[i+1] == "-" {
				delete(p, changes[i])
				continue
			}
			p[changes[i]] = changes[i+1]
		}
		return p
	}
	long := []string{"concat", "true", "concat-ref", "7", "concat-total", "3", "concat-part", "2"}
	for name, row := range map[string]struct {
		parameters map[string]string
		want       gateway.InboundText
	}{
		"one part":         {good(), gateway.InboundText{Text: "Stop", At: received}},
		"an empty text":    {good("text", ""), gateway.InboundText{At: received}},
		"not concatenated": {good("concat", "false", "concat-ref", "7"), gateway.InboundText{Text: "Stop", At: received}},
		"no time":          {good("message-timestamp", "-"), gateway.InboundText{Text: "Stop", At: now}},
		"in the future":    {good("message-timestamp", "2027-01-01 00:00:00"), gateway.InboundText{Text: "Stop", At: now}},
		"a part of three":  {good(long...), gateway.InboundText{Text: "Stop", At: received, Reference: "7", Part: 2, Parts: 3}},
	} {
		row.want.ID, row.want.From = "0A00000123ABCD1", "13175551234"
		if got, err := readText(row.parameters, now); err != nil || got != row.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, row.want)
		}
	}
	for name, p := range map[string]map[string]string{
		"no number": good("msisdn", "-"), "an empty number": good("msisdn", ""), "no id": good("messageId", "-"), "no text": good("text", "-"),
		"a long id":         good("messageId", string(make([]byte, 65))),
		"no reference":      good(append(long, "concat-ref", "-")...),
		"no number of part": good(append(long, "concat-part", "-")...),
		"part 4 of 3":       good(append(long, "concat-part", "4")...),
		"part 0":            good(append(long, "concat-part", "0")...),
		"256 parts":         good(append(long, "concat-total", "256")...),
		"a long reference":  good(append(long, "concat-ref", string(make([]byte, 65)))...),
	} {
		if got, err := readText(p, now); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}
