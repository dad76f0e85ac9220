package jsonflat

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/providers/instant"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Time returns the first of the fields that contains a time; nil if none does. The attribute pack.TimeUnread names the other fields that were
// read before it, which keep their own text.
func (o *Object) Time(names ...string) *timestamppb.Timestamp {
	var unread []string
	var found *timestamppb.Timestamp
	for _, name := range names {
		text := o.Peek(name)
		if Absent(o.Text(name)) {
			if !o.Nested(name) {
				continue
			}
			text = o.extended(name)
		}
		if t, ok := instant.Parse(text); ok {
			found = timestamppb.New(t)
			break
		}
		unread = append(unread, name)
	}
	if unread != nil {
		o.add(pack.TimeUnread, strings.Join(unread, ","), false)
	}
	return found
}

// Nested reports whether the name's value was an object: {"$date":"2025-03-11T18:05:30Z"} is kept as name.$date.
func (o *Object) Nested(name string) bool {
	return slices.ContainsFunc(o.fields, func(f field) bool {
		rest, ok := strings.CutPrefix(f.key, name)
		return ok && strings.HasPrefix(rest, ".")
	})
}

// extended returns a time in MongoDB's extended JSON: {"$date":"2025-03-11T18:05:30Z"} or
// {"$date":{"$numberLong":"1741716330000"}}. Clickwrap's ids are MongoDB's.
func (o *Object) extended(name string) string {
	if text := o.Peek(name + ".$date"); text != "" {
		return text
	}
	return o.Peek(name + ".$date.$numberLong")
}
