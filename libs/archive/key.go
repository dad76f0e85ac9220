package archive

import (
	"cmp"
	"regexp"
	"slices"

	"github.com/signrelay/signrelay/libs/event"
)

// MediaType is the type of all files.
const MediaType = "application/pdf"

// Document names the document of a file.
type Document struct {
	Source, Provider string
	ID               string // the provider's
}

// Prefix returns the beginning of the keys of the document's files: <source>/<provider>/<document>/. The last part is the document's token in
// subjects, so it is not personal.
func (d Document) Prefix() string {
	return d.Source + "/" + d.Provider + "/" + event.DocumentToken(d.ID) + "/"
}

// Key returns the key of a file: <source>/<provider>/<document>/<kind>-<sha256>.pdf.
func (d Document) Key(n Name) string { return d.Prefix() + n.Kind + "-" + n.SHA256 + ".pdf" }

// Name identifies a file of a document.
type Name struct {
	Kind   string // see pack.File
	SHA256 string // of its content, 64 characters [0-9a-f]
}

var namePattern = regexp.MustCompile(`^([a-z]{1,20})-([0-9a-f]{64})\.pdf$`)

// parseName parses the last part of a key; it returns false for an object that is no file of a document.
func parseName(text string) (Name, bool) {
	m := namePattern.FindStringSubmatch(text)
	if m == nil {
		return Name{}, false
	}
	return Name{Kind: m[1], SHA256: m[2]}, true
}

func sortByAge(objects []Object) {
	slices.SortFunc(objects, func(a, b Object) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Key, b.Key)) })
}
