package emailsender

import (
	"context"
	"net"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
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

// carry takes one letter from MAIL FROM to the answer to its last line.
func (c *connection) carry(ctx context.Context, letter *mail.Msg) error {
	defer c.closeWith(ctx)()
	return c.client.SendWithSMTPClient(c.dialogue, letter)
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
