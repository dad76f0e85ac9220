package clickwrap

import (
	"strings"
	"testing"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ event, description, title, first, last, email string }{
		{"request_sent", `PactSafe sent "Example Contract"`, "Example Contract", "", "", ""},
		{"request_sent", `PactSafe sent "The "big" deal"`, `The "big" deal`, "", "", ""},
		{"request_signed", `Eric Prugh signed "Example Contract"`, "Example Contract", "Eric", "Prugh", ""},
		{"request_signed", `Cher signed "A signed "B""`, `A signed "B"`, "Cher", "", ""},
		{"request_complete", `"Example Contract" has been completed`, "Example Contract", "", "", ""},
		{"activity_agreed", `Eric Prugh (Eric@pactsafe.com) agreed to "Mutual NDA" in Request "Example Contract"`, "Example Contract", "Eric", "Prugh", "Eric@pactsafe.com"},
		{"activity_displayed", `Eric Prugh (eric@pactsafe.com) viewed "E-Waiver Form" in Group "UGC Consent Waiver"`, "", "Eric", "Prugh", "eric@pactsafe.com"},
		{"request_sent", "something else", "", "", "", ""},
		{"request_expired", `"Example Contract" has been completed`, "", "", "", ""},
		{"request_signed", "", "", "", "", ""},
		{"activity_visited", strings.Repeat("(a@b) ", 10_000), "", "(a@b)", "", "a@b"}, // nonsense stays harmless, and quick to read
	} {
		e := &signingv1.SigningEvent{ProviderType: c.event, Document: &signingv1.Document{Id: "d"}}
		describe(e, c.description)
		r := e.GetRecipient()
		if e.GetDocument().GetTitle() != c.title || r.GetFirstName() != c.first || r.GetLastName() != c.last || r.GetEmail() != c.email {
			t.Errorf("%s %.60q: %v, %v", c.event, c.description, e.GetDocument(), r)
		}
	}
}
