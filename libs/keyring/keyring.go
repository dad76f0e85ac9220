// Package keyring derives the keys of each purpose from the operator's master keys.
//
// A master key is the setting master_key. It has one line for each key, the newest first: new values are made with the newest key, and values
// of an older key can still be found and read. Each purpose has its own keys (HKDF-SHA256), so that the values of one purpose reveal nothing
// about those of another.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"sync"
)

// Ring holds the master keys.
type Ring struct{ masters []string }

// New returns the ring of these master keys, the newest first. A ring without keys works, but protects nothing.
func New(masters []string) Ring { return Ring{masters} }

// Set reports whether the ring has a master key.
func (r Ring) Set() bool { return len(r.masters) > 0 }

// For derives the keys of one purpose. Stored values depend on the purpose, so it must never change.
func (r Ring) For(purpose string) Keys {
	masters := r.masters
	if len(masters) == 0 {
		masters = []string{""}
	}
	keys := make(Keys, len(masters))
	for i, master := range masters {
		keys[i] = key{
			macs: newMACs(derive(master, "signrelay "+purpose+" mac")),
			aead: newAEAD(derive(master, "signrelay "+purpose+" aead")),
		}
	}
	return keys
}

func derive(master, info string) []byte {
	derived, err := hkdf.Key(sha256.New, []byte(master), nil, info, sha256.Size)
	if err != nil {
		panic(err) // it refuses only lengths above 255 hashes
	}
	return derived
}

func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // it refuses only other lengths than 16, 24 and 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // it refuses only other blocks than AES
	}
	return aead
}

// Keys are the keys of one purpose, the newest first. They may be used concurrently.
type Keys []key

type key struct {
	macs *sync.Pool // of *mac
	aead cipher.AEAD
}

// mac computes HMACs with one key. A reset hash has already processed the key, so a text of up to 55 bytes takes two blocks of SHA-256 and
// not four, and no allocation.
type mac struct {
	hash hash.Hash
	text []byte
	sum  [sha256.Size]byte
}

func newMACs(key []byte) *sync.Pool {
	return &sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, key)} }}
}

// MAC returns the HMAC-SHA256 of data under the newest key.
func (k Keys) MAC(data string) [sha256.Size]byte { return k[0].sum(data) }

// MACs returns the HMAC-SHA256 of data under each key, the newest first.
func (k Keys) MACs(data string) [][sha256.Size]byte {
	sums := make([][sha256.Size]byte, len(k))
	for i, key := range k {
		sums[i] = key.sum(data)
	}
	return sums
}

// Names returns a short text for data under each key, the newest first: 16 bytes of the HMAC as base64url. It is a name for an entry that must not
// contain data.
func (k Keys) Names(data string) []string {
	names := make([]string, len(k))
	for i, sum := range k.MACs(data) {
		names[i] = base64.RawURLEncoding.EncodeToString(sum[:16])
	}
	return names
}

func (k key) sum(data string) [sha256.Size]byte {
	m := k.macs.Get().(*mac) //nolint:forcetypeassert // the pool has only these
	defer k.macs.Put(m)
	m.hash.Reset()
	m.text = append(m.text[:0], data...)
	m.hash.Write(m.text)
	m.hash.Sum(m.sum[:0])
	return m.sum
}

// Seal encrypts plain with the newest key: AES-256-GCM with a random nonce, 28 bytes longer than plain. Open needs the same context.
func (k Keys) Seal(plain, context []byte) []byte {
	return k[0].aead.Seal(nil, nil, plain, context) //nolint:gosec // this AEAD generates a random nonce itself
}

// ErrNotOurs is the error of Open for a value that no key of the ring sealed in this context.
var ErrNotOurs = errors.New("no master key opens it: keep an old key on a line of master_key as long as values that it sealed are in use")

// Open decrypts a value that Seal made with any of the keys.
func (k Keys) Open(sealed, context []byte) ([]byte, error) {
	for _, key := range k {
		if plain, err := key.aead.Open(nil, nil, sealed, context); err == nil {
			return plain, nil
		}
	}
	return nil, fmt.Errorf("open %d sealed bytes: %w", len(sealed), ErrNotOurs)
}
