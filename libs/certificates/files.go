package certificates

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/signrelay/signrelay/libs/config"
)

// Files is the certificate in the settings tls.certificate and tls.key. It follows the files of these settings while the program runs.
type Files struct {
	pair *config.Current[*tls.Certificate]
}

// NewFiles returns the current certificate. Later, a pair that the settings' check refuses never gets here, and a certificate that is not valid at
// the time does not replace one that is.
func NewFiles(live *config.Live, log *slog.Logger) (*Files, error) {
	var used *x509.Certificate
	pair, err := config.Derive(live, func(c config.Config) (*tls.Certificate, error) {
		pair, err := c.TLS.Pair()
		if err != nil {
			return nil, fmt.Errorf("tls.%w", err)
		}
		if now := time.Now(); used != nil && validAt(used, now) && !validAt(pair.Leaf, now) {
			log.Error("the new certificate is not valid now; the old one stays", "begins", pair.Leaf.NotBefore, "expires", pair.Leaf.NotAfter)
			return nil, errors.New("tls.certificate: it is not valid now")
		}
		if used != nil && !used.Equal(pair.Leaf) {
			log.Info("new certificate in use", "expires", pair.Leaf.NotAfter)
		}
		used = pair.Leaf
		return pair, nil
	})
	if err != nil {
		return nil, err
	}
	return &Files{pair}, nil
}

func validAt(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && !now.After(c.NotAfter)
}

// Get implements Source. There is one certificate, so a client that asks for another name gets it too, and can say what is wrong.
func (f *Files) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.pair.Now(), nil }

// Leaves implements Source: the certificate by its first host name.
func (f *Files) Leaves() map[string]*x509.Certificate {
	leaf := f.pair.Now().Leaf
	name := leaf.Subject.CommonName
	if len(leaf.DNSNames) > 0 {
		name = leaf.DNSNames[0]
	}
	return map[string]*x509.Certificate{name: leaf}
}
