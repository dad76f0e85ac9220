// Package subscribe_test runs what docs/subscribe.md tells subscribers to do.
package subscribe_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The page's own lines stand between the marks below.

func fromATime(ctx context.Context, js jetstream.JetStream, since time.Time) (jetstream.Consumer, error) {
	// page: from a time
	return js.OrderedConsumer(ctx, "SIGNING", jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	})
	// page
}

func fromASequence(ctx context.Context, js jetstream.JetStream, sequence uint64) (jetstream.Consumer, error) {
	// page: from a sequence
	return js.OrderedConsumer(ctx, "SIGNING", jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: sequence,
	})
	// page
}

func oneDocument(ctx context.Context, js jetstream.JetStream, document string) (jetstream.Consumer, error) {
	// page: one document
	return js.OrderedConsumer(ctx, "SIGNING", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"signing.v1.*.*.*.*." + document},
	})
	// page
}

func work(ctx context.Context, js jetstream.JetStream, handle func(id string, e *signingv1.SigningEvent) error) error {
	// page: work
	consumer, err := js.CreateOrUpdateConsumer(ctx, "SIGNING", jetstream.ConsumerConfig{
		Durable:        "billing",
		FilterSubjects: []string{"signing.v1.*.*.recipient.signed.>"},
		AckPolicy:      jetstream.AckExplicitPolicy,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		e := new(signingv1.SigningEvent)
		if err := proto.Unmarshal(m.Data(), e); err != nil {
			return err
		}
		if err := handle(m.Headers().Get("ce-id"), e); err != nil { // the same id again: done already
			_ = m.NakWithDelay(10 * time.Second)
			continue
		}
		if err := m.Ack(); err != nil {
			return err
		}
	}
	// page
}

func TestThePageShowsWhatIsTested(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/subscribe.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("subscribe_test.go")
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile(`(?s)\t// page: ([a-z ]+)\n(.*?)\n\t// page\n`).FindAllStringSubmatch(string(source), -1)
	if len(parts) != 4 {
		t.Fatalf("%d parts", len(parts))
	}
	for _, p := range parts {
		if lines := strings.ReplaceAll("\n"+p[2], "\n\t", "\n"); !strings.Contains(string(page), lines+"\n```") {
			t.Errorf("docs/subscribe.md does not show %q:\n%s", p[1], lines)
		}
	}
}

// setup is a log of ten events, in turn of two documents, the odd ones of them signatures; and when the sixth was stored.
func setup(t *testing.T) (jetstream.JetStream, time.Time) {
	t.Helper()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		what := []string{"recipient.opened", "recipient.signed"}[n%2]
		m, err := event.Message(t.Context(), &signingv1.SigningEvent{
			Id: strconv.Itoa(n), Source: "acme", Provider: "clickwrap", Type: what, Document: &signingv1.Document{Id: []string{"a", "b"}[n%2]},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := js.Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	sixth, err := stream.GetMsg(t.Context(), 6)
	if err != nil {
		t.Fatal(err)
	}
	return js, sixth.Time
}

func TestReplay(t *testing.T) {
	t.Parallel()
	js, since := setup(t)
	for name, way := range map[string]struct {
		open func() (jetstream.Consumer, error)
		want []string
	}{
		"from a time":     {func() (jetstream.Consumer, error) { return fromATime(t.Context(), js, since) }, []string{"5", "6", "7", "8", "9"}},
		"from a sequence": {func() (jetstream.Consumer, error) { return fromASequence(t.Context(), js, 8) }, []string{"7", "8", "9"}},
		"one document":    {func() (jetstream.Consumer, error) { return oneDocument(t.Context(), js, "b") }, []string{"1", "3", "5", "7", "9"}},
	} {
		consumer, err := way.open()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(way.want, toTheEnd(t, consumer)); diff != "" {
			t.Errorf("%s: ids (-want +got):\n%s", name, diff)
		}
	}
}

// toTheEnd reads until a message says that none is behind it.
func toTheEnd(t *testing.T, consumer jetstream.Consumer) (ids []string) {
	t.Helper()
	for {
		m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.Headers().Get("ce-id"))
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		if meta.NumPending == 0 {
			return ids
		}
	}
}

func TestWork(t *testing.T) {
	t.Parallel()
	js, _ := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ids []string
	err := work(ctx, js, func(id string, e *signingv1.SigningEvent) error {
		if e.GetType() != "recipient.signed" || e.GetId() != id {
			t.Errorf("%s: %v", id, e)
		}
		if ids = append(ids, id); len(ids) == 5 {
			cancel()
		}
		return nil
	})
	if ctx.Err() == nil {
		t.Fatal(err)
	}
	slices.Sort(ids)
	if diff := cmp.Diff([]string{"1", "3", "5", "7", "9"}, ids); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}
