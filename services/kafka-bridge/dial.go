package kafkabridge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/signrelay/signrelay/libs/config"
)

// dialing is how connections to the brokers are made.
func dialing(settings config.Kafka) (*kafka.Transport, error) {
	secure, err := encryption(settings.TLS)
	if err != nil {
		return nil, err
	}
	who, err := identity(settings.SASL)
	if err != nil {
		return nil, err
	}
	return &kafka.Transport{
		Dial:        (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		DialTimeout: 5 * time.Second, // TLS and SASL included
		MetadataTTL: layoutFor, MetadataTopics: []string{settings.Topic},
		ClientID: "signrelay", TLS: secure, SASL: who,
	}, nil
}

func encryption(settings config.KafkaTLS) (*tls.Config, error) {
	if !settings.Enabled {
		return nil, nil //nolint:nilnil // what the transport takes for none
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if settings.CA != "" {
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM([]byte(settings.CA)) {
			return nil, errors.New("kafka.tls.ca: want PEM of certificates")
		}
	}
	if settings.Certificate != "" {
		own, err := tls.X509KeyPair([]byte(settings.Certificate), []byte(settings.Key))
		if err != nil {
			return nil, errors.New("kafka.tls.certificate: want PEM, and in key of the key that belongs to it")
		}
		secure.Certificates = []tls.Certificate{own}
	}
	return secure, nil
}

func identity(settings config.KafkaSASL) (sasl.Mechanism, error) {
	switch settings.Mechanism {
	case "", "none":
		return nil, nil //nolint:nilnil // what the transport takes for none
	case "plain":
		return plain.Mechanism{Username: settings.User, Password: settings.Password}, nil
	case "scram-sha-256":
		return scram.Mechanism(scram.SHA256, settings.User, settings.Password)
	case "scram-sha-512":
		return scram.Mechanism(scram.SHA512, settings.User, settings.Password)
	default:
		return nil, fmt.Errorf("kafka.sasl.mechanism: %q is none", settings.Mechanism)
	}
}
