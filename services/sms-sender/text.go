package smssender

import (
	"maps"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// text is what its receipts need to know of a text, and what they told. Nothing in it is personal.
type text struct {
	Source    string        `json:"source"`
	Provider  string        `json:"provider"`
	Document  string        `json:"document"`
	Recipient string        `json:"recipient"`
	Kind      notifyv1.Kind `json:"kind"`
	EventID   string        `json:"event_id"` // of the signing event that caused it

	Parts uint32          `json:"parts"`           // it travels in
	Heard map[string]word `json:"heard,omitempty"` // by messageId

	ToldDelivered   bool `json:"told_delivered,omitempty"`
	ToldUndelivered bool `json:"told_undelivered,omitempty"`
}

// word is the last that was heard of one part.
type word struct {
	Status string    `json:"status"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

func textOf(n *notifyv1.Notification, parts int) text {
	return text{
		Source: n.GetSource(), Provider: n.GetProvider(), Document: n.GetDocumentId(), Recipient: n.GetTo().GetRecipientId(),
		Kind: n.GetKind(), EventID: n.GetEventId(), Parts: uint32(parts),
	}
}

// notification is as much of the text's notification as an event tells.
func (t text) notification(id string) *notifyv1.Notification {
	return &notifyv1.Notification{
		Id: id, EventId: t.EventID, Source: t.Source, Provider: t.Provider, DocumentId: t.Document,
		Kind: t.Kind, Channel: notifyv1.Channel_CHANNEL_SMS, To: &notifyv1.Person{RecipientId: t.Recipient},
	}
}

// hear takes a receipt in, and tells whether it was news. A part's last state stays: receipts overtake each other.
func (t *text) hear(r receipt) (news bool) {
	before, heard := t.Heard[r.part]
	if heard && (final(before.Status) || before.Status == r.status) {
		return false
	}
	t.Heard = maps.Clone(t.Heard)
	if t.Heard == nil {
		t.Heard = map[string]word{}
	}
	t.Heard[r.part] = word{Status: r.status, Reason: r.reason, At: r.at.UTC()}
	return true
}

// due is the event that must be told now, and has not been, or nil: that all parts arrived, or that one did not. A text that
// was sent twice, because nobody knew of the first time, can have both; what arrived is not taken back.
func (t *text) due(id string) *signingv1.SigningEvent {
	if t.ToldDelivered {
		return nil
	}
	arrived, at := t.parts(delivered)
	if len(arrived) > 0 && len(arrived) >= int(t.Parts) {
		t.ToldDelivered = true
		return notification.Delivered(t.notification(id), flow.SMSSender, at, notification.Receipt{Reference: arrived[0], Parts: t.Parts})
	}
	missing, at := t.parts(expired, failed, rejected)
	if len(missing) > 0 && !t.ToldUndelivered {
		t.ToldUndelivered = true
		return notification.Undelivered(t.notification(id), flow.SMSSender, at, notification.Receipt{
			Reference: missing[0], Parts: t.Parts, Reason: t.Heard[missing[0]].Reason, Fault: faultOf(t.Heard[missing[0]].Reason),
		})
	}
	return nil
}

// parts returns the sorted parts in one of the states, and when the last of them came into it.
func (t *text) parts(in ...string) (found []string, last time.Time) {
	for _, part := range slices.Sorted(maps.Keys(t.Heard)) {
		if w := t.Heard[part]; slices.Contains(in, w.Status) {
			found = append(found, part)
			if w.At.After(last) {
				last = w.At
			}
		}
	}
	return found, last
}
