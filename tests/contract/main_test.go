// Package contract_test compares the documents of docs/ with the code, in both directions: the routes respond as documented, and the log
// holds documented events.
package contract_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/signrelay/signrelay/tests/testenv"
)

func TestMain(m *testing.M) {
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.PlainBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/pdf", openapi3filter.FileBodyDecoder)
	status := m.Run()
	testenv.Cleanup()
	os.Exit(status)
}

// read reads a document of docs/, YAML or JSON, as JSON values.
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

// at returns the value at a path of keys in a document.
func at(t *testing.T, document any, path ...string) any {
	t.Helper()
	for _, key := range path {
		object, _ := document.(map[string]any)
		next, found := object[key]
		if !found {
			t.Fatalf("there is no value at %q", path)
		}
		document = next
	}
	return document
}

// compile compiles the schema at a place ("#/…") of a document. Formats are checked, too.
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

// closed makes a schema refuse fields and values that it does not name. The documents are open to later additions, but must describe
// everything that we send today.
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
				continue // "a property that was added later"
			}
			made = append(made, closed(value))
		}
		return made
	default:
		return schema
	}
}
