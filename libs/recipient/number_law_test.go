package recipient

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/nyaruka/phonenumbers"
	"pgregory.net/rapid"
)

// lawful returns the reason why a number must not be dialled for a text; empty if it may be dialled. A number may be dialled
// only if its digits, without its country's code, form one run in the text: there is no letter among them, and no digit
// directly after them. In the same run, only a dialling prefix may precede them.
func lawful(text, number string) string {
	parsed, err := phonenumbers.Parse(number, "")
	if err != nil {
		return "it is not a number"
	}
	country := strconv.Itoa(int(parsed.GetCountryCode()))
	national, ok := strings.CutPrefix(number, "+"+country)
	if !ok {
		return "it does not begin with its country code"
	}
	// The prefixes of international calls, the country code, and the prefixes of national calls. The latter may include a
	// carrier's two digits, and 90 for collect calls (Brazil).
	prefix := regexp.MustCompile(`^(0|00|001\d|09|011|010|810|` + country + `)?(` + country + `)?(0|1|8|06|(0|90)(\d\d)?)?$`)
	for _, run := range runs(text) {
		// The run's digits, and whether a visible character separates each digit from the next.
		for at := 0; at+len(national) <= len(run.digits); at++ {
			after := at + len(national)
			if run.digits[at:after] == national && prefix.MatchString(run.digits[:at]) && (after == len(run.digits) || run.apart[after-1]) {
				return ""
			}
		}
	}
	return "its digits are not contiguous in the text"
}

// digitRun is the digits between two letters of a text.
type digitRun struct {
	digits string
	apart  []bool // whether a visible character follows the digit
}

func runs(text string) []digitRun {
	all := []digitRun{{}}
	for _, r := range text {
		last := &all[len(all)-1]
		switch {
		case unicode.Is(unicode.Nd, r):
			last.digits += strconv.Itoa(value(r))
			last.apart = append(last.apart, false)
		case unicode.IsLetter(r):
			all = append(all, digitRun{})
		case len(last.apart) > 0 && (unicode.IsGraphic(r) || unicode.IsSpace(r)):
			last.apart[len(last.apart)-1] = true
		}
	}
	return all
}

// value returns the value of a decimal digit: each script has its digits in order, starting with zero.
func value(r rune) int {
	above := 0
	for unicode.Is(unicode.Nd, r-1) {
		r--
		above++
	}
	return above % 10
}

// fieldValues draws values that a field for a mobile number may contain: whole and partial numbers in several scripts, prefixes,
// notes, extensions, letters in place of digits, second numbers, and invisible characters.
func fieldValues() *rapid.Generator[string] {
	national := rapid.SampledFrom([]string{
		"3175551234", "317-555-1234", "(317) 555-1234", "555-1234", "5551234", "0171 1234567", "0171/1234567", "171 12345678",
		"0412 345 678", "491570313", "020 7946 0958", "(0)20 7946 0958", "06 1234 5678", "011 15 2345-6789", "090-1234-5678",
		"98765432", "12345", "911", "8 912 345-67-89",
	})
	random := rapid.StringMatching(`[0-9]{1,4}([ ./-]?[0-9]{1,4}){0,5}`)
	garbage := rapid.StringOfN(rapid.SampledFrom([]rune("0123456789+-. ()/xXeEtTaAoOlL,;:#*'\n²①٣３९\u200b\u202e\u00ad\u2011\ufe0f")), 0, 24, -1)
	number := rapid.OneOf(national, national, random)
	prefix := rapid.SampledFrom([]string{"", "", "", "+1", "+1 ", "1", "+49 ", "+49 (0)", "+44", "0049", "011", "011 44 ", "00 1 ", "0011", "+61", "+39 ", "+", "0"})
	before := rapid.SampledFrom([]string{"", "", "", "tel:", "Mobile: ", "cell ", "Bob ", "t.", " ", "\ufeff", "(", "fax ", "'", "[", "[2] ", "[317] ", "[0171]"})
	middle := rapid.SampledFrom([]string{"", "", " ", "-", "O", "l", " ab ", "/", "\u200b"})
	behind := rapid.OneOf(
		rapid.Just(""), rapid.Just(""),
		rapid.SampledFrom([]string{
			" cell", " (Bob)", "(Bob)", "x12", " x12", " ext. 5", ";ext=12", ",12", " #7", "FLOWERS", "-FLOWERS", "ABC", "A1", " 2", " (2)", "/8", "/5678",
			" after 5pm", ")", ".", " -", "\nBob", "*", "'7", "\u202c", " or ", "²", ".0", "] 5551234",
			" (landline)", " no sms",
		}),
		rapid.Map(number, func(n string) string { return " / " + n }),
		rapid.Map(number, func(n string) string { return " or " + n }),
		rapid.Map(number, func(n string) string { return ", " + n }),
		rapid.Map(number, func(n string) string { return " " + n }),
		rapid.Map(number, func(n string) string { return "+" + n }),
	)
	script := rapid.SampledFrom([]rune{'0', '0', '0', '٠', '०', '０', '𝟎'})
	return rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 9).Draw(t, "shape") == 0 {
			return garbage.Draw(t, "garbage")
		}
		text := before.Draw(t, "before") + prefix.Draw(t, "prefix") + number.Draw(t, "number")
		if at := rapid.IntRange(0, len(text)).Draw(t, "at"); at > 0 && text[at-1] < 0x80 {
			text = text[:at] + middle.Draw(t, "middle") + text[at:]
		}
		text += behind.Draw(t, "behind")
		zero := script.Draw(t, "script")
		return strings.Map(func(r rune) rune {
			if '0' <= r && r <= '9' {
				return zero + r - '0'
			}
			return r
		}, text)
	})
}

// An SMS goes to a number only if its digits are a contiguous part of the provider's text, without a prefix.
func TestOnlyDigitsOfTheTextAreDialled(t *testing.T) {
	t.Parallel()
	region := rapid.SampledFrom([]string{"US", "US", "DE", "AU", "GB", "IT", "AR", "BR", "RU", "JP", "NO", "FI", "MX", ""})
	all := fieldValues()
	rapid.Check(t, func(t *rapid.T) {
		text, region := all.Draw(t, "text"), region.Draw(t, "region")
		number, reason := dialable(text, region)
		if (number == "") == (reason == "") {
			t.Fatalf("%q with the reason %q", number, reason)
		}
		if number == "" {
			return
		}
		if wrong := lawful(text, number); wrong != "" {
			t.Fatalf("%+q in %s is dialled as %s: %s", text, region, number, wrong)
		}
	})
}

// The rule refuses the results of a lenient parser.
func TestTheRuleRefusesWrongNumbers(t *testing.T) {
	t.Parallel()
	for text, number := range map[string]string{
		"555-1234 (Bob)":             "+15551234262",
		"1-800-FLOWERS":              "+18003569377",
		"317-555-1234 / 8":           "+13175551235",
		"+1 31 7555 1234 5":          "+13175551234", // allowed below: the control
		"317 555 12345":              "+13175551234",
		"99317 555 1234":             "+13175551234",
		"317 55 a 5 1234":            "+13175551234",
		"011 15 2345-6789":           "+5491123456789",
		"0171 1234567":               "+49171123456",
		"13175551234, 13175559999":   "+13175551111",
		"\u0663\u0661\u0667 5551234": "+13175551235",
	} {
		if wrong := lawful(text, number); (wrong == "") != (text == "+1 31 7555 1234 5") {
			t.Errorf("%q for %q: %q", number, text, wrong)
		}
	}
}
