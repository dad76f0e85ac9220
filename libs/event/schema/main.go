// Command schema writes the JSON Schema of an event: into event.schema.json, and into asyncapi.yaml between the lines
// "# <schemas>" and "# </schemas>". It reads the contract from standard input, as `buf build -o -` writes it in proto/, because only this
// form has the comments.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func main() {
	docs := flag.String("write", "docs", "the folder to write into")
	flag.Parse()
	if err := write(os.Stdin, *docs); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

func write(contract io.Reader, docs string) error {
	event, err := described(contract)
	if err != nil {
		return err
	}
	text, err := standalone(event)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(docs, "event.schema.json"), text, 0o600); err != nil {
		return err
	}
	section, err := section(event)
	if err != nil {
		return err
	}
	return insert(filepath.Join(docs, "asyncapi.yaml"), section)
}

// described returns the event's descriptor with its comments, which the generated Go code does not have.
func described(contract io.Reader) (protoreflect.MessageDescriptor, error) {
	data, err := io.ReadAll(contract)
	if err != nil {
		return nil, err
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("standard input is not a contract: %w", err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, fmt.Errorf("standard input is not a contract: %w", err)
	}
	name := new(signingv1.SigningEvent).ProtoReflect().Descriptor().FullName()
	found, err := files.FindDescriptorByName(name)
	if err != nil {
		return nil, err
	}
	event, ok := found.(protoreflect.MessageDescriptor)
	if !ok || comment(event) == "" {
		return nil, fmt.Errorf("%s is not a message with comments: build it with its source info", name)
	}
	return event, nil
}

// standalone returns the schema as a separate document.
func standalone(event protoreflect.MessageDescriptor) ([]byte, error) {
	s := schema{refs: "#/$defs/"}
	top := yaml.MapSlice{
		{Key: "$schema", Value: "https://json-schema.org/draft/2020-12/schema"},
		{Key: "$id", Value: "urn:jsonschema:" + string(event.FullName())},
		{Key: "title", Value: string(event.Name())},
	}
	message, err := s.message(event)
	if err != nil {
		return nil, err
	}
	top = append(top, message...)
	defs, err := s.others()
	if err != nil {
		return nil, err
	}
	flow, err := yaml.MarshalWithOptions(append(top, yaml.MapItem{Key: "$defs", Value: defs}), yaml.JSON())
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = json.Indent(&text, bytes.TrimSpace(flow), "", "  ")
	text.WriteByte('\n')
	return text.Bytes(), err
}

// section returns the schema for AsyncAPI's components.schemas.
func section(event protoreflect.MessageDescriptor) ([]byte, error) {
	s := schema{refs: "#/components/schemas/"}
	message, err := s.message(event)
	if err != nil {
		return nil, err
	}
	others, err := s.others()
	if err != nil {
		return nil, err
	}
	return yaml.MarshalWithOptions(append(yaml.MapSlice{{Key: string(event.Name()), Value: message}}, others...), yaml.UseLiteralStyleIfMultiline(true))
}

const (
	opening = "    # <schemas>"
	closing = "    # </schemas>"
)

// insert puts the section between its marks, with their indentation.
func insert(path string, section []byte) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(data), opening)
	line, rest, _ := strings.Cut(rest, "\n") // the rest of the mark's line
	_, after, foundEnd := strings.Cut(rest, closing)
	if !found || !foundEnd {
		return fmt.Errorf("%s has no lines %q and %q", path, opening, closing)
	}
	var text strings.Builder
	text.WriteString(before + opening + line + "\n")
	for l := range strings.Lines(string(section)) {
		if l = strings.TrimRight(l, " \n"); l != "" {
			l = strings.Repeat(" ", strings.Index(opening, "#")) + l
		}
		text.WriteString(l + "\n")
	}
	text.WriteString(closing + after)
	return os.WriteFile(path, []byte(text.String()), 0o600)
}
