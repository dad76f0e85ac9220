package templates_test

import (
	"strings"
	"testing"

	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"

	"github.com/signrelay/signrelay/libs/templates"
)

// If several signers share an address, each message names its signer: in every kind, channel and language, and in operators' templates.
func TestMessagesToASharedAddressNameTheSigner(t *testing.T) {
	t.Parallel()
	own, err := templates.Open(folder(t, map[string]string{
		"en-AU/invitation.sms.tmpl": `{{define "sms"}}Sign: {{.Link}}{{end}}`,
		"en-AU/words.tmpl":          `{{define "hello"}}G'day{{end}}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		locale      string
		first, last string
		by, place   uint32
		want        string // the text's beginning; empty if it does not name the person
	}{
		{"en", "Ann", "Smith", 0, 0, ""},
		{"en", "Ann", "Smith", 2, 0, "For Ann Smith: "},
		{"en", "Ann", "", 2, 0, "For Ann: "},
		{"en", "Dr.", "Ann Smith", 2, 0, "For Dr. Ann Smith: "},
		{"en", "Ann", "Smith", 3, 2, "For Ann Smith (2 of 3): "},
		{"en", "", "", 2, 1, "For signer 1 of 2: "},
		{"en", "null", "null", 2, 1, "For signer 1 of 2: "},
		{"en", "www.evil.example", "", 2, 0, "For www. evil. example: "},
		{"de", "Eva", "Maier", 2, 0, "Für Eva Maier: "},
		{"de", "Eva", "Maier", 2, 2, "Für Eva Maier (2 von 2): "},
		{"de", "", "", 2, 2, "Für Unterschrift 2 von 2: "},
		{"en-AU", "Ann", "Smith", 2, 0, "For Ann Smith: "},
	} {
		for number := range notifyv1.Kind_name {
			if number == 0 {
				continue
			}
			n := example(notifyv1.Kind(number))
			n.Locale, n.To = test.locale, &notifyv1.Person{FirstName: test.first, LastName: test.last, SharedBy: test.by, SharedPlace: test.place}
			sms, err := own.SMS(n)
			if err != nil {
				t.Fatal(err)
			}
			subject, text, html, err := own.Email(n)
			if err != nil {
				t.Fatal(err)
			}
			for part, s := range map[string]string{"sms": sms, "subject": subject} {
				if !strings.HasPrefix(s, test.want) || (test.want == "") != !strings.HasPrefix(s, "F") {
					t.Errorf("%s in %s: %q, want %q", part, test.locale, s, test.want)
				}
			}
			line, _, _ := strings.Cut(text, "\n")
			switch {
			case test.locale == "en-AU":
				if line != "G'day" {
					t.Errorf("an operator's greeting is %q", line)
				}
			case test.want != "" && line != strings.TrimSpace(test.want), test.want == "" && line != "Hello Ann,":
				t.Errorf("the e-mail in %s begins %q", test.locale, line)
			case test.want != "" && !strings.Contains(html, strings.TrimSpace(test.want)):
				t.Errorf("the e-mail in %s lacks %q: %s", test.locale, test.want, html)
			}
		}
	}
}
