package contract_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/tests/testenv"
)

// Every event of the packs' golden files, as protojson writes it, conforms to event.schema.json in each field.
func TestSchemaDescribesEverySampleEvent(t *testing.T) {
	t.Parallel()
	today := compile(t, closed(read(t, "event.schema.json")).(map[string]any), "")
	files, err := filepath.Glob(filepath.Join(testenv.Root(), "libs", "providers", "*", "testdata", "*.golden.json"))
	if err != nil || len(files) < 30 {
		t.Fatalf("%d golden files: %v", len(files), err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range parse(t, data).([]any) {
			if err := today.Validate(event); err != nil {
				t.Errorf("%s: %v", filepath.Base(path), err)
			}
		}
	}
}

const anEvent = `{"id":"ufu1r7ph0auc6ervg2425cb8gg","source":"demo","provider":"clickwrap","type":"recipient.signed",
"occurredAt":"2017-07-19T16:15:43.512Z","verification":"VERIFICATION_TOKEN","document":{"id":"d1"},
"links":[{"kind":"signed","url":"https://files.example/1"}],"attributes":{"site":"2"},"notice":{"parts":1,"possibleDuplicate":true}}`

// A subscriber who validates with today's schema accepts later additions and refuses values that are not events.
func TestSchemaRefusesOtherValues(t *testing.T) {
	t.Parallel()
	schema := compile(t, read(t, "event.schema.json"), "")
	for name, c := range map[string]struct {
		old, new string
		event    bool
	}{
		"unchanged":                  {"", "", true},
		"an additional field":        {`"source":`, `"added":{"later":1},"source":`, true},
		"an additional nested field": {`"kind":`, `"added":1,"kind":`, true},
		"another vouching":           {`VERIFICATION_TOKEN`, `VERIFICATION_PASSKEY`, true},
		"an unknown verification":    {`VERIFICATION_TOKEN`, `token`, false},
		"a verification as a number": {`"VERIFICATION_TOKEN"`, `2`, false},
		"no id":                      {`"id":"ufu1r7ph0auc6ervg2425cb8gg",`, ``, false},
		"an id in another format":    {`ufu1r7ph0auc6ervg2425cb8gg`, `596f858584281715b3493d0c`, false},
		"no type":                    {`"type":"recipient.signed",`, ``, false},
		"a type without a dot":       {`recipient.signed`, `signed`, false},
		"a time without a zone":      {`43.512Z`, `43.512`, false},
		"a time in seconds":          {`"2017-07-19T16:15:43.512Z"`, `1500480943`, false},
		"a document as a string":     {`{"id":"d1"}`, `"d1"`, false},
		"a link in place of a list":  {`[{"kind":"signed","url":"https://files.example/1"}]`, `{"kind":"signed"}`, false},
		"a numeric attribute":        {`"site":"2"`, `"site":2`, false},
		"negative parts":             {`"parts":1`, `"parts":-1`, false},
		"parts as a string":          {`"parts":1`, `"parts":"1"`, false},
	} {
		text := strings.Replace(anEvent, c.old, c.new, 1)
		if c.old != "" && text == anEvent || !json.Valid([]byte(text)) {
			t.Fatalf("%s: the change did not apply: %s", name, text)
		}
		if err := schema.Validate(parse(t, []byte(text))); (err == nil) != c.event {
			t.Errorf("%s: %v", name, err)
		}
	}
}
