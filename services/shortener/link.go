package shortener

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// link is what stands behind a short link, as the bucket keeps it: one person's access to one document.
type link struct {
	// Target is where it leads, a secret; empty where the provider is asked at the click.
	Target string `json:"target,omitempty"`
	// Told is when what brought the target happened: a redelivered older message must not bring an older target back.
	Told time.Time `json:"told,omitzero"`

	Source    string `json:"source"`
	Provider  string `json:"provider"`
	Document  string `json:"document"`
	Recipient string `json:"recipient,omitempty"`
	Purpose   string `json:"purpose"`
	Kind      string `json:"kind"` // of the first message that carried it
	shown            // on its pages

	MadeAt    time.Time `json:"made_at"`
	ExpiresAt time.Time `json:"expires_at"`

	// Outside is its forms at the outside shortener, by the channel whose messages carry them, once that made them.
	Outside map[string]outsideForm `json:"forms,omitempty"`
	// Fetched is the last day ("2026-11-27", UTC) on which each kind of program fetched the link: the log gets one event a day
	// for each kind.
	Fetched map[string]string `json:"fetched,omitempty"`
}

// shown is what the link's pages say about it, as its newest message had it.
type shown struct {
	Title  string `json:"title,omitempty"`  // the document's
	Sender string `json:"sender,omitempty"` // who sent the document
	Locale string `json:"locale,omitempty"` // of the messages, a BCP 47 tag
}

// outsideForm is an outside shortener's short form of one of our links.
type outsideForm struct {
	By    string `json:"by"`    // "bitly", "rebrandly"
	Of    string `json:"of"`    // our link, as it was when it was shortened
	Short string `json:"short"` // what a signer reads
}

// linkOf is the link that a notification asks for. Its errors say nothing of the target, which is a secret.
func linkOf(n *notifyv1.Notification) (link, error) {
	l := link{
		Source: n.GetSource(), Provider: n.GetProvider(), Document: n.GetDocumentId(), Recipient: n.GetTo().GetRecipientId(),
		Purpose: notification.PurposeName(n.GetLink().GetPurpose()), Kind: event.KindName(n.GetKind()),
		shown: shown{Title: templates.Title(n.GetDocumentTitle()), Sender: templates.Sender(n.GetSenderName()), Locale: n.GetLocale()},
	}
	if n.GetOccurredAt() != nil {
		l.Told = n.GetOccurredAt().AsTime()
	}
	if n.GetLink().GetTarget() == "" {
		if l.Document == "" && l.Recipient == "" {
			return link{}, errors.New("the link has no target, and neither a document nor a person to ask its provider about")
		}
		return l, nil
	}
	target, err := url.Parse(n.GetLink().GetTarget())
	if err != nil || !isWeb(target) {
		return link{}, errors.New("the link's target is no http(s) address")
	}
	l.Target = target.String()
	return l, nil
}

// isWeb tells whether u is an absolute http or https address: all that a signer is ever sent to.
func isWeb(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil // a name before the host only deceives
}

// pairOf is the hash of whom and what the link is for: the same for an invitation, its reminder and a redelivery, also
// when the target has changed meanwhile. People without an id (Clickwrap may not tell one) are told apart by their own
// target, and where they have none by the number or address that the message goes to.
//
// It is a legal key whatever the provider's ids look like, and it tells nothing of what it was made from.
func pairOf(n *notifyv1.Notification) string {
	who, target := n.GetTo().GetRecipientId(), n.GetLink().GetTarget()
	parts := []string{n.GetSource(), n.GetProvider(), n.GetDocumentId(), notification.PurposeName(n.GetLink().GetPurpose())}
	switch {
	case who != "":
		parts = append(parts, "id", who)
	case target != "":
		parts = append(parts, "target", target)
	default:
		parts = append(parts, "to", cmp.Or(n.GetTo().GetMobile(), n.GetTo().GetEmail()))
	}
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%q,", part) // quoted: ("ab","c") and ("a","bc") differ
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
