package erase

import (
	"errors"
	"net/mail"
	"regexp"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Person is a person by one address: an e-mail address or a number.
type Person struct {
	email   string          // in lower case
	numbers map[string]bool // the digits of the number in each usual notation
	digits  string          // with the country code
}

var errPerson = errors.New("want an e-mail address, or a number with its country code, such as +61412345678")

// ParsePerson reads an e-mail address, or a number with its country code. Its error does not quote the text.
func ParsePerson(text string) (*Person, error) {
	text = strings.TrimSpace(text)
	if strings.Contains(text, "@") {
		a, err := mail.ParseAddress(text)
		if err != nil || a.Address != text {
			return nil, errPerson
		}
		return &Person{email: strings.ToLower(text)}, nil
	}
	number, err := phonenumbers.Parse(text, "ZZ")
	if err != nil || !phonenumbers.IsPossibleNumber(number) {
		return nil, errPerson
	}
	country := strconv.Itoa(int(number.GetCountryCode()))
	national := phonenumbers.GetNationalSignificantNumber(number)
	p := &Person{digits: country + national, numbers: map[string]bool{}}
	for _, prefix := range []string{country, "00" + country, "011" + country, "0", ""} {
		p.numbers[prefix+national] = true
	}
	return p, nil
}

// in reports whether a text contains the address.
func (p *Person) in(text string) bool {
	if p.email != "" {
		return p.emailIn(text)
	}
	return p.numberIn(text)
}

func (p *Person) emailIn(text string) bool {
	if !strings.ContainsAny(text, "@%＠") {
		return false
	}
	text = strings.ToLower(text)
	for _, form := range []string{p.email, strings.Replace(p.email, "@", "%40", 1)} {
		for from := 0; ; {
			i := strings.Index(text[from:], form)
			if i < 0 {
				break
			}
			begin, end := from+i, from+i+len(form)
			if !inAddress(text, begin-1) && !inDomain(text, end) {
				return true
			}
			from = begin + 1
		}
	}
	return false
}

// inAddress reports whether the byte before an address belongs to it, so that the text has a longer address.
func inAddress(text string, i int) bool {
	return i >= 0 && (word(text[i]) || strings.IndexByte(".+%'", text[i]) >= 0)
}

// inDomain reports whether the bytes after an address belong to it. A dot before a space ends a sentence.
func inDomain(text string, i int) bool {
	if i < len(text) && text[i] == '.' {
		i++
	}
	return i < len(text) && word(text[i])
}

func word(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// digitRuns matches digits with the usual separators of a number between them.
var digitRuns = regexp.MustCompile(`[0-9](?:[ .()/-]{0,3}[0-9]){5,20}`)

func (p *Person) numberIn(text string) bool {
	for _, run := range digitRuns.FindAllString(text, -1) {
		if p.numbers[digitsOf(run)] {
			return true
		}
	}
	return false
}

func digitsOf(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, text)
}
