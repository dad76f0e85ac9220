package templates

import (
	"fmt"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// facts are the values that a template can use; docs/templates.md lists them. Names and titles come from outside parties, so harmless cleans
// them.
type facts struct {
	Title  string // of the document; empty if unknown
	Sender string // "PactSafe"; may be empty
	Actor  string // the person who acted; may be empty
	Name   string // the person's given name; empty if there is none for a greeting
	// Together is the number of signers who share the person's address; 0 if there is no other one. If there are several, the message begins with
	// the person's full name (Whose, which may be empty), and with the person's number among them (Place) if the names do not
	// distinguish them. Otherwise Place is 0.
	Together, Place uint32
	Whose           string
	ToSender        bool   // the person is the document's sender
	Missing         uint32 // signatures
	Link            string // the short link; empty if the kind has none
	Locale          string // of the message, a BCP 47 tag
	Contact         string // the operator's other way to opt out of texts; may be empty
}

// The maximum length of a title and a name in a message, in characters. Providers allow hundreds, and each 153 characters cost one more SMS
// part.
const (
	longestTitle = 100
	longestName  = 60
)

// Title returns a document's title for display: on one line, in visible characters, without links, and shortened.
func Title(s string) string { return harmless(plain(s), longestTitle) }

// Sender returns a sender's name for display. It is the operator's own setting, so "Acme.com" stays.
func Sender(s string) string { return cut(plain(s), longestName) }

// harmless returns a plain text without links, which is cut to the limit. A cut can leave a link too: "x.docx" becomes "x.do...".
func harmless(s string, limit int) string {
	s = unlinked(s)
	for ; ; limit-- {
		if short := cut(s, limit); unlinked(short) == short {
			return short
		}
	}
}

func factsOf(n *notifyv1.Notification) (facts, error) {
	about := facts{
		Title:    Title(n.GetDocumentTitle()),
		Sender:   Sender(n.GetSenderName()),
		Actor:    harmless(named(plain(n.GetActorName())), longestName),
		Name:     greeting(n.GetTo().GetFirstName(), n.GetTo().GetLastName()),
		Together: n.GetTo().GetSharedBy(),
		Place:    n.GetTo().GetSharedPlace(),
		ToSender: n.GetTo().GetSender(),
		Missing:  n.GetSignaturesMissing(),
		Link:     n.GetLink().GetShort(),
	}
	if about.Together > 0 {
		about.Whose = harmless(named(plain(n.GetTo().GetFirstName()+" "+n.GetTo().GetLastName())), longestName)
	}
	switch {
	case linked(n.GetKind()) && about.Link == "":
		return facts{}, fmt.Errorf("%w: no short link", ErrUnrenderable)
	case n.GetKind() == notifyv1.Kind_KIND_PROGRESS && about.Missing == 0:
		return facts{}, fmt.Errorf("%w: no signature is missing", ErrUnrenderable)
	default: // other kinds need only a title and names, and work without them
		return about, nil
	}
}

// linked reports whether messages of a kind contain a link.
func linked(kind notifyv1.Kind) bool {
	return event.KindOf(kind).Link != notifyv1.Link_PURPOSE_UNSPECIFIED
}
