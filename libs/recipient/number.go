package recipient

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/notification"
)

// dialable parses free text as one number in E.164 ("+13175551234"), or returns the reason why it cannot. A number without a
// country code belongs to the region.
//
// Letters are never converted to digits. Text after a number is removed only if the number is complete without it: an extension ("x12") or a
// note ("cell", "(Bob)"). The dialled digits are the last digits of the written number. Only a prefix may precede them: 00 or 011, a country
// code, a trunk prefix. If a plan rewrites the digits of a number (Argentina's 15), the text must have the international form.
//
// A note beside the number may say that it takes no texts: "(landline)", "fax", "email only".
func dialable(text, region string) (number, reason string) {
	text = visible(text)
	if text == "" {
		return "", NoAddress
	}
	text = scheme.ReplaceAllString(text, "")
	labelled := label.FindString(text)
	text = bracketed.ReplaceAllString(quote.ReplaceAllString(text[len(labelled):], ""), "$1($2)$3")
	if whole, ok := strings.CutSuffix(text, ".0"); ok && float.MatchString(whole) {
		return rounded(whole, region)
	}
	head, gap, rest := split(text)
	if notification.Digits(head) == "" {
		return "", NumberInvalid
	}
	found, why := parse(head, region)
	switch {
	case extension.MatchString(rest):
	case strings.HasPrefix(rest, "+") || another.MatchString(rest) || len(notification.Digits(rest)) >= fewestDigits:
		return "", NumberSeveral
	case exponent.MatchString(rest):
		return "", NumberIncomplete
	case noTexts.MatchString(rest):
		return "", Landline
	case rest != "" && (found == nil || !full(found)):
		// In a plan with numbers of several lengths, a number may continue with letters, or after an unexpected character.
		if strings.Trim(gap, "-.") == "" && !ends.MatchString(rest) {
			return "", NumberLetters
		}
		if notification.Digits(rest) != "" {
			return "", NumberIncomplete
		}
	}
	switch {
	case found == nil:
		return "", why
	case labelled+rest != "" && !phonenumbers.IsValidNumber(found):
		return "", NumberIncomplete // a part of a number may look like a whole number
	}
	return phonenumbers.Format(found, phonenumbers.E164), ""
}

// fewestDigits is the minimum of digits of a second number: fewer digits are a time of day, or the last four digits of a number.
const fewestDigits = 5

var (
	// scheme matches the scheme of a telephone number's URI (RFC 3966, RFC 5724).
	scheme = regexp.MustCompile(`(?i)^(?:tel|sms|callto):\s*`)
	// label matches text that people write before a mobile number.
	label = regexp.MustCompile(`(?i)^(?:(?:mobile|cell|tele)?[ -]?phone|mobiltelefon|mobile?|mob|cell|handy|tel|[mct])(?: (?:number|no|nr))?(?:[.:] ?| )`)
	// extension matches an office extension, or the pause before one.
	extension = regexp.MustCompile(`(?i)^\(?(?:[,;] ?)?(?:ext(?:ension|n)?|xt?|#|int|anexo|durchwahl|доб)[.:=#]? ?\d{1,7}\)?$|^[,;]+ ?\d{1,6}#?$`)
	// northAmerican is the form of all numbers of country code 1, also of new ones that no table has yet: an area and an exchange begin with
	// 2 to 9. So "0491 570 313" at a source of the region US is not an American number.
	northAmerican = regexp.MustCompile(`^[2-9]\d\d[2-9]\d{6}$`)
	// another matches the start of a second number, or of an alternative end of the first one.
	another = regexp.MustCompile(`^/ ?[+(\d]`)
	// noTexts matches a note that the number before it cannot receive texts, or that the person wants no texts there. "home" and "office" are
	// not such notes: people read texts at both.
	noTexts = regexp.MustCompile(`(?i)(?:^|[^\pL\pN])(?:land[ -]?line|(?:tele)?fax|festnetz|(?:no|keine) (?:sms|texts?|texting|text messages?)|(?:do not|don['’]?t|never) text|` +
		`(?:e-?mail|calls?|voice) only|(?:only|nur) e-?mail)(?:$|[^\pL\pN])`)
	// quote is the character that makes a spreadsheet keep a number as text.
	quote = regexp.MustCompile(`^['‘’"] ?`)
	// bracketed matches an area code in other brackets than round ones. A digit or a zero after "[2]" may begin a separate number.
	bracketed = regexp.MustCompile(`^((?:\+?\d{1,3})?[ -]?)[\[{](\d{2,5})[\]}]( ?[-/]? ?[1-9])`)
	// float matches the number before ".0" in a spreadsheet's format.
	float = regexp.MustCompile(`^[1-9]\d{6,14}$`)
	// exponent matches a number that a spreadsheet rounded: "3.1755512E+09".
	exponent = regexp.MustCompile(`^[eE][+-]?\d+$`)
	// ends matches a character that cannot be a part of a number.
	ends = regexp.MustCompile(`^[\s,;:/|()\[\]{}<>"]`)
)

