package subscribe_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

var erasedName = regexp.MustCompile("In Python: `([^`]*)`")

// The page's expression gives the name under which a subscriber finds an erased document.
func TestTheNameOfAnErasedDocument(t *testing.T) {
	t.Parallel()
	realtest.Server(t, "Python")
	if _, err := exec.LookPath("python3"); err != nil {
		realtest.Missing(t, "no python3: install it")
	}
	page, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "subscribe.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := erasedName.FindSubmatch(page)
	if found == nil {
		t.Fatal("the page has no expression")
	}
	output, err := exec.CommandContext(t.Context(), "python3", "-c", "import base64, hashlib; print(("+string(found[1])+").decode())").CombinedOutput()
	if got := strings.TrimSpace(string(output)); err != nil || got != event.ErasedID("acme", "pleasesign", "5f1c") {
		t.Errorf("%v: %s", err, got)
	}
}
