package helm_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the table of values into the chart's README")

// The README's table has every value with its default and its comment in values.yaml, and no other row: `go test -run Readme -update`.
func TestReadmeDocumentsEveryValue(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- values: made from values.yaml -->\n", "<!-- end of values -->"
	path := filepath.Join(chartPath, "README.md")
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(readme), begin)
	table, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("README.md lacks the marks for the table, %q and %q", begin, end)
	}
	data, err := os.ReadFile(filepath.Join(chartPath, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values yaml.Node
	if err := yaml.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	rows := valueRows(t, "", values.Content[0])
	if len(rows) < 80 {
		t.Fatalf("read only %d values", len(rows))
	}
	want := "| value | default | |\n|---|---|---|\n" + strings.Join(rows, "")
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Errorf("the README's table is stale: run go test -run Readme -update in tests/helm")
	}
	for _, row := range rows {
		if path, _, _ := strings.Cut(row, "` |"); strings.HasSuffix(row, "|  |\n") && !strings.Contains(path, ".") {
			t.Errorf("values.yaml has no comment on %s", strings.TrimSpace(row))
		}
	}
}

// valueRows are the table's rows of a map: one for each scalar, empty or one-line value.
func valueRows(t *testing.T, above string, of *yaml.Node) (rows []string) {
	t.Helper()
	for i := 0; i < len(of.Content); i += 2 {
		key, value := of.Content[i], of.Content[i+1]
		path := above + key.Value
		if value.Kind == yaml.MappingNode && len(value.Content) > 0 && value.Style&yaml.FlowStyle == 0 {
			if says := commentsOf(key, nil); says != "" {
				rows = append(rows, fmt.Sprintf("| **%s** | | %s |\n", path, says))
			}
			rows = append(rows, valueRows(t, path+".", value)...)
			continue
		}
		var is any
		if err := value.Decode(&is); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(is)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, fmt.Sprintf("| `%s` | `%s` | %s |\n", path, text, commentsOf(key, value)))
	}
	return rows
}

// commentsOf are the comments before and after a value, in one line.
func commentsOf(key, value *yaml.Node) string {
	text := key.HeadComment
	if i := strings.LastIndex(text, "\n\n"); i >= 0 { // a comment before an empty line is about the whole file
		text = text[i:]
	}
	text += "\n" + key.LineComment
	if value != nil {
		text += "\n" + value.LineComment
	}
	var words []string
	for line := range strings.SplitSeq(text, "\n") {
		words = append(words, strings.Fields(strings.TrimPrefix(line, "#"))...)
	}
	return strings.NewReplacer("|", "\\|", "<", "&lt;").Replace(strings.Join(words, " "))
}
