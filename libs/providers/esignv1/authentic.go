package esignv1

import (
	"crypto"
	"crypto/rsa"
	"errors"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// sign adds the source's token and, if the source has a certificate, a signature with the certificate's key.
func sign(src config.Source, key *rsa.PrivateKey, r pack.Request) (pack.Request, error) {
	own := Settings.Of(src).Webhook
	if tokens := own.tokens(); len(tokens) > 0 {
		query := make(map[string][]string, len(r.Query)+1)
		for name, values := range r.Query {
			query[name] = values
		}
		query["token"] = tokens[:1]
		r.Query = query
	}
	if own.Certificate == "" {
		return r, nil
	}
	if key == nil {
		return r, errors.New("no private key to sign with: only the provider has it")
	}
	digest := crypto.SHA1
	if own.Digest == "sha256" {
		digest = crypto.SHA256
	}
	return SignSample(key, r, digest)
}
