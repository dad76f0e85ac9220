package jsonflat

import (
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/providers/instant"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Time is the first of the fields that holds a time; nil where none does. Fields that hold something else are named in the
// attribute pack.TimeUnread, and keep their own text.
func (o *Object) Time(names ...string) *timestamppb.Timestamp {
	var unread []string
	var found *timestamppb.Timestamp
	for _, name := range names {
		if Absent(o.Text(name)) {
			continue
		}
		if t, ok := instant.Parse(o.Peek(name)); ok {
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
