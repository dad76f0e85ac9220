package emailsender

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
)

// connection stands open to the mail server. One letter at a time goes over it.
type connection struct {
	wire     net.Conn
	client   *mail.Client // how to speak
	dialogue *smtp.Client // what was said
	leaving  *time.Timer  // of an idle one
}

// closeWith closes the wire when ctx ends, which ends a dialogue at once: the library watches ctx only until it has a
// wire. The function that it returns ends the watching.
func (c *connection) closeWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, c.hangUp)
}

// alive asks a kept connection whether the server still listens, and makes it forget what went before. A server that does
// not answer within the limit counts as gone: a firewall may have forgotten the connection without a word.
func (c *connection) alive(ctx context.Context, limit time.Duration) bool {
	defer c.closeWith(ctx)()
	return c.dialogue.UpdateDeadline(limit) == nil && c.dialogue.Reset() == nil
}

// limits are how long the server may take for each step (RFC 5321 §4.5.3.2 has minutes for all of them, and 10 for the final
// dot: only then does it store the letter, scan it, or take it on to the next server).
type limits struct{ step, end time.Duration }

// carry takes one letter from MAIL FROM to the reply to its final dot, and returns that. Its errors are *stepError.
func (c *connection) carry(ctx context.Context, letter *mail.Msg, within limits) (response string, err error) {
	defer c.closeWith(ctx)()
	if err := c.accepts(letter); err != nil {
		return "", err
	}
	from, err := letter.GetSender(false)
	if err != nil {
		return "", outcome.NeedsOperator(outcome.Account, "from-malformed", errors.New("email.from must be one address"))
	}
	to, err := letter.GetRecipients()
	if err != nil || len(to) != 1 {
		return "", outcome.Refused(outcome.Recipient, "not-sendable", errors.New("a letter goes to one address"))
	}
	var content io.WriteCloser
	for _, s := range []struct {
		step   step
		within time.Duration
		do     func() error
	}{
		{stepMail, within.step, func() error { return c.dialogue.Mail(from) }},
		{stepRcpt, within.step, func() error { return c.dialogue.Rcpt(to[0]) }},
		{stepData, within.step, func() (err error) { content, err = c.dialogue.Data(); return err }},
		{stepContent, within.step, func() error { _, err := letter.WriteTo(content); return err }},
		{stepEnd, within.end, func() error { notification.Left(ctx); return content.Close() }},
	} {
		if err := c.dialogue.UpdateDeadline(s.within); err != nil {
			return "", &stepError{s.step, err}
		}
		if err := s.do(); err != nil {
			return "", &stepError{s.step, err}
		}
	}
	if said, ok := content.(*smtp.DataCloser); ok {
		response = said.ServerResponse()
	}
	return response, nil
}

// goodbye is how long a server may take to answer QUIT. Nothing depends on it.
const goodbye = time.Second

// quit takes leave and closes.
func (c *connection) quit() {
	if c.dialogue.UpdateDeadline(goodbye) == nil {
		_ = c.client.CloseWithSMTPClient(c.dialogue)
	}
	c.hangUp()
}

// hangUp closes without a word.
func (c *connection) hangUp() { _ = c.wire.Close() }
