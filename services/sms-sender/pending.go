package smssender

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
)

// pending is a sent text that waits for receipts: the data for its events, and the receipts so far. It contains no personal data.
type pending struct {
	Source    string        `json:"source"`
	Provider  string        `json:"provider"`
	Document  string        `json:"document"`
	Recipient string        `json:"recipient"`
	Kind      notifyv1.Kind `json:"kind"`
	EventID   string        `json:"event_id"` // of the signing event that caused it

	Parts    uint32                `json:"parts"`
	Statuses map[string]partStatus `json:"heard,omitempty"` // by the vendor's id of the part

	// The events that were published.
	Delivered   bool `json:"told_delivered,omitempty"`
	Undelivered bool `json:"told_undelivered,omitempty"`
}

// partStatus is the latest status of one part.
type partStatus struct {
	Status gateway.Status `json:"status"`
	Reason string         `json:"reason,omitempty"`
	Fault  outcome.Fault  `json:"fault,omitempty"`
	At     time.Time      `json:"at"`
}

func newPending(n *notifyv1.Notification, parts int) pending {
	return pending{
		Source: n.GetSource(), Provider: n.GetProvider(), Document: n.GetDocumentId(), Recipient: n.GetTo().GetRecipientId(),
		Kind: n.GetKind(), EventID: n.GetEventId(), Parts: uint32(parts),
	}
}

// notification returns the fields of the text's notification that an event contains.
func (p pending) notification(id string) *notifyv1.Notification {
	return &notifyv1.Notification{
		Id: id, EventId: p.EventID, Source: p.Source, Provider: p.Provider, DocumentId: p.Document,
		Kind: p.Kind, Channel: event.SMS, To: &notifyv1.Person{RecipientId: p.Recipient},
	}
}

// record records a receipt, and reports whether it changed anything. Receipts overtake each other, so a final status stays.
func (p *pending) record(r gateway.DeliveryReceipt) (changed bool) {
	before, known := p.Statuses[r.Part]
	if known && (before.Status.Final() || before.Status == r.Status) {
		return false
	}
	p.Statuses = maps.Clone(p.Statuses)
	if p.Statuses == nil {
		p.Statuses = map[string]partStatus{}
	}
	p.Statuses[r.Part] = partStatus{Status: r.Status, Reason: r.Reason, Fault: r.Fault, At: r.At.UTC()}
	return true
}

// due returns the event that must be published now, because all parts arrived or one part is lost. It returns nil if there is no such event,
// or if it was published before. A text that was sent twice after an unknown outcome can have both events; a delivery is not revoked.
func (p *pending) due(id string) *signingv1.SigningEvent {
	if p.Delivered {
		return nil
	}
	arrived, at := p.partsIn(gateway.Delivered)
	if len(arrived) > 0 && len(arrived) >= int(p.Parts) {
		p.Delivered = true
		return notification.Delivered(p.notification(id), flow.SMSSender, at, notification.Receipt{Reference: arrived[0], Parts: p.Parts})
	}
	lost, at := p.partsIn(gateway.Expired, gateway.Failed, gateway.Rejected)
	if len(lost) > 0 && !p.Undelivered {
		p.Undelivered = true
		first := p.Statuses[lost[0]]
		return notification.Undelivered(p.notification(id), flow.SMSSender, at, notification.Receipt{
			Reference: lost[0], Parts: p.Parts, Reason: first.Reason, Fault: cmp.Or(first.Fault, outcome.Provider),
		})
	}
	return nil
}

// partsIn returns the sorted ids of the parts with one of the statuses, and the time of the latest.
func (p *pending) partsIn(statuses ...gateway.Status) (found []string, last time.Time) {
	for _, id := range slices.Sorted(maps.Keys(p.Statuses)) {
		if part := p.Statuses[id]; slices.Contains(statuses, part.Status) {
			found = append(found, id)
			if part.At.After(last) {
				last = part.At
			}
		}
	}
	return found, last
}
