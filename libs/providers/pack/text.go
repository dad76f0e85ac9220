package pack

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// bom is the byte order mark that some encoders put before a text in UTF-8. It is no part of the text. A signature covers it
// all the same, so only reading skips it.
const bom = "\ufeff"

// TrimBOM is a text without the byte order mark before it.
func TrimBOM(text []byte) []byte { return bytes.TrimPrefix(text, []byte(bom)) }

// ParseForm reads URL-encoded fields of a body or a query. A byte order mark before a field's name is not part of the name.
// Like url.ParseQuery, it returns the fields that it could read together with the error.
func ParseForm(encoded string) (url.Values, error) {
	values, err := url.ParseQuery(encoded)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if plain := strings.TrimLeft(name, bom); plain != name {
			values[plain] = append(values[plain], values[name]...)
			delete(values, name)
		}
	}
	return values, err
}

// CheckUTF16 says so of a text in UTF-16, which no pack reads: by its byte order mark, or by a zero byte among its first
// two, which neither JSON nor a form has. Everything else is nil.
func CheckUTF16(text []byte) error {
	var encoding string
	switch {
	case len(text) < 2:
		return nil
	case text[0] == 0xff && text[1] == 0xfe, text[0] != 0 && text[1] == 0:
		encoding = "UTF-16LE"
	case text[0] == 0xfe && text[1] == 0xff, text[0] == 0 && text[1] != 0:
		encoding = "UTF-16BE"
	default:
		return nil
	}
	return &UnreadableError{Reason: "utf-16", Detail: fmt.Sprintf("%s, not UTF-8: convert it with `iconv -f %s -t UTF-8`, and replay it repaired", encoding, encoding)}
}
