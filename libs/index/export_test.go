package index

import "strings"

// Matches is the model of a search by text: it reads the words of one document, without terms.
func Matches(r Row, q Query) bool {
	s := seek(q.Text, q.Exact)
	if strings.TrimSpace(q.Text) != "" && len(s) == 0 {
		return false
	}
	return s.matches(fold(r.ID), r.words())
}
