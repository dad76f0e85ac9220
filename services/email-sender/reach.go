package emailsender

import (
	"context"

	emailsettings "github.com/signrelay/signrelay/services/email-sender/settings"
)

// Reach goes to the mail server as a letter does, up to the login, and takes leave without one. Its error says why a letter
// would not leave.
func Reach(ctx context.Context, settings emailsettings.SMTP) error {
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	c, err := newServer(settings).dial(ctx)
	if err == nil {
		c.quit()
		return nil
	}
	return verdictOfDialling(err)
}
