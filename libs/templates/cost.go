package templates

import (
	"slices"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/gsm7"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Cost is the cost of a text message.
type Cost struct {
	Kind    string // "invitation"
	Parts   int    // each part is billed
	Outside string // its characters that GSM-7 lacks; with one of them, a part holds 67 characters instead of 153
}

// Costs returns the cost of the text message of each kind, in a locale, with a link, about a document with a title of 20 characters, "Employment
// Agreement". The sender is the name in the message; from describes the sender of the text, because one that cannot receive replies needs a longer
// text.
func (s *Set) Costs(locale, sender, link string, from TextSender) ([]Cost, error) {
	var costs []Cost
	for _, kind := range kinds() {
		text, err := s.SMSFrom(&notifyv1.Notification{
			Kind: kind, Locale: locale, DocumentTitle: "Employment Agreement", SenderName: sender, ActorName: "Eric Smith",
			SignaturesMissing: 1, Link: &notifyv1.Link{Short: link},
		}, from)
		if err != nil {
			return nil, err
		}
		parts, _ := gsm7.Parts(text)
		costs = append(costs, Cost{Kind: event.KindName(kind), Parts: parts, Outside: gsm7.Outside(text)})
	}
	return costs, nil
}

// kinds returns all kinds of messages, in the order of the contract.
func kinds() []notifyv1.Kind {
	var all []notifyv1.Kind
	for number := range notifyv1.Kind_name {
		if kind := notifyv1.Kind(number); kind != notifyv1.Kind_KIND_UNSPECIFIED {
			all = append(all, kind)
		}
	}
	slices.Sort(all)
	return all
}
