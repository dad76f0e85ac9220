package jsonflat

import "strings"

// Absent reports whether text stands for a missing id: it is empty, or the word that a programming language writes for no
// value. Blanks are an id, if an odd one.
func Absent(text string) bool {
	switch strings.ToLower(text) {
	case "", "null", "(null)", "undefined", "none", "nil", "<nil>", "nan", "[object object]":
		return true
	}
	return false
}

// PeekID is Peek for an id: "" also where the text stands for none (see Absent).
func (o *Object) PeekID(key string) string {
	if id := o.Peek(key); !Absent(id) {
		return id
	}
	return ""
}

// TakeID is Take for an id. A text that stands for none stays among the attributes.
func (o *Object) TakeID(key string) string {
	if o.PeekID(key) == "" {
		return ""
	}
	return o.Take(key)
}
