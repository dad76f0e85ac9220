package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// ServerTLS is the TLS of the public listeners: with a certificate from files, or with certificates that an ACME server issues. Without either,
// the listeners serve plain HTTP, for a proxy in front of them.
type ServerTLS struct {
	Certificate string `yaml:"certificate" file:"true" lines:"true"` // PEM, the listener's own certificate first, then its intermediate ones
	Key         string `yaml:"key" secret:"true" lines:"true"`       // PEM of its private key
	ACME        ACME   `yaml:"acme"`
	// RedirectAddr is the address of a listener for plain HTTP, usually :80. It redirects links to https, responds to the ACME server's
	// http-01 challenges, and refuses everything else. Empty: no such listener.
	RedirectAddr string `yaml:"redirect_addr"`
}

// ACME is an authority that issues certificates automatically (RFC 8555). Setting the domains accepts the terms of service of the authority.
type ACME struct {
	Domains      []string `yaml:"domains"`                     // the names of the public listeners; empty: no ACME
	Email        string   `yaml:"email"`                       // where the authority sends warnings; may be empty
	DirectoryURL string   `yaml:"directory_url"`               // default Let's Encrypt
	CA           string   `yaml:"ca" file:"true" lines:"true"` // PEM of the authority of the ACME server's own certificate; empty: the system's
}

// defaultDirectory is the ACME server of Let's Encrypt.
const defaultDirectory = "https://acme-v02.api.letsencrypt.org/directory"

// AlertBefore is the time before the end of a certificate from which the operator is told.
const AlertBefore = 14 * 24 * time.Hour

// Set reports whether the public listeners use TLS.
func (t ServerTLS) Set() bool { return t.fromFiles() || t.ACME.Set() }

func (t ServerTLS) fromFiles() bool { return t.Certificate != "" || t.Key != "" }

// Set reports whether an ACME server issues the certificates.
func (a ACME) Set() bool { return len(a.Domains) > 0 }

// Pair returns the certificate with its key. Its error begins with the key of the wrong setting, relative to t, and reveals no part of the key.
func (t ServerTLS) Pair() (*tls.Certificate, error) {
	switch {
	case t.Certificate == "":
		return nil, errors.New("certificate: want certificate and key together")
	case t.Key == "":
		return nil, errors.New("key: want certificate and key together")
	}
	block, _ := pem.Decode([]byte(t.Certificate))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("certificate: want PEM that begins with the listener's own certificate")
	}
	if key, _ := pem.Decode([]byte(t.Key)); key == nil || !strings.HasSuffix(key.Type, "PRIVATE KEY") {
		return nil, errors.New("key: want PEM of a private key")
	}
	pair, err := tls.X509KeyPair([]byte(t.Certificate), []byte(t.Key))
	switch {
	case err == nil:
		return &pair, nil
	case strings.Contains(err.Error(), "does not match"):
		return nil, errors.New("key: it is not the key of the first certificate in tls.certificate: replace both files, and put the listener's own certificate first")
	default: // the library's text may reveal the key
		return nil, errors.New("certificate: the certificate or its key cannot be read: want PEM of an X.509 certificate, and an RSA, ECDSA or Ed25519 key without a password")
	}
}

// Names returns the host names for which the listeners have a certificate, without wildcards: those of ACME, or of the certificate.
func (t ServerTLS) Names() []string {
	if t.ACME.Set() {
		return t.ACME.Domains
	}
	pair, err := t.Pair()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(pair.Leaf.DNSNames), func(name string) bool { return strings.Contains(name, "*") })
}

// covers reports whether the listeners have a certificate for a host.
func (t ServerTLS) covers(host string) bool {
	if t.ACME.Set() {
		return slices.ContainsFunc(t.ACME.Domains, func(name string) bool { return strings.EqualFold(name, host) })
	}
	pair, err := t.Pair()
	return err == nil && pair.Leaf.VerifyHostname(host) == nil
}

