package emailsender

import (
	"errors"
	netmail "net/mail"
	"strings"

	"github.com/wneessen/go-mail"

	mailboxes "github.com/signrelay/signrelay/libs/mailbox"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// compose writes n's letter. Its Message-ID comes from the notification's id and not from chance: whoever gets the letter
// twice after an attempt of unknown outcome has a mail program that can see that it is the same one.
func compose(texts *templates.Set, from string, n *notifyv1.Notification) (*mail.Msg, error) {
	sender, err := netmail.ParseAddress(from)
	if err != nil {
		return nil, outcome.NeedsOperator(outcome.Account, "from-malformed", errors.New("email.from must be one address"))
	}
	subject, text, html, err := texts.Email(n)
	if err != nil {
		return nil, outcome.Refused(outcome.Operator, "not-renderable", err)
	}
	letter := mail.NewMsg()
	if err := letter.From(from); err != nil {
		return nil, outcome.NeedsOperator(outcome.Account, "from-malformed", errors.New("email.from must be one address"))
	}
	to := n.GetTo().GetEmail()
	if err := letter.To(to); err != nil || !mailboxes.PublicAddress(to) {
		return nil, outcome.Refused(outcome.Recipient, "address-malformed", nil) // the error quotes the address
	}
	_, domain, _ := strings.Cut(sender.Address, "@")
	letter.SetMessageIDWithValue(n.GetId() + "@" + domain)
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // no holiday replies, please (RFC 3834)
	letter.SetUserAgent("Signrelay")
	letter.Subject(subject)
	letter.SetBodyString(mail.TypeTextPlain, text)
	letter.AddAlternativeString(mail.TypeTextHTML, html)
	return letter, nil
}
