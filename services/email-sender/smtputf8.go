package emailsender

import (
	"errors"
	"strings"
	"unicode"

	"github.com/wneessen/go-mail"

	"github.com/signrelay/signrelay/libs/outcome"
)

// accepts checks that the server supports the recipient's address. An address with a local part outside ASCII needs the server's SMTPUTF8
// extension (RFC 6531). A server without it would refuse the address, or truncate it and deliver to another person.
func (c *connection) accepts(message *mail.Msg) error {
	if has, _ := c.dialogue.Extension("SMTPUTF8"); has {
		return nil
	}
	for _, to := range message.GetTo() {
		if strings.ContainsFunc(to.Address, func(r rune) bool { return r > unicode.MaxASCII }) {
			return outcome.Refused(outcome.Operator, "smtputf8-missing", errors.New("the address needs the extension SMTPUTF8, which the mail server does not have"))
		}
	}
	return nil
}
