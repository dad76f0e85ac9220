package templates

import (
	"fmt"

	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// facts is what a template may say; docs/templates.md lists them. Names and titles were written by strangers, and are
// harmless.
type facts struct {
	Title  string // of the document; empty if unknown
	Sender string // "PactSafe"; may be empty
	Actor  string // who acted; may be empty
	Name   string // the reader's given name; empty where there is none to greet with
	// Together is how many signers read at the reader's address; 0 if there is no other. If there are several, the message
	// says whose it is: by Whose, the full name, which may be empty, and by Place among them if the names do not distinguish
	// them. Else Place is 0.
	Together, Place uint32
	Whose           string
	ToSender        bool   // the reader is who sent the document
	Missing         uint32 // signatures
	Link            string // the short link; set wherever the kind has one
	Locale          string // that the message is in, a BCP 47 tag
}

// The longest title and name in a message, in characters. Providers allow hundreds of them, and each 153 are one more SMS
// to pay for.
const (
	longestTitle = 100
	longestName  = 60
)

// Title is a document's title as people may be shown it: on one line, of visible characters, without links, and not too long.
func Title(s string) string { return harmless(plain(s), longestTitle) }

// Sender is a sender's name as people may be shown it. It is the operator's own setting, so "Acme.com" stays.
func Sender(s string) string { return cut(plain(s), longestName) }

// harmless is a plain text without links, which is cut to the limit. A cut can leave a link too: "x.docx" becomes "x.do...".
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
		Whose:    harmless(named(plain(n.GetTo().GetFirstName()+" "+n.GetTo().GetLastName())), longestName),
		ToSender: n.GetTo().GetSender(),
		Missing:  n.GetSignaturesMissing(),
		Link:     n.GetLink().GetShort(),
	}
	switch {
	case linked(n.GetKind()) && about.Link == "":
		return facts{}, fmt.Errorf("%w: no short link", ErrUnrenderable)
	case n.GetKind() == notifyv1.Kind_KIND_PROGRESS && about.Missing == 0:
		return facts{}, fmt.Errorf("%w: no signature is missing", ErrUnrenderable)
	default: // the others need no more than a title and names, and do without where they must
		return about, nil
	}
}

// linked tells whether a kind's messages carry a link.
func linked(kind notifyv1.Kind) bool {
	return event.KindOf(kind).Link != notifyv1.Link_PURPOSE_UNSPECIFIED
}
