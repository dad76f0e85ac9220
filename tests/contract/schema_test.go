package contract_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/tests/testenv"
)

// Every event of the packs' golden files, as protojson writes them, is what event.schema.json says, to the last field.
func TestTheSchemaDescribesEveryEventOfTheSamples(t *testing.T) {
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

// Who checks with today's schema takes what a later release adds, and refuses what is no event.
func TestTheSchemaTellsEventsFromOtherThings(t *testing.T) {
	t.Parallel()
	schema := compile(t, read(t, "event.schema.json"), "")
	for name, c := range map[string]struct {
		old, new string
		event    bool
	}{
		"as it is":            {"", "", true},
		"a field more":        {`"source":`, `"added":{"later":1},"source":`, true},
		"a deep field more":   {`"kind":`, `"added":1,"kind":`, true},
		"another vouching":    {`VERIFICATION_TOKEN`, `VERIFICATION_PASSKEY`, true},
		"no such vouching":    {`VERIFICATION_TOKEN`, `token`, false},
		"a vouching's number": {`"VERIFICATION_TOKEN"`, `2`, false},
		"no id":               {`"id":"ufu1r7ph0auc6ervg2425cb8gg",`, ``, false},
		"an id of another":    {`ufu1r7ph0auc6ervg2425cb8gg`, `596f858584281715b3493d0c`, false},
		"no type":             {`"type":"recipient.signed",`, ``, false},
		"a type without dot":  {`recipient.signed`, `signed`, false},
		"a time of no zone":   {`43.512Z`, `43.512`, false},
		"a time in seconds":   {`"2017-07-19T16:15:43.512Z"`, `1500480943`, false},
		"a bare document":     {`{"id":"d1"}`, `"d1"`, false},
		"one link, no list":   {`[{"kind":"signed","url":"https://files.example/1"}]`, `{"kind":"signed"}`, false},
		"attribute of number": {`"site":"2"`, `"site":2`, false},
		"parts below nothing": {`"parts":1`, `"parts":-1`, false},
		"parts of text":       {`"parts":1`, `"parts":"1"`, false},
	} {
		text := strings.Replace(anEvent, c.old, c.new, 1)
		if c.old != "" && text == anEvent || !json.Valid([]byte(text)) {
			t.Fatalf("%s: the event is not spoilt as meant: %s", name, text)
		}
		if err := schema.Validate(parse(t, []byte(text))); (err == nil) != c.event {
			t.Errorf("%s: %v", name, err)
		}
	}
}
