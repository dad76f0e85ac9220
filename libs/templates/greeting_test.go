package templates_test

import (
	"strings"
	"testing"

	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// hello returns the first line of an e-mail to a person with that name.
func hello(t *testing.T, first, last string) string {
	t.Helper()
	n := example(notifyv1.Kind_KIND_INVITATION)
	n.To = &notifyv1.Person{FirstName: first, LastName: last}
	_, text, _, err := builtin(t).Email(n)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// An e-mail greets with a name only if it is certainly a given name.
func TestGreetings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ first, last, want string }{
		{"Eric", "Smith", "Hello Eric,"},
		{"eric", "smith", "Hello eric,"},
		{"  Eric\t", "", "Hello Eric,"},
		{"E\u200bric", "", "Hello Eric,"},
		{"Zoë", "O'Brien", "Hello Zoë,"},
		{"Zoe\u0308", "", "Hello Zoe\u0308,"},
		{"Jean-Luc", "Picard", "Hello Jean-Luc,"},
		{"D'Arcy", "", "Hello D'Arcy,"},
		{"D’Arcy", "", "Hello D’Arcy,"},
		{"Anna Maria Luisa", "", "Hello Anna Maria Luisa,"},
		{"小龍", "李", "Hello 小龍,"},
		{"勇", "木村", "Hello 勇,"},
		{"محمد", "", "Hello محمد,"},
		{"می\u200cخواهم", "", "Hello می\u200cخواهم,"},
		{"राम", "", "Hello राम,"},
		{"Gal·la", "", "Hello Gal·la,"},
		{"McDonald", "", "Hello McDonald,"},
		{"Bo", "Li", "Hello Bo,"},

		{"Van", "Morrison", "Hello Van,"},
		{"Al", "Pacino", "Hello Al,"},

		{"van", "der Berg Jan", "Hello,"},
		{"van der", "Berg", "Hello,"},
		{"von", "Trapp Maria", "Hello,"},
		{"de la", "Cruz Juan", "Hello,"},
		{"bin", "Saud Omar", "Hello,"},
		{"ten", "Hag Erik", "Hello,"},
		{"Jan van", "der Berg", "Hello,"},

		{"", "", "Hello,"},
		{"", "Smith", "Hello,"},
		{"Smith,", "Eric", "Hello,"},
		{"Smith,Eric", "", "Hello,"},
		{"Eric,", "", "Hello,"},
		{"Dr.", "Eric Smith", "Hello,"},
		{"Dr", "Smith", "Hello,"},
		{"Dr Eric", "Smith", "Hello,"},
		{"MR", "Smith", "Hello,"},
		{"Mr", "& Mrs Smith", "Hello,"},
		{"Mr & Mrs", "Smith", "Hello,"},
		{"Eric & Ann", "Smith", "Hello,"},
		{"Eric/Ann", "Smith", "Hello,"},
		{"Eric and Ann", "Smith", "Hello,"},
		{"Frau", "Müller", "Hello,"},
		{"Señora", "García", "Hello,"},
		{"Prof.", "", "Hello,"},
		{"J.", "R. R. Tolkien", "Hello,"},
		{"J", "Smith", "Hello,"},
		{"J. R.", "Tolkien", "Hello,"},
		{"Sam J", "", "Hello,"},
		{"ERIC", "SMITH", "Hello,"},
		{"ÉRIC", "", "Hello,"},
		{"JEAN-LUC", "", "Hello,"},
		{"eric@example.com", "", "Hello,"},
		{"Eric", "GmbH", "Hello,"},
		{"Acme", "Holdings, Inc.", "Hello,"},
		{"https://evil.example", "", "Hello,"},
		{"www.evil.example", "", "Hello,"},
		{"evil.example", "", "Hello,"},
		{"null", "null", "Hello,"},
		{"undefined", "", "Hello,"},
		{"None", "", "Hello,"},
		{"N/A", "", "Hello,"},
		{"Test", "", "Hello,"},
		{"Customer", "", "Hello,"},
		{"First Name", "", "Hello,"},
		{"{{first_name}}", "", "Hello,"},
		{"[object Object]", "", "Hello,"},
		{"-", "", "Hello,"},
		{"---", "", "Hello,"},
		{"...", "", "Hello,"},
		{"?", "", "Hello,"},
		{"'", "", "Hello,"},
		{"Jean-", "", "Hello,"},
		{"-Luc", "", "Hello,"},
		{"\u0301", "", "Hello,"},
		{"👩\u200d🚀", "", "Hello,"},
		{"Eric2", "", "Hello,"},
		{"+13175551234", "", "Hello,"},
		{"12345", "", "Hello,"},
		{"(Eric)", "", "Hello,"},
		{"\"Eric\"", "", "Hello,"},
		{"Your account has been locked", "", "Hello,"},
		{strings.Repeat("Eric ", 4), "", "Hello,"},
	} {
		if got := hello(t, test.first, test.last); got != test.want {
			t.Errorf("%+q, %+q: %+q, want %+q", test.first, test.last, got, test.want)
		}
	}
}

// Placeholders of programs for a missing value are not names.
func TestMissingValuesAreNotNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"null null":              "Somebody",
		"undefined":              "Somebody",
		"null Smith":             "Smith",
		"Christopher Null":       "Christopher Null",
		"- .":                    "Somebody",
		"None None":              "Somebody",
		"<nil>":                  "Somebody",
		"Smith, Eric":            "Smith, Eric",
		"3M":                     "3M",
		"Dr. Eric null Smith":    "Dr. Eric Smith",
		"undefined undefined , ": "Somebody",
	} {
		if got := signed(t, name); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}
