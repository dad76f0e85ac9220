package rest

import (
	"bytes"
	"encoding/json"
)

// Object and List accept any value in place of an object or a list, as the scalars do for single values. PHP writes an empty object as [], and
// a provider may replace an object by an id without notice.

// Object is an object that is read as T; anything else reads as an empty one.
type Object[T any] struct{ Fields T }

// UnmarshalJSON implements json.Unmarshaler.
func (o *Object[T]) UnmarshalJSON(data []byte) error {
	*o = Object[T]{}
	if data[0] != '{' || json.Unmarshal(data, &o.Fields) == nil {
		return nil
	}
	*o = Object[T]{}
	return nil
}

// List is a list of T. Any other value reads as nil, like a missing list. A null in it is left out. An entry that cannot be
// read is an empty T: a list of people keeps a person whose entry is unreadable.
type List[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (l *List[T]) UnmarshalJSON(data []byte) error {
	*l = nil
	var entries []json.RawMessage
	if data[0] != '[' || json.Unmarshal(data, &entries) != nil {
		return nil //nolint:nilerr // it reads as missing
	}
	*l = List[T]{}
	for _, entry := range entries {
		if bytes.Equal(entry, []byte("null")) {
			continue
		}
		var read T
		if json.Unmarshal(entry, &read) != nil {
			read = *new(T)
		}
		*l = append(*l, read)
	}
	return nil
}
