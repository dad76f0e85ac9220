package emailsender

import (
	"context"

	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
)

// Reach connects to the mail server as for a message, up to the login, and disconnects. Its error is the reason why no message could be sent.
func Reach(ctx context.Context, settings emailsettings.SMTP) error {
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	c, err := newServer(settings).dial(ctx)
	if err == nil {
		c.quit()
		return nil
	}
	return outcomeOfDial(err)
}
