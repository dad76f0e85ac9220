package templates

import (
	"strings"
	"unicode"
)

// longestGreeting is the maximum number of words of a name in a greeting: a sentence is not a name.
const longestGreeting = 3

// greeting returns the given name for a greeting. It is empty unless the word is certainly a given name: "Hello," is right for all people,
// but "Hello Dr.," or "Hello null," looks like fraud. If a provider has one field for the whole name, the given name is its first word:
// "Smith," of "Smith, Eric", and "Dr." of "Dr. Eric Smith".
func greeting(first, last string) string {
	words := strings.Fields(plain(first))
	if len(words) == 0 || len(words) > longestGreeting || company(plain(last)) {
		return ""
	}
	for _, word := range words {
		if !givenName(word) || noGivenName[strings.ToLower(word)] || particles[word] {
			return ""
		}
	}
	return cut(strings.Join(words, " "), longestName)
}

// givenName reports whether a word looks like a given name or a part of one: letters, with hyphens and apostrophes between them. An initial
// does not look like one. Nor does a word in capitals only, because it may be an abbreviation. Scripts without capitals have names of one
// letter.
func givenName(word string) bool {
	letters, lower, capital := 0, false, false
	var before rune
	for _, r := range word {
		switch {
		case unicode.IsLetter(r):
			letters++
			lower = lower || unicode.IsLower(r)
			capital = capital || unicode.IsUpper(r) || unicode.IsTitle(r)
		case combines(r) && letters > 0: // accents and joiners
		case strings.ContainsRune("-'’ʼ·", r) && unicode.In(before, unicode.L, unicode.M): // Jean-Luc, D'Arcy, Gal·la
		default:
			return false
		}
		before = r
	}
	switch {
	case letters == 0, strings.ContainsRune("-·", before):
		return false
	case capital && !lower:
		return false
	default:
		return letters > 1 || !lower
	}
}

// combines reports whether a character belongs to the letter before it: accents, variation selectors, joiners.
func combines(r rune) bool {
	return unicode.Is(unicode.M, r) || r == zeroWidthNonJoiner || r == zeroWidthJoiner
}

// noGivenName are titles, placeholders of programs for a missing value, and words that people enter instead of a name, in lower case.
var noGivenName = set(`
	mr mrs ms miss mx dr doctor prof professor sir madam sirs rev reverend hon esq
	herr herrn frau fräulein familie eheleute firma dipl ing mag
	monsieur madame mademoiselle mme mlle mgr maître sr sra srta señor señora señorita signor signora sig dott dhr mevr mevrouw
	null nil none undefined nan unknown anonymous unbekannt noname nobody tba tbd
	test tester name first firstname last lastname surname vorname nachname
	customer client kunde user signer recipient signatory owner tenant admin administrator info office sales hr
	dear hello hi the and or und oder et y family estate company
`)

// particles begin family names: "van der Berg Jan" arrives as "van" and the rest. With a capital they may be given names (Al, Di, Van). In
// lower case, some may be given names too, but a greeting without a name is never wrong.
var particles = set(`van von vom zum zur zu de der den des del della dei di da dal das dos do du la le les el al bin bint ibn ben abu ter ten te tot`)

// company reports whether a family name ends like a company's name: "Acme" is then not a person's given name.
func company(last string) bool {
	words := strings.Fields(strings.ToLower(last))
	return len(words) > 0 && companies[strings.Trim(words[len(words)-1], ".,()")]
}

var companies = set(`inc llc llp ltd limited plc corp corporation company co gmbh ag kg ohg ug se sarl sas bv nv pty trust`)

func set(words string) map[string]bool {
	found := map[string]bool{}
	for _, word := range strings.Fields(words) {
		found[word] = true
	}
	return found
}

// emptyValues are placeholders of programs for a missing value, with their exact case: some people have the family name Null.
var emptyValues = map[string]bool{"null": true, "undefined": true, "nil": true, "<nil>": true, "None": true, "NaN": true}

// named returns a full name without the words for a missing value; it is empty if no letter is left.
func named(name string) string {
	var words []string
	for _, word := range strings.Fields(name) {
		if !emptyValues[word] {
			words = append(words, word)
		}
	}
	name = strings.Join(words, " ")
	if !strings.ContainsFunc(name, func(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.S) }) {
		return ""
	}
	return name
}
