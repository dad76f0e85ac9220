package pack

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// bom is the byte order mark that some encoders write before a UTF-8 text. It is not part of the text. A signature still covers it, so only
// reading skips it.
const bom = "\ufeff"

// TrimBOM returns a text without a leading byte order mark.
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

// CheckUTF16 returns an *UnreadableError for a text in UTF-16, which no pack reads. It recognizes a byte order mark, or a zero byte among the
// first two bytes, which neither JSON nor a form has. For any other text it returns nil.
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
