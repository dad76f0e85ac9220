package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// What the contract says in words only. The tests of docs/ see that every event of the samples keeps it.
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

// schema describes what protojson writes: names in lower camel case, empty fields left out, enums by name. Objects and enums
// are open: within a version of the contract fields and values are added, and who checks with an older schema must not trip.
type schema struct {
	refs string // what a reference to another message begins with
	met  []protoreflect.MessageDescriptor
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

// value is what a field's value looks like, or each of its values.
func (s *schema) value(f protoreflect.FieldDescriptor) (yaml.MapSlice, error) {
	switch {
	case f.Kind() == protoreflect.StringKind && patterns[f.FullName()] != "":
		return yaml.MapSlice{{Key: "type", Value: "string"}, {Key: "pattern", Value: patterns[f.FullName()]}}, nil
	case f.Kind() == protoreflect.StringKind:
		return yaml.MapSlice{{Key: "type", Value: "string"}}, nil
	case f.Kind() == protoreflect.BoolKind:
		return yaml.MapSlice{{Key: "type", Value: "boolean"}}, nil
	case f.Kind() == protoreflect.Uint32Kind:
		return yaml.MapSlice{{Key: "type", Value: "integer"}, {Key: "minimum", Value: 0}, {Key: "maximum", Value: uint32(math.MaxUint32)}}, nil
	case f.Kind() == protoreflect.EnumKind:
		return enum(f.Enum()), nil
	case f.Kind() == protoreflect.MessageKind && f.Message().FullName() == "google.protobuf.Timestamp":
		return yaml.MapSlice{{Key: "type", Value: "string"}, {Key: "format", Value: "date-time"}}, nil
	case f.Kind() == protoreflect.MessageKind:
		if !slices.Contains(s.met, f.Message()) {
			s.met = append(s.met, f.Message())
		}
		// Beside other keywords, as AsyncAPI's older dialect takes it.
		return yaml.MapSlice{{Key: "allOf", Value: []yaml.MapSlice{{{Key: "$ref", Value: s.refs + string(f.Message().Name())}}}}}, nil
	default:
		return nil, fmt.Errorf("%s: nobody has said yet how protojson writes %s", f.FullName(), f.Kind())
	}
}

// enum is each name with its meaning, and any name that may come.
func enum(e protoreflect.EnumDescriptor) yaml.MapSlice {
	var names []yaml.MapSlice
	var prefix string
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		if v.Number() == 0 { // protojson leaves it out
			prefix = strings.TrimSuffix(string(v.Name()), "UNSPECIFIED")
			continue
		}
		names = append(names, yaml.MapSlice{{Key: "const", Value: string(v.Name())}, {Key: "description", Value: comment(v)}})
	}
	later := yaml.MapSlice{{Key: "pattern", Value: "^" + prefix + "[A-Z_]+$"}, {Key: "description", Value: "One that was added later."}}
	return yaml.MapSlice{{Key: "type", Value: "string"}, {Key: "anyOf", Value: append(names, later)}}
}

// others are the messages that were met on the way, in the order in which they were.
func (s *schema) others() (yaml.MapSlice, error) {
	var all yaml.MapSlice
	for len(all) < len(s.met) { // which grows
		next := s.met[len(all)]
		m, err := s.message(next)
		if err != nil {
			return nil, err
		}
		all = append(all, yaml.MapItem{Key: string(next.Name()), Value: m})
	}
	return all, nil
}

// comment is what the contract says of d: lines joined, paragraphs kept.
func comment(d protoreflect.Descriptor) string {
	text := d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments
	paragraphs := strings.Split(strings.TrimSpace(text), "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.Join(strings.Fields(p), " ")
	}
	return strings.Join(paragraphs, "\n\n")
}
