package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// Set reports whether any field is set.
func (t TLS) Set() bool { return t != TLS{} }

// Client returns the TLS configuration for connections to the server with that name: at least TLS 1.2. Its error begins with the key of the
// wrong setting, relative to t.
func (t TLS) Client(server string) (*tls.Config, error) {
	c := &tls.Config{ServerName: server, MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("ca: want PEM of certificates")
		}
	}
	switch {
	case (t.Certificate == "") != (t.Key == ""):
		return nil, errors.New("key: want certificate and key together, or neither")
	case t.Certificate != "":
		own, err := tls.X509KeyPair([]byte(t.Certificate), []byte(t.Key))
		if err != nil { // its text may reveal the key
			return nil, errors.New("certificate: want PEM of a certificate here, and PEM of its private key in key")
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}

// Explain adds the responsible setting to a connection error: key, such as "nats.tls", is the prefix of the TLS settings. Any other error is
// returned unchanged.
func Explain(key string, err error) error {
	var stranger x509.UnknownAuthorityError
	var other x509.HostnameError
	var invalid x509.CertificateInvalidError
	var refused tls.AlertError
	switch {
	case err == nil, strings.Contains(err.Error(), key+"."): // no error, or already explained
		return err
	case errors.As(err, &stranger):
		return fmt.Errorf("%s.ca lacks the authority of the server's certificate: %w", key, err)
	case errors.As(err, &other):
		return fmt.Errorf("the server's certificate is not for the name in the settings: %w", err)
	case errors.As(err, &invalid):
		return fmt.Errorf("the server's certificate is invalid, for example expired: %w", err)
	case errors.As(err, &refused), strings.Contains(err.Error(), "remote error: tls: "), strings.Contains(err.Error(), "closed by remote after TLS handshake"):
		return fmt.Errorf("the server refused %s.certificate, or requires one: %w", key, err)
	default:
		return err
	}
}
