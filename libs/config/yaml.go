package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// readYAML reads the file into cfg, over its present values, and returns all mistakes.
//
// The library parses. The walk over its tree is our own code for three reasons: the library's strict mode stops at the first mistake; its
// messages quote the lines around it, which may contain secrets; and it reads an unquoted 0x1234 or +4477 as a number even for a text
// setting, which would silently change a secret. This walk takes a scalar as written.
//
// err means that the file is not a settings file at all.
func readYAML(data []byte, cfg *Config) (mistakes []error, err error) {
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, errors.New("not text in UTF-8: it has NUL characters in it")
	}
	file, err := parseYAML(data)
	if err != nil {
		return nil, err
	}
	if len(file.Docs) > 1 {
		return nil, errors.New("not one YAML document but several: remove the part after ---")
	}
	r := yamlReader{anchors: map[string]ast.Node{}, left: mostNodes}
	for _, doc := range file.Docs {
		r.read("", doc.Body, cfg.tree())
	}
	if r.left < 0 {
		r.mistakes = append(r.mistakes, fmt.Errorf("the file has more than %d values, including those of its aliases", mostNodes))
	}
	return r.mistakes, nil
}

// parseYAML parses the file with the library.
func parseYAML(data []byte) (file *ast.File, err error) {
	if tooDeep(data) {
		return nil, fmt.Errorf("its values are nested more than %d deep", deepest)
	}
	defer func() {
		if recover() != nil { // the library panicked on broken files before; it parses one file, at the start
			file, err = nil, errors.New("not YAML")
		}
	}()
	file, err = parser.ParseBytes(data, 0)
	if err != nil {
		// Formatted without the lines around it.
		err = errors.New("not YAML: " + strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	return file, err
}

// Limits on a file. The settings are nested 5 deep, and a thousand sources with everything set have 30,000 values.
const (
	deepest      = 100
	mostNodes    = 200_000
	mostMistakes = 100
)

// inOneLine is the limit of nesting in one line: dashes, question marks, anchors, tags, aliases and keys in a row. No person writes so many.
var inOneLine = regexp.MustCompile(`(?:(?:[-?&!*]\S*|\S*:)[ \t]+){100}`)

// tooDeep reports whether the library would nest its calls deeper than a stack allows, or take minutes. Nesting by indentation needs no
// limit of its own: a file of the largest size has 1,400 levels at most. Brackets within texts count too, which only makes it stricter.
func tooDeep(data []byte) bool {
	depth := 0
	for _, c := range data {
		switch c {
		case '[', '{':
			if depth++; depth > deepest {
				return true
			}
		case ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return inOneLine.Match(data)
}

type yamlReader struct {
	anchors  map[string]ast.Node
	within   []ast.Node // the aliases that the walk follows now
	left     int        // the remaining number of values
	mistakes []error
}

func (r *yamlReader) mistake(key string, at ast.Node, format string, args ...any) {
	if len(r.mistakes) >= mostMistakes {
		return
	}
	if key == "" {
		key = "the file"
	}
	where := fmt.Errorf("%s (line %d)", shown(key), at.GetToken().Position.Line)
	r.mistakes = append(r.mistakes, fmt.Errorf("%w: "+format, append([]any{where}, args...)...))
}

// read reads one node into the value of that key. A key without a value keeps its present value.
func (r *yamlReader) read(key string, node ast.Node, into reflect.Value) {
	if r.left--; r.left < 0 {
		return
	}
	into = reflect.Indirect(into)
	defer r.leave(len(r.within))
	node = r.resolve(key, node)
	if node == nil || node.Type() == ast.NullType {
		return
	}
	isList := into.Kind() == reflect.Slice
	switch n := node.(type) {
	case *ast.MappingNode:
		if into.Kind() != reflect.Struct {
			r.mistake(key, n, "want %s, not keys and values", wanted(into))
			return
		}
		r.readStruct(key, n.Values, into)
	case *ast.SequenceNode:
		if !isList {
			r.mistake(key, n, "want %s, not a list", wanted(into))
			return
		}
		list := reflect.MakeSlice(into.Type(), len(n.Values), len(n.Values))
		for i, item := range n.Values {
			r.read(fmt.Sprintf("%s[%d]", key, i), item, list.Index(i))
		}
		into.Set(list)
	default:
		text, ok := scalarText(n)
		if !ok || isList || into.Kind() == reflect.Struct {
			r.mistake(key, n, "want %s, not a single value", wanted(into))
			return
		}
		if err := (setting{value: into}).set(text, ","); err != nil {
			r.mistake(key, n, "%w", err)
		}
	}
}

func (r *yamlReader) readStruct(key string, pairs []*ast.MappingValueNode, into reflect.Value) {
	for _, pair := range pairs {
		if !pair.Key.IsMergeKey() {
			continue
		}
		// Merged keys come first, because the mapping's own keys take precedence.
		before, wrong := len(r.within), len(r.mistakes)
		if merged, ok := r.resolve(key, pair.Value).(*ast.MappingNode); ok {
			r.readStruct(key, merged.Values, into)
		} else if len(r.mistakes) == wrong {
			r.mistake(key, pair, "<< wants an alias of keys and values")
		}
		r.leave(before)
	}
	for _, pair := range pairs {
		if r.left--; r.left < 0 {
			return
		}
		if pair.Key.IsMergeKey() {
			continue
		}
		name := pair.Key.GetToken().Value
		full := strings.TrimPrefix(key+"."+name, ".")
		var known []string
		found := false
		for i := range into.NumField() {
			tag := into.Type().Field(i).Tag.Get("yaml")
			switch tag {
			case "-":
			case name:
				found = true
				r.read(full, pair.Value, into.Field(i))
			default:
				known = append(known, tag)
			}
		}
		if !found {
			r.mistake(full, pair.Key, "unknown key%s", DidYouMean(name, known))
		}
	}
}

// leave ends the walk over the targets of the latest aliases.
func (r *yamlReader) leave(to int) { r.within = r.within[:to] }

// resolve follows anchors, aliases and tags to their values, and records the aliases; it returns nil after it has reported a mistake.
func (r *yamlReader) resolve(key string, node ast.Node) ast.Node {
	for {
		switch n := node.(type) {
		case *ast.AnchorNode:
			r.anchors[n.Name.GetToken().Value] = n.Value
			node = n.Value
		case *ast.AliasNode:
			target, ok := r.anchors[n.Value.GetToken().Value]
			if !ok {
				r.mistake(key, n, "there is no anchor of that name above")
				return nil
			}
			if slices.Contains(r.within, target) {
				r.mistake(key, n, "the alias is inside its own anchor: write the value without an alias")
				return nil
			}
			r.within = append(r.within, target)
			node = target
		case *ast.TagNode:
			node = n.Value
		case *ast.MappingValueNode:
			return ast.Mapping(n.GetToken(), false, n)
		default:
			return node
		}
	}
}

// scalarText returns the scalar as written, without its quotes.
func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case ast.ScalarNode:
		return n.GetToken().Value, true
	default:
		return "", false
	}
}

func wanted(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Slice:
		return "a list"
	case reflect.Struct:
		return "keys and values"
	default:
		return "a single value"
	}
}
