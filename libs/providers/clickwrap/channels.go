package clickwrap

import (
	"encoding/json"
	"strings"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/rest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// channels is send_to: {"email":true,"mobile_number":false} as documented, or the names of channels, in a list or alone. An empty list is an
// empty object. A value without information about either channel counts as missing.
type channels struct{ stated, email, mobile bool }

func (c *channels) UnmarshalJSON(data []byte) error {
	*c = channels{}
	switch data[0] {
	case '{':
		var named struct {
			Email        rest.Yes `json:"email"`
			MobileNumber rest.Yes `json:"mobile_number"`
		}
		if err := json.Unmarshal(data, &named); err != nil {
			return err
		}
		*c = channels{stated: true, email: bool(named.Email), mobile: bool(named.MobileNumber)}
	case '[':
		var names rest.List[rest.Text]
		if err := json.Unmarshal(data, &names); err != nil {
			return err
		}
		for _, name := range names {
			c.add(string(name))
		}
		c.stated = c.stated || len(names) == 0
	case '"':
		var name rest.Text
		if err := json.Unmarshal(data, &name); err != nil {
			return err
		}
		for _, name := range strings.FieldsFunc(string(name), func(r rune) bool { return strings.ContainsRune(" ,;|&+", r) }) {
			c.add(name)
		}
	}
	return nil
}

// wants returns the channels in the order of event.Channels.
func (c *channels) wants() []notifyv1.Channel {
	var all []notifyv1.Channel
	if c.mobile {
		all = append(all, event.SMS)
	}
	if c.email {
		all = append(all, event.Email)
	}
	return all
}

func (c *channels) add(name string) {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "email", "e-mail", "mail":
		c.stated, c.email = true, true
	case "mobile_number", "mobile", "sms", "phone", "text":
		c.stated, c.mobile = true, true
	}
}

// statuses maps the provider's status texts to reasons against a channel, in lower case and with single spaces. The documentation names two
// of them. An unlisted status is not a reason: a message to an invalid address does no harm, but a missing message does.
var statuses = map[string]pack.Undeliverable{
	"opted out": pack.OptedOut, "opt out": pack.OptedOut, "optedout": pack.OptedOut, "optout": pack.OptedOut,
	"unsubscribed": pack.OptedOut, "unsubscribe": pack.OptedOut,
	"landline": pack.Landline, "land line": pack.Landline, "fixed line": pack.Landline, "fixedline": pack.Landline,
}

// blockReason returns the reason for the first status that is not empty.
func blockReason(values ...rest.Text) pack.Undeliverable {
	status := strings.ToLower(rest.First(values...))
	status, _, _ = strings.Cut(status, "(") // an explanation
	words := strings.FieldsFunc(status, func(r rune) bool { return strings.ContainsRune(" _-.", r) })
	return statuses[strings.Join(words, " ")]
}
