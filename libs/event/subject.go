package event

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// None is the document's token in the subject of an event that concerns no document.
const None = "_"

// SubjectForm is the form of every subject in the log, for display.
const SubjectForm = prefix + "<source>.<provider>.<entity>.<action>.<document>"

// Everything is the filter for the whole log.
const Everything = prefix + ">"

const (
	prefix = "signing.v1."
	tokens = 7 // of a subject
)

// Subject returns the subject of e in the log: signing.v1.<source>.<provider>.<entity>.<action>.<document>, always seven
// tokens without personal data.
func Subject(e *signingv1.SigningEvent) string {
	return SubjectOf(e.GetSource(), e.GetProvider(), e.GetType(), e.GetDocument().GetId())
}

// SubjectOf returns the subject of a source's events of one type about one document. An empty id means no document.
func SubjectOf(source, provider, eventType, documentID string) string {
	return SubjectOfToken(source, provider, eventType, DocumentToken(documentID))
}

// SubjectOfToken is SubjectOf for a document's token.
func SubjectOfToken(source, provider, eventType, token string) string {
	return prefix + source + "." + provider + "." + eventType + "." + token
}

// DocumentFilter returns the filter for all events of one document, from any source and provider.
func DocumentFilter(documentID string) string {
	return prefix + "*.*.*.*." + DocumentToken(documentID)
}

// SourceFilter returns the filter for all events of one source; an empty provider means any provider.
func SourceFilter(source, provider string) string {
	return prefix + source + "." + cmp.Or(provider, "*") + ".>"
}

// TypeFilter returns the filter for all events of one type. "<entity>.*" means all types of the entity.
func TypeFilter(eventType string) string { return prefix + "*.*." + eventType + ".>" }

// DocumentsFilter returns the filter for a source's events of one type about any document. Its wildcard is at the end, which the server finds
// without a search.
func DocumentsFilter(source, provider, eventType string) string {
	return prefix + source + "." + provider + "." + eventType + ".>"
}

// EntityFilter returns the filter for all events of one entity.
func EntityFilter(entity string) string { return prefix + "*.*." + entity + ".>" }

// InLog reports whether a subject belongs to the log.
func InLog(subject string) bool { return strings.HasPrefix(subject, prefix) }

// Address is the content of a subject in the log.
type Address struct {
	Source, Provider string
	Type             string
	Document         string // its token: None, or see DocumentToken
}

// ParseSubject parses a subject of the log; it returns false if the subject is not valid.
func ParseSubject(subject string) (Address, bool) {
	t := strings.Split(subject, ".")
	if !InLog(subject) || len(t) != tokens || slices.Contains(t, "") {
		return Address{}, false
	}
	return Address{Source: t[2], Provider: t[3], Type: t[4] + "." + t[5], Document: t[6]}, true
}

// MatchesLog reports whether a filter can match a subject in the log. A reader with any other filter would wait forever.
func MatchesLog(filter string) bool {
	form, all := strings.Split(SubjectForm, "."), strings.Split(filter, ".")
	for i, token := range all {
		switch {
		case token == "" || i >= len(form):
			return false
		case token == ">":
			return i == len(all)-1
		case token != "*" && i < strings.Count(prefix, ".") && token != form[i]:
			return false
		}
	}
	return len(all) == len(form)
}

// longestToken is the length in bytes up to which an id becomes a token unchanged. Providers' ids have 24 to 40 characters. A much longer id
// is an attack, because the server refuses a subject of many kilobytes at every retry.
const longestToken = 128

// DocumentToken returns a document's id as one subject token: the id if it is a legal token, otherwise its base64url, and "_" without an
// id. An id that has more than 128 bytes or looks personal (see Public) becomes the base64url of its SHA-256.
func DocumentToken(id string) string {
	switch {
	case id == "":
		return None
	case len(id) > longestToken, personal(id):
		return hashed(id)
	case id == None || strings.ContainsFunc(id, illegalInToken):
		return base64.RawURLEncoding.EncodeToString([]byte(id))
	default:
		return id
	}
}

func illegalInToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// FilterOfToken returns the filter for all events of the document with that token, from any source and provider.
func FilterOfToken(token string) string { return prefix + "*.*.*.*." + token }
