package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/services/sections"
)

// issuer signs certificates: a root, or an intermediate authority.
type issuer struct {
	t           *testing.T
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	PEM         string
}

func newIssuer(t *testing.T, name string, by *issuer) *issuer {
	t.Helper()
	i := &issuer{t: t}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	i.certificate, i.key, i.PEM = issue(t, template, by, 365*24*time.Hour)
	return i
}

// leaf returns a certificate for names, and its key.
func (i *issuer) leaf(valid time.Duration, names ...string) (certificate, key string) {
	i.t.Helper()
	_, own, text := issue(i.t, &x509.Certificate{Subject: pkix.Name{CommonName: "sign.acme.example"}, DNSNames: names}, i, valid)
	der, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		i.t.Fatal(err)
	}
	return text, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// issue signs a certificate, by itself if by is nil. A valid time below 0 has passed.
func issue(t *testing.T, template *x509.Certificate, by *issuer, valid time.Duration) (*x509.Certificate, *ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(valid)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

const day = 24 * time.Hour

func TestMistakesInTLS(t *testing.T) {
	t.Parallel()
	root := newIssuer(t, "root", nil)
	between := newIssuer(t, "intermediate", root)
	own, key := between.leaf(90*day, "sign.acme.example")
	_, other := between.leaf(90*day, "sign.acme.example")
	full := own + between.PEM
	acme := func(change func(*config.ACME)) config.ServerTLS {
		a := config.ACME{Domains: []string{"sign.acme.example"}, DirectoryURL: "https://ca.acme.example/directory"}
		change(&a)
		return config.ServerTLS{ACME: a}
	}
	for name, c := range map[string]struct {
		tls  config.ServerTLS
		want string // the beginning of the line; empty for no mistake
	}{
		"nothing":                     {config.ServerTLS{}, ""},
		"files":                       {config.ServerTLS{Certificate: full, Key: key, RedirectAddr: ":80"}, ""},
		"acme":                        {acme(func(*config.ACME) {}), ""},
		"no key":                      {config.ServerTLS{Certificate: full}, "tls.key: want certificate and key together"},
		"no certificate":              {config.ServerTLS{Key: key}, "tls.certificate: want certificate and key together"},
		"another key":                 {config.ServerTLS{Certificate: full, Key: other}, "tls.key: it is not the key of the first certificate"},
		"the authority's first":       {config.ServerTLS{Certificate: between.PEM + own, Key: key}, "tls.key: it is not the key of the first certificate"},
		"the key as certificate":      {config.ServerTLS{Certificate: key, Key: key}, "tls.certificate: want PEM that begins"},
		"the certificate as key":      {config.ServerTLS{Certificate: full, Key: full}, "tls.key: want PEM of a private key"},
		"a damaged certificate":       {config.ServerTLS{Certificate: strings.Replace(own, "MII", "AAA", 1), Key: key}, "tls.certificate: the certificate or its key cannot be read"},
		"a redirect to nothing":       {config.ServerTLS{RedirectAddr: ":80"}, "tls.redirect_addr: it redirects to the listeners with TLS"},
		"a redirect at no address":    {config.ServerTLS{Certificate: full, Key: key, RedirectAddr: "80"}, "tls.redirect_addr: want host:port"},
		"files and acme":              {config.ServerTLS{Certificate: full, Key: key, ACME: acme(func(*config.ACME) {}).ACME}, "tls.acme.domains: tls.certificate or tls.key is set, too"},
		"an address without a domain": {acme(func(a *config.ACME) { a.Domains, a.Email = nil, "ops@acme.example" }), "tls.acme.domains: other settings"},
		"a wildcard":                  {acme(func(a *config.ACME) { a.Domains = []string{"*.acme.example"} }), "tls.acme.domains: want no wildcard"},
		"an IP address":               {acme(func(a *config.ACME) { a.Domains = []string{"192.0.2.1"} }), "tls.acme.domains: want host names"},
		"a name with a port":          {acme(func(a *config.ACME) { a.Domains = []string{"sign.acme.example:443"} }), "tls.acme.domains: want host names"},
		"a short name":                {acme(func(a *config.ACME) { a.Domains = []string{"sign"} }), "tls.acme.domains: want host names"},
		"capitals":                    {acme(func(a *config.ACME) { a.Domains = []string{"Sign.acme.example"} }), "tls.acme.domains: want host names"},
		"not an address":              {acme(func(a *config.ACME) { a.Email = "ops" }), "tls.acme.email: want one address"},
		"plain http":                  {acme(func(a *config.ACME) { a.DirectoryURL = "http://ca.acme.example/directory" }), "tls.acme.directory_url: want https"},
		"no directory":                {acme(func(a *config.ACME) { a.DirectoryURL = "" }), "tls.acme.directory_url: must not be empty"},
		"no authority":                {acme(func(a *config.ACME) { a.CA = "x" }), "tls.acme.ca: want PEM"},
	} {
		cfg := config.Default(sections.All...)
		cfg.MasterKey = strings.Repeat("k", 32)
		cfg.TLS = c.tls
		err := config.Check(cfg, nil, nil)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: %v, want %s…", name, err, c.want)
		case err != nil && strings.Contains(err.Error(), "PRIVATE"):
			t.Errorf("%s: the mistake has the key: %v", name, err)
		}
	}
	cfg := config.Default(sections.All...)
	cfg.TLS = acme(func(*config.ACME) {})
	if err := config.Check(cfg, nil, nil); err == nil || !strings.HasPrefix(err.Error(), "master_key: tls.acme needs it") {
		t.Errorf("without a master key: %v", err)
	}
}

