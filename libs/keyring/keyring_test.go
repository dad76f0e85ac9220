package keyring_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/keyring"
)

var (
	older = strings.Repeat("o", 32)
	newer = strings.Repeat("n", 32)
)

func TestARotatedRingReadsValuesOfTheOlderKey(t *testing.T) {
	t.Parallel()
	before, during := keyring.New([]string{older}).For("links"), keyring.New([]string{newer, older}).For("links")
	after := keyring.New([]string{newer}).For("links")

	if macs := during.MACs("code"); len(macs) != 2 || macs[0] != after.MAC("code") || macs[1] != before.MAC("code") {
		t.Error("want the newest key's MAC first, then the older one's")
	}
	if during.MAC("code") != after.MAC("code") {
		t.Error("new values must be made with the newest key")
	}
	sealed := before.Seal([]byte("secret"), []byte("here"))
	if plain, err := during.Open(sealed, []byte("here")); err != nil || string(plain) != "secret" {
		t.Errorf("opened %q, %v", plain, err)
	}
	if _, err := after.Open(sealed, []byte("here")); !errors.Is(err, keyring.ErrNotOurs) {
		t.Errorf("a ring without the key opens it: %v", err)
	}
}

func TestKeysDifferByMasterAndByPurpose(t *testing.T) {
	t.Parallel()
	seen := map[[32]byte]string{}
	for _, masters := range [][]string{nil, {older}, {newer}} {
		for _, purpose := range []string{"links", "redis"} {
			keys, name := keyring.New(masters).For(purpose), strings.Join(masters, "")+" "+purpose
			mac := keys.MAC("x")
			if other, is := seen[mac]; is {
				t.Errorf("%q and %q share a key", name, other)
			}
			seen[mac] = name
			if keys.MAC("x") != keyring.New(masters).For(purpose).MAC("x") {
				t.Errorf("%q: not the same key in each process", name)
			}
		}
	}
}

func TestOpenRefusesChangedOrMovedValues(t *testing.T) {
	t.Parallel()
	keys := keyring.New([]string{older}).For("links")
	plain := []byte("https://sign.example/secret")
	sealed := keys.Seal(plain, []byte("here"))
	if bytes.Contains(sealed, plain[:8]) || bytes.Equal(sealed, keys.Seal(plain, []byte("here"))) {
		t.Error("the sealed value contains its text, or repeats a nonce")
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := keys.Open(changed, []byte("here")); err == nil {
			t.Errorf("byte %d may be changed", i)
		}
	}
	for name, c := range map[string]struct {
		sealed  []byte
		context string
	}{"elsewhere": {sealed, "there"}, "cut": {sealed[:20], "here"}, "empty": {nil, "here"}} {
		if _, err := keys.Open(c.sealed, []byte(c.context)); !errors.Is(err, keyring.ErrNotOurs) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := keyring.New([]string{older}).For("other").Open(sealed, []byte("here")); err == nil {
		t.Error("another purpose opens it")
	}
}

// Stored names and values outlive the program, so the derivation must not change.
func TestDerivationIsFixed(t *testing.T) {
	t.Parallel()
	mac := keyring.New([]string{older}).For("redis").MAC("x")
	if got, want := hex.EncodeToString(mac[:8]), "a1872115b0c3a967"; got != want {
		t.Errorf("MAC begins with %s, want %s", got, want)
	}
}
