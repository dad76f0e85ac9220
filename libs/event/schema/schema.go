package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// These rules are only in the contract's comments. The tests of docs/ check that every event of the samples follows them.
var (
	required = map[protoreflect.FullName][]string{
		"signrelay.signing.v1.SigningEvent": {"id", "source", "provider", "type", "verification"},
	}
	patterns = map[protoreflect.FullName]string{
		"signrelay.signing.v1.SigningEvent.id":       "^[0-9a-v]{26}$",
		"signrelay.signing.v1.SigningEvent.source":   "^[a-z0-9-]{1,32}$",
		"signrelay.signing.v1.SigningEvent.provider": "^[a-z0-9-]+$",
		"signrelay.signing.v1.SigningEvent.type":     `^[a-z]+\.[a-z-]+$`,
	}
)

// schema describes the output of protojson: names in lower camel case, no empty fields, enums by name. Objects and enums are open: fields
// and values are added within a version of the contract, and an older schema must still accept newer events.
type schema struct {
	refs string // the prefix of a reference to another message
	seen []protoreflect.MessageDescriptor
}

func (s *schema) message(m protoreflect.MessageDescriptor) (yaml.MapSlice, error) {
	var properties yaml.MapSlice
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		p, err := s.field(f)
		if err != nil {
			return nil, err
		}
		properties = append(properties, yaml.MapItem{Key: f.JSONName(), Value: p})
	}
	object := yaml.MapSlice{{Key: "description", Value: comment(m)}, {Key: "type", Value: "object"}}
	if names := required[m.FullName()]; names != nil {
		object = append(object, yaml.MapItem{Key: "required", Value: names})
	}
	return append(object, yaml.MapItem{Key: "properties", Value: properties}), nil
}

func (s *schema) field(f protoreflect.FieldDescriptor) (yaml.MapSlice, error) {
	described := yaml.MapSlice{{Key: "description", Value: comment(f)}}
	switch {
	case f.IsMap():
		value, err := s.value(f.MapValue())
		return append(described, yaml.MapItem{Key: "type", Value: "object"}, yaml.MapItem{Key: "additionalProperties", Value: value}), err
	case f.IsList():
		value, err := s.value(f)
		return append(described, yaml.MapItem{Key: "type", Value: "array"}, yaml.MapItem{Key: "items", Value: value}), err
	default:
		value, err := s.value(f)
		return append(described, value...), err
	}
}

// value returns the schema of a field's value, or of each of its values.
func (s *schema) value(f protoreflect.FieldDescriptor) (yaml.MapSlice, error) {
	switch {
	case f.Kind() == protoreflect.StringKind && patterns[f.FullName()] != "":
		return yaml.MapSlice{{Key: "type", Value: "string"}, {Key: "pattern", Value: patterns[f.FullName()]}}, nil
	case f.Kind() == protoreflect.StringKind:
		return yaml.MapSlice{{Key: "type", Value: "string"}}, nil
	case f.Kind() == protoreflect.BytesKind:
		return yaml.MapSlice{{Key: "type", Value: "string"}, {Key: "contentEncoding", Value: "base64"}}, nil
	case f.Kind() == protoreflect.BoolKind:
		return yaml.MapSlice{{Key: "type", Value: "boolean"}}, nil
	case f.Kind() == protoreflect.Uint32Kind:
		return yaml.MapSlice{{Key: "type", Value: "integer"}, {Key: "minimum", Value: 0}, {Key: "maximum", Value: uint32(math.MaxUint32)}}, nil
	case f.Kind() == protoreflect.Uint64Kind: // a text in protobuf's JSON, because many readers of JSON lose digits of larger numbers
		return yaml.MapSlice{{Key: "type", Value: "string"}, {Key: "pattern", Value: "^[0-9]+$"}}, nil
	case f.Kind() == protoreflect.EnumKind:
		return enum(f.Enum()), nil
	case f.Kind() == protoreflect.MessageKind && f.Message().FullName() == "google.protobuf.Timestamp":
		return yaml.MapSlice{{Key: "type", Value: "string"}, {Key: "format", Value: "date-time"}}, nil
	case f.Kind() == protoreflect.MessageKind:
		if !slices.Contains(s.seen, f.Message()) {
			s.seen = append(s.seen, f.Message())
		}
		// In allOf, because AsyncAPI's older dialect ignores keywords beside a $ref.
		return yaml.MapSlice{{Key: "allOf", Value: []yaml.MapSlice{{{Key: "$ref", Value: s.refs + string(f.Message().Name())}}}}}, nil
	default:
		return nil, fmt.Errorf("%s: the schema does not support the kind %s yet", f.FullName(), f.Kind())
	}
}

// enum returns the schema of an enum: each name with its meaning, and any name that a later release adds.
func enum(e protoreflect.EnumDescriptor) yaml.MapSlice {
	var names []yaml.MapSlice
	var prefix string
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		if v.Number() == 0 { // protojson omits it
			prefix = strings.TrimSuffix(string(v.Name()), "UNSPECIFIED")
			continue
		}
		names = append(names, yaml.MapSlice{{Key: "const", Value: string(v.Name())}, {Key: "description", Value: comment(v)}})
	}
	later := yaml.MapSlice{{Key: "pattern", Value: "^" + prefix + "[A-Z_]+$"}, {Key: "description", Value: "A value that was added later."}}
	return yaml.MapSlice{{Key: "type", Value: "string"}, {Key: "anyOf", Value: append(names, later)}}
}

// others returns the schemas of the referenced messages, in the order of their first reference.
func (s *schema) others() (yaml.MapSlice, error) {
	var all yaml.MapSlice
	for len(all) < len(s.seen) { // the list grows in the loop
		next := s.seen[len(all)]
		m, err := s.message(next)
		if err != nil {
			return nil, err
		}
		all = append(all, yaml.MapItem{Key: string(next.Name()), Value: m})
	}
	return all, nil
}

// comment returns the contract's comment on d, with joined lines and separate paragraphs.
func comment(d protoreflect.Descriptor) string {
	text := d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments
	paragraphs := strings.Split(strings.TrimSpace(text), "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.Join(strings.Fields(p), " ")
	}
	return strings.Join(paragraphs, "\n\n")
}
