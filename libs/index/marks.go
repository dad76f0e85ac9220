package index

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Marks returns the parts of a text that a search for the query finds: offsets of bytes, in order, without overlap. A text that is a phone number is
// compared by its digits only.
func Marks(text, query string, isNumber bool) (marks [][2]int) {
	var b strings.Builder
	var from, to []int // the bytes of the text from which each byte of b was made
	for at, r := range text {
		made := fold(string(r))
		if isNumber {
			made = strings.Map(func(r rune) rune {
				if r < '0' || r > '9' {
					return -1
				}
				return r
			}, made)
		}
		b.WriteString(made)
		_, size := utf8.DecodeRuneInString(text[at:])
		for range len(made) {
			from, to = append(from, at), append(to, at+size)
		}
	}
	for _, word := range markedWords(query, isNumber) {
		for _, at := range found(b.String(), word) {
			marks = append(marks, [2]int{from[at], to[at+len(word)-1]})
		}
	}
	slices.SortFunc(marks, func(a, b [2]int) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(b[1], a[1])) })
	end := 0
	return slices.DeleteFunc(marks, func(m [2]int) bool {
		if m[0] < end {
			return true
		}
		end = m[1]
		return false
	})
}

// markedWords returns what a search for the query looks for in a text.
func markedWords(query string, isNumber bool) (words []string) {
	folded := fold(query)
	if !isNumber {
		return strings.Fields(folded)
	}
	if !numeric(strings.TrimSpace(folded)) {
		return nil
	}
	number := digits(folded)
	words = []string{number}
	for _, w := range withoutCode(number) {
		words = append(words, w.text)
	}
	return words
}

// found returns where a folded text has a word. One or two characters are sought at the beginning of a word only, as the search does.
func found(text, word string) (all []int) {
	short := utf8.RuneCountInString(word) < 3
	for at := 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return all
		}
		at += i
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		first, size := utf8.DecodeRuneInString(text[at:])
		if at == 0 || !short || starts(before, first) {
			all = append(all, at)
		}
		at += size
	}
}
