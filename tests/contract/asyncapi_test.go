package contract_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/house"
)

// documentedTypes are the canonical types that asyncapi.yaml has a message for.
func documentedTypes(t *testing.T, document map[string]any) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(at(t, document, "channels", "log", "messages").(map[string]any)))
}

// A message's name, its ce-type, and its place in the channel all say the same type, and no message is in no channel.
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

// What a type's message has in common with all others stands in a trait; this is the message with it.
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

func TestTheExamplesAreEvents(t *testing.T) {
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

// The subjects and the topic are those of the flow and of the settings.
func TestTheChannelsAreThoseOfTheFlow(t *testing.T) {
	t.Parallel()
	document := read(t, "asyncapi.yaml")
	address := at(t, document, "channels", "log", "address").(string)
	if stream := flow.Streams[0]; stream.Name != flow.Signing || !strings.HasPrefix(address, strings.TrimSuffix(stream.Subjects[0], ">")) {
		t.Errorf("%s is not on the stream %s, %v", address, stream.Name, stream.Subjects)
	}
	settings := config.Default().Kafka
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

// Words that look like types of ours: the providers' own, and a file's name.
var noTypes = []string{"document.complete", "document.void", "recipient.complete", "recipient.failed", "document.pdf"}

var looksLikeAType = regexp.MustCompile(`^(document|recipient|agreement|endpoint|other|notification|link|reminder|replay)\.[a-z-]+$`)

// Every type that the code names is documented, and every documented type is named in the code. The sandbox names
// what happens in words of its own.
func TestTheTypesAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for _, folder := range []string{"libs/providers", "libs/notification", "services/enricher", "services/shortener", "services/sms-sender", "services/email-sender", "services/standalone/cmd/signrelay"} {
		for word := range literals(t, filepath.Join(house.Root(), folder)) {
			if looksLikeAType.MatchString(word) && !slices.Contains(noTypes, word) {
				found[word] = true
			}
		}
	}
	documented := documentedTypes(t, read(t, "asyncapi.yaml"))
	for _, typ := range documented {
		if !found[typ] {
			t.Errorf("asyncapi.yaml has the type %s, which nothing in the code names", typ)
		}
		delete(found, typ)
	}
	for typ := range found {
		t.Errorf("the code names the type %s, which asyncapi.yaml does not have", typ)
	}
}

// literals are the texts that stand in the folder's Go code, but for its tests.
func literals(t *testing.T, folder string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	eachFile(t, folder, func(_ string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if word, ok := literal(n); ok {
				found[word] = true
			}
			return true
		})
	})
	return found
}

// literal is the text of a node that is one.
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
