// Package layers checks the direction of imports.
package layers

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/signrelay/signrelay/"

// layers is the table of docs/layers.md.
type layers struct {
	rows [][]string // the folders of each row, from bottom to top
	free []string   // folders that may import anything, and that no program imports
}

func read(t *testing.T, root string) layers {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs", "layers.md"))
	if err != nil {
		t.Fatal(err)
	}
	folders := func(text string) []string {
		var names []string
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
			names = append(names, strings.TrimSuffix(name[1], "/..."))
		}
		return names
	}
	var l layers
	for paragraph := range strings.SplitSeq(string(page), "\n\n") {
		if strings.HasPrefix(paragraph, "Exempt: ") {
			l.free = folders(paragraph)
		}
		for line := range strings.SplitSeq(paragraph, "\n") {
			if strings.HasPrefix(line, "| `") {
				cell, _, _ := strings.Cut(line[1:], "|")
				l.rows = append(l.rows, folders(cell))
			}
		}
	}
	if len(l.rows) < 8 || len(l.free) < 4 {
		t.Fatalf("docs/layers.md: read %d rows and %d exempt packages", len(l.rows), len(l.free))
	}
	return l
}

// place returns the row of a package, and the folder in that row: the longest folder that contains the package; of two equally long ones,
// the folder without a pattern. The row is -1 if no row has the package.
func (l layers) place(pkg string) (row int, folder string) {
	row = -1
	for i, folders := range l.rows {
		for _, f := range folders {
			above, below, each := strings.Cut(f, "*")
			if each && strings.HasPrefix(pkg, above) {
				child, _, _ := strings.Cut(strings.TrimPrefix(pkg, above), "/")
				f = above + child + below
			}
			if pkg != f && (!strings.HasPrefix(pkg, f+"/") || !each && l.listsBelow(f)) {
				continue
			}
			if len(f) > len(folder) || len(f) == len(folder) && !each {
				row, folder = i, f
			}
		}
	}
	return row, folder
}

// listsBelow reports whether the table lists subfolders of a folder one by one, such as each provider's pack. A new one then needs its place.
func (l layers) listsBelow(folder string) bool {
	return slices.ContainsFunc(slices.Concat(l.rows...), func(f string) bool { return strings.HasPrefix(f, folder+"/") })
}

// mistake describes the mistake in an import; empty if it is allowed.
func (l layers) mistake(pkg, imported string) string {
	from, folder := l.place(pkg)
	to, of := l.place(imported)
	switch {
	case slices.Contains(l.free, pkg), folder == "tests":
		return ""
	case from < 0:
		return pkg + " is in no row of docs/layers.md"
	case slices.Contains(l.free, imported):
		return pkg + " imports " + imported + ", which is for tests"
	case to < 0:
		return imported + " is in no row of docs/layers.md"
	case folder == of, to < from:
		return ""
	}
	return pkg + " imports " + imported + ", which is not in a row above"
}

// repository returns the repository's folder. Go's test cache tracks the variable, a checksum of the files: see the Makefile.
func repository() string {
	_ = os.Getenv("SIGNRELAY_TEST_FILES")
	return "../.."
}

func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs(repository())
	if err != nil {
		t.Fatal(err)
	}
	rows := read(t, root)
	list := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"...")
	list.Dir = root
	var stderr bytes.Buffer
	list.Stderr = &stderr
	output, err := list.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	packages, imports := 0, 0
	for d := json.NewDecoder(bytes.NewReader(output)); ; packages++ {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, imported := range p.Imports {
			if name, ours := strings.CutPrefix(imported, module); ours {
				imports++
				if m := rows.mistake(strings.TrimPrefix(p.ImportPath, module), name); m != "" {
					t.Error(m)
				}
			}
		}
	}
	if packages < 40 || imports < 100 {
		t.Errorf("checked only %d packages and %d imports", packages, imports)
	}
}

// The test above would be useless if it did not find these imports.
func TestForbiddenImportsAreFound(t *testing.T) {
	t.Parallel()
	rows := read(t, repository())
	for _, x := range []struct{ pkg, imported string }{
		{"proto/signrelay/signing/v1", "libs/event"},
		{"libs/providers/not-listed", "libs/event"},
		{"libs/event", "libs/dedupe"},
		{"libs/event", "services/ingest"},
		{"libs/providers/clickwrap", "libs/providers/pleasesign"},
		{"libs/providers/clickwrap", "libs/providers"},
		{"libs/stage", "libs/service"},
		{"libs/service", "libs/realtest"},
		{"services/ingest", "services/enricher"},
		{"services/ingest/settings", "services/enricher"},
		{"services/ingest/settings", "services/enricher/settings"},
		{"services/sections", "services/enricher"},
		{"libs/config", "services/ingest/settings"},
		{"services/sms-sender/vonage", "services/email-sender"},
		{"services/shortener", "services/standalone"},
		{"services/shortener", "tests/testenv"},
		{"libs/unheard-of", "libs/event"},
	} {
		if rows.mistake(x.pkg, x.imported) == "" {
			t.Errorf("%s may import %s", x.pkg, x.imported)
		}
	}
	for _, x := range []struct{ pkg, imported string }{
		{"services/sms-sender", "services/sms-sender/vonage"},
		{"services/sms-sender", "services/shortener/settings"},
		{"services/sms-sender/cmd/sms-sender", "services/sections"},
		{"services/standalone/cmd/signrelay", "services/ingest"},
		{"libs/servicetest", "libs/service"},
	} {
		if m := rows.mistake(x.pkg, x.imported); m != "" {
			t.Error(m)
		}
	}
}

// ARCHITECTURE.md explains every folder of libs and services.
func TestArchitectureListsEveryPackage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(repository(), "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(page), "\n## Packages\n")
	list, _, _ = strings.Cut(list, "\n## ")
	listed := regexp.MustCompile(`(?:libs|services)/[a-z0-9-]+`).FindAllString(list, -1)
	count := 0
	for _, parent := range []string{"libs", "services"} {
		folders, err := os.ReadDir(filepath.Join(repository(), parent))
		if err != nil {
			t.Fatal(err)
		}
		for _, folder := range folders {
			name := parent + "/" + folder.Name()
			if !folder.IsDir() {
				continue
			}
			if count++; !slices.Contains(listed, name) {
				t.Errorf("ARCHITECTURE.md: the list of packages lacks %s", name)
			}
		}
	}
	for _, name := range listed {
		if info, err := os.Stat(filepath.Join(repository(), name)); err != nil || !info.IsDir() {
			t.Errorf("ARCHITECTURE.md: the list of packages has %s, which does not exist", name)
		}
	}
	if count < 20 {
		t.Errorf("read only %d folders", count)
	}
}
