package esignv1_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers/esignv1"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/providertest"
)

func TestPack(t *testing.T) {
	t.Parallel()
	providertest.Run(t, esignv1.Pack, setup(t))
}

func FuzzPack(f *testing.F) { providertest.Fuzz(f, esignv1.Pack, setup(f)) }

// setup returns a setup with a test key: only the provider has the key that signs real callbacks.
func setup(tb testing.TB) providertest.Setup {
	tb.Helper()
	key, certificate := newKey(tb)
	_, another := newKey(tb)
	source := esignv1.Settings.New("demo").With("webhook.certificate="+certificate, "webhook.token=demo")
	return providertest.Setup{
		Source:      source,
		Credentials: []string{"token", "signed", "X-Signed"},
		Sign: func(tb testing.TB, r pack.Request) pack.Request {
			tb.Helper()
			signed, err := esignv1.SignSample(key, r, crypto.SHA1)
			if err != nil {
				tb.Fatal(err)
			}
			return signed
		},
		// Into the string "status" or the name "resource_uri" of the signed text.
		Lengthen: func(_ testing.TB, r pack.Request) pack.Request {
			at := bytes.LastIndex(r.Body, []byte("resource_uri"))
			r.Body = append(append(bytes.Clone(r.Body[:at]), 'x'), r.Body[at:]...)
			return r
		},
		Strangers: []config.Source{source.With("webhook.certificate=" + another)},
	}
}

func newKey(tb testing.TB) (*rsa.PrivateKey, string) {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "esign.example/email@esign.example"},
		// Expired long ago: the operator pins the key, so its dates do not matter.
		NotBefore: time.Date(2013, 2, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:  time.Date(2014, 2, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
