package subscribe_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/subscribe"
	"github.com/signrelay/signrelay/tests/testenv"
)

// docs/subscribe.md shows the lines between the marks below.

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

// Every snippet of the page is part of a program that a test runs: here, or in examples/, which tests/examples and tests/kafka run.
func TestEverySnippetOfThePageRuns(t *testing.T) {
	t.Parallel()
	programs := map[string][]string{
		"go":     {"tests/subscribe/subscribe_test.go", "examples/go/nats/main.go", "examples/go/kafka/main.go"},
		"python": {"examples/python/nats_subscriber.py", "examples/python/kafka_subscriber.py"},
	}
	for language, files := range programs {
		blocks := subscribe.Blocks(t, language)
		if len(blocks) < 2 {
			t.Errorf("%d blocks of %s", len(blocks), language)
		}
		var sources []string
		for _, file := range files {
			source, err := os.ReadFile(filepath.Join(testenv.Root(), file))
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, string(source))
		}
		for _, block := range blocks {
			indented := "\n\t" + strings.ReplaceAll(strings.TrimSuffix(block, "\n"), "\n", "\n\t") + "\n"
			indented = strings.ReplaceAll(indented, "\n\t\n", "\n\n")
			if !slices.ContainsFunc(sources, func(source string) bool {
				return strings.Contains(source, "\n"+block) || strings.Contains(source, indented)
			}) {
				t.Errorf("no program that a test runs contains this snippet:\n%s", block)
			}
		}
	}
}

// setup returns a log of ten events, of two documents in turn; every second event is a signature. It also returns the time of the sixth.
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

func TestReplaySettingsOfThePage(t *testing.T) {
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

// toTheEnd reads until a message reports that none is pending.
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
