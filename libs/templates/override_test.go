package templates_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// folder makes an operator's template folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func texts(t *testing.T, s *templates.Set, kind notifyv1.Kind, locale string) string {
	t.Helper()
	n := example(kind)
	n.Locale = locale
	text, err := s.SMS(n)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAnOperatorsFileReplacesTheBuiltInOne(t *testing.T) {
	t.Parallel()
	s, err := templates.Open(folder(t, map[string]string{
		"en/invitation.sms.tmpl":    `{{define "sms"}}Sign {{template "document" .}}: {{.Link}}{{end}}`,
		"en-AU/invitation.sms.tmpl": `{{define "sms"}}G'day! Sign {{template "document" .}}: {{.Link}}{{end}}`,
		"fr/invitation.sms.tmpl":    `{{define "sms"}}Merci de signer {{template "document" .}} : {{.Link}}{{end}}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	const invitation, completed = notifyv1.Kind_KIND_INVITATION, notifyv1.Kind_KIND_COMPLETED
	for _, test := range []struct {
		kind         notifyv1.Kind
		locale, want string
	}{
		{invitation, "en", `Sign "PS Employment Agreement": https://bit.ly/2131NDa`},
		{invitation, "en-GB", `Sign "PS Employment Agreement": https://bit.ly/2131NDa`},
		{invitation, "en-au", `G'day! Sign "PS Employment Agreement": https://bit.ly/2131NDa`},
		{invitation, "fr-CA", `Merci de signer "PS Employment Agreement" : https://bit.ly/2131NDa`},
		{invitation, "nl", `Sign "PS Employment Agreement": https://bit.ly/2131NDa`},
		{invitation, "de", texts(t, builtin(t), invitation, "de")},
		{completed, "en-AU", texts(t, builtin(t), completed, "en")},
		{completed, "fr", texts(t, builtin(t), completed, "en")},
	} {
		if got := texts(t, s, test.kind, test.locale); got != test.want {
			t.Errorf("%v in %s: %q, want %q", test.kind, test.locale, got, test.want)
		}
	}
}

// Later words.tmpl files override earlier ones. A file has only the words that it changes, and a region's words override those of its
// language.
func TestOwnWords(t *testing.T) {
	t.Parallel()
	s, err := templates.Open(folder(t, map[string]string{
		"en/words.tmpl":          `{{define "actor"}}{{with .Actor}}{{.}}{{else}}One of the signers{{end}}{{end}}`,
		"de-AT/words.tmpl":       `{{define "hello"}}Grüß Gott{{with .Name}} {{.}}{{end}},{{end}}`,
		"en/frame.tmpl":          `{{define "bottom"}}<p>Acme, 1 Acme Way</p></div></body></html>{{end}}`,
		"fr/progress.sms.tmpl":   `{{define "sms"}}{{template "actor" .}} a signé. {{template "missing" .}}{{end}}`,
		"fr/progress.email.tmpl": `{{define "subject"}}Signé{{end}}{{define "text"}}Signé{{end}}{{define "html"}}{{template "top" .}}Signé{{template "bottom" .}}{{end}}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	n := example(notifyv1.Kind_KIND_PROGRESS)
	n.ActorName = ""
	if got, err := s.SMS(n); err != nil || !strings.HasPrefix(got, "One of the signers has signed") {
		t.Errorf("en: %q, %v", got, err)
	}
	n.Locale = "fr"
	if got, err := s.SMS(n); err != nil || got != "One of the signers a signé. One more signature is needed to complete the document." {
		t.Errorf("fr: %q, %v", got, err)
	}
	for locale, want := range map[string][2]string{ // the beginning of the text, and a part of the HTML
		"en": {"Hello Eric,", "1 Acme Way"}, "fr": {"Signé", "1 Acme Way"}, "de": {"Guten Tag Eric,", "1 Acme Way"}, "de-AT": {"Grüß Gott Eric,", `lang="de-AT"`},
	} {
		n.Locale = locale
		_, text, html, err := s.Email(n)
		if err != nil || !strings.HasPrefix(text, want[0]) || !strings.Contains(html, want[1]) {
			t.Errorf("%s: %q, %s, %v", locale, text, html, err)
		}
	}
}

// The lang attribute of an e-mail is the language of its words.
func TestAnEmailNamesItsLanguage(t *testing.T) {
	t.Parallel()
	for locale, want := range map[string]string{"": "en", "en": "en", "en-AU": "en-AU", "de-CH": "de-CH", "fr": "en"} {
		n := example(notifyv1.Kind_KIND_VOIDED)
		n.Locale = locale
		_, _, html, err := builtin(t).Email(n)
		if err != nil || !strings.Contains(html, `<html lang="`+want+`"`) {
			t.Errorf("%q: %s, %v", locale, html, err)
		}
	}
}

// A ConfigMap is mounted as links to a folder whose name begins with two dots.
func TestAMountedConfigMap(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"en/..2026/voided.sms.tmpl": `{{define "sms"}}Gone.{{end}}`})
	for link, target := range map[string]string{"en/..data": "..2026", "en/voided.sms.tmpl": "..data/voided.sms.tmpl"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := templates.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(t, s, notifyv1.Kind_KIND_VOIDED, "en"); got != "Gone." {
		t.Errorf("%q", got)
	}
}

func TestAllMistakesAtOnceEachAtItsPlace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		want  []string // the lines, without the folder
	}{
		"names": {
			map[string]string{
				"en/invitaton.sms.tmpl":   "",
				"en/invitation.smss.tmpl": "",
				"en/word.tmpl":            "",
				"en/banana.tmpl":          "",
				"en/declined.sms.txt":     "",
				"declined.sms.tmpl":       "",
				"english/x":               "",
				"de/voided.sms.tmpl":      "\xff",
				"de/voided.email/x":       "",
			},
			[]string{
				"de/voided.email:1: want a name that ends in .tmpl, such as invitation.sms.tmpl",
				"de/voided.sms.tmpl:1: want UTF-8",
				"declined.sms.tmpl:1: want it in a locale's folder, such as en/declined.sms.tmpl",
				"en/banana.tmpl:1: no message has this name: want <kind>.<channel>.tmpl, words.tmpl or frame.tmpl",
				"en/declined.sms.txt:1: want a name that ends in .tmpl, such as invitation.sms.tmpl",
				"en/invitation.smss.tmpl:1: no message has this name: want <kind>.<channel>.tmpl, words.tmpl or frame.tmpl; did you mean invitation.sms?",
				"en/invitaton.sms.tmpl:1: no message has this name: want <kind>.<channel>.tmpl, words.tmpl or frame.tmpl; did you mean invitation.sms?",
				"en/word.tmpl:1: no message has this name: want <kind>.<channel>.tmpl, words.tmpl or frame.tmpl; did you mean words?",
				"english: no locale has this name: want one such as de or en-AU",
			},
		},
		"syntax": {
			map[string]string{
				"en/declined.sms.tmpl":   "{{define \"sms\"}}\n{{if .Actor}}x{{end}}",
				"en/voided.sms.tmpl":     "\n{{define \"sms\"}}{{upper .Title}}{{end}}",
				"en/expired.sms.tmpl":    "Expired.",
				"en/expired.email.tmpl":  `{{define "subjct"}}x{{end}}{{define "text"}}x{{end}}`,
				"en/declined.email.tmpl": "{{define \"subject\"}}\n\n{{end}",
			},
			[]string{
				`en/declined.email.tmpl:3: bad character U+007D '}'`,
				"en/declined.sms.tmpl:2: unexpected EOF",
				`en/expired.email.tmpl:1: {{define "subject"}}, {{define "html"}} is missing`,
				`en/expired.sms.tmpl:1: {{define "sms"}} is missing`,
				`en/voided.sms.tmpl:2: function "upper" not defined`,
			},
		},
		"rendered with samples": {
			map[string]string{
				"en/declined.sms.tmpl": `{{define "sms"}}
{{.Actr}} has declined{{end}}`,
				"en/words.tmpl": `{{define "document"}}
{{.Titel}}{{end}}`,
				"fr/invitation.sms.tmpl":    `{{define "sms"}}Merci de signer.{{end}}`,
				"fr/completed.sms.tmpl":     "{{define \"sms\"}}Fini.\n{{.Link}}{{end}}",
				"fr/voided.sms.tmpl":        `{{define "sms"}}{{.Sender}}{{end}}`,
				"fr/undeliverable.sms.tmpl": `{{define "sms"}}{{template "documnt" .}}{{end}}`,
				"fr/expired.email.tmpl":     "{{define \"subject\"}}x{{end}}\n{{define \"text\"}}x{{end}}\n{{define \"html\"}}<a href=\"{{if .Title}}x\">{{end}}</a>{{end}}",
			},
			[]string{
				`en/declined.sms.tmpl:2:2: executing "sms" at <.Actr>: can't evaluate field Actr in type templates.facts`,
				`en/words.tmpl:2:2: executing "document" at <.Titel>: can't evaluate field Titel in type templates.facts`,
				`fr/completed.sms.tmpl:1:16: "sms" is more than one line`,
				`fr/expired.email.tmpl:3:31: {{if}} branches`,
				`fr/invitation.sms.tmpl:1:16: "sms" does not show {{.Link}}, and without the link the document cannot be opened`,
				`fr/undeliverable.sms.tmpl:1:27: executing "sms" at <{{template "documnt" .}}>: template "documnt" not defined`,
				`fr/voided.sms.tmpl:1:16: "sms" is empty`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, test.files)
			_, err := templates.Open(dir)
			if err == nil {
				t.Fatal("Open returned no error")
			}
			got := strings.Split(err.Error(), "\n")
			for i, want := range test.want {
				if want = "templates.dir: " + dir + "/" + want; i >= len(got) || !strings.HasPrefix(got[i], want) {
					t.Errorf("line %d is not %q", i+1, want)
				}
			}
			if t.Failed() || len(got) != len(test.want) {
				t.Errorf("%d lines, want %d:\n%v", len(got), len(test.want), err)
			}
		})
	}
}

func TestAnUnreadableFolder(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"file": ""})
	for name, want := range map[string]string{"nowhere": "no such file", "file": "is not a folder"} {
		if _, err := templates.Open(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), "templates.dir: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := templates.Open(t.TempDir()); err != nil { // the control: an empty folder is valid
		t.Error(err)
	}
}
