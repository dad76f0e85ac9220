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
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// link is the target of a short link as the bucket stores it: one person's access to one document.
type link struct {
	// Target is the address, a secret; empty if the provider resolves the link at the click.
	Target string `json:"target,omitempty"`
	// OccurredAt is the time of the event with the target: a redelivered older message must not restore an older target.
	OccurredAt time.Time `json:"told,omitzero"`

	Source    string `json:"source"`
	Provider  string `json:"provider"`
	Document  string `json:"document"`
	Recipient string `json:"recipient,omitempty"`
	Purpose   string `json:"purpose"`
	Kind      string `json:"kind"` // of the first message with the link
	// Correction is the id of the correction of the person with which the link was made; empty for none. A link from before the latest correction
	// does not open: its message may have gone to another person.
	Correction string `json:"correction,omitempty"`
	// Order is the id of the order that the sender of the document gave on the page of a link for corrections. The link works for one order.
	Order string `json:"order,omitempty"`
	shown        // on its pages

	MadeAt    time.Time `json:"made_at"`
	ExpiresAt time.Time `json:"expires_at"`

	// Outside contains its forms at the outside shortener, by the channel of the messages.
	Outside map[string]outsideForm `json:"forms,omitempty"`
	// Fetched is the last day ("2026-11-27", UTC) on which each kind of program fetched the link. The log gets one event a day for
	// each kind.
	Fetched map[string]string `json:"fetched,omitempty"`
}

// shown is the data on the link's pages, from the newest message.
type shown struct {
	Title  string `json:"title,omitempty"`  // the document's
	Sender string `json:"sender,omitempty"` // who sent the document
	Locale string `json:"locale,omitempty"` // of the messages, a BCP 47 tag
}

// corrects reports whether the link is for the sender of the document, who corrects a person.
func (l link) corrects() bool {
	return l.Purpose == notification.PurposeName(notifyv1.Link_PURPOSE_CORRECT)
}

// correctFor is the time for which a link for corrections works.
const correctFor = 7 * 24 * time.Hour

// outsideForm is an outside shortener's short form of one of our links.
type outsideForm struct {
	By    string `json:"by"`    // "bitly", "rebrandly"
	Of    string `json:"of"`    // our link when it was shortened
	Short string `json:"short"` // in the signer's message
}

// linkOf returns the link that a notification needs. Its errors do not contain the target, which is a secret.
func linkOf(n *notifyv1.Notification) (link, error) {
	l := link{
		Source: n.GetSource(), Provider: n.GetProvider(), Document: n.GetDocumentId(), Recipient: n.GetTo().GetRecipientId(),
		Purpose: notification.PurposeName(n.GetLink().GetPurpose()), Kind: event.KindName(n.GetKind()), Correction: n.GetTo().GetCorrection(),
		shown: shown{Title: templates.Title(n.GetDocumentTitle()), Sender: templates.Sender(n.GetSenderName()), Locale: n.GetLocale()},
	}
	if l.corrects() {
		l.Recipient = n.GetLink().GetRecipientId()
	}
	if n.GetOccurredAt() != nil {
		l.OccurredAt = n.GetOccurredAt().AsTime()
	}
	if n.GetLink().GetTarget() == "" {
		if l.Document == "" && l.Recipient == "" {
			return link{}, errors.New("the link has no target, and neither a document nor a person for its provider's API")
		}
		return l, nil
	}
	target, err := url.Parse(n.GetLink().GetTarget())
	if err != nil || !pack.Address(n.GetLink().GetTarget()) {
		return link{}, errors.New("the link's target is not an http(s) address")
	}
	l.Target = target.String()
	return l, nil
}

// pairOf returns the hash of the link's person and purpose. It is the same for an invitation, its reminder and a redelivery, also if the
// target has changed. People without an id (Clickwrap may not send one) differ by their own target, and without a target by the message's
// number or address.
//
// The hash is a legal key for ids of any form, and does not reveal its input.
func pairOf(n *notifyv1.Notification) string {
	who, target := n.GetTo().GetRecipientId(), n.GetLink().GetTarget()
	parts := []string{n.GetSource(), n.GetProvider(), n.GetDocumentId(), notification.PurposeName(n.GetLink().GetPurpose())}
	switch {
	case n.GetLink().GetPurpose() == notifyv1.Link_PURPOSE_CORRECT: // each message has its own, because it works for one order
		parts = append(parts, "correct", n.GetLink().GetRecipientId(), n.GetEventId())
	case who != "" && n.GetTo().GetCorrection() != "":
		parts = append(parts, "id", who, "corrected", n.GetTo().GetCorrection())
	case who != "":
		parts = append(parts, "id", who)
	case target != "":
		parts = append(parts, "target", target)
	default:
		parts = append(parts, "to", cmp.Or(n.GetTo().GetMobile(), n.GetTo().GetEmail()))
	}
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%q,", part) // quoted, so that ("ab","c") and ("a","bc") differ
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