func (c *Checker) serverTLS(all Config) {
	t := all.TLS
	if t.fromFiles() {
		if _, err := t.Pair(); err != nil {
			c.mistakes = append(c.mistakes, fmt.Errorf("tls.%w", err))
		}
	}
	if t.RedirectAddr != "" {
		c.Address("tls.redirect_addr", t.RedirectAddr)
		if !t.Set() {
			c.Mistake("tls.redirect_addr", "it redirects to the listeners with TLS, and there are none: set tls.certificate and tls.key, or tls.acme.domains")
		}
	}
	a := t.ACME
	if !a.Set() {
		if a.Email != "" || a.CA != "" {
			c.Mistake("tls.acme.domains", "other settings of tls.acme are set: set the names of the public listeners, too, such as sign.acme.example")
		}
		return
	}
	if t.fromFiles() {
		c.Mistake("tls.acme.domains", "tls.certificate or tls.key is set, too: use either the files or ACME")
	}
	if len(all.MasterKeys()) == 0 {
		c.Mistake("master_key", "tls.acme needs it: it encrypts the certificates' private keys in NATS: openssl rand -base64 32 makes one")
	}
	for _, name := range a.Domains {
		_, errIP := netip.ParseAddr(name)
		switch {
		case strings.Contains(name, "*"):
			c.Mistake("tls.acme.domains", "want no wildcard, because its proof is a DNS record: name each host, not %q", name)
		case errIP == nil || !hostName.MatchString(name) || !strings.Contains(name, ".") || strings.Contains(name, "_") || name != strings.ToLower(name):
			c.Mistake("tls.acme.domains", "want host names of the internet in lower case, such as sign.acme.example, not %q", name)
		}
	}
	c.mailbox("tls.acme.email", a.Email)
	c.WebURL("tls.acme.directory_url", a.DirectoryURL)
	if u, err := url.Parse(a.DirectoryURL); err == nil && u.Scheme == "http" {
		c.Mistake("tls.acme.directory_url", "want https: the server decides who gets a certificate for your names")
	}
	c.Needed("tls.acme.directory_url", a.DirectoryURL)
	c.TLS("tls.acme", TLS{CA: a.CA})
}

// publicAddresses are the settings with addresses at which others call the public listeners.
var publicAddresses = []string{"shortener.public_url", "sms.vonage.receipts_url"}

// tlsWarnings reports a certificate that callers will refuse, although the listener can serve it, and a key that other users can read.
func tlsWarnings(all Config) (found []Warning) {
	t := all.TLS
	if !t.Set() {
		return nil
	}
	if t.fromFiles() {
		pair, err := t.Pair()
		if err != nil {
			return nil
		}
		found = append(found, chainWarnings(pair, time.Now())...)
		found = append(found, all.keyFileWarnings()...)
	}
	for _, key := range publicAddresses {
		text, _ := all.Lookup(key)
		u, err := url.Parse(text)
		switch {
		case text == "" || err != nil:
		case u.Scheme == "http":
			found = append(found, Warning{key, "the public listeners use TLS, and this address begins with http://", "let it begin with https://"})
		case !t.covers(u.Hostname()):
			setting, fix := "tls.certificate", "get a certificate that has the name"
			if t.ACME.Set() {
				setting, fix = "tls.acme.domains", "add the name"
			}
			found = append(found, Warning{setting, "it does not have the host name of " + key + ", so callers refuse the certificate there", fix + ", unless a proxy with its own certificate is in front"})
		}
	}
	return found
}

// chainWarnings returns the reasons for which callers will refuse a certificate at that time, or soon.
func chainWarnings(pair *tls.Certificate, now time.Time) (found []Warning) {
	const key = "tls.certificate"
	leaf := pair.Leaf
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		found = append(found, Warning{key, "it expired at " + leaf.NotAfter.UTC().Format(time.RFC3339) + ", so providers and signers are refused", "replace it and its key"})
	case now.Before(leaf.NotBefore):
		found = append(found, Warning{key, "it is not valid before " + leaf.NotBefore.UTC().Format(time.RFC3339), "correct the machine's clock, or use a certificate that is valid now"})
	case left < AlertBefore:
		found = append(found, Warning{key, fmt.Sprintf("it expires in %d days", int(left.Hours()/24)), "replace it and its key"})
	}
	if len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0 {
		found = append(found, Warning{key, "it has no host name in its subjectAltName, and callers ignore the common name", "get a certificate that has the host names there"})
	}
	switch {
	case bytes.Equal(leaf.RawIssuer, leaf.RawSubject):
		found = append(found, Warning{key, "it is signed by itself, so providers and signers refuse it", "get a certificate of a public authority, or use tls.acme"})
	case len(pair.Certificate) == 1:
		found = append(found, Warning{key, "the file has only one certificate: most callers need the intermediate one of the authority, too", "append the authority's intermediate certificate: many authorities call such a file fullchain"})
	default:
		for i := range len(pair.Certificate) - 1 {
			issued, err := x509.ParseCertificate(pair.Certificate[i])
			issuer, errIssuer := x509.ParseCertificate(pair.Certificate[i+1])
			if err != nil || errIssuer != nil || issued.CheckSignatureFrom(issuer) != nil {
				found = append(found, Warning{key, fmt.Sprintf("certificate %d in the file did not issue certificate %d", i+2, i+1), "put the certificates in order: the listener's own, then each one's issuer"})
				break
			}
		}
	}
	return found
}

// keyFileWarnings reports a file of the private key that every user of the machine can read.
func (c Config) keyFileWarnings() []Warning {
	for _, f := range c.files {
		if f.key != "tls.key" {
			continue
		}
		if is, err := os.Stat(f.path); err == nil && is.Mode().Perm()&0o007 != 0 {
			return []Warning{{"tls.key", "every user of this machine can read its file", "chmod o= the file, and make sure that the service's own user can still read it"}}
		}
	}
	return nil
}
