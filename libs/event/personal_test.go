package event_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Ids that look like a person's address, number or name are hashed in keys and subjects. The providers' own ids stay.
func TestNoIDOutsideAPayloadIsPersonal(t *testing.T) {
	t.Parallel()
	for id, personal := range map[string]bool{
		"596f858584281715b3493d0c": false, "PLSDOC19704278f8c51564ff0c707817": false, "6a0b9cfe-1f6d-4b1e-9d6a-0d4a5b6c7d8e": false, "12345": false, "20261128": false,
		"a.b": false, "urn:uuid:1": false, "contract/2026/17": false, "1234567890123456": false, "": false, "_": false, "a b": false, "v+1": false,
		"ann@signer.example": true, "ann＠signer.example": true, "ann%40signer.example": true, "mailto:ann@x.example": true, "@": true,
		"+13175550177": true, "13175550177": true, "0044 20 7946 0000": true, "(317) 555-0177": true, "317-555-0177": true, "signer +61 491 570 157": true, "tel:5550177": true,
		"Thessaly Quillfeather": true, "Zoë Müller": true,
	} {
		if got := event.Public(id) != id; got != personal {
			t.Errorf("%q is shown as %q", id, event.Public(id))
		}
	}
	ids := rapid.OneOf(
		rapid.StringMatching(`[a-z.]{3,12}@[a-z]{3,9}\.(com|example)`), rapid.StringMatching(`\+[1-9][0-9]{9,13}`), rapid.StringMatching(`[1-9][0-9]{9,13}`),
		rapid.StringMatching(`[A-Z][a-z]{3,9} [A-Z][a-z]{3,9}`),
	)
	rapid.Check(t, func(t *rapid.T) {
		e := &signingv1.SigningEvent{Id: "i", Source: "acme", Provider: "clickwrap", Type: "recipient.signed"}
		document, recipient := ids.Draw(t, "document"), ids.Draw(t, "recipient")
		e.Document, e.Recipient = &signingv1.Document{Id: document}, &signingv1.Recipient{Id: recipient}
		m, err := event.Message(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		outside := m.Subject + fmt.Sprint(m.Header)
		for _, id := range []string{document, recipient} {
			if strings.Contains(outside, id) || strings.Contains(outside, base64.RawURLEncoding.EncodeToString([]byte(id))) {
				t.Fatalf("%q is in %q", id, outside)
			}
		}
		if back, err := event.Decode(m.Data); err != nil || back.GetDocument().GetId() != document || event.Subject(back) != m.Subject {
			t.Fatalf("the payload has %v, %v", back, err)
		}
	})
}
