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
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// dialing returns how connections to the brokers are made. Each connection uses the current certificates and password.
func dialing(current *config.Current[kafkasettings.Kafka]) (*kafka.Transport, error) {
	cfg := current.Now()
	if _, err := cfg.TLS.Parts().Client(""); err != nil {
		return nil, fmt.Errorf("kafka.tls.%w", err)
	}
	who, err := identity(cfg.SASL)
	if err != nil {
		return nil, err
	}
	t := &kafka.Transport{
		Dial:        dial,
		DialTimeout: loginWithin, // TLS included; SASL has as long again
		MetadataTTL: layoutFor, MetadataTopics: []string{cfg.Topic},
		ClientID: "signrelay",
	}
	if cfg.TLS.Enabled {
		t.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			return encrypted(ctx, current.Now().TLS, network, address)
		}
	}
	if who != nil {
		t.SASL = login{name: who.Name(), current: current}
	}
	return t, nil
}

// encrypted dials with the current certificates. The client's own TLS keeps the first ones.
func encrypted(ctx context.Context, cfg kafkasettings.TLS, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	secure, err := cfg.Parts().Client(host)
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

// login is our identity at the brokers, with the current password.
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

func identity(cfg kafkasettings.SASL) (sasl.Mechanism, error) {
	switch cfg.Mechanism {
	case "", "none":
		return nil, nil //nolint:nilnil // what the transport takes for none
	case "plain":
		return plain.Mechanism{Username: cfg.User, Password: cfg.Password}, nil
	case "scram-sha-256":
		return salted(scram.SHA256, cfg)
	case "scram-sha-512":
		return salted(scram.SHA512, cfg)
	default:
		return nil, fmt.Errorf("kafka.sasl.mechanism: %q is none", cfg.Mechanism)
	}
}

func salted(algorithm scram.Algorithm, cfg kafkasettings.SASL) (sasl.Mechanism, error) {
	who, err := scram.Mechanism(algorithm, cfg.User, cfg.Password)
	if err != nil { // its text repeats the password
		return nil, errors.New("kafka.sasl.user or kafka.sasl.password: it has a character that SCRAM does not allow (RFC 4013)")
	}
	return who, nil
}
