package esignv1

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/signrelay/signrelay/libs/providers/pack"
)

// publicKey is a key of the provider and its name.
type publicKey struct {
	rsa  *rsa.PublicKey
	name pack.Key
}

// publicKeys returns the RSA keys in PEM certificates or PEM public keys. The operator pins them, so neither issuer nor dates matter. The
// provider's own certificate is from 2013: X.509 v1, serial 0, an @ in its name. crypto/x509 rightly refuses such a certificate, so only the
// key is extracted.
func publicKeys(text string) ([]publicKey, error) {
	var keys []publicKey
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		var key crypto.PublicKey
		var err error
		switch block.Type {
		case "CERTIFICATE":
			key, err = certifiedKey(block.Bytes)
		case "PUBLIC KEY":
			key, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			key, err = x509.ParsePKCS1PublicKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", block.Type, err)
		}
		pub, ok := key.(*rsa.PublicKey)
		switch {
		case !ok:
			return nil, fmt.Errorf("its key is not RSA but %T", key)
		case pub.Size() < 128:
			return nil, fmt.Errorf("its key has %d bits, fewer than 1024", pub.N.BitLen())
		}
		der, err := x509.MarshalPKIXPublicKey(pub) // the same for a certificate and for its bare key
		if err != nil {
			return nil, fmt.Errorf("encode its key: %w", err)
		}
		keys = append(keys, publicKey{rsa: pub, name: pack.PublicKey("webhook.certificate", len(keys), der)})
	}
	if keys == nil {
		return nil, errors.New("no PEM block CERTIFICATE or PUBLIC KEY in it")
	}
	return keys, nil
}

// certifiedKey extracts the public key from a certificate (RFC 5280, section 4.1) and ignores the rest.
func certifiedKey(der []byte) (crypto.PublicKey, error) {
	var certificate struct {
		TBS struct {
			Version   int `asn1:"optional,explicit,default:0,tag:0"`
			Serial    asn1.RawValue
			Algorithm asn1.RawValue
			Issuer    asn1.RawValue
			Validity  asn1.RawValue
			Subject   asn1.RawValue
			PublicKey asn1.RawValue
		}
	}
	if _, err := asn1.Unmarshal(der, &certificate); err != nil {
		return nil, err
	}
	return x509.ParsePKIXPublicKey(certificate.TBS.PublicKey.FullBytes)
}
