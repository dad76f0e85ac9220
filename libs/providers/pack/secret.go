package pack

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/config"
)

// Redacted replaces a secret.
const Redacted = "[redacted]"

// shortest is the length in bytes from which a secret is also found inside other text. A shorter one may be an everyday word, so it is found
// only as a whole value: a key "test" leaves "a contest" unchanged.
const shortest = 12

// Secrets are the secrets of one source. No stored data of its callbacks may contain one of them.
type Secrets struct {
	values    []string
	spellings []string // of all values, as JSON, forms and queries write them
	long      []string // the spellings of values with at least shortest bytes
	short     []shortSecret
}

// shortSecret is redacted only if it is a whole value of a body or a query.
type shortSecret struct {
	spellings []string
	values    []wholeValue
}

// wholeValue finds and replaces a whole value in one notation.
type wholeValue struct {
	where       *regexp.Regexp
	replacement string
}

// possibleIn reports whether a text has the secret between two characters that can enclose a whole value. A short secret is often a part of words, and the
// expression would search the text for each of them.
func (one shortSecret) possibleIn(text string) bool {
	const before, behind = "\"=&:[,\t\n\f\r ", "\"&,}]\t\n\f\r "
	return slices.ContainsFunc(one.spellings, func(spelling string) bool {
		for from := 0; ; from++ {
			i := strings.Index(text[from:], spelling)
			if i < 0 {
				return false
			}
			from += i
			end := from + len(spelling)
			if (from == 0 || strings.IndexByte(before, text[from-1]) >= 0) && (end == len(text) || strings.IndexByte(behind, text[end]) >= 0) {
				return true
			}
		}
	})
}

// SecretsOf returns a source's secrets, also those in settings that its provider does not use.
func SecretsOf(src config.Source) Secrets { return NewSecrets(src.Secrets()...) }

// NewSecrets returns the secrets with these values.
func NewSecrets(values ...string) Secrets {
	var s Secrets
	for _, value := range values {
		if value != "" && !slices.Contains(s.values, value) {
			s.add(value)
		}
	}
	return s
}

func (s *Secrets) add(value string) {
	spellings := spellingsOf(value)
	s.values, s.spellings = append(s.values, value), append(s.spellings, spellings...)
	if len(value) >= shortest {
		s.long = append(s.long, spellings...)
		return
	}
	quoted := make([]string, len(spellings))
	for i, text := range spellings {
		quoted[i] = regexp.QuoteMeta(text)
	}
	one := "(?:" + strings.Join(quoted, "|") + ")"
	found := shortSecret{spellings: spellings}
	find := func(where, replacement string) {
		found.values = append(found.values, wholeValue{regexp.MustCompile(where), replacement})
	}
	find(`"`+one+`"`, `"`+Redacted+`"`)                             // a JSON string
	find(`(^|[=&])`+one+`(&|$)`, "${1}"+Redacted+"${2}")            // a value of a form or a query
	find(`(\n)`+one+`(\r?\n--|\n|\r?$)`, "${1}"+Redacted+"${2}")    // a part of a multipart form
	find(`([:\[,]\s*)`+one+`(\s*[,}\]])`, `${1}"`+Redacted+`"${2}`) // a JSON number
	s.short = append(s.short, found)
}

func spellingsOf(value string) []string {
	quoted := quote(value)
	inJSON := quoted[1 : len(quoted)-1]
	all := []string{value, url.QueryEscape(value), url.PathEscape(value), inJSON, strings.ReplaceAll(inJSON, "/", `\/`)}
	slices.Sort(all)
	return slices.Compact(all)
}

// In reports whether a text contains a secret, also as part of a word.
func (s Secrets) In(text string) bool {
	return slices.ContainsFunc(s.spellings, func(one string) bool { return strings.Contains(text, one) })
}

// Redact returns the value of one field without the secrets in it, and reports whether there was one: the value is a secret,
// contains a long one, or is a JSON array that contains one.
func (s Secrets) Redact(value string) (redacted string, found bool) {
	switch {
	case slices.Contains(s.values, value):
		return Redacted, true
	case strings.HasPrefix(value, "["):
		return s.RedactAll(value)
	default:
		redacted = s.redactLong(value)
		return redacted, redacted != value
	}
}

