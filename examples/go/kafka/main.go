// Command kafka prints one line for every signature in Signrelay's log, read from Kafka as a consumer group. Copy it, and
// replace the printing by your work.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/scram"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	dialer, err := dialer(os.Getenv("KAFKA_USER"), os.Getenv("KAFKA_PASSWORD"), os.Getenv("KAFKA_CA"))
	if err != nil {
		return err
	}
	seen := &memory{ids: map[string]bool{}}
	handle := func(id string, e *signingv1.SigningEvent) error {
		if seen.has(id) {
			return nil // done already
		}
		if err := work(id, e); err != nil {
			return err
		}
		seen.add(id)
		return nil
	}
	brokers, topic := strings.Split(setting("KAFKA_BROKERS", "127.0.0.1:9092"), ","), setting("KAFKA_TOPIC", "signrelay.signing.v1")
	awaitTopic(ctx, dialer, brokers, topic)
	return subscribe(ctx, kafka.ReaderConfig{
		Brokers: brokers,
		Topic:   topic,
		GroupID: setting("KAFKA_GROUP", "billing"),
		Dialer:  dialer,

		SessionTimeout:        10 * time.Second, // after this time the other replicas get a killed replica's partitions
		WatchPartitionChanges: true,             // read partitions that are added later
		// Without a logger, the reader retries silently, also after a refused password.
		ErrorLogger: kafka.LoggerFunc(func(format string, args ...any) { log.Printf("Kafka: "+format, args...) }),
	}, handle)
}

// awaitTopic waits until the topic exists. A reader that joins its group while the topic is being created may get no partition, and the
// library does not look again.
func awaitTopic(ctx context.Context, d *kafka.Dialer, brokers []string, topic string) {
	for try := 0; ctx.Err() == nil; try++ {
		_, err := d.LookupPartitions(ctx, "tcp", brokers[try%len(brokers)], topic)
		if err == nil {
			return
		}
		log.Printf("Kafka: wait for the topic %s: %v", topic, err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// subscribe passes every signature to handle until ctx ends.
func subscribe(ctx context.Context, cfg kafka.ReaderConfig, handle func(id string, e *signingv1.SigningEvent) error) error {
	// page: kafka
	r := kafka.NewReader(cfg) // Brokers, Topic, and a GroupID, under which the brokers store the committed offsets
	defer func() { _ = r.Close() }()
	for {
		m, err := r.FetchMessage(ctx)
		if ctx.Err() != nil {
			return nil
		} else if err != nil { // the reader retries after a pause
			log.Printf("fetch: %v", err)
			continue
		}
		if header(m, "ce_type") == "signrelay.recipient.signed.v1" {
			e, err := decode(m)
			if err != nil {
				return err
			}
			if err := handle(header(m, "ce_id"), e); err != nil {
				return err // not committed: the broker delivers it again after a restart
			}
		}
		if err := r.CommitMessages(context.WithoutCancel(ctx), m); err != nil { // after the work, not before
			log.Printf("commit: %v; a later commit includes it", err)
		}
	}
	// page
}

func header(m kafka.Message, name string) string {
	for _, h := range m.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// decode reads an event in either format; a field that this program does not know yet is not an error.
func decode(m kafka.Message) (*signingv1.SigningEvent, error) {
	e := new(signingv1.SigningEvent)
	if header(m, "content-type") == "application/json" {
		return e, protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(m.Value, e)
	}
	return e, proto.Unmarshal(m.Value, e)
}

// work is your program's work with a signature. This one prints it.
func work(id string, e *signingv1.SigningEvent) error {
	when := e.GetOccurredAt()
	if when == nil {
		when = e.GetReceivedAt() // the provider sent no time
	}
	_, err := fmt.Printf("%s %s %s/%s document=%s recipient=%s %q\n", when.AsTime().Format(time.RFC3339), id,
		e.GetSource(), e.GetProvider(), e.GetDocument().GetId(), e.GetRecipient().GetId(), e.GetDocument().GetTitle())
	return err
}

// memory holds the last 10,000 ids that this process has done. If repeated work is harmful, store the ids in your database: a unique key on
// the id, written in the transaction of the work.
type memory struct {
	ids   map[string]bool
	order []string
}

func (m *memory) has(id string) bool { return m.ids[id] }

func (m *memory) add(id string) {
	m.ids[id], m.order = true, append(m.order, id)
	if len(m.order) > 10_000 {
		delete(m.ids, m.order[0])
		m.order = m.order[1:]
	}
}

// dialer uses TLS and SCRAM-SHA-512 if there is a user, and plain TCP if not. ca is a PEM file of certificate authorities that the system
// does not know.
func dialer(user, password, ca string) (*kafka.Dialer, error) {
	d := &kafka.Dialer{Timeout: 10 * time.Second, DualStack: true}
	if user == "" {
		return d, nil
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		authorities, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("KAFKA_CA: %w", err)
		}
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(authorities) {
			return nil, fmt.Errorf("KAFKA_CA: %s holds no certificate in PEM", ca)
		}
	}
	mechanism, err := scram.Mechanism(scram.SHA512, user, password)
	if err != nil {
		return nil, fmt.Errorf("KAFKA_USER and KAFKA_PASSWORD: %w", err)
	}
	d.SASLMechanism, d.TLS = mechanism, secure
	return d, nil
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
