// Command nats prints one line for every signature in Signrelay's log, read over NATS JetStream. Copy it, and replace the printing by your
// work.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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
	nc := connect(ctx)
	if nc == nil {
		return nil // stopped before there was a connection
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
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
	for ctx.Err() == nil {
		if err := subscribe(ctx, js, setting("NATS_DURABLE", "billing"), handle); err != nil {
			log.Printf("subscribe: %v; again in 2 s", err)
			wait(ctx, 2*time.Second)
		}
	}
	return nil
}

// connect retries until there is a connection or ctx ends, and logs the reason. A lost connection is restored automatically.
func connect(ctx context.Context) *nats.Conn {
	options := []nats.Option{
		nats.UserInfo(os.Getenv("NATS_USER"), os.Getenv("NATS_PASSWORD")),
		nats.MaxReconnects(-1),      // without limit,
		nats.IgnoreAuthErrorAbort(), // also after a password was refused twice, when the client would otherwise stop
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Printf("NATS: %v", err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { log.Printf("NATS: %v", err) }),
	}
	if ca := os.Getenv("NATS_CA"); ca != "" { // a PEM file, if the system does not know your CA
		options = append(options, nats.RootCAs(ca))
	}
	for ctx.Err() == nil {
		nc, err := nats.Connect(setting("NATS_URL", "nats://127.0.0.1:4222"), options...)
		if err == nil {
			return nc
		}
		log.Printf("NATS: %v; again in 2 s", err)
		wait(ctx, 2*time.Second)
	}
	return nil
}

// subscribe passes every signature to handle until ctx ends, and then the signatures that were already fetched. If handle fails, or an ack
// is lost, the server delivers the signature again.
func subscribe(ctx context.Context, js jetstream.JetStream, durable string, handle func(id string, e *signingv1.SigningEvent) error) error {
	// page: work
	consumer, err := js.CreateOrUpdateConsumer(ctx, "SIGNING", jetstream.ConsumerConfig{
		Durable:       durable, // the server stores your acks under this name
		FilterSubject: "signing.v1.*.*.recipient.signed.>",
		AckPolicy:     jetstream.AckExplicitPolicy,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(10)) // no more than you complete in 30 s; then they are redelivered
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, messages.Drain)()
	for {
		m, err := messages.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return nil
		} else if err != nil {
			return err
		}
		e := new(signingv1.SigningEvent)
		if err := proto.Unmarshal(m.Data(), e); err != nil {
			return err
		}
		if err := handle(m.Headers().Get("ce-id"), e); err != nil {
			_ = m.NakWithDelay(10 * time.Second)
			continue
		}
		if err := m.Ack(); err != nil { // after the work, not before
			return err
		}
	}
	// page
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

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
