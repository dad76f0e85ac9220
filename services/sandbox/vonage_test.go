package sandbox_test

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// vonageAnswer is Vonage's answer, by its literal names.
type vonageAnswer struct {
	Count    string `json:"message-count"`
	Messages []struct {
		To        string `json:"to"`
		MessageID string `json:"message-id"`
		Status    string `json:"status"`
		ErrorText string `json:"error-text"`
		ClientRef string `json:"client-ref"`
	} `json:"messages"`
}

// smsForm is a good form, with changes in pairs of name and value; an empty value takes the field out.
func smsForm(changes ...string) url.Values {
	form := url.Values{
		"api_key": {"abcd1234"}, "api_secret": {"s3cret"}, "from": {"Signrelay"}, "to": {"13175551234"},
		"text": {"Please review & sign: https://s.example/x"}, "client-ref": {"ref-1"},
	}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			form.Del(changes[i])
		}
	}
	return form
}

func TestATextMessageIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	before := time.Now()
	answered := w.postForm(smsForm())
	wantStatus(t, answered, 200)
	if got := answered.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q, which the SDK cannot read", got)
	}
	got := read[vonageAnswer](t, answered)
	if got.Count != "1" || len(got.Messages) != 1 {
		t.Fatalf("answered %+v, want one part", got)
	}
	part := got.Messages[0]
	if part.Status != "0" || part.To != "13175551234" || part.ClientRef != "ref-1" || len(part.MessageID) != 16 {
		t.Errorf("the part is %+v", part)
	}

	messages := w.received("")
	if len(messages) != 1 {
		t.Fatalf("%d messages were received", len(messages))
	}
	m := messages[0]
	if m.ReceivedAt.Before(before) || m.ReceivedAt.After(time.Now()) {
		t.Errorf("received_at is %v", m.ReceivedAt)
	}
	m.ReceivedAt = time.Time{}
	want := message{
		Channel: "sms", To: "13175551234", From: "Signrelay",
		Text: "Please review & sign: https://s.example/x", Reference: "ref-1",
	}
	if m != want {
		t.Errorf("received %+v, want %+v", m, want)
	}
}

func TestEachPartOfALongMessageHasItsEntry(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	for _, c := range []struct {
		name, kind, text string
		parts            int
	}{
		{"a full GSM message", "text", strings.Repeat("a", 160), 1},
		{"one septet more", "text", strings.Repeat("a", 161), 2},
		{"two full parts", "text", strings.Repeat("a", 306), 2},
		{"three parts", "text", strings.Repeat("a", 307), 3},
		{"an escaped character costs two", "text", strings.Repeat("a", 158) + "€", 1},
		{"and one too many", "text", strings.Repeat("a", 159) + "€", 2},
		{"an escape is not cut in half", "text", strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152), 3},
		{"type is text by default", "", strings.Repeat("a", 161), 2},
		{"a full UCS-2 message", "unicode", strings.Repeat("ł", 70), 1},
		{"one unit more", "unicode", strings.Repeat("ł", 71), 2},
		{"two full parts of UCS-2", "unicode", strings.Repeat("ł", 134), 2},
		{"three parts of UCS-2", "unicode", strings.Repeat("ł", 135), 3},
		{"an emoji costs two", "unicode", strings.Repeat("🖋", 35), 1},
		{"and is not cut in half", "unicode", strings.Repeat("🖋", 67), 3},
	} {
		got := w.sms(smsForm("type", c.kind, "text", c.text))
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
	if got := w.received(""); len(got) != 14 {
		t.Errorf("%d messages were received, want one for each call", len(got))
	}
}

func TestWhatIsOutsideTheAlphabetNeedsUnicode(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	w.sms(smsForm("text", "Zoë signed “Umowa” für 5 €"))
	w.sms(smsForm("text", "Zoë signed “Umowa” für 5 €", "type", "unicode"))
	got := w.received("")
	if got[0].Text != "Zo? signed ?Umowa? für 5 €" {
		t.Errorf("as text: %q", got[0].Text)
	}
	if got[1].Text != "Zoë signed “Umowa” für 5 €" {
		t.Errorf("as unicode: %q", got[1].Text)
	}
}

func TestBadMessagesAreRefusedInVonagesWords(t *testing.T) {
	t.Parallel()
	w := open(t, "")
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
		a := w.postForm(smsForm(c.name, c.value))
		wantStatus(t, a, 200) // Vonage says no in the body
		got := read[vonageAnswer](t, a)
		if len(got.Messages) != 1 || got.Messages[0].Status != c.status || got.Messages[0].ErrorText == "" || got.Messages[0].MessageID != "" {
			t.Errorf("%s=%.20q: answered %+v, want status %s", c.name, c.value, got.Messages, c.status)
		}
	}
	if got := w.received(""); len(got) != 0 {
		t.Errorf("%d messages were taken nevertheless", len(got))
	}
	if got := w.sms(smsForm("client-ref", strings.Repeat("r", 40), "text", strings.Repeat("a", 255*153))); got.Messages[0].Status != "0" {
		t.Errorf("the largest of all: %+v", got.Messages[0])
	}
}
