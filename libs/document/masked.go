package document

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"

	"github.com/signrelay/signrelay/libs/event"
)

// Masked returns a copy without personal data. Its people are "Signer 1", "Signer 2" in the order of the log, and their ids are hashes: providers let
// their customers choose ids. The id of the document is as in subjects (event.Public).
func (d *Document) Masked() *Document {
	c := *d
	c.IsMasked, c.ID, c.Title, c.Sender, c.Group, c.ErasedBy = true, event.Public(d.ID), "", "", "", ""
	c.People = slices.Clone(d.People)
	for i := range c.People {
		p := &c.People[i]
		p.FirstName, p.LastName, p.Email, p.Mobile, p.Former = "", "", "", "", nil
		if !d.IsMasked && p.State != PersonErased {
			p.maskIDs()
		}
	}
	return &c
}

// maskIDs replaces the ids of the person by their hashes.
func (p *Person) maskIDs() {
	if p.ID != "" {
		p.ID = maskedID(p.ID)
	}
	p.Was = slices.Clone(p.Was)
	for i, id := range p.Was {
		p.Was[i] = maskedID(id)
	}
}

// maskedID returns the name of a person in a masked document: 72 bits of a hash.
func maskedID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}
