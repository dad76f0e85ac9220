// Package archivetest is the conformance suite of package archive: each kind of store passes it.
package archivetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/archive"
)

// Run runs the suite with stores at the addresses that at returns. Each is empty.
func Run(t *testing.T, at func(*testing.T) string) {
	t.Helper()
	for name, law := range map[string]func(*testing.T, *archive.Store){
		"a file is written once and read back": written, "a damaged object is noticed": damaged, "a deleted object is gone": deleted,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			law(t, Open(t, at(t)))
		})
	}
}

// Open opens an archive. The test closes it.
func Open(t *testing.T, address string) *archive.Store {
	t.Helper()
	s, err := archive.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// temporary returns a file with the content, and its name in the archive.
func temporary(t *testing.T, content []byte) (*os.File, archive.Name) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return f, archive.Name{Kind: "signed", SHA256: hex.EncodeToString(sum[:])}
}

func written(t *testing.T, s *archive.Store) {
	d := archive.Document{Source: "acme", Provider: "pleasesign", ID: "a/b"} // its token is base64url
	if found, err := s.Of(t.Context(), d); err != nil || len(found) != 0 {
		t.Fatalf("an empty archive has %v, %v", found, err)
	}
	content := bytes.Repeat([]byte("%PDF-"), 3<<20) // three parts of an upload
	f, called := temporary(t, content)
	o, written, err := s.Put(t.Context(), d, called, f)
	if err != nil || !written {
		t.Fatalf("put: %v, written %v", err, written)
	}
	if want := "acme/pleasesign/YS9i/signed-" + called.SHA256 + ".pdf"; o.Key != want || o.Size != int64(len(content)) || o.Name != called {
		t.Errorf("stored %+v, want the key %s", o, want)
	}
	again, written, err := s.Put(t.Context(), d, called, f)
	if err != nil || written || again != o {
		t.Errorf("the second put: %+v, written %v, %v", again, written, err)
	}
	other := archive.Document{Source: "acme", Provider: "pleasesign", ID: "a/b2"}
	if _, _, err := s.Put(t.Context(), other, called, f); err != nil {
		t.Fatal(err)
	}
	found, err := s.Of(t.Context(), d)
	if err != nil || len(found) != 1 || found[0] != o {
		t.Errorf("the document has %+v, %v", found, err)
	}
	if keys, err := s.Keys(t.Context(), d.Prefix()); err != nil || len(keys) != 1 || keys[0] != o.Key {
		t.Errorf("the keys %v, %v", keys, err)
	}
	r, err := s.Read(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	read, err := io.ReadAll(r)
	if err != nil || r.Close() != nil || !bytes.Equal(read, content) {
		t.Errorf("%d bytes were read, %v", len(read), err)
	}
	if err := errors.Join(s.Verify(t.Context(), o), s.Probe(t.Context(), "x"), s.Reach(t.Context())); err != nil {
		t.Error(err)
	}
}

// An object with another content than its key says is never overwritten.
func damaged(t *testing.T, s *archive.Store) {
	d := archive.Document{Source: "acme", Provider: "pleasesign", ID: "d"}
	f, wrong := temporary(t, []byte("%PDF-other"))
	wrong.SHA256 = strings.Repeat("0", 64)
	if _, _, err := s.Put(t.Context(), d, wrong, f); err != nil { // the hash is the caller's
		t.Fatal(err)
	}
	if _, written, err := s.Put(t.Context(), d, wrong, f); !errors.Is(err, archive.ErrDamaged) || written {
		t.Errorf("written %v, %v", written, err)
	}
}

// An object that does not exist is no error. A deleted one can be stored again.
func deleted(t *testing.T, s *archive.Store) {
	d := archive.Document{Source: "acme", Provider: "pleasesign", ID: "d"}
	f, called := temporary(t, []byte("%PDF-"))
	if err := s.Delete(t.Context(), d.Key(called)); err != nil {
		t.Errorf("an object that does not exist: %v", err)
	}
	for range 2 {
		o, written, err := s.Put(t.Context(), d, called, f)
		if err != nil || !written {
			t.Fatalf("put: %v, written %v", err, written)
		}
		if err := s.Delete(t.Context(), o.Key); err != nil {
			t.Fatal(err)
		}
		if found, err := s.Of(t.Context(), d); err != nil || len(found) != 0 {
			t.Errorf("after the deletion: %v, %v", found, err)
		}
	}
}
