// Package certificates has the certificates of the public listeners: one from files (Files), or those that an ACME server issues and that all
// replicas share through a bucket (ACME). Plain serves the port for plain HTTP beside them.
package certificates

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/acme"
)

// Source has the certificates of the listeners of one process.
type Source interface {
	// Get returns the certificate for a handshake. It never waits for an outside party.
	Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
	// Leaves returns the certificates in use by their host name, without their keys.
	Leaves() map[string]*x509.Certificate
}

// The errors of Get. Their texts are the reasons of failed handshakes in package service.
var (
	ErrUnknownName   = errors.New("no certificate has the host name that the client asked for")
	ErrNoCertificate = errors.New("the ACME server has not issued a certificate yet")
)

// Config returns the TLS settings of a public listener: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1. In TLS 1.2 it accepts only cipher suites with forward
// secrecy and authenticated encryption. A client of TLS 1.2 that has none of them is older than 2014.
func Config(s Source) *tls.Config {
	return &tls.Config{
		GetCertificate: s.Get,
		MinVersion:     tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{"h2", "http/1.1", acme.ALPNProto}, // the last one is that of challenges; no other client offers it
	}
}

var (
	expiresDesc = prometheus.NewDesc("signrelay_certificate_expires_timestamp_seconds",
		"The end of the certificate that the public listeners use for a host name.", []string{"domain"}, nil)
	lifetimeDesc = prometheus.NewDesc("signrelay_certificate_lifetime_seconds",
		"The time from the beginning to the end of the certificate that the public listeners use for a host name.", []string{"domain"}, nil)
)

// Collector returns the metrics of the certificates in use. A host name without a certificate has none.
func Collector(s Source) prometheus.Collector { return collector{s} }

type collector struct{ source Source }

// Describe implements prometheus.Collector.
func (collector) Describe(all chan<- *prometheus.Desc) {
	all <- expiresDesc
	all <- lifetimeDesc
}

// Collect implements prometheus.Collector.
func (c collector) Collect(all chan<- prometheus.Metric) {
	for domain, leaf := range c.source.Leaves() {
		all <- prometheus.MustNewConstMetric(expiresDesc, prometheus.GaugeValue, float64(leaf.NotAfter.Unix()), domain)
		all <- prometheus.MustNewConstMetric(lifetimeDesc, prometheus.GaugeValue, leaf.NotAfter.Sub(leaf.NotBefore).Seconds(), domain)
	}
}
