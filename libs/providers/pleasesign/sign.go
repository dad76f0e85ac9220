package pleasesign

import (
	"crypto/rsa"
	"errors"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// sign signs the body with the source's first key.
func sign(src config.Source, _ *rsa.PrivateKey, r pack.Request) (pack.Request, error) {
	secrets := Settings.Of(src).Webhook.Secrets
	if len(secrets) == 0 {
		return r, errors.New("webhook.secrets: no key to sign with")
	}
	r.Header = r.Header.Clone()
	r.Header.Set(signatureHeader, Sign(secrets[0], r.Body))
	return r, nil
}
