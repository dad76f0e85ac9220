// Package kafkasettings contains the settings of the Kafka bridge.
package kafkasettings

import (
	"net"
	"regexp"
	"strconv"

	"github.com/signrelay/signrelay/libs/config"
)

// Kafka is the cluster to which the log is copied; without brokers it is not copied.
type Kafka struct {
	Brokers []string `yaml:"brokers"` // host:port, some of the cluster's: SIGNRELAY_KAFKA_BROKERS, separated by commas
	Topic   string   `yaml:"topic"`   // default signrelay.signing.v1
	Format  string   `yaml:"format"`  // protobuf (default) or json

	// CreateTopic creates a missing topic, with this many partitions and replicas; otherwise the service waits for the topic.
	CreateTopic       bool `yaml:"create_topic"`
	Partitions        int  `yaml:"partitions"`         // default 12
	ReplicationFactor int  `yaml:"replication_factor"` // default 3

	TLS  TLS  `yaml:"tls"`
	SASL SASL `yaml:"sasl"`
}

// Section is the key kafka.
var Section = &config.Section[Kafka]{
	Key: "kafka",
	Default: Kafka{
		Topic:             "signrelay.signing.v1",
		Format:            "protobuf",
		Partitions:        12,
		ReplicationFactor: 3,
		SASL:              SASL{Mechanism: "none"},
	},
	Check: check,
}

// Set reports whether the log is copied to Kafka.
func (k Kafka) Set() bool { return len(k.Brokers) > 0 }

// TLS is how the connections to the brokers are encrypted.
type TLS struct {
	Enabled     bool   `yaml:"enabled"`
	CA          string `yaml:"ca" file:"true" lines:"true"`          // see config.TLS
	Certificate string `yaml:"certificate" file:"true" lines:"true"` // see config.TLS
	Key         string `yaml:"key" secret:"true" lines:"true"`       // see config.TLS
}

// Parts returns the TLS settings that Kafka shares with all other connections.
func (t TLS) Parts() config.TLS {
	return config.TLS{CA: t.CA, Certificate: t.Certificate, Key: t.Key}
}

// SASL is the authentication at the brokers.
type SASL struct {
	Mechanism string `yaml:"mechanism"` // none (default), plain, scram-sha-256, scram-sha-512
	User      string `yaml:"user"`
	Password  string `yaml:"password" secret:"true"`
}

// topic matches a valid name of a Kafka topic.
var topic = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func check(c *config.Checker, k Kafka, _ config.Config) {
	for _, broker := range k.Brokers {
		host, port, err := net.SplitHostPort(broker)
		if n, errPort := strconv.Atoi(port); err != nil || errPort != nil || host == "" || n < 1 || n > 65535 {
			c.Mistake("kafka.brokers", "want host:port, several separated by commas, not %q", broker)
		}
	}
	if !topic.MatchString(k.Topic) || k.Topic == "." || k.Topic == ".." {
		c.Mistake("kafka.topic", "want 1 to 249 of letters, digits, dots, dashes and underscores, not %q", k.Topic)
	}
	c.OneOf("kafka.format", k.Format, "protobuf", "json")
	c.Positive("kafka.partitions", int64(k.Partitions))
	c.Positive("kafka.replication_factor", int64(k.ReplicationFactor))

	if !k.TLS.Enabled && k.TLS.Parts().Set() {
		c.Mistake("kafka.tls.enabled", "a certificate or key is set: set it to true, or nothing is encrypted")
	}
	c.TLS("kafka.tls", k.TLS.Parts())

	c.OneOf("kafka.sasl.mechanism", k.SASL.Mechanism, "none", "plain", "scram-sha-256", "scram-sha-512")
	switch named := k.SASL.User != "" && k.SASL.Password != ""; {
	case k.SASL.Mechanism == "none" && (k.SASL.User != "" || k.SASL.Password != ""):
		c.Mistake("kafka.sasl.mechanism", "a user or password is set: want plain, scram-sha-256 or scram-sha-512")
	case k.SASL.Mechanism != "none" && !named:
		c.Mistake("kafka.sasl.user", "sasl.mechanism is set: set user and password too")
	}
}
