// Package evidence makes and verifies evidence files. An evidence file is a ZIP archive with everything that the log knows about one document,
// signed with a key of the operator. docs/evidence.md describes its content, so that other programs can verify it, too.
//
// The archive is canonical: from its members' names and bytes follows each other byte of it. So a verification that rebuilds these bytes
// finds a change anywhere, also between members, in headers, or behind the end (ADR 41).
package evidence

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
)

// The names of members.
const (
	manifestName  = "manifest.json" // lists all members before it
	signatureName = "manifest.sig"  // the Ed25519 signature of the manifest's bytes, 64 bytes
	publicName    = "public-key.pem"
	eventsFolder  = "events/"
)

// format and version identify the manifest. A change of the archive's layout, or of the meaning of a field, is another version.
const (
	format  = "signrelay-evidence"
	version = 1
)

// algorithm is the only one.
const algorithm = "Ed25519"

// largestManifest bounds the memory of a verification, in bytes: about 450,000 members.
const largestManifest = 64 << 20

// Document identifies a document in the log.
type Document struct {
	Source   string `json:"source"`
	Provider string `json:"provider"`
	ID       string `json:"id"` // the provider's
}

// Chain is the chain of hashes over the events. Each event's member has the SHA-256 of the member before it. So two evidence files of one
// document, made at different times, begin with the same hashes.
type Chain struct {
	Events int    `json:"events"`
	Head   string `json:"head"` // the SHA-256 of the last event's member
}

// signer is who signed the manifest.
type signer struct {
	Algorithm   string `json:"algorithm"`   // "Ed25519"
	PublicKey   []byte `json:"public_key"`  // 32 bytes
	Fingerprint string `json:"fingerprint"` // see Fingerprint
}

// head is the manifest without its list of members.
type head struct {
	Format   string   `json:"format"`
	Version  int      `json:"version"`
	Document Document `json:"document"`
	Chain    Chain    `json:"chain"`
	Signer   signer   `json:"signer"`
}

// listed is a member in the manifest.
type listed struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

const listKey = `"files":[`

// manifest returns the manifest's bytes: one line for the head and one for each member.
func manifest(h head, members []member) ([]byte, error) {
	begin, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	var b bytes.Buffer
	b.Write(bytes.TrimSuffix(begin, []byte("}")))
	b.WriteString(",\n" + listKey)
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		line, err := json.Marshal(listed{m.name, m.size, hex.EncodeToString(m.sum[:])})
		if err != nil {
			return nil, fmt.Errorf("encode the manifest: %w", err)
		}
		b.WriteByte('\n')
		b.Write(line)
	}
	b.WriteString("\n]}\n")
	if b.Len() > largestManifest {
		return nil, fmt.Errorf("the manifest has %d bytes, and at most %d are allowed: the document has too many events", b.Len(), largestManifest)
	}
	return b.Bytes(), nil
}

// memberName matches the names that members may have. A name never leads out of the folder into which somebody extracts the archive.
var memberName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*(\.[a-z0-9]+)?$`)

// longestName is the longest name of a member, in bytes.
const longestName = 200

func validName(name string) bool { return len(name) <= longestName && memberName.MatchString(name) }

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// sign returns the manifest's signature.
func sign(key ed25519.PrivateKey, manifest []byte) []byte { return ed25519.Sign(key, manifest) }
