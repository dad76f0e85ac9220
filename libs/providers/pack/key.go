package pack

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// TokenKey names a shared token by its place in a list of the settings.
func TokenKey(list string, index int) Key { return Key{Setting: place(list, index)} }

// HMACKey names the secret of an HMAC by its place in a list of the settings. Its fingerprint is an HMAC itself. It tells nothing that a kept
// callback and its signature do not tell.
func HMACKey(list string, index int, secret string) Key {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("signrelay fingerprint of a key"))
	return Key{Setting: place(list, index), Fingerprint: fingerprint(mac.Sum(nil))}
}

// PublicKey names a public key by its place in a list of the settings. der is its encoding.
func PublicKey(list string, index int, der []byte) Key {
	sum := sha256.Sum256(der)
	return Key{Setting: place(list, index), Fingerprint: fingerprint(sum[:])}
}

func place(list string, index int) string { return fmt.Sprintf("%s[%d]", list, index) }

func fingerprint(sum []byte) string { return "sha256:" + hex.EncodeToString(sum[:8]) }
