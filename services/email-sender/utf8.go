package emailsender

import (
	"errors"
	"strings"
	"unicode"

	"github.com/wneessen/go-mail"

	"github.com/signrelay/signrelay/libs/notification"
)

// accepts tells whether the server takes the letter's address: one whose local part is outside ASCII only where the server has
// the extension for it (RFC 6531). Others would refuse it, or cut it, and write to somebody else.
func (c *connection) accepts(letter *mail.Msg) error {
	if has, _ := c.dialogue.Extension("SMTPUTF8"); has {
		return nil
	}
	for _, to := range letter.GetTo() {
		if strings.ContainsFunc(to.Address, func(r rune) bool { return r > unicode.MaxASCII }) {
			return notification.RefusedBy(notification.Operator, "smtputf8-missing", errors.New("the address needs the extension SMTPUTF8, which the mail server does not have"))
		}
	}
	return nil
}