// RedactAll works like Redact, for a whole body or query, whose values are JSON or form fields, in any spelling.
func (s Secrets) RedactAll(text string) (redacted string, found bool) {
	if !s.In(text) && !strings.Contains(text, `\u`) && !strings.Contains(text, "%") {
		return text, false // no secret in another spelling either
	}
	redacted = s.redactJSON(s.redactLong(text))
	redacted = s.redactForm(redacted)
	for _, one := range s.short {
		if !one.possibleIn(redacted) {
			continue
		}
		for _, v := range one.values {
			// Twice, because two adjacent values share their separator.
			redacted = v.where.ReplaceAllString(v.where.ReplaceAllString(redacted, v.replacement), v.replacement)
		}
	}
	return redacted, redacted != text
}

// RedactBody works like RedactAll. It returns a body without secrets itself, without a copy.
func (s Secrets) RedactBody(body []byte) (redacted []byte, found bool) {
	possible := bytes.Contains(body, []byte(`\u`)) || bytes.IndexByte(body, '%') >= 0 // in another spelling
	for i := 0; i < len(s.spellings) && !possible; i++ {
		possible = bytes.Contains(body, []byte(s.spellings[i]))
	}
	if !possible {
		return body, false
	}
	text, found := s.RedactAll(string(body))
	if !found {
		return body, false
	}
	return []byte(text), true
}

// redactJSON redacts the values of the JSON strings in a text. It decodes only those that can have a secret. An expression for all of them took half of
// the CPU of a callback with a name like "Ren\u00e9".
func (s Secrets) redactJSON(text string) string {
	var b strings.Builder
	done := 0 // the text from here on is not in b
	for from := 0; ; {
		quotation := strings.IndexByte(text[from:], '"')
		if quotation < 0 {
			return b.String() + text[done:]
		}
		begin := from + quotation
		end, ok := stringEnd(text, begin)
		if ok {
			if redacted, found := s.redactLiteral(text[begin:end]); found {
				b.WriteString(text[done:begin])
				b.WriteString(redacted)
				done = end
			}
		}
		from = end
	}
}

// stringEnd returns the end of the JSON string that begins at a quotation mark. If it is no string, because it does not end or because a line ends after
// a backslash, no quotation mark before the returned place begins a string either.
func stringEnd(text string, begin int) (end int, ok bool) {
	for i := begin + 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i + 1, true
		case '\\':
			if i++; i < len(text) && text[i] == '\n' {
				return i, false
			}
		}
	}
	return len(text), false
}

func (s Secrets) redactLiteral(literal string) (redacted string, found bool) {
	if !strings.ContainsAny(literal, `\%`) && !s.In(literal) {
		return "", false // it has no secret in any spelling
	}
	var value string
	if json.Unmarshal([]byte(literal), &value) != nil {
		return "", false
	}
	if value, found = s.Redact(value); !found {
		return "", false
	}
	return quote(value), true
}

// redactForm redacts the values of form fields in a text: of "name=value" at its beginning, and after "&" and "?".
func (s Secrets) redactForm(text string) string {
	const ends = "&\"\t\n\f\r " // of a value
	var b strings.Builder
	done := 0 // the text from here on is not in b
	for from := 0; from < len(text); {
		equals := strings.IndexByte(text[from:], '=')
		if equals < 0 {
			break
		}
		equals += from
		begins := from == 0
		if before := strings.LastIndexAny(text[from:equals], "?"+ends); before >= 0 {
			begins = text[from+before] == '&' || text[from+before] == '?'
		}
		from = equals + 1
		if !begins {
			continue
		}
		end := len(text)
		if i := strings.IndexAny(text[from:], ends); i >= 0 {
			end = from + i
		}
		if redacted, found := s.redactField(text[from:end]); found {
			b.WriteString(text[done:from])
			b.WriteString(redacted)
			done = end
		}
		from = max(from, end)
	}
	return b.String() + text[done:]
}

func (s Secrets) redactField(encoded string) (redacted string, found bool) {
	if !strings.ContainsAny(encoded, `%+\`) && !s.In(encoded) {
		return "", false // it has no secret in any spelling
	}
	value, err := url.QueryUnescape(encoded)
	if err != nil {
		return "", false
	}
	if value, found = s.Redact(value); !found {
		return "", false
	}
	return url.QueryEscape(value), true
}

func quote(text string) string {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) //nolint:errchkjson // a string: it cannot fail
	return strings.TrimSpace(encoded.String())
}

func (s Secrets) redactLong(text string) string {
	for _, one := range s.long {
		text = strings.ReplaceAll(text, one, Redacted)
	}
	return text
}
