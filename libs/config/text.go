package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean trims white space, a byte order mark and other invisible characters from both ends: editors, shells and YAML blocks add them. It is
// applied to every setting, from the settings file, a variable, a separate file or a flag.
func clean(text string) string {
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || invisible(r) })
}

// invisible reports whether a character is a format character, such as U+FEFF or U+200B.
func invisible(r rune) bool { return unicode.Is(unicode.Cf, r) }

// texts refuses characters that do not belong in a setting. A secret that contains one never matches.
func (c *Checker) texts(cfg *Config) {
	for _, s := range cfg.all() {
		var values []string
		switch v := s.value.Interface().(type) {
		case string:
			values = []string{v}
		case []string:
			values = v
		}
		for _, v := range values {
			if wrong := s.unwritable(v); wrong != "" {
				c.Mistake(s.key, "%s", wrong)
				c.unreadable = append(c.unreadable, s.key)
				break
			}
		}
	}
}

// unwritable returns why the characters of a text are not allowed, or an empty string if they are.
func (s setting) unwritable(text string) string {
	switch {
	case strings.Contains(text, "\x00"):
		return "it has a NUL character in it: a file in UTF-16? Save it as UTF-8"
	case !utf8.ValidString(text):
		return "it is not UTF-8 text"
	case !s.lines && strings.ContainsAny(text, "\r\n"):
		return "it has a line break in it: want one line"
	}
	for _, r := range text {
		switch {
		case r == '\n', r == '\r', r == '\t' && s.lines:
		case unicode.IsControl(r), s.secret != "" && invisible(r):
			return fmt.Sprintf("it has the character U+%04X in it, which is invisible: remove it", r)
		}
	}
	return ""
}

// readable reports whether all texts of a source are valid.
func (c *Checker) readable(source string) bool {
	return !slices.ContainsFunc(c.unreadable, func(key string) bool { return strings.HasPrefix(key, source+".") })
}
