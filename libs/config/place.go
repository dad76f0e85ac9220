package config

import (
	"regexp"
	"slices"
	"strings"
)

// Regions are the ISO 3166-1 alpha-2 codes that the library of phone numbers knows.
var Regions = strings.Fields(`
	AC AD AE AF AG AI AL AM AO AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BW BY BZ CA CC CD CF
	CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG
	GH GI GL GM GN GP GQ GR GT GU GW GY HK HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW
	KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF
	NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM
	SN SO SR SS ST SV SX SY SZ TA TC TD TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG US UY UZ VA VC VE VG VI VN VU WF WS XK
	YE YT ZA ZM ZW`)

// otherRegions maps codes that people often write to the code in the standard.
var otherRegions = map[string]string{"UK": "GB", "EN": "GB", "UAE": "AE", "USA": "US", "GER": "DE", "EL": "GR"}

// region checks a country code. With an invalid one, every number without a country code would be refused.
func (c *Checker) region(key, code string) {
	if code == "" || slices.Contains(Regions, code) {
		return
	}
	upper := strings.ToUpper(code)
	hint := otherRegions[upper]
	if hint == "" && slices.Contains(Regions, upper) {
		hint = upper
	}
	if hint != "" {
		hint = ": write " + hint
	}
	c.Mistake(key, "want the two capital letters of a country, as in ISO 3166, not %q%s", code, hint)
}

// tag is a language, and a script or a region, as in BCP 47.
var tag = regexp.MustCompile(`^(?i)[a-z]{2,3}(-[a-z]{4})?(-([a-z]{2}|[0-9]{3}))?$`)

// locale checks a language code. It does not check whether there are texts in that language.
func (c *Checker) locale(key, text string) {
	if text != "" && !tag.MatchString(text) {
		c.Mistake(key, "want a language's code as in BCP 47, such as en, de or en-AU, not %q", text)
	}
}
