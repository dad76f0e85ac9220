package certificates

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/crypto/acme/autocert"

	"github.com/signrelay/signrelay/libs/keyring"
)

// bucket is what the replicas share, in the bucket CERTIFICATES: the account at the ACME server, the certificates with their keys, and the
// responses to challenges. Every value is sealed with the master key. It implements autocert.Cache.
type bucket struct {
	kv     jetstream.KeyValue
	keys   keyring.Keys
	prefix string // of the ACME server: another server has another account and other certificates
}

// purpose is that of the keys; it must not change, see keyring.Ring.For.
const purpose = "certificates"

func newBucket(kv jetstream.KeyValue, ring keyring.Ring, directory string) *bucket {
	sum := sha256.Sum256([]byte(directory))
	return &bucket{kv: kv, keys: ring.For(purpose), prefix: hex.EncodeToString(sum[:4]) + "."}
}

// token matches the token of an http-01 challenge (base64url). Strangers choose the path of a request for one.
var token = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// entry returns the name of autocert's key in the bucket, or false if the bucket cannot have such an entry.
func (b *bucket) entry(key string) (string, bool) {
	switch {
	case key == "acme_account+key":
		return b.prefix + "account", true
	case strings.HasSuffix(key, "+http-01"):
		name := strings.TrimSuffix(key, "+http-01")
		return b.prefix + "http." + name, token.MatchString(name)
	case strings.HasSuffix(key, "+token"):
		return b.prefix + "alpn." + strings.TrimSuffix(key, "+token"), true
	case strings.Contains(key, "+"), strings.HasSuffix(key, ".key"): // autocert's RSA certificates and its former name of the account
		return "", false
	default:
		return b.prefix + "certificate." + key, true
	}
}

// readWithin limits a read: autocert would wait for five minutes, also for a challenge that a stranger makes up.
const readWithin = 2 * time.Second

// Get implements autocert.Cache. A value that no master key opens counts as missing, so it is replaced.
func (b *bucket) Get(ctx context.Context, key string) ([]byte, error) {
	name, ok := b.entry(key)
	if !ok {
		return nil, autocert.ErrCacheMiss
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	stored, err := b.kv.Get(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, autocert.ErrCacheMiss
	case err != nil:
		return nil, fmt.Errorf("read the bucket of certificates: %w", err)
	}
	plain, err := b.keys.Open(stored.Value(), []byte(name))
	if err != nil {
		return nil, autocert.ErrCacheMiss
	}
	return plain, nil
}

// putEvery is the delay between two attempts to store an entry.
const putEvery = time.Second

// Put implements autocert.Cache. It tries until ctx ends, because autocert ignores the error: an issued certificate would be lost.
func (b *bucket) Put(ctx context.Context, key string, data []byte) error {
	name, ok := b.entry(key)
	if !ok {
		return errors.New("store in the bucket of certificates: it has no such entry")
	}
	sealed := b.keys.Seal(data, []byte(name))
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := b.kv.Put(try, name, sealed)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("store in the bucket of certificates: %w", err)
		case <-time.After(putEvery):
		}
	}
}

// Delete implements autocert.Cache.
func (b *bucket) Delete(ctx context.Context, key string) error {
	name, ok := b.entry(key)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // autocert's context has no end
	defer cancel()
	if err := b.kv.Delete(ctx, name); err != nil {
		return fmt.Errorf("remove from the bucket of certificates: %w", err)
	}
	return nil
}
