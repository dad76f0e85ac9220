package smssender

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// lastTexts is the part of the bucket TEXTS with the last text to each number, under a keyed hash of the number. A reply does not say which
// text it replies to, and one number of the operator sends the texts of all sources.
type lastTexts struct {
	bucket jetstream.KeyValue
	keys   keyring.Keys
}

// lastText is the data of a text that a reply to it needs. It contains no personal data.
type lastText struct {
	Source    string `json:"source"`
	Provider  string `json:"provider"`
	Document  string `json:"document,omitempty"`
	Recipient string `json:"recipient,omitempty"`
	Locale    string `json:"locale,omitempty"`
}

// keysOf returns the keys of an entry, of the newest master key first.
func keysOf(keys keyring.Keys, family, text string) []string {
	all := keys.Names(family + "/" + text)
	for i := range all {
		all[i] = family + "." + all[i]
	}
	return all
}

const familyTo = "to"

// put records a text before it is sent. A reply of Signrelay to a person's text is about the same document as that text.
func (l lastTexts) put(ctx context.Context, n *notifyv1.Notification) error {
	if event.KindOf(n.GetKind()).Replies {
		return nil
	}
	value, err := json.Marshal(lastText{
		Source: n.GetSource(), Provider: n.GetProvider(), Document: n.GetDocumentId(), Recipient: n.GetTo().GetRecipientId(), Locale: n.GetLocale(),
	})
	if err != nil {
		return err
	}
	_, err = l.bucket.Put(ctx, keysOf(l.keys, familyTo, notification.Digits(n.GetTo().GetMobile()))[0], value)
	return err
}

// to returns the last text to a number; false if there was none within the last 7 days.
func (l lastTexts) to(ctx context.Context, number string) (last lastText, found bool, err error) {
	for _, key := range keysOf(l.keys, familyTo, notification.Digits(number)) {
		e, err := l.bucket.Get(ctx, key)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			continue
		case err != nil:
			return lastText{}, false, fmt.Errorf("read the last text to a number: %w", err)
		}
		if json.Unmarshal(e.Value(), &last) == nil && last.Source != "" && last.Provider != "" {
			return last, true, nil
		}
	}
	return lastText{}, false, nil
}
