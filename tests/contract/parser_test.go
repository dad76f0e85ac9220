package contract_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/house"
)

// The AsyncAPI initiative's own parser takes the document without an error or a warning, and so AsyncAPI Studio does; and it
// refuses a spoilt one.
func TestTheOfficialParserTakesTheDocument(t *testing.T) {
	t.Parallel()
	_, noNode := exec.LookPath("node")
	_, noNPM := exec.LookPath("npm")
	if missing := errors.Join(noNode, noNPM); missing != nil {
		realtest.Missing(t, "asyncapi.yaml is not read with the AsyncAPI parser: install Node.js with npm for it: %v", missing)
	}
	parser := filepath.Join(house.Root(), "tests", "contract", "parser")
	fetch := exec.CommandContext(t.Context(), "sh", filepath.Join(parser, "fetch.sh"))
	fetch.Stderr = t.Output()
	folder, err := fetch.Output()
	if err != nil {
		t.Fatalf("fetch the parser: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(house.Root(), "docs", "asyncapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	wrongWith := func(document string) (string, error) {
		parse := exec.CommandContext(t.Context(), "node", filepath.Join(parser, "parse.cjs"))
		parse.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(strings.TrimSpace(string(folder)), "node_modules"))
		parse.Stdin = strings.NewReader(document)
		said, err := parse.CombinedOutput()
		return string(said), err
	}
	if said, err := wrongWith(string(data)); err != nil {
		t.Errorf("%v:\n%s", err, said)
	}
	if said, err := wrongWith(strings.Replace(string(data), "action: send", "action: shout", 1)); err == nil || !strings.Contains(said, "action") {
		t.Errorf("a spoilt document: %v:\n%s", err, said)
	}
}
