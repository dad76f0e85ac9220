package jsonflat

import (
	"strings"
	"unicode"
)

// Absent reports whether text stands for a missing id: it is empty, blank, invisible or only punctuation, or it is a usual placeholder for no
// value, such as "null". 0 is an id.
func Absent(text string) bool {
	switch strings.ToLower(text) {
	case "null", "(null)", "undefined", "none", "nil", "<nil>", "nan", "[object object]", "n/a", "00000000-0000-0000-0000-000000000000":
		return true
	}
	return !strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.S) })
}

// PeekID works like Peek, for an id: it also returns "" for a placeholder (see Absent).
func (o *Object) PeekID(key string) string {
	if id := o.Peek(key); !Absent(id) {
		return id
	}
	return ""
}

// TakeID works like Take, for an id. A placeholder stays among the attributes.
func (o *Object) TakeID(key string) string {
	if o.PeekID(key) == "" {
		return ""
	}
	return o.Take(key)
}
