package rest

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Providers change a field from a number to a string, or to null, without notice. One such field must not make the rest of a response
// unreadable, so these types accept any value.

// Text is a string or a number; anything else reads as empty.
type Text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(data []byte) error {
	*t = ""
	switch c := data[0]; {
	case c == '"':
		return json.Unmarshal(data, (*string)(t))
	case c == '-' || '0' <= c && c <= '9':
		*t = Text(data)
	}
	return nil
}

// First returns the first text that is not empty.
func First(texts ...Text) string {
	for _, t := range texts {
		if t != "" {
			return string(t)
		}
	}
	return ""
}

// Yes is true for true and 1, as such or in a string; anything else reads as false.
type Yes bool

// UnmarshalJSON implements json.Unmarshaler.
func (y *Yes) UnmarshalJSON(data []byte) error {
	switch strings.ToLower(strings.Trim(string(data), `"`)) {
	case "true", "1":
		*y = true
	default:
		*y = false
	}
	return nil
}

// No is true for false and 0, as such or in a string; anything else reads as false. It is for fields whose default is true.
type No bool

// UnmarshalJSON implements json.Unmarshaler.
func (n *No) UnmarshalJSON(data []byte) error {
	switch strings.ToLower(strings.Trim(string(data), `"`)) {
	case "false", "0":
		*n = true
	default:
		*n = false
	}
	return nil
}

// Number is a whole number, as such or in a string; anything else reads as 0.
type Number int

// UnmarshalJSON implements json.Unmarshaler.
func (n *Number) UnmarshalJSON(data []byte) error {
	parsed, _ := strconv.ParseInt(strings.Trim(string(data), `"`), 10, 32)
	*n = Number(parsed)
	return nil
}
