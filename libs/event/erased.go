package event

import (
	"crypto/sha256"
	"encoding/base64"
)

// ErasedID returns the name of a document after its erasure, which the document.id of document.erased has: the base64url of the SHA-256 of
// "<source>/<provider>/<token>", 43 characters. The token is the last part of the document's subjects, for the ids of all providers the id
// itself. A team that knows the id can compute the name, without a key, and the name does not reveal the id.
func ErasedID(source, provider, token string) string {
	sum := sha256.Sum256([]byte(source + "/" + provider + "/" + token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