// rounded reads a number that a spreadsheet wrote with ".0". People also write a last digit after a dot. So the text is refused if the 0 may
// be a digit of the number, because then both readings are numbers.
func rounded(whole, region string) (number, reason string) {
	found, why := parse(whole, region)
	if found == nil {
		return "", why
	}
	longer, _ := parse(whole+"0", region)
	if !phonenumbers.IsValidNumber(found) || longer != nil && phonenumbers.IsValidNumber(longer) {
		return "", NumberIncomplete
	}
	return phonenumbers.Format(found, phonenumbers.E164), ""
}

// split divides a text into a number's digits with their punctuation, the separator, and the rest, which
// begins with the first character that is not a part of a number.
func split(text string) (head, gap, rest string) {
	cut := len(text)
	count := 0 // digits
	for i, r := range text {
		if '0' <= r && r <= '9' {
			count++
			continue
		}
		if goes := strings.ContainsRune(" -.)", r) ||
			r == '+' && count == 0 ||
			r == '(' && count < 7 || // a country or area code is before it; "0171 1234567 (2)" ends here
			r == '/' && separates(text[:i], text[i+1:], count); !goes {
			cut = i
			break
		}
	}
	head = strings.TrimRight(text[:cut], " -./(+")
	return head, text[len(head):cut], text[cut:]
}

// separates reports whether a slash separates an area code from its number ("0171/1234567"), and not two numbers.
func separates(before, after string, count int) bool {
	after = strings.TrimLeft(after, " ")
	if after == "" || after[0] < '1' || after[0] > '9' {
		return false
	}
	return count <= 4 || count <= 8 && strings.ContainsAny(strings.TrimLeft(before, "( ")[:1], "+0")
}

// parse reads digits and punctuation as a number. It requires a possible number and not a valid one, because a library's tables of assigned
// numbers become outdated, and a newly assigned number must not be refused.
func parse(head, region string) (found *phonenumbers.PhoneNumber, reason string) {
	all := notification.Digits(head)
	found, err := phonenumbers.Parse(head, region)
	if err != nil || !phonenumbers.IsValidNumber(found) {
		// People also write 00 and 011 in countries with another international prefix.
		for _, prefix := range []string{"00", "011"} {
			rest, ok := strings.CutPrefix(all, prefix)
			if abroad, failed := phonenumbers.Parse("+"+rest, ""); ok && failed == nil && phonenumbers.IsValidNumber(abroad) {
				found, err = abroad, nil
			}
		}
	}
	if err != nil {
		return nil, NumberInvalid
	}
	switch phonenumbers.IsPossibleNumberWithReason(found) {
	case phonenumbers.IS_POSSIBLE:
	case phonenumbers.TOO_SHORT, phonenumbers.IS_POSSIBLE_LOCAL_ONLY:
		return nil, NumberIncomplete
	default:
		return nil, NumberInvalid
	}
	national := phonenumbers.GetNationalSignificantNumber(found)
	if found.GetCountryCode() == 1 && !northAmerican.MatchString(national) {
		return nil, NumberInvalid
	}
	prefix, ok := strings.CutSuffix(all, national)
	country := strings.Contains(head, "+") || strings.HasPrefix(prefix, strconv.Itoa(int(found.GetCountryCode())))
	if !ok || !usual(prefix, found) && (country || !phonenumbers.IsValidNumber(found)) {
		return nil, NumberInvalid
	}
	return found, ""
}

// usual reports whether a prefix consists only of the number's country code and trunk prefix. After any other prefix (an international call,
// a carrier, a hidden caller) the number must exist, because digits that look like such a prefix may be something else. After a plus or a
// country code, no other prefix is possible.
func usual(prefix string, number *phonenumbers.PhoneNumber) bool {
	country := strconv.Itoa(int(number.GetCountryCode()))
	trunk := phonenumbers.GetNddPrefixForRegion(phonenumbers.GetRegionCodeForCountryCode(int(number.GetCountryCode())), true)
	rest, ok := strings.CutPrefix(prefix, country)
	return prefix == "" || prefix == trunk || ok && (rest == "" || rest == trunk)
}

// full reports whether the number has the maximum length of its plan. Then text after the number cannot be a part of it.
func full(number *phonenumbers.PhoneNumber) bool {
	longer := proto.CloneOf(number)
	longer.NationalNumber = proto.Uint64(number.GetNationalNumber() * 10)
	return phonenumbers.IsPossibleNumberWithReason(longer) == phonenumbers.TOO_LONG
}
