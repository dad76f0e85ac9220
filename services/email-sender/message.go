package emailsender

import (
	"errors"
	netmail "net/mail"
	"strings"

	"github.com/wneessen/go-mail"

	mailboxes "github.com/signrelay/signrelay/libs/mailbox"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// compose writes n's e-mail. Its Message-ID is made from the notification's id and is not random. After an attempt of unknown outcome, a
// person may get the e-mail twice, and the mail program can then recognise the second one as a copy.
func compose(texts *templates.Set, from string, n *notifyv1.Notification) (*mail.Msg, notification.Composed, error) {
	sender, err := netmail.ParseAddress(from)
	if err != nil {
		return nil, notification.Composed{}, outcome.NeedsOperator(outcome.Account, "from-malformed", errors.New("email.from must be one address"))
	}
	subject, text, html, err := texts.Email(n)
	if err != nil {
		return nil, notification.Composed{}, outcome.Refused(outcome.Operator, "not-renderable", err)
	}
	message := mail.NewMsg()
	if err := message.From(from); err != nil {
		return nil, notification.Composed{}, outcome.NeedsOperator(outcome.Account, "from-malformed", errors.New("email.from must be one address"))
	}
	to := n.GetTo().GetEmail()
	if err := message.To(to); err != nil || !mailboxes.PublicAddress(to) {
		return nil, notification.Composed{}, outcome.Refused(outcome.Recipient, "address-malformed", nil) // the error quotes the address
	}
	_, domain, _ := strings.Cut(sender.Address, "@")
	message.SetMessageIDWithValue(n.GetId() + "@" + domain)
	message.SetGenHeader("Auto-Submitted", "auto-generated") // prevents automatic replies (RFC 3834)
	message.SetUserAgent("Signrelay")
	message.Subject(subject)
	message.SetBodyString(mail.TypeTextPlain, text)
	message.AddAlternativeString(mail.TypeTextHTML, html)
	return message, notification.Composed{Text: text, Subject: subject, Template: texts.Version(n)}, nil
}
