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
		{"request_signed", `Robert "Bob" Smith signed "Lease"`, "Lease", `Robert "Bob"`, "Smith", ""},
		{"request_signed", `Eric Prugh signed "Lease (2nd "final" draft)"`, `Lease (2nd "final" draft)`, "Eric", "Prugh", ""},
		{"request_complete", `"Example Contract" has been completed`, "Example Contract", "", "", ""},
		{"activity_agreed", `Eric Prugh (Eric@pactsafe.com) agreed to "Mutual NDA" in Request "Example Contract"`, "Example Contract", "Eric", "Prugh", "Eric@pactsafe.com"},
		{"activity_displayed", `Eric Prugh (eric@pactsafe.com) viewed "E-Waiver Form" in Group "UGC Consent Waiver"`, "", "Eric", "Prugh", "eric@pactsafe.com"},
		{"request_sent", "something else", "", "", "", ""},
		{"request_expired", `"Example Contract" has been completed`, "", "", "", ""},
		{"request_signed", "", "", "", "", ""},
		{"activity_visited", `Eric Prugh (eric@pactsafe.com) visited "NDA "2"" in Request "The "big" deal"`, `The "big" deal`, "Eric", "Prugh", "eric@pactsafe.com"},
		{"activity_visited", strings.Repeat("(a@b) ", 10_000), "", "", "", ""}, // hostile input causes no slow match

		// Several readings: no result.
		{"request_sent", `PactSafe sent "Consent as sent "for review""`, "", "", "", ""},
		{"request_sent", `They sent "A" sent "B"`, "", "", "", ""},
		{"request_sent", `PactSafe sent "Lease" to "Bob"`, "", "", "", ""},
		{"request_sent", `PactSafe sent "Pipe, 5" and 6""`, "", "", "", ""},
		{"request_sent", `PactSafe sent "Open "quote"`, "", "", "", ""},
		{"request_sent", `PactSafe sent "Lease" again`, "", "", "", ""},
		{"request_sent", `PactSafe sent ""`, "", "", "", ""},
		{"request_signed", `Cher signed "A signed "B""`, "", "", "", ""},
		{"request_signed", `Cher signed "A" as "B"`, "", "", "", ""},
		{"request_complete", `"A" has been completed" has been completed`, "", "", "", ""},
		{"request_complete", `The "Lease" has been completed`, "", "", "", ""},
		{"activity_agreed", `Eric (e@p.example) agreed to "X in Request "Y"" in Request "Z"`, "", "Eric", "", "e@p.example"},
		{"activity_agreed", `Eric (e@p.example) agreed to "Mail to (legal@p.example)" in Request "Z"`, "Z", "", "", ""},
		{"activity_agreed", `Somebody agreed to "Mail to (legal@p.example) first" in Request "Z"`, "Z", "", "", ""},
		{"activity_agreed", `Eric (e@p.example) (f@p.example) agreed to "X"`, "", "", "", ""},

		// A signer without a name is identified by the address.
		{"activity_agreed", `(eric@pactsafe.com) agreed to "NDA" in Request "Example"`, "Example", "", "", "eric@pactsafe.com"},
		{"activity_agreed", ` (eric@pactsafe.com) agreed to "NDA"`, "", "", "", "eric@pactsafe.com"},
		{"activity_agreed", `null null (eric@pactsafe.com) agreed to "NDA"`, "", "", "", "eric@pactsafe.com"},
		{"activity_agreed", `Eric@pactsafe.com (eric@pactsafe.com) agreed to "NDA"`, "", "", "", "eric@pactsafe.com"},
		{"activity_agreed", `eric@pactsafe.com agreed to "NDA" in Request "Example"`, "Example", "", "", "eric@pactsafe.com"},
		{"activity_agreed", `"eric@pactsafe.com agreed" (eric@pactsafe.com) agreed to "NDA"`, "", "", "", ""},
		{"activity_agreed", `Mail eric@pactsafe.com agreed to "NDA"`, "", "", "", ""},

		// Placeholders are not a name.
		{"request_signed", `null null signed "Lease"`, "Lease", "", "", ""},
		{"request_signed", `undefined signed "Lease"`, "Lease", "", "", ""},
		{"request_signed", `Christopher Null signed "Lease"`, "Lease", "Christopher", "Null", ""},
	} {
		e := &signingv1.SigningEvent{ProviderType: c.event, Document: &signingv1.Document{Id: "d"}}
		describe(e, c.description)
		r := e.GetRecipient()
		if e.GetDocument().GetTitle() != c.title || r.GetFirstName() != c.first || r.GetLastName() != c.last || r.GetEmail() != c.email {
			t.Errorf("%s %.60q: %v, %v", c.event, c.description, e.GetDocument(), r)
		}
	}
}
