package event

import (
	"encoding/base64"
	"strings"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// None is the document's token in the subject of an event that concerns no document.
const None = "_"

// Subject is where e stands in the log: signing.v1.<source>.<provider>.<entity>.<action>.<document>, always seven
// tokens and nothing personal in them.
func Subject(e *signingv1.SigningEvent) string {
	return "signing.v1." + e.GetSource() + "." + e.GetProvider() + "." + e.GetType() + "." + DocumentToken(e.GetDocument().GetId())
}

// DocumentFilter is the filter of all events of one document, whatever its source and provider: its whole life.
func DocumentFilter(documentID string) string {
	return "signing.v1.*.*.*.*." + DocumentToken(documentID)
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
