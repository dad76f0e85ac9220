package contract_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// documentedTypes are the canonical types with a message in asyncapi.yaml.
func documentedTypes(t *testing.T, document map[string]any) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(at(t, document, "channels", "log", "messages").(map[string]any)))
}

// A message's name, its ce-type and its place in the channel name the same type, and each message is in a channel.
func TestEachTypeHasItsMessage(t *testing.T) {
	t.Parallel()
	document := read(t, "asyncapi.yaml")
	used := map[string]bool{}
	for channel := range at(t, document, "channels").(map[string]any) {
		for name, message := range at(t, document, "channels", channel, "messages").(map[string]any) {
			used[name] = true
			if ref := at(t, message, "$ref"); ref != "#/components/messages/"+name {
				t.Errorf("%s in channel %s is %s", name, channel, ref)
			}
		}
	}
	for name := range at(t, document, "components", "messages").(map[string]any) {
		if !used[name] {
			t.Errorf("message %s is in no channel", name)
		}
	}
	for _, typ := range documentedTypes(t, document) {
		message := at(t, document, "components", "messages", typ)
		want := "signrelay." + typ + ".v1"
		if name := at(t, message, "name"); name != want {
			t.Errorf("%s is called %s", typ, name)
		}
		if c := at(t, message, "headers", "properties", "ce-type", "const"); c != want {
			t.Errorf("%s has the ce-type %s", typ, c)
		}
	}
}

// The fields that all messages share are in a trait; headersOf merges them into the message.
func headersOf(t *testing.T, document map[string]any, message string) *jsonschema.Schema {
	t.Helper()
	m := at(t, document, "components", "messages", message).(map[string]any)
	var merged any
	for _, trait := range m["traits"].([]any) {
		name := at(t, trait, "$ref").(string)
		merged = merge(merged, at(t, document, "components", "messageTraits", name[strings.LastIndex(name, "/")+1:], "headers"))
	}
	return compile(t, closed(merge(merged, m["headers"])).(map[string]any), "")
}

// merge is JSON Merge Patch (RFC 7396) without nulls.
func merge(base, patch any) any {
	object, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	made := map[string]any{}
	if b, ok := base.(map[string]any); ok {
		maps.Copy(made, b)
	}
	for key, value := range object {
		made[key] = merge(made[key], value)
	}
	return made
}

func TestExamplesAreEvents(t *testing.T) {
	t.Parallel()
	document := read(t, "asyncapi.yaml")
	payload := compile(t, closed(document).(map[string]any), "#/components/schemas/SigningEvent")
	examples := 0
	for name, message := range at(t, document, "components", "messages").(map[string]any) {
		list, _ := message.(map[string]any)["examples"].([]any)
		for _, example := range list {
			examples++
			if err := headersOf(t, document, name).Validate(at(t, example, "headers")); err != nil {
				t.Errorf("headers of the example of %s: %v", name, err)
			}
			if err := payload.Validate(at(t, example, "payload")); err != nil {
				t.Errorf("payload of the example of %s: %v", name, err)
			}
		}
	}
	if examples == 0 {
		t.Error("no message has an example")
	}
}

// The subjects and the topic equal those of the flow and of the settings.
func TestChannelsMatchTheFlow(t *testing.T) {
	t.Parallel()
	document := read(t, "asyncapi.yaml")
	address := at(t, document, "channels", "log", "address").(string)
	if stream := flow.Streams[0]; stream.Name != flow.Signing || !strings.HasPrefix(address, strings.TrimSuffix(stream.Subjects[0], ">")) {
		t.Errorf("%s is not on the stream %s, %v", address, stream.Name, stream.Subjects)
	}
	settings := kafkasettings.Section.Default
	topic := at(t, document, "channels", "topic")
	bindings := at(t, topic, "bindings", "kafka")
	for name, pair := range map[string][2]string{
		"address":    {at(t, topic, "address").(string), settings.Topic},
		"topic":      {at(t, bindings, "topic").(string), settings.Topic},
		"partitions": {number(at(t, bindings, "partitions")), strconv.Itoa(settings.Partitions)},
		"replicas":   {number(at(t, bindings, "replicas")), strconv.Itoa(settings.ReplicationFactor)},
		"retention":  {number(at(t, bindings, "topicConfiguration", "retention.ms")), strconv.FormatInt(flow.Streams[0].MaxAge.Milliseconds(), 10)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s of the topic is documented as %s and is %s", name, pair[0], pair[1])
		}
	}
}

func number(value any) string {
	n, _ := value.(interface{ String() string })
	return n.String()
}

// asyncapi.yaml has a message for each type of the vocabulary, with the same description.
func TestTypesMatchTheVocabulary(t *testing.T) {
	t.Parallel()
	document := read(t, "asyncapi.yaml")
	documented := documentedTypes(t, document)
	for _, typ := range event.Types {
		if !slices.Contains(documented, typ.Name) {
			t.Errorf("libs/event has the type %s, which asyncapi.yaml lacks", typ.Name)
		} else if summary := at(t, document, "components", "messages", typ.Name, "summary"); summary != typ.Meaning {
			t.Errorf("%s: asyncapi.yaml has the summary %q, libs/event has %q", typ.Name, summary, typ.Meaning)
		}
	}
	for _, name := range documented {
		if !slices.ContainsFunc(event.Types, func(typ event.Type) bool { return typ.Name == name }) {
			t.Errorf("asyncapi.yaml has the type %s, which libs/event lacks", name)
		}
	}
}

// literal returns the text of a string literal.
func literal(n ast.Node) (string, bool) {
	l, ok := n.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	word, err := strconv.Unquote(l.Value)
	return word, err == nil
}

func eachFile(t *testing.T, folder string, do func(path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		do(path, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
