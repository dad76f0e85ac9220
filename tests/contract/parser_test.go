package contract_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

// The AsyncAPI initiative's own parser takes the document without an error or a warning, and so AsyncAPI Studio does; and it
// refuses a spoilt one.
func TestTheOfficialParserTakesTheDocument(t *testing.T) {
	t.Parallel()
	wrongWith := realtest.Node(t, filepath.Join(testenv.Root(), "tests", "contract", "parser", "parse.cjs"))
	data, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "asyncapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if said, err := wrongWith(string(data)); err != nil {
		t.Errorf("%v:\n%s", err, said)
	}
	if said, err := wrongWith(strings.Replace(string(data), "action: send", "action: shout", 1)); err == nil || !strings.Contains(said, "action") {
		t.Errorf("a spoilt document: %v:\n%s", err, said)
	}
}
