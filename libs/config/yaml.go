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
	file, targets, err := parseYAML(data)
	if err != nil {
		return nil, err
	}
	if len(file.Docs) > 1 {
		return nil, errors.New("not one YAML document but several: remove the part after ---")
	}
	r := yamlReader{layouts: cfg.layouts(), targets: targets, providers: map[ast.Node]provider{}, left: mostNodes}
	for _, doc := range file.Docs {
		r.read("", doc.Body, cfg.tree())
	}
	if r.left < 0 {
		r.mistakes = append(r.mistakes, fmt.Errorf("the file has more than %d values, including those of its aliases", mostNodes))
	}
	return r.mistakes, nil
}

// parseYAML parses the file with the library, and returns the value of each alias too.
func parseYAML(data []byte) (file *ast.File, targets map[*ast.AliasNode]ast.Node, err error) {
	if tooDeep(data) {
		return nil, nil, fmt.Errorf("its values are nested more than %d deep", deepest)
	}
	defer func() {
		if recover() != nil { // the library panicked on broken files before; it parses one file, at the start
			file, targets, err = nil, nil, errors.New("not YAML")
		}
	}()
	file, err = parser.ParseBytes(data, 0)
	if err != nil {
		// Formatted without the lines around it.
		return nil, nil, errors.New("not YAML: " + strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	aliases := anchors{map[*ast.AliasNode]ast.Node{}, map[string]ast.Node{}}
	for _, doc := range file.Docs {
		ast.Walk(aliases, doc.Body)
	}
	return file, aliases.targets, nil
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
// separate limit: a file of the largest size has 1,400 levels at most. Brackets within texts count too, which only makes it stricter.
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
	layouts   map[string]*layout          // of the sources, by provider
	targets   map[*ast.AliasNode]ast.Node // the value of each alias that has an anchor above it
	providers map[ast.Node]provider       // of the mappings of sources
	source    *Source                     // the walk is in its settings
	above     string                      // the prefix of its keys
	within    []ast.Node                  // the aliases that the walk follows now
	left      int                         // the remaining number of values
	mistakes  []error
}

// anchors finds the value of each alias: that of the last anchor of its name above it.
type anchors struct {
	targets map[*ast.AliasNode]ast.Node
	above   map[string]ast.Node
}

// Visit implements ast.Visitor.
func (a anchors) Visit(node ast.Node) ast.Visitor {
	switch n := node.(type) {
	case *ast.AnchorNode:
		a.above[n.Name.GetToken().Value] = n.Value
	case *ast.AliasNode:
		if target, ok := a.above[n.Value.GetToken().Value]; ok {
			a.targets[n] = target
		}
	}
	return a
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

// read reads one node into the value of that key, and reports whether the key has a value. A key without a value keeps its present value.
func (r *yamlReader) read(key string, node ast.Node, into reflect.Value) (present bool) {
	if r.left--; r.left < 0 {
		return false
	}
	into = reflect.Indirect(into)
	defer r.leave(len(r.within))
	node = r.resolve(key, node)
	if node == nil || node.Type() == ast.NullType {
		return false
	}
	isList := into.Kind() == reflect.Slice
	switch n := node.(type) {
	case *ast.MappingNode:
		if into.Kind() != reflect.Struct {
			r.mistake(key, n, "want %s, not keys and values", wanted(into))
			return true
		}
		r.readStruct(key, n.Values, into)
	case *ast.SequenceNode:
		if !isList {
			r.mistake(key, n, "want %s, not a list", wanted(into))
			return true
		}
		list := reflect.MakeSlice(into.Type(), len(n.Values), len(n.Values))
		for i, item := range n.Values {
			r.readItem(fmt.Sprintf("%s[%d]", key, i), item, list.Index(i))
		}
		into.Set(list)
	default:
		text, ok := scalarText(n)
		if !ok || isList || into.Kind() == reflect.Struct {
			r.mistake(key, n, "want %s, not a single value", wanted(into))
			return true
		}
		if err := (setting{value: into}).set(text, ","); err != nil {
			r.mistake(key, n, "%w", err)
		}
	}
	return true
}

// readItem reads one item of a list. The provider of a source decides which settings it has.
func (r *yamlReader) readItem(key string, node ast.Node, into reflect.Value) {
	source, ok := into.Addr().Interface().(*Source)
	if !ok {
		r.read(key, node, into)
		return
	}
	if r.left <= 0 { // one value more, so that the file is refused
		r.left = -1
		return
	}
	l := r.layouts[r.providerOf(node).name]
	if l == nil {
		l = r.layouts[""]
	}
	source.provided = l.provide()
	r.source, r.above = source, key+"."
	r.read(key, node, source.tree())
}

// provider is the value of a source's key of that name.
type provider struct {
	name string
	set  bool
}

// providerOf returns the provider that read will find in a source: the value in the mapping itself, or else that of the last mapping which it
// merges.
func (r *yamlReader) providerOf(node ast.Node) (found provider) {
	node = r.value(node)
	var pairs []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		return provider{}
	}
	if known, ok := r.providers[node]; ok {
		return known
	}
	r.providers[node] = provider{} // for a mapping that merges itself
	for _, pair := range pairs {
		if pair.Key.IsMergeKey() {
			if merged := r.providerOf(pair.Value); merged.set {
				found = merged
			}
		}
	}
	for _, pair := range pairs {
		if !pair.Key.IsMergeKey() && pair.Key.GetToken().Value == "provider" {
			if value := r.value(pair.Value); value != nil && value.Type() != ast.NullType {
				if text, ok := scalarText(value); ok {
					found = provider{clean(text), true}
				}
			}
		}
	}
	r.providers[node] = found
	return found
}

// mostAliases is the maximum number of aliases of aliases that value follows. The walk reports a circle of them.
const mostAliases = 100

// value returns the value of a node behind its anchors, aliases and tags.
func (r *yamlReader) value(node ast.Node) ast.Node {
	for range mostAliases {
		switch n := node.(type) {
		case *ast.AnchorNode:
			node = n.Value
		case *ast.AliasNode:
			node = r.targets[n]
		case *ast.TagNode:
			node = n.Value
		default:
			return node
		}
	}
	return nil
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
			field := into.Type().Field(i)
			tag := field.Tag.Get("yaml")
			switch tag {
			case "-":
			case name:
				found = true
				if r.read(full, pair.Value, into.Field(i)) && field.Tag.Get("unused") != "" {
					r.source.notUsed(strings.TrimPrefix(full, r.above))
				}
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

// resolve follows anchors, aliases and tags to their values, and records the aliases that it follows; it returns nil after it has reported a
// mistake.
func (r *yamlReader) resolve(key string, node ast.Node) ast.Node {
	for {
		switch n := node.(type) {
		case *ast.AnchorNode:
			node = n.Value
		case *ast.AliasNode:
			target, ok := r.targets[n]
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
