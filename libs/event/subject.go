package event

import (
	"encoding/base64"
	"slices"
	"strings"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// None is the document's token in the subject of an event that concerns no document.
const None = "_"

// SubjectForm is the form of every subject in the log, as people read it.
const SubjectForm = prefix + "<source>.<provider>.<entity>.<action>.<document>"

// Everything is the filter of the whole log.
const Everything = prefix + ">"

const (
	prefix = "signing.v1."
	tokens = 7 // of a subject
)

// Subject is where e stands in the log: signing.v1.<source>.<provider>.<entity>.<action>.<document>, always seven
// tokens and nothing personal in them.
func Subject(e *signingv1.SigningEvent) string {
	return SubjectOf(e.GetSource(), e.GetProvider(), e.GetType(), e.GetDocument().GetId())
}

// SubjectOf is where the log has a source's events of one type about one document. The empty id is that of no document.
func SubjectOf(source, provider, eventType, documentID string) string {
	return prefix + source + "." + provider + "." + eventType + "." + DocumentToken(documentID)
}

// DocumentFilter is the filter of all events of one document, whatever its source and provider: its whole life.
func DocumentFilter(documentID string) string {
	return prefix + "*.*.*.*." + DocumentToken(documentID)
}

// TypeFilter is the filter of all events of one type, whatever they are about. "<entity>.*" stands for each type of the entity.
func TypeFilter(eventType string) string { return prefix + "*.*." + eventType + ".>" }

// EntityFilter is the filter of all events that happen to one entity.
func EntityFilter(entity string) string { return prefix + "*.*." + entity + ".>" }

// InLog reports whether a subject is one of the log's.
func InLog(subject string) bool { return strings.HasPrefix(subject, prefix) }

// Address is what a subject in the log says.
type Address struct {
	Source, Provider string
	Type             string
	Document         string // its token: None, or see DocumentToken
}

// ParseSubject takes a subject of the log apart; false means that it is none.
func ParseSubject(subject string) (Address, bool) {
	t := strings.Split(subject, ".")
	if !InLog(subject) || len(t) != tokens || slices.Contains(t, "") {
		return Address{}, false
	}
	return Address{Source: t[2], Provider: t[3], Type: t[4] + "." + t[5], Document: t[6]}, true
}

// MatchesLog reports whether a filter can match a subject in the log. Who waits with another one waits for ever.
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

// The longest id that becomes a token as it is. Providers' ids have 24 to 40 characters; a longer one is somebody's
// attempt, and a subject of many kilobytes would be refused by the server for ever.
const longestToken = 128

// DocumentToken turns a document's id into one subject token: the id itself where it is a legal token, else its
// base64url, "_" for none. An id over 128 bytes, or one that looks personal (see Public), becomes the base64url of its SHA-256.
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
