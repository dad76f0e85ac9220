package kafkabridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/signrelay/signrelay/libs/config"
)

// dialing is how connections to the brokers are made: each with the certificates and the password of then.
func dialing(now func() config.Kafka) (*kafka.Transport, error) {
	settings := now()
	if _, err := settings.TLS.Parts().Client(""); err != nil {
		return nil, fmt.Errorf("kafka.tls.%w", err)
	}
	who, err := identity(settings.SASL)
	if err != nil {
		return nil, err
	}
	t := &kafka.Transport{
		Dial:        dial,
		DialTimeout: loginWithin, // TLS included; SASL has as long again
		MetadataTTL: layoutFor, MetadataTopics: []string{settings.Topic},
		ClientID: "signrelay",
	}
	if settings.TLS.Enabled {
		t.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			return encrypted(ctx, now().TLS, network, address)
		}
	}
	if who != nil {
		t.SASL = login{name: who.Name(), now: now}
	}
	return t, nil
}

// encrypted dials with the certificates of the settings. The client's own way to TLS keeps those of the beginning.
func encrypted(ctx context.Context, settings config.KafkaTLS, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	secure, err := settings.Parts().Client(host)
	if err != nil {
		return nil, fmt.Errorf("kafka.tls.%w", err)
	}
	wire, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(wire, secure)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = wire.Close()
		return nil, config.Explain("kafka.tls", err)
	}
	return conn, nil
}

// login is who we are to the brokers, with the password of now.
type login struct {
	name string
	now  func() config.Kafka
}

func (l login) Name() string { return l.name }

func (l login) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	who, err := identity(l.now().SASL)
	if err != nil {
		return nil, nil, err
	}
	return who.Start(ctx)
}

func identity(settings config.KafkaSASL) (sasl.Mechanism, error) {
	switch settings.Mechanism {
	case "", "none":
		return nil, nil //nolint:nilnil // what the transport takes for none
	case "plain":
		return plain.Mechanism{Username: settings.User, Password: settings.Password}, nil
	case "scram-sha-256":
		return salted(scram.SHA256, settings)
	case "scram-sha-512":
		return salted(scram.SHA512, settings)
	default:
		return nil, fmt.Errorf("kafka.sasl.mechanism: %q is none", settings.Mechanism)
	}
}

func salted(algorithm scram.Algorithm, settings config.KafkaSASL) (sasl.Mechanism, error) {
	who, err := scram.Mechanism(algorithm, settings.User, settings.Password)
	if err != nil { // its text repeats the password
		return nil, errors.New("kafka.sasl.user or kafka.sasl.password: it has a character that SCRAM does not allow (RFC 4013)")
	}
	return who, nil
}
