// Package contract_test holds the documents of docs/ against the code: what is documented is what the doors answer and the log
// holds, and the other way round.
package contract_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/signrelay/signrelay/tests/testenv"
)

func TestMain(m *testing.M) {
	status := m.Run()
	testenv.Cleanup()
	os.Exit(status)
}

// read is a document of docs/, YAML or JSON, as JSON values.
func read(t *testing.T, name string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return parse(t, text).(map[string]any)
}

func parse(t *testing.T, text []byte) any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return value
}

// at is what stands in a document under a path of keys.
func at(t *testing.T, document any, path ...string) any {
	t.Helper()
	for _, key := range path {
		object, _ := document.(map[string]any)
		next, found := object[key]
		if !found {
			t.Fatalf("nothing stands under %q", path)
		}
		document = next
	}
	return document
}

// compile is the schema at a place ("#/…") of a document. Formats are checked, not only noted.
func compile(t *testing.T, document map[string]any, place string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	const name = "urn:document"
	delete(document, "$id")
	if err := c.AddResource(name, document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name + place)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// closed is a schema that takes no field and no value that it does not name: a document is open to what is added later, and what
// we send today must all be in it.
func closed(schema any) any {
	switch s := schema.(type) {
	case map[string]any:
		made := map[string]any{}
		for key, value := range s {
			made[key] = closed(value)
		}
		if _, object := s["properties"].(map[string]any); object && s["additionalProperties"] == nil {
			made["additionalProperties"] = false
		}
		return made
	case []any:
		var made []any
		for _, value := range s {
			if object, _ := value.(map[string]any); object["pattern"] != nil && object["type"] == nil {
				continue // "one that was added later"
			}
			made = append(made, closed(value))
		}
		return made
	default:
		return schema
	}
}
