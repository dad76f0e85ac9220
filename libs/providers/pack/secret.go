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
	whole     []wholeValue
}

// wholeValue finds and replaces a short secret that is a whole value of a body or a query.
type wholeValue struct {
	where       *regexp.Regexp
	replacement string
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
	for i, text := range spellings {
		spellings[i] = regexp.QuoteMeta(text)
	}
	one := "(?:" + strings.Join(spellings, "|") + ")"
	find := func(where, replacement string) {
		s.whole = append(s.whole, wholeValue{regexp.MustCompile(where), replacement})
	}
	find(`"`+one+`"`, `"`+Redacted+`"`)                             // a JSON string
	find(`(^|[=&])`+one+`(&|$)`, "${1}"+Redacted+"${2}")            // a value of a form or a query
	find(`(\n)`+one+`(\r?\n--|\n|\r?$)`, "${1}"+Redacted+"${2}")    // a part of a multipart form
	find(`([:\[,]\s*)`+one+`(\s*[,}\]])`, `${1}"`+Redacted+`"${2}`) // a JSON number
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
	redacted = jsonString.ReplaceAllStringFunc(s.redactLong(text), func(literal string) string {
		var value string
		if json.Unmarshal([]byte(literal), &value) != nil {
			return literal
		}
		if value, found := s.Redact(value); found {
			return quote(value)
		}
		return literal
	})
	redacted = formValue.ReplaceAllStringFunc(redacted, func(pair string) string {
		name, encoded, _ := strings.Cut(pair, "=")
		value, err := url.QueryUnescape(encoded)
		if err != nil {
			return pair
		}
		if value, found := s.Redact(value); found {
			return name + "=" + url.QueryEscape(value)
		}
		return pair
	})
	if s.In(redacted) {
		for _, w := range s.whole {
			// Twice, because two adjacent values share their separator.
			redacted = w.where.ReplaceAllString(w.where.ReplaceAllString(redacted, w.replacement), w.replacement)
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

var (
	jsonString = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	formValue  = regexp.MustCompile(`(?:^|[&?])[^=&?\s"]*=[^&\s"]+`)
)

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
