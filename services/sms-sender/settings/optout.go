package smssettings

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/signrelay/signrelay/libs/config"
)

// OptOut is what happens when a person replies to a text.
type OptOut struct {
	// Scope is what a STOP ends: the texts of the source of the last text to the number (source, the default), or those of all sources
	// (installation).
	Scope string `yaml:"scope"`
	// Words are the whole texts that opt out, in any case and with any punctuation. A person may use the words of any language.
	Words      OptOutWords `yaml:"words"`
	StartWords []string    `yaml:"start_words"` // undo an opt-out
	HelpWords  []string    `yaml:"help_words"`  // are answered with the sender's name
	// Contact is another way to opt out, for texts from a sender id that cannot receive replies: "stop@acme.example", "+1 317 555 0100". Empty:
	// the texts name the sender.
	Contact      string `yaml:"contact"`
	KeepReplies  bool   `yaml:"keep_replies"`  // the text of any other reply is in recipient.replied; default true
	AlertReplies bool   `yaml:"alert_replies"` // other replies fire an alert, because no other program reads them; default true
}

// OptOutWords are the opt-out words by language.
type OptOutWords struct {
	En     []string `yaml:"en"`
	De     []string `yaml:"de"`
	Others []string `yaml:"others"` // of all other languages
}

// The scopes of an opt-out.
const (
	OfSource       = "source"
	OfInstallation = "installation"
)

// OptOutSection is the key opt_out. The English words are those of the carriers' rules and of 47 CFR 64.1200(a)(10).
var OptOutSection = &config.Section[OptOut]{
	Key: "opt_out",
	Default: OptOut{
		Scope: OfSource,
		Words: OptOutWords{
			En: []string{"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPT OUT"},
			De: []string{"STOPP", "HALT", "ENDE", "BEENDEN", "ABMELDEN", "ABBESTELLEN", "WIDERRUF", "WIDERRUFEN"},
		},
		StartWords:  []string{"START", "UNSTOP", "ANMELDEN"},
		HelpWords:   []string{"HELP", "INFO", "HILFE"},
		KeepReplies: true, AlertReplies: true,
	},
	Check: func(c *config.Checker, o OptOut, _ config.Config) {
		o.check(c)
		if o.Contact == "" {
			return
		}
		if len([]rune(o.Contact)) > longestContact || strings.ContainsFunc(o.Contact, unicode.IsControl) {
			c.Mistake("opt_out.contact", "want one line of at most %d characters, such as stop@acme.example", longestContact)
		}
	},
}

// Limits of the words: a text of one part has 160 characters, and a contact is a part of each text.
const (
	longestWord    = 40
	mostWords      = 100
	longestContact = 60
)

// All returns the opt-out words of all languages.
func (w OptOutWords) All() []string { return slices.Concat(w.En, w.De, w.Others) }

// Meaning is what a reply asks for.
type Meaning int

// The meanings of a reply.
const (
	Other Meaning = iota // any other text
	Stop
	Start
	Help
)

// Meaning returns what a reply asks for, and the word of the list that it has.
func (o OptOut) Meaning(reply string) (Meaning, string) {
	folded := Fold(reply)
	for _, list := range []struct {
		meaning Meaning
		words   []string
	}{{Stop, o.Words.All()}, {Start, o.StartWords}, {Help, o.HelpWords}} {
		for _, word := range list.words {
			if folded != "" && Fold(word) == folded {
				return list.meaning, word
			}
		}
	}
	return Other, ""
}

// Fold returns the letters and digits of a text in upper case: "Opt-out!" is OPTOUT, and so is the full-width form of a Japanese keyboard.
func Fold(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) && r != '\uFE0F' { // the mark of emoji
			return unicode.ToUpper(r)
		}
		return -1
	}, norm.NFKC.String(text))
}

func (o OptOut) check(c *config.Checker) {
	c.OneOf("opt_out.scope", o.Scope, OfSource, OfInstallation)
	if !slices.ContainsFunc(o.Words.En, func(word string) bool { return Fold(word) == "STOP" }) {
		c.Mistake("opt_out.words.en", "want STOP among the words: carriers and the law require it")
	}
	seen := map[string]string{} // the key of each word
	for _, list := range []struct {
		key   string
		words []string
	}{
		{"opt_out.words.en", o.Words.En}, {"opt_out.words.de", o.Words.De}, {"opt_out.words.others", o.Words.Others},
		{"opt_out.start_words", o.StartWords}, {"opt_out.help_words", o.HelpWords},
	} {
		if len(list.words) > mostWords {
			c.Mistake(list.key, "want at most %d words, not %d", mostWords, len(list.words))
			continue
		}
		for _, word := range list.words {
			folded := Fold(word)
			switch before := seen[folded]; {
			case folded == "" || len([]rune(word)) > longestWord:
				c.Mistake(list.key, "want words of 1 to %d characters with at least one letter or digit, not %q", longestWord, word)
			case before != "" && !sameMeaning(before, list.key):
				c.Mistake(list.key, "%q is in %s too, so its meaning is not clear: keep one", word, before)
			default:
				seen[folded] = list.key
			}
		}
	}
	for _, list := range []struct {
		key   string
		words []string
	}{{"opt_out.start_words", o.StartWords}, {"opt_out.help_words", o.HelpWords}} {
		if len(list.words) == 0 {
			c.Mistake(list.key, "want at least one word")
		}
	}
}

// sameMeaning reports whether two lists of words have one meaning.
func sameMeaning(one, other string) bool {
	const optOut = "opt_out.words."
	return one == other || strings.HasPrefix(one, optOut) && strings.HasPrefix(other, optOut)
}
