// Package jsonflat turns a provider's callback into flat fields: names of nested objects are joined by dots, and every other value is one
// text. It ensures that no field is lost: a field is either moved to its canonical place, or becomes an attribute.
//
// This package only checks and splits bytes. That takes a sixth of the time of decoding into map[string]any, and keeps data that a map would
// lose: the order, the digits of numbers, and repeated names.
package jsonflat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// MaxDepth is the maximum depth of nested objects and arrays. Providers' callbacks have two or three levels.
const MaxDepth = 64

// The flat form may be this much larger than the input: a long name in front of very many leaves would otherwise make gigabytes out of one
// megabyte. Real callbacks grow by less than half.
const (
	mayGrow  = 16   // times
	mayStart = 4096 // additional bytes
)

// Object is the flat form of one JSON object or one form.
type Object struct {
	fields  []field
	index   map[string]int // of fields, by key; nil while there are few
	repeats map[string]int // how often a key was repeated
	size    int            // bytes of keys and texts
	limit   int
}

type field struct {
	key, text string
	scalar    bool // a string or a number, which can be the value of a canonical field
	taken     bool
}

// Parse reads one JSON object. Its error is a *pack.UnreadableError.
func Parse(data []byte) (*Object, error) {
	data = pack.TrimBOM(data)
	if err := check(data); err != nil {
		return nil, err
	}
	r := &reader{s: string(data)}
	r.space()
	if r.s[r.at] != '{' {
		return nil, &pack.UnreadableError{Reason: "not-json", Detail: "not a JSON object"}
	}
	return r.flat(len(data))
}

// Items splits a JSON array into its items and leaves their bytes unchanged. It does not parse the items, so that an item that
// is not JSON does not affect the others. It skips empty items, such as the one after a trailing comma. If it cannot split the
// data, it returns a *pack.UnreadableError.
func Items(data []byte) ([][]byte, error) {
	data = bytes.Trim(pack.TrimBOM(data), " \t\r\n")
	if len(data) == 0 || data[0] != '[' {
		return nil, noArray(data)
	}
	var items [][]byte
	start, depth, inText := 1, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '[', c == '{':
			depth++
		case c == ']', c == '}':
			depth--
		}
		if inText || depth > 1 || depth == 1 && data[i] != ',' {
			continue
		}
		if item := bytes.Trim(data[start:i], " \t\r\n"); len(item) > 0 {
			items = append(items, item)
		}
		start = i + 1
		if depth == 1 {
			continue
		}
		if data[i] != ']' || start < len(data) {
			return nil, noArray(data)
		}
		return items, nil
	}
	return nil, noArray(data)
}

func noArray(data []byte) error {
	if err := check(data); err != nil {
		return err
	}
	return &pack.UnreadableError{Reason: "not-json", Detail: "not a JSON array"}
}

// Form reads the fields of a form or a query: each is a text. A repeated name becomes name#2.
func Form(values url.Values) (*Object, error) {
	o := newObject(len(values), -1)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		for _, text := range values[key] {
			if !utf8.ValidString(key) || !utf8.ValidString(text) {
				return nil, &pack.UnreadableError{Reason: "not-text", Detail: "a field of the form is not UTF-8"}
			}
			o.add(key, text, true)
		}
	}
	return o, nil
}

// fewFields is the number of fields up to which a search is as fast as a map, which takes a microsecond to make.
const fewFields = 32

// find returns the index of a key's field.
func (o *Object) find(key string) (i int, ok bool) {
	if o.index != nil {
		i, ok = o.index[key]
		return i, ok
	}
	for i := range o.fields {
		if o.fields[i].key == key {
			return i, true
		}
	}
	return 0, false
}

// Peek returns the string or number under key as text; "" if there is none.
func (o *Object) Peek(key string) string {
	if i, ok := o.find(key); ok && o.fields[i].scalar {
		return o.fields[i].text
	}
	return ""
}

// Text returns the value of any kind under key as text; "" if there is none.
func (o *Object) Text(key string) string {
	if i, ok := o.find(key); ok {
		return o.fields[i].text
	}
	return ""
}

// Take works like Peek, for a value that becomes a canonical field: it is no longer an attribute. An empty value stays an attribute, so that
// it differs from a missing one.
func (o *Object) Take(key string) string {
	i, ok := o.find(key)
	if !ok || !o.fields[i].scalar || o.fields[i].text == "" {
		return ""
	}
	o.fields[i].taken = true
	return o.fields[i].text
}

// Drop removes a field whose value is already stored elsewhere.
func (o *Object) Drop(key string) {
	if i, ok := o.find(key); ok {
		o.fields[i].taken = true
	}
}

// Set replaces the text under an existing key.
func (o *Object) Set(key, text string) {
	if i, ok := o.find(key); ok {
		o.fields[i].text = text
	}
}

// Keys returns the keys in their original order.
func (o *Object) Keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range o.fields {
			if !yield(o.fields[i].key) {
				return
			}
		}
	}
}

// Attributes returns all fields that were not taken; nil if there are none.
func (o *Object) Attributes() map[string]string {
	var attributes map[string]string
	for _, f := range o.fields {
		if f.taken {
			continue
		}
		if attributes == nil {
			attributes = make(map[string]string, len(o.fields))
		}
		attributes[f.key] = f.text
	}
	return attributes
}

func newObject(fields, limit int) *Object {
	return &Object{fields: make([]field, 0, fields), limit: limit}
}

