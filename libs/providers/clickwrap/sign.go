package clickwrap

import (
	"crypto/rsa"
	"errors"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// sign puts the source's first token where Clickwrap sends it.
func sign(src config.Source, _ *rsa.PrivateKey, r pack.Request) (pack.Request, error) {
	secrets := Settings.Of(src).Webhook.Secrets
	if len(secrets) == 0 {
		return r, errors.New("webhook.secrets: no token to send")
	}
	r.Header = r.Header.Clone()
	r.Header.Set(authHeader, secrets[0])
	return r, nil
}
