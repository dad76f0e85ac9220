package esignv1

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // the provider's digest
	_ "crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// Unsigned is the placeholder in a recording for the provider's signature: only the provider has the key.
const Unsigned = "{{signature}}"

// Sign signs data as the provider does: RSA PKCS #1 v1.5 in base64.
func Sign(key *rsa.PrivateKey, data []byte, digest crypto.Hash) (string, error) {
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, digest, sum(digest, data))
	if err != nil {
		return "", fmt.Errorf("sign callback: %w", err)
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}

// SignSample returns a recording with its signature filled in, for tests that imitate the provider. A recording without the placeholder is
// returned unchanged.
func SignSample(key *rsa.PrivateKey, r pack.Request, digest crypto.Hash) (pack.Request, error) {
	f, err := readForm(r)
	if err != nil {
		return r, fmt.Errorf("sign callback: %w", err)
	}
	covered := "data"
	if r.Route == routeSigned {
		covered = "json_signed"
	}
	if len(f[covered]) == 0 {
		return r, nil
	}
	signature, err := Sign(key, []byte(f.Get(covered)), digest)
	if err != nil {
		return r, err
	}
	inBody := signature
	if !isMultipart(r) {
		inBody = url.QueryEscape(signature)
	}
	r.Body = []byte(strings.ReplaceAll(string(r.Body), Unsigned, inBody))
	r.Header = r.Header.Clone()
	for _, values := range r.Header {
		if i := slices.Index(values, Unsigned); i >= 0 {
			values[i] = signature
		}
	}
	return r, nil
}

// checkSignature returns the key that made the signature.
func (w *webhook) checkSignature(data, signature string) (*publicKey, error) {
	// Some encoders break base64 into lines, and an unescaped plus in a form arrives as a space.
	signature = strings.ReplaceAll(strings.TrimSpace(signature), " ", "+")
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return nil, errors.New("the signature is not base64")
	}
	hashed := sum(w.digest, []byte(data))
	which := slices.IndexFunc(w.keys, func(key publicKey) bool { return rsa.VerifyPKCS1v15(key.rsa, w.digest, hashed, raw) == nil })
	if which < 0 {
		return nil, errors.New("the signature is not the data's")
	}
	return &w.keys[which], nil
}

func sum(digest crypto.Hash, data []byte) []byte {
	h := digest.New()
	h.Write(data)
	return h.Sum(nil)
}
