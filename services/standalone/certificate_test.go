package standalone

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

func TestASandboxsCertificateIsMadeOnce(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if made, err := MakeSandboxCertificate(folder); !made || err != nil {
		t.Fatal(made, err)
	}
	key, err := x509.ParsePKCS1PrivateKey(read(t, folder, SandboxKey))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(read(t, folder, SandboxCertificate))
	if err != nil {
		t.Fatal(err)
	}
	if public, ok := certificate.PublicKey.(*rsa.PublicKey); !ok || !public.Equal(&key.PublicKey) {
		t.Error("the certificate belongs to another key")
	}

	if made, err := MakeSandboxCertificate(folder); made || err != nil {
		t.Errorf("again: %t, %v", made, err)
	}
	again, err := x509.ParsePKCS1PrivateKey(read(t, folder, SandboxKey))
	if err != nil || !again.Equal(key) {
		t.Errorf("the key was replaced: %v", err)
	}
}

func read(t *testing.T, folder, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 {
		t.Fatalf("%s is not one block of PEM", name)
	}
	return block.Bytes
}
