package kafkabridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/signrelay/signrelay/libs/config"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// dialing makes connections to the brokers, each with the current certificates and password.
func dialing(current *config.Current[kafkasettings.Kafka], l limits) (*kafka.Transport, error) {
	settings := current.Now()
	if _, err := settings.TLS.Parts().Client(""); err != nil {
		return nil, fmt.Errorf("kafka.tls.%w", err)
	}
	who, err := identity(settings.SASL)
	if err != nil {
		return nil, err
	}
	t := &kafka.Transport{
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return connect(ctx, network, address, l.login)
		},
		DialTimeout: l.login, // with TLS; SASL gets the same time again
		MetadataTTL: l.metadata, MetadataTopics: []string{settings.Topic},
		ClientID: "signrelay",
	}
	if settings.TLS.Enabled {
		t.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			return encrypted(ctx, current.Now().TLS, network, address, l.login)
		}
	}
	if who != nil {
		t.SASL = login{name: who.Name(), current: current}
	}
	return t, nil
}

// encrypted connects with the certificates in the current settings. The client's own TLS would keep the certificates from the start.
func encrypted(ctx context.Context, settings kafkasettings.TLS, network, address string, login time.Duration) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	secure, err := settings.Parts().Client(host)
	if err != nil {
		return nil, fmt.Errorf("kafka.tls.%w", err)
	}
	wire, err := connect(ctx, network, address, login)
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

// login authenticates the bridge at the brokers, with the current password.
type login struct {
	name    string
	current *config.Current[kafkasettings.Kafka]
}

func (l login) Name() string { return l.name }

func (l login) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	who, err := identity(l.current.Now().SASL)
	if err != nil {
		return nil, nil, err
	}
	return who.Start(ctx)
}

func identity(settings kafkasettings.SASL) (sasl.Mechanism, error) {
	switch settings.Mechanism {
	case "", "none":
		return nil, nil //nolint:nilnil // the transport then uses no SASL
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

func salted(algorithm scram.Algorithm, settings kafkasettings.SASL) (sasl.Mechanism, error) {
	who, err := scram.Mechanism(algorithm, settings.User, settings.Password)
	if err != nil { // its text repeats the password
		return nil, errors.New("kafka.sasl.user or kafka.sasl.password: it has a character that SCRAM does not allow (RFC 4013)")
	}
	return who, nil
}
