package templates

import (
	"github.com/signrelay/signrelay/libs/event"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// The names of the channels.
var sms, email = event.ChannelName(event.SMS), event.ChannelName(event.Email)

// layout describes the parts of a channel's messages.
type layout struct {
	parts  []string // the blocks that each file must define
	html   bool     // whether a file is also parsed as HTML, with escaping
	render func(*Set, *notifyv1.Notification) []part
}

// part is a rendered block of a message.
type part struct {
	name, text string
	err        error
}

// layouts are the layouts of all channels, by the channel's name.
var layouts = map[string]layout{
	sms: {parts: []string{"sms"}, render: func(s *Set, n *notifyv1.Notification) []part {
		text, err := s.SMS(n)
		from := TextSender{NoReplies: true, Contact: "stop@acme.example"}
		longer, longerErr := s.SMSFrom(n, from)
		return []part{{"sms", text, err}, {"sms", longer, longerErr}}
	}},
	email: {parts: []string{"subject", "text", "html"}, html: true, render: func(s *Set, n *notifyv1.Notification) []part {
		subject, text, html, err := s.Email(n)
		return []part{{"subject", subject, err}, {"text", text, err}, {"html", html, err}}
	}},
}