// Callers refuse these certificates, although a listener can serve them.
func TestWarningsAboutCertificates(t *testing.T) {
	t.Parallel()
	root := newIssuer(t, "root", nil)
	between := newIssuer(t, "intermediate", root)
	dir := t.TempDir()
	for name, c := range map[string]struct {
		valid  time.Duration
		names  []string
		chain  string // after the certificate
		self   bool
		mode   os.FileMode // of the key's file
		public string
		want   []string // fragments of the warnings, in order
	}{
		"a good one":          {90 * day, []string{"sign.acme.example"}, between.PEM + root.PEM, false, 0o600, "https://sign.acme.example", nil},
		"a wildcard":          {90 * day, []string{"*.acme.example"}, between.PEM, false, 0o440, "https://sign.acme.example", nil},
		"13 days left":        {13*day + time.Hour, []string{"sign.acme.example"}, between.PEM, false, 0o600, "https://sign.acme.example", []string{"expires in 13 days"}},
		"expired":             {-time.Hour, []string{"sign.acme.example"}, between.PEM, false, 0o600, "https://sign.acme.example", []string{"expired at"}},
		"another name":        {90 * day, []string{"hooks.acme.example"}, between.PEM, false, 0o600, "https://sign.acme.example", []string{"does not have the host name of shortener.public_url"}},
		"a plain address":     {90 * day, []string{"sign.acme.example"}, between.PEM, false, 0o600, "http://sign.acme.example", []string{"begins with http://"}},
		"no name":             {90 * day, nil, between.PEM, false, 0o600, "", []string{"no host name in its subjectAltName"}},
		"no intermediate one": {90 * day, []string{"sign.acme.example"}, "", false, 0o600, "https://sign.acme.example", []string{"only one certificate"}},
		"a wrong order":       {90 * day, []string{"sign.acme.example"}, root.PEM + between.PEM, false, 0o600, "https://sign.acme.example", []string{"certificate 2 in the file did not issue certificate 1"}},
		"signed by itself":    {90 * day, []string{"sign.acme.example"}, "", true, 0o600, "https://sign.acme.example", []string{"signed by itself"}},
		"a readable key":      {90 * day, []string{"sign.acme.example"}, between.PEM, false, 0o644, "https://sign.acme.example", []string{"every user of this machine can read its file"}},
	} {
		by := between
		if c.self {
			by = nil
		}
		_, own, certificate := issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "sign.acme.example"}, DNSNames: c.names}, by, c.valid)
		der, err := x509.MarshalPKCS8PrivateKey(own)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		write := func(ending, text string, mode os.FileMode) string {
			if err := os.WriteFile(path+ending, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path+ending, mode); err != nil { // whatever the process's umask
				t.Fatal(err)
			}
			return path + ending
		}
		cfg, _, err := config.Load(sections.All, nil, []string{
			"SIGNRELAY_MASTER_KEY=" + strings.Repeat("k", 32), "SIGNRELAY_SHORTENER_PUBLIC_URL=" + c.public,
			"SIGNRELAY_TLS_CERTIFICATE_FILE=" + write(".crt", certificate+c.chain, 0o600),
			"SIGNRELAY_TLS_KEY_FILE=" + write(".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), c.mode),
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := config.Check(cfg, nil, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		found := config.Warnings(cfg)
		if len(found) != len(c.want) {
			t.Errorf("%s: %d warnings, want %q: %v", name, len(found), c.want, found)
			continue
		}
		for i, w := range found {
			if !strings.Contains(w.Found, c.want[i]) || w.Fix == "" {
				t.Errorf("%s: %v, want %q", name, w, c.want[i])
			}
		}
	}
}
