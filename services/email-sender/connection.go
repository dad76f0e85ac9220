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

// connection is an open connection to the mail server. It sends one message at a time.
type connection struct {
	wire     net.Conn
	client   *mail.Client // the library's settings of the connection
	dialogue *smtp.Client // the SMTP session
	expiry   *time.Timer  // closes the connection after it was idle for too long
}

// closeWith closes the connection when ctx ends, so that a dialogue ends at once. The library itself watches ctx only until it is connected.
// The returned function stops closeWith.
func (c *connection) closeWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, c.abort)
}

// alive checks that the server still uses a kept connection, and resets its state. A connection whose server does not reply within the limit
// counts as closed, because a firewall may have dropped it silently.
func (c *connection) alive(ctx context.Context, limit time.Duration) bool {
	defer c.closeWith(ctx)()
	return c.dialogue.UpdateDeadline(limit) == nil && c.dialogue.Reset() == nil
}

// limits are the timeouts of the steps. RFC 5321 §4.5.3.2 allows minutes for each, and 10 minutes for the final dot, because the server
// stores, scans or forwards the message only then.
type limits struct{ step, end time.Duration }

// transfer sends one message, from MAIL FROM to the reply to its final dot, and returns that reply. Its errors are *stepError, or
// outcomes.
func (c *connection) transfer(ctx context.Context, message *mail.Msg, within limits) (response string, err error) {
	defer c.closeWith(ctx)()
	if err := c.accepts(message); err != nil {
		return "", err
	}
	from, err := message.GetSender(false)
	if err != nil {
		return "", outcome.NeedsOperator(outcome.Account, "from-malformed", errors.New("email.from must be one address"))
	}
	to, err := message.GetRecipients()
	if err != nil || len(to) != 1 {
		return "", outcome.Refused(outcome.Recipient, "not-sendable", errors.New("a message has one recipient"))
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
		{stepContent, within.step, func() error { _, err := message.WriteTo(content); return err }},
		{stepEnd, within.end, func() error { notification.Left(ctx); return content.Close() }},
	} {
		if err := c.dialogue.UpdateDeadline(s.within); err != nil {
			return "", &stepError{s.step, err}
		}
		if err := s.do(); err != nil {
			return "", &stepError{s.step, err}
		}
	}
	if closer, ok := content.(*smtp.DataCloser); ok {
		response = closer.ServerResponse()
	}
	return response, nil
}

// quitTimeout is the time for the reply to QUIT. No step depends on the reply.
const quitTimeout = time.Second

// quit sends QUIT and closes the connection.
func (c *connection) quit() {
	if c.dialogue.UpdateDeadline(quitTimeout) == nil {
		_ = c.client.CloseWithSMTPClient(c.dialogue)
	}
	c.abort()
}

// abort closes the connection without QUIT.
func (c *connection) abort() { _ = c.wire.Close() }
