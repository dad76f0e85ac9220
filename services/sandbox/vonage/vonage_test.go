package vonage_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/services/sandbox/sandboxtest"
)

func TestAnSMSIsReceivedUnchanged(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	before := time.Now()
	response := w.PostForm(sandboxtest.SMSForm())
	sandboxtest.WantStatus(t, response, 200)
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q, which the SDK cannot read", got)
	}
	got := sandboxtest.Read[sandboxtest.VonageResponse](t, response)
	if got.Count != "1" || len(got.Messages) != 1 {
		t.Fatalf("response %+v, want one part", got)
	}
	part := got.Messages[0]
	if part.Status != "0" || part.To != "13175551234" || part.ClientRef != "ref-1" || len(part.MessageID) != 16 {
		t.Errorf("the part is %+v", part)
	}

	messages := w.Received("")
	if len(messages) != 1 {
		t.Fatalf("%d messages were received", len(messages))
	}
	m := messages[0]
	if m.ReceivedAt.Before(before) || m.ReceivedAt.After(time.Now()) {
		t.Errorf("received_at is %v", m.ReceivedAt)
	}
	m.ReceivedAt = time.Time{}
	want := sandboxtest.Message{
		Channel: "sms", To: "13175551234", From: "Signrelay",
		Text: "Please review & sign: https://s.example/x", Reference: "ref-1",
	}
	if m != want {
		t.Errorf("received %+v, want %+v", m, want)
	}
}

func TestEachPartOfALongMessageHasItsEntry(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	for _, c := range []struct {
		name, kind, text string
		parts            int
	}{
		{"a full GSM message", "text", strings.Repeat("a", 160), 1},
		{"one septet more", "text", strings.Repeat("a", 161), 2},
		{"two full parts", "text", strings.Repeat("a", 306), 2},
		{"three parts", "text", strings.Repeat("a", 307), 3},
		{"an escaped character costs two", "text", strings.Repeat("a", 158) + "€", 1},
		{"one character too many", "text", strings.Repeat("a", 159) + "€", 2},
		{"an escape is not split", "text", strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152), 3},
		{"type is text by default", "", strings.Repeat("a", 161), 2},
		{"a full UCS-2 message", "unicode", strings.Repeat("ł", 70), 1},
		{"one unit more", "unicode", strings.Repeat("ł", 71), 2},
		{"two full parts of UCS-2", "unicode", strings.Repeat("ł", 134), 2},
		{"three parts of UCS-2", "unicode", strings.Repeat("ł", 135), 3},
		{"an emoji costs two", "unicode", strings.Repeat("🖋", 35), 1},
		{"an emoji is not split", "unicode", strings.Repeat("🖋", 67), 3},
	} {
		got := w.SMS(sandboxtest.SMSForm("type", c.kind, "text", c.text))
		if got.Count != strconv.Itoa(c.parts) || len(got.Messages) != c.parts {
			t.Errorf("%s: %s parts in %d entries, want %d", c.name, got.Count, len(got.Messages), c.parts)
		}
		seen := map[string]bool{}
		for _, m := range got.Messages {
			if m.Status != "0" || seen[m.MessageID] {
				t.Errorf("%s: entry %+v", c.name, m)
			}
			seen[m.MessageID] = true
		}
	}
	if got := w.Received(""); len(got) != 14 {
		t.Errorf("%d messages were received, want one for each call", len(got))
	}
}

func TestCharactersOutsideGSM7NeedUnicode(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	w.SMS(sandboxtest.SMSForm("text", "Zoë signed “Umowa” für 5 €"))
	w.SMS(sandboxtest.SMSForm("text", "Zoë signed “Umowa” für 5 €", "type", "unicode"))
	got := w.Received("")
	if got[0].Text != "Zo? signed ?Umowa? für 5 €" {
		t.Errorf("as text: %q", got[0].Text)
	}
	if got[1].Text != "Zoë signed “Umowa” für 5 €" {
		t.Errorf("as unicode: %q", got[1].Text)
	}
}

func TestBadMessagesAreRefusedWithVonagesStatuses(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	for _, c := range []struct {
		name, value, status string
	}{
		{"api_key", "", "2"},
		{"api_secret", "", "2"},
		{"to", "", "2"},
		{"from", "", "2"},
		{"text", "", "2"},
		{"to", "+13175551234", "3"},
		{"to", "123456", "3"},
		{"to", "1234567890123456", "3"},
		{"type", "wappush", "3"},
		{"client-ref", strings.Repeat("r", 41), "3"},
		{"api_key", "abcd1235", "4"},
		{"api_secret", "S3cret", "4"},
		{"text", strings.Repeat("a", 255*153+1), "12"},
		{"from", "twelve chars", "15"},
	} {
		a := w.PostForm(sandboxtest.SMSForm(c.name, c.value))
		sandboxtest.WantStatus(t, a, 200) // Vonage refuses in the body
		got := sandboxtest.Read[sandboxtest.VonageResponse](t, a)
		if len(got.Messages) != 1 || got.Messages[0].Status != c.status || got.Messages[0].ErrorText == "" || got.Messages[0].MessageID != "" {
			t.Errorf("%s=%.20q: response %+v, want status %s", c.name, c.value, got.Messages, c.status)
		}
	}
	if got := w.Received(""); len(got) != 0 {
		t.Errorf("%d messages were accepted", len(got))
	}
	if got := w.SMS(sandboxtest.SMSForm("client-ref", strings.Repeat("r", 40), "text", strings.Repeat("a", 255*153))); got.Messages[0].Status != "0" {
		t.Errorf("the largest of all: %+v", got.Messages[0])
	}
}

func TestVonageReturnsItsOwnStatuses(t *testing.T) {
	t.Parallel()
	w := sandboxtest.Open(t, "")
	for _, status := range []string{"4", "9", "29"} {
		w.Fault(`{"target":"vonage","mode":"` + status + `"}`)
		if got := w.SMS(sandboxtest.SMSForm()); len(got.Messages) != 1 || got.Messages[0].Status != status || got.Messages[0].MessageID != "" {
			t.Errorf("%s: response %+v", status, got)
		}
	}
	for _, mode := range []string{"cut", "garbage"} { // done, but the sender gets no valid response
		w.Fault(`{"target":"vonage","mode":"` + mode + `"}`)
		_, _ = w.Try(t.Context(), "POST", "/sms/json", sandboxtest.SMSForm("text", mode).Encode(), sandboxtest.FormHeader)
	}
	if got := w.Received(""); len(got) != 2 || got[0].Text != "cut" || got[1].Text != "garbage" {
		t.Errorf("received %+v", got)
	}
	sandboxtest.WantGoodAgain(t, w)
}

func TestEveryFault(t *testing.T) {
	t.Parallel()
	sandboxtest.API{Target: "vonage", Good: 200, Own: `"status":"1"`, Call: func(w sandboxtest.World) (sandboxtest.Response, error) {
		return w.Try(w.T.Context(), "POST", "/sms/json", sandboxtest.SMSForm().Encode(), sandboxtest.FormHeader)
	}}.Fails(t)
}
