// Package signkey reads and makes the keys that sign evidence files. The settings check the key with it, so it does not import the package that
// makes the files.
package signkey

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"
)

// New returns a new private key as PEM (PKCS #8), the value of the setting evidence.key.
func New() ([]byte, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der}), nil
}

// Parse reads a private key from PEM. The error names the mistake and not the key.
func Parse(text string) (ed25519.PrivateKey, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != privateBlock || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("want one PEM block BEGIN PRIVATE KEY, as `signrelay evidence key <file>` makes it")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the PEM block is not a PKCS #8 key")
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("want an Ed25519 key, not one of another algorithm")
	}
	return key, nil
}

// PublicOf returns the public key of a private key.
func PublicOf(key ed25519.PrivateKey) ed25519.PublicKey {
	public, _ := key.Public().(ed25519.PublicKey)
	return public
}

// PEM returns a public key as PEM, the form that openssl reads.
func PEM(public ed25519.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: spki(public)})
}

// ParsePublic reads a public key from PEM.
func ParsePublic(text string) (ed25519.PublicKey, error) {
	block, rest := pem.Decode([]byte(text))
	if block != nil && block.Type == privateBlock {
		return nil, errors.New("it is a private key: want the public key, which `signrelay evidence key` prints")
	}
	if block == nil || block.Type != publicBlock || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("want one PEM block BEGIN PUBLIC KEY")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the PEM block is not a public key")
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("want an Ed25519 key, not one of another algorithm")
	}
	return public, nil
}

const fingerprintPrefix = "sha256:"

// Fingerprint returns the short form of a public key for comparing it with a published one: the SHA-256 of its SubjectPublicKeyInfo (RFC 8410).
// `openssl pkey -pubin -in public-key.pem -outform DER | sha256sum` prints the same digits.
func Fingerprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256(spki(public))
	return fingerprintPrefix + hex.EncodeToString(sum[:])
}

// IsFingerprint reports whether a text has the form of a fingerprint.
func IsFingerprint(text string) bool {
	digits, ok := strings.CutPrefix(text, fingerprintPrefix)
	sum, err := hex.DecodeString(digits)
	return ok && err == nil && len(sum) == sha256.Size
}

// spki encodes a public key, which cannot fail: it has 32 bytes.
func spki(public ed25519.PublicKey) []byte {
	der, _ := x509.MarshalPKIXPublicKey(public)
	return der
}
