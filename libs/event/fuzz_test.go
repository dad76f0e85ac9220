package event_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// An id becomes exactly one legal token of bounded length, from which the id can be read again unless it was too long or looks personal;
// then the token does not contain it. It is the last of seven tokens.
func FuzzSubject(f *testing.F) {
	for _, id := range []string{"", "_", "PLSDOC1", "a.b", "*", ">", "a b", "a\r\nb", "ä", "$JS", strings.Repeat("x", 129), "X18", "\x00", "amelia@example.com", "+447700900123"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		token := event.DocumentToken(id)
		if token == "" || len(token) > 171 || strings.Trim(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			t.Fatalf("%q becomes %q", id, token)
		}
		if id != "" && token == event.None {
			t.Fatalf("%q becomes the token of no document", id)
		}
		personal := event.Public(id) != id
		if personal && len(id) > 5 && strings.Contains(token, id) {
			t.Fatalf("%q is in %q", id, token)
		}
		if token != id && id != "" && len(id) <= 128 && !personal {
			if decoded, err := base64.RawURLEncoding.DecodeString(token); err != nil || string(decoded) != id {
				t.Fatalf("%q becomes %q, which is %q", id, token, decoded)
			}
		}
		e := &signingv1.SigningEvent{Source: "demo", Provider: "clickwrap", Type: "document.sent", Document: &signingv1.Document{Id: id}}
		subject := event.Subject(e)
		if strings.Count(subject, ".") != 6 || !strings.HasSuffix(subject, "."+token) || !strings.HasSuffix(event.DocumentFilter(id), "*.*.*.*."+token) {
			t.Fatalf("%q becomes %q", id, subject)
		}
	})
}
