package contract_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

// The AsyncAPI initiative's own parser accepts the document without errors and warnings, as AsyncAPI Studio does. It refuses a broken one.
func TestOfficialParserAcceptsTheDocument(t *testing.T) {
	t.Parallel()
	wrongWith := realtest.Node(t, filepath.Join(testenv.Root(), "tests", "contract", "parser", "parse.cjs"))
	data, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "asyncapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if output, err := wrongWith(string(data)); err != nil {
		t.Errorf("%v:\n%s", err, output)
	}
	if output, err := wrongWith(strings.Replace(string(data), "action: send", "action: shout", 1)); err == nil || !strings.Contains(output, "action") {
		t.Errorf("a broken document: %v:\n%s", err, output)
	}
}
