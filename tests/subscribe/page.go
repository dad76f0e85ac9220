// Package subscribe runs the commands of docs/subscribe.md.
package subscribe

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/tests/testenv"
)

var (
	fence   = regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```")
	comment = regexp.MustCompile(`\s{2,}#.*$`)
)

// Blocks returns the page's blocks of a language, in order.
func Blocks(t *testing.T, language string) (blocks []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "subscribe.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range fence.FindAllStringSubmatch(string(page), -1) {
		if b[1] == language {
			blocks = append(blocks, b[2])
		}
	}
	return blocks
}

// Commands returns the page's command lines for a tool, without their comments.
func Commands(t *testing.T, tool string) (commands []string) {
	t.Helper()
	for _, b := range Blocks(t, "sh") {
		for line := range strings.Lines(b) {
			if line = comment.ReplaceAllString(strings.TrimSpace(line), ""); strings.HasPrefix(line, tool+" ") {
				commands = append(commands, line)
			}
		}
	}
	if len(commands) == 0 {
		t.Fatalf("docs/subscribe.md has no command %s", tool)
	}
	return commands
}
