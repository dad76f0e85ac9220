package layers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
)

// vocabulary lists the files that may have types and subjects as literals. All other code uses their constants and functions.
var vocabulary = []string{"libs/event/types.go", "libs/event/subject.go", "libs/flow/subject.go"}

// foreign lists texts that look like types, by file.
var foreign = map[string][]string{
	"services/sandbox/pleasesign/callbacks.go": { // PleaseSign's names of its events
		"document.created", "document.complete", "document.void", "recipient.sent", "recipient.opened", "recipient.complete", "recipient.failed",
	},
	"services/sandbox/party/story.go": {"document.sealed"}, // a callback of eSignature v1 without an event of its own
	"services/shortener/resolve.go":   {"document.pdf"},    // the name of a file
}

// beginnings lists prefixes of keys and ids, not of types.
var beginnings = []string{"link.", "replay."}

var families = []string{"signing.v1", "notify.v1", "quarantine.v1", "dlq.v1", "replay.v1"}

// spells returns the type or the subject in a text; empty if there is none. A text of only an entity, a dot and any other text counts
// as a type: "recipient.", "document.unheard-of".
func spells(text string) string {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789.-_", r) }) {
		for _, family := range families {
			if word == family || strings.HasPrefix(word, family+".") {
				return word
			}
		}
		name := strings.TrimSuffix(strings.TrimPrefix(strings.Trim(word, ".-"), "signrelay."), ".v1")
		if slices.ContainsFunc(event.Types, func(t event.Type) bool { return t.Name == name }) {
			return name
		}
	}
	if entity, action, dot := strings.Cut(text, "."); dot && onlyLetters.MatchString(action) && !slices.Contains(beginnings, text) &&
		slices.ContainsFunc(event.Types, func(t event.Type) bool { return t.Entity() == entity }) {
		return text
	}
	return ""
}

var onlyLetters = regexp.MustCompile(`^[a-z-]*$`)

// find calls found for each literal of a file that spells a type or a subject. In a pack's table of types, the keys are the provider's
// words.
func find(name string, file *ast.File, found func(at token.Pos, word string)) {
	table, _ := path.Match("libs/providers/*/types.go", name)
	keys := map[ast.Expr]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.KeyValueExpr:
			keys[n.Key] = table
		case *ast.BasicLit:
			text, err := strconv.Unquote(n.Value)
			if n.Kind != token.STRING || err != nil || keys[n] {
				return true
			}
			if word := spells(text); word != "" && !slices.Contains(foreign[name], word) {
				found(n.Pos(), word)
			}
		}
		return true
	})
}

// sources calls do for each file of Go code below the folders, except tests and generated code.
func sources(root string, folders []string, do func(name string, files *token.FileSet, file *ast.File)) error {
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(root, folder), func(at string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(at, ".go") || strings.HasSuffix(at, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, at, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, at)
			do(filepath.ToSlash(name), files, file)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// spelledOutside lists the literals outside the vocabulary that spell a type or a subject.
func spelledOutside(root string, folders ...string) (read int, found []string, err error) {
	err = sources(root, folders, func(name string, files *token.FileSet, file *ast.File) {
		read++
		if slices.Contains(vocabulary, name) {
			return
		}
		find(name, file, func(at token.Pos, word string) {
			found = append(found, fmt.Sprintf("%s:%d: %s", name, files.Position(at).Line, word))
		})
	})
	return read, found, err
}

func TestTypesAndSubjectsAreOnlyInTheVocabulary(t *testing.T) {
	t.Parallel()
	read, found, err := spelledOutside(repository(), "libs", "services")
	if err != nil {
		t.Fatal(err)
	}
	for _, literal := range found {
		t.Errorf("%s: use the constants of libs/event and the functions of libs/event and libs/flow", literal)
	}
	if read < 200 {
		t.Errorf("read only %d files", read)
	}
}

// The test above must find the literals with an expected text, and no others.
func TestLiteralTypesAndSubjectsAreFound(t *testing.T) {
	t.Parallel()
	for literal, want := range map[string]string{
		`"document.sent"`:                                  "document.sent",
		"`it was recorded as document.updated.`":           "document.updated",
		`"signrelay.recipient.signed.v1"`:                  "recipient.signed",
		`"document.unheard-of"`:                            "document.unheard-of",
		`"recipient."`:                                     "recipient.",
		`"signing.v1." + source`:                           "signing.v1.",
		`"signing.v1.*.*.recipient.signed.>"`:              "signing.v1.",
		`"no event matches signing.v1.<source>"`:           "signing.v1.",
		`map[string]string{"document.sent": ""}`:           "document.sent",
		`"notify.v1.send.sms.>"`:                           "notify.v1.send.sms.",
		`"dlq.v1"`:                                         "dlq.v1",
		`"quarantine.v1.acme.clickwrap.not-json"`:          "quarantine.v1.acme.clickwrap.not-json",
		`"replay.v1." + stage`:                             "replay.v1.",
		`"signrelay.signing.v1"`:                           "",
		`"urn:protobuf:signrelay.signing.v1.SigningEvent"`: "",
		`"the document. It"`:                               "",
		`"other"`:                                          "",
		`'x' /* "document.sent" */`:                        "",
	} {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "a.go"), []byte("package a\n\nvar _ = "+literal+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, found, err := spelledOutside(root, ".")
		switch {
		case err != nil:
			t.Errorf("%s: %v", literal, err)
		case want == "" && len(found) > 0, want != "" && !slices.Equal(found, []string{"a.go:3: " + want}):
			t.Errorf("%s: found %q", literal, found)
		}
	}
	root, pack := t.TempDir(), "libs/providers/acme"
	table := "package acme\n\nvar types = map[string]string{\n\t\"document.created\": \"document.sent\",\n}\n"
	if err := os.MkdirAll(filepath.Join(root, pack), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, pack, "types.go"), []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, found, err := spelledOutside(root, "libs"); err != nil || !slices.Equal(found, []string{pack + "/types.go:4: document.sent"}) {
		t.Errorf("in a pack's table: %q, %v", found, err)
	}
}

// Every type of the vocabulary, and so of docs/asyncapi.yaml, is used by code.
func TestEachTypeIsUsed(t *testing.T) {
	t.Parallel()
	used, names := map[string]bool{}, map[string]string{} // by constant
	err := sources(repository(), []string{"libs", "services"}, func(name string, _ *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "event" {
					used[n.Sel.Name] = true
				}
			case *ast.ValueSpec:
				if name != "libs/event/types.go" || len(n.Values) != 1 {
					return true
				}
				if l, ok := n.Values[0].(*ast.BasicLit); ok {
					text, _ := strconv.Unquote(l.Value)
					names[text] = n.Names[0].Name
				}
			}
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range event.Types {
		if constant := names[typ.Name]; !used[constant] {
			t.Errorf("no code outside libs/event names %s (%q)", typ.Name, constant)
		}
	}
}
