package templates

import (
	"fmt"
	"strings"
	"unicode"

	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// facts is what a template may say. All of it was written by strangers, and is harmless on one line.
type facts struct {
	Title   string // of the document; empty where nobody told
	Sender  string // "PactSafe"; may be empty
	Actor   string // who acted
	Name    string // the reader's given name; may be empty
	Missing uint32 // signatures
	Link    string // the short link; set wherever the kind has one
	Locale  string
}

// The longest title and name in a message. Providers allow hundreds of characters, and each 153 of them are one more SMS
// to pay for.
const (
	longestTitle = 100
	longestName  = 60
)

func factsOf(n *notifyv1.Notification) (facts, error) {
	about := facts{
		Title:   harmless(n.GetDocumentTitle(), longestTitle),
		Sender:  harmless(n.GetSenderName(), longestName),
		Actor:   harmless(n.GetActorName(), longestName),
		Name:    harmless(n.GetTo().GetFirstName(), longestName),
		Missing: n.GetSignaturesMissing(),
		Link:    n.GetLink().GetShort(),
		Locale:  n.GetLocale(),
	}
	if about.Actor == "" {
		about.Actor = "Somebody"
	}
	if about.Locale == "" {
		about.Locale = fallback
	}
	switch n.GetKind() {
	case notifyv1.Kind_KIND_INVITATION, notifyv1.Kind_KIND_COMPLETED, notifyv1.Kind_KIND_REMINDER:
		if about.Link == "" {
			return facts{}, fmt.Errorf("%w: no short link", ErrUnrenderable)
		}
	case notifyv1.Kind_KIND_PROGRESS:
		if about.Missing == 0 {
			return facts{}, fmt.Errorf("%w: no signature is missing", ErrUnrenderable)
		}
	default: // the others need no more than a title and names, and do without where they must
	}
	return about, nil
}

// harmless is s on one line: what breaks lines, rings bells or turns the direction of the text around is a space, spaces
// are single, and what is longer than the limit ends in "...".
func harmless(s string, limit int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, " "), breaksLine), " ")
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	return strings.TrimSpace(string(runes[:limit-3])) + "..."
}

// breaksLine tells whether r is space, a control character, or an invisible one that orders or hides text. The joiners
// U+200C and U+200D stay: Persian and Indic names and emoji are written with them.
func breaksLine(r rune) bool {
	switch {
	case unicode.IsSpace(r), unicode.IsControl(r), unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r), unicode.Is(unicode.Bidi_Control, r):
		return true
	case r == '\u200b', r == '\u2060', r == '\ufeff', r == '\u00ad':
		return true
	default:
		return unicode.In(r, unicode.Co) // private use: nobody knows what it shows
	}
}