// add keeps a field, under key#2, key#3, … if the key already exists: {"a.b":1,"a":{"b":2}} has two values for a.b, and {"a":1,"a":2} has two
// for a.
func (o *Object) add(key, text string, scalar bool) bool {
	if _, there := o.find(key); there {
		if o.repeats == nil {
			o.repeats = map[string]int{}
		}
		first, n := key, max(o.repeats[key], 1)
		for there {
			n++
			key = first + "#" + strconv.Itoa(n)
			_, there = o.find(key)
		}
		o.repeats[first] = n
	}
	if o.index != nil {
		o.index[key] = len(o.fields)
	}
	o.fields = append(o.fields, field{key: key, text: text, scalar: scalar})
	if o.index == nil && len(o.fields) > fewFields {
		o.index = make(map[string]int, 2*len(o.fields))
		for i, f := range o.fields {
			o.index[f.key] = i
		}
	}
	o.size += len(key) + len(text)
	return o.limit < 0 || o.size <= o.limit
}

// check returns why data is not JSON in UTF-8. The error contains nothing of data.
func check(data []byte) error {
	if err := pack.CheckUTF16(data); err != nil {
		return err
	}
	if !utf8.Valid(data) {
		return &pack.UnreadableError{Reason: "not-text", Detail: "not UTF-8"}
	}
	if valid(data) {
		return nil
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(data, new(json.RawMessage)); errors.As(err, &syntax) {
		return &pack.UnreadableError{Reason: "not-json", Detail: fmt.Sprintf("no JSON from byte %d on", syntax.Offset)}
	}
	return &pack.UnreadableError{Reason: "not-json", Detail: "no JSON"}
}

// reader walks over text that is known to be JSON, so it checks only the possible next tokens.
type reader struct {
	s  string
	at int
}

// flat reads the object at r.at.
func (r *reader) flat(size int) (*Object, error) {
	// A field takes some 40 bytes in providers' callbacks.
	o := newObject(4+size/40, mayStart+mayGrow*size)
	if err := r.object(o, "", 1); err != nil {
		return nil, err
	}
	return o, nil
}

func (r *reader) object(o *Object, prefix string, depth int) error {
	if depth > MaxDepth {
		return r.tooDeep()
	}
	for r.at++; ; {
		r.space()
		switch r.s[r.at] {
		case '}':
			r.at++
			return nil
		case ',':
			r.at++
			continue
		}
		key := r.text()
		if depth > 1 {
			key = prefix + "." + key
		}
		r.space()
		r.at++ // the colon
		r.space()
		if err := r.value(o, key, depth); err != nil {
			return err
		}
	}
}

func (r *reader) value(o *Object, key string, depth int) error {
	start := r.at
	var fits bool
	switch r.s[r.at] {
	case '"':
		fits = o.add(key, r.text(), true)
	case '{':
		r.at++
		r.space()
		if r.s[r.at] == '}' {
			r.at++
			fits = o.add(key, "{}", false)
			break
		}
		r.at = start
		return r.object(o, key, depth+1)
	case '[':
		if err := r.skip(); err != nil {
			return err
		}
		var compact bytes.Buffer
		// It cannot fail: the text is valid JSON.
		_ = json.Compact(&compact, []byte(r.s[start:r.at]))
		fits = o.add(key, compact.String(), false)
	default:
		r.literal()
		switch literal := r.s[start:r.at]; literal {
		case "null":
			fits = o.add(key, "", false)
		case "true", "false":
			fits = o.add(key, literal, false)
		default:
			fits = o.add(key, literal, true)
		}
	}
	if !fits {
		return &pack.UnreadableError{Reason: "too-large", Detail: fmt.Sprintf("over %d bytes when flat, at byte %d", o.limit, r.at)}
	}
	return nil
}

// text reads the string at r.at.
func (r *reader) text() string {
	start := r.at
	if end := strings.IndexByte(r.s[start+1:], '"'); strings.IndexByte(r.s[start+1:start+1+end], '\\') < 0 {
		r.at += end + 2
		return r.s[start+1 : r.at-1]
	}
	for r.at++; r.s[r.at] != '"'; r.at++ {
		if r.s[r.at] == '\\' {
			r.at++
		}
	}
	r.at++
	var s string
	// It cannot fail: the text is valid JSON.
	_ = json.Unmarshal([]byte(r.s[start:r.at]), &s)
	return s
}

// literal skips a number, true, false or null.
func (r *reader) literal() {
	for r.at < len(r.s) && !strings.ContainsRune(",]} \t\r\n", rune(r.s[r.at])) {
		r.at++
	}
}

// skip skips the array or object at r.at.
func (r *reader) skip() error {
	for depth := 0; ; {
		switch r.s[r.at] {
		case '"':
			for r.at++; r.s[r.at] != '"'; r.at++ {
				if r.s[r.at] == '\\' {
					r.at++
				}
			}
		case '[', '{':
			if depth++; depth > MaxDepth {
				return r.tooDeep()
			}
		case ']', '}':
			if depth--; depth == 0 {
				r.at++
				return nil
			}
		}
		r.at++
	}
}

func (r *reader) space() {
	for r.at < len(r.s) {
		switch r.s[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

func (r *reader) tooDeep() error {
	return &pack.UnreadableError{Reason: "too-deep", Detail: fmt.Sprintf("nested deeper than %d at byte %d", MaxDepth, r.at)}
}
