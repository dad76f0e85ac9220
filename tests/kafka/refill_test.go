package kafka_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// The topic was lost. It is filled again from the log while events go on: all of them are in it, once each and in the log's order.
func TestALostTopicIsFilledAgain(t *testing.T) {
	t.Parallel()
	b, broker := lost(t, 1000)
	b.StartService(t, "kafka-bridge", "bridge")
	refill, out := b.refill(t, "--rate", "300")
	b.untilRecords(broker, 100)
	b.publish(200, 7)
	if err := refill.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"To write: 1000 events of the log, sequences 1 to 1000, onto the topic " + topic + " (3 partitions, protobuf)", "Done. The bridge goes on."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not told %q:\n%s", want, out)
		}
	}
	b.wholeAndOnce(broker, 1200)
	if _, err := b.JetStream(t).Consumer(t.Context(), flow.Signing, "kafka-refill"); err == nil {
		t.Error("its place in the log is kept though it is done")
	}
}

// A stopped refill resumes at its place, and a killed one repeats a window at most. Meanwhile the bridge works.
func TestAStoppedRefillGoesOn(t *testing.T) {
	t.Parallel()
	b, broker := lost(t, 2000)
	b.StartService(t, "kafka-bridge", "bridge")

	first, told := b.refill(t, "--rate", "300")
	b.untilRecords(broker, 300)
	if out, err := b.command(t, "kafka", "refill", "--yes"); err == nil || !strings.Contains(out, "another refill is at work") {
		t.Errorf("a second one beside it: %v\n%s", err, out)
	}
	if err := first.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err == nil || first.ProcessState.ExitCode() != 1 {
		t.Errorf("stopped, it ended with %v", err)
	}
	if !strings.Contains(told.String(), "`signrelay kafka refill` goes on here") {
		t.Errorf("it did not say how to go on:\n%s", told)
	}
	stopped := b.recordsIn(broker)
	if stopped < 300 || stopped > 1800 {
		t.Fatalf("it was stopped after %d events: this tests nothing", stopped)
	}
	b.publish(10, 7)
	b.untilRecords(broker, stopped+10) // the bridge's

	if out, err := b.command(t, "kafka", "refill", "--yes", "--since", "1h"); err == nil || !strings.Contains(out, "--anew") {
		t.Errorf("another beginning than the stopped one's: %v\n%s", err, out)
	}
	second, _ := b.refill(t, "--rate", "300")
	b.untilRecords(broker, stopped+10+300)
	b.hasty(t)
	if err := second.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = second.Wait()
	b.Until(t, "the server has noticed that it was killed, and the rest is written", func() bool {
		out, err := b.command(t, "kafka", "refill", "--yes", "--rate", "5000")
		if err != nil && !strings.Contains(out, "another refill is at work") {
			t.Fatalf("%v\n%s", err, out)
		}
		return err == nil && strings.Contains(out, "Begun at ") && strings.Contains(out, "Done.")
	})
	b.publish(10, 7)
	b.untilRecords(broker, b.published)
	times := map[string]int{}
	for _, r := range records(t, broker) {
		times[id(r)]++
	}
	again := 0
	for _, n := range times {
		again += n - 1
	}
	if len(times) != b.published || again > flow.StageNamed(flow.KafkaBridge).Workers {
		t.Errorf("%d of %d events, %d of them again", len(times), b.published, again)
	}
}

// A refill can be limited to a part of the log, and writes nothing without confirmation. It reports the events that Kafka does
// not take.
func TestARefillIsAskedForAndBounded(t *testing.T) {
	t.Parallel()
	b, broker := lost(t, 50)
	if out, err := b.command(t, "kafka", "refill"); err == nil || !strings.Contains(out, "pass --yes") || !strings.Contains(out, "To write: 50 events") {
		t.Errorf("without a yes: %v\n%s", err, out)
	}
	for _, wrong := range [][]string{{"--rate", "0"}, {"everything"}, {"--since", "yesterday"}} {
		if out, err := b.command(t, append([]string{"kafka", "refill", "--yes"}, wrong...)...); err == nil {
			t.Errorf("%v is taken:\n%s", wrong, out)
		}
	}
	if n := b.recordsIn(broker); n != 0 {
		t.Errorf("%d records were written", n)
	}
	limit := "2000"
	broker.configure(topic, "max.message.bytes", limit)
	b.size = 4000
	b.publish(1, 1)
	b.size = len("small")
	b.StartService(t, "kafka-bridge", "bridge")
	b.Until(t, "the bridge has met all", func() bool { return b.bridgeAt(t) == uint64(b.published) })
	out, err := b.command(t, "kafka", "refill", "--yes", "--since", "1h", "--rate", "1000")
	if err != nil || !strings.Contains(out, "1 event not written, because Kafka does not take them: message-too-large") {
		t.Errorf("%v\n%s", err, out)
	}
	if n := b.recordsIn(broker); n != 50 {
		t.Errorf("%d records, want the 50 that Kafka takes", n)
	}
	if said, err := b.Command(t, "dlq", "list", "--json"); err != nil || strings.Count(said, "\n") != 1 {
		t.Errorf("one dead letter, of the bridge: %v\n%s", err, said)
	}
}

// lost is a log of so many events which the bridge has written onto a topic that is gone.
func lost(t *testing.T, events int) (*bridged, *broker) {
	t.Helper()
	broker := newBroker(t)
	b := on(t, broker, testenv.Parts, nil, ", create_topic: true")
	b.publish(events, 7)
	bridge := b.StartService(t, "kafka-bridge", "before")
	b.Until(t, "the bridge has written all", func() bool { return b.bridgeAt(t) == uint64(events) })
	bridge.Stop()
	admin, err := sarama.NewClusterAdmin([]string{broker.addr}, settings())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	b.Until(t, "the topic is gone", func() bool { topics, err := admin.ListTopics(); _, there := topics[topic]; return err == nil && !there })
	return b, broker
}

// bridgeAt is the sequence up to which the bridge has written the log.
func (b *bridged) bridgeAt(t *testing.T) uint64 {
	t.Helper()
	c, err := b.JetStream(t).Consumer(t.Context(), flow.Signing, flow.KafkaBridge)
	if err != nil {
		t.Fatal(err)
	}
	return c.CachedInfo().AckFloor.Stream
}

// hasty has the server notice within a second that a refill was killed, instead of within 15.
func (b *bridged) hasty(t *testing.T) {
	t.Helper()
	c, err := b.JetStream(t).Consumer(t.Context(), flow.Signing, "kafka-refill")
	if err != nil {
		t.Fatal(err)
	}
	is := c.CachedInfo().Config
	is.AckWait, is.PinnedTTL = 3*time.Second, 1500*time.Millisecond
	if _, err := b.JetStream(t).UpdateConsumer(t.Context(), flow.Signing, is); err != nil {
		t.Fatal(err)
	}
}

// prepared returns the operator's command line, not yet started, and one buffer for all its output.
func (b *bridged) prepared(t *testing.T, args ...string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testenv.Program(t, "signrelay"), args...)
	cmd.Env = []string{"SIGNRELAY_NATS_URL=" + b.NATSURL, "SIGNRELAY_CONFIG=" + filepath.Join(b.DataDir, "signrelay.yaml")}
	out := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

func (b *bridged) command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd, out := b.prepared(t, args...)
	err := cmd.Run()
	return out.String(), err
}

func (b *bridged) refill(t *testing.T, args ...string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	cmd, out := b.prepared(t, append([]string{"kafka", "refill", "--yes"}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// wholeAndOnce wants all that was published in the topic, once each, each document's events in the log's order.
func (b *bridged) wholeAndOnce(broker *broker, count int) {
	b.t.Helper()
	b.untilRecords(broker, count)
	last, seen := map[string]string{}, map[string]bool{}
	for _, r := range records(b.t, broker) {
		document, id := string(r.Key), id(r)
		if seen[id] || last[document] >= id {
			b.t.Errorf("%s: %s came after %s", document, id, last[document])
		}
		seen[id], last[document] = true, id
	}
	if len(seen) != count {
		b.t.Errorf("%d events in the topic, want %d", len(seen), count)
	}
}

func (b *bridged) untilRecords(broker *broker, count int) {
	b.t.Helper()
	b.Until(b.t, fmt.Sprintf("the topic has %d records", count), func() bool { return b.recordsIn(broker) >= count })
}

// recordsIn is how many records the topic has; 0 where it is missing.
func (b *bridged) recordsIn(broker *broker) (count int) {
	client, err := sarama.NewClient([]string{broker.addr}, settings())
	if err != nil {
		return 0
	}
	defer func() { _ = client.Close() }()
	partitions, err := client.Partitions(topic)
	if err != nil {
		return 0
	}
	for _, p := range partitions {
		end, err := client.GetOffset(topic, p, sarama.OffsetNewest)
		if err != nil {
			return 0
		}
		count += int(end)
	}
	return count
}

// records are the topic's, each partition's in order.
func records(t testing.TB, broker *broker) (all []*sarama.ConsumerMessage) {
	t.Helper()
	client, err := sarama.NewClient([]string{broker.addr}, settings())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	partitions, err := client.Partitions(topic)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(partitions)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, p := range partitions {
		end, err := client.GetOffset(topic, p, sarama.OffsetNewest)
		if err != nil {
			t.Fatal(err)
		}
		from, err := consumer.ConsumePartition(topic, p, sarama.OffsetOldest)
		if err != nil {
			t.Fatal(err)
		}
		for next := int64(0); next < end; {
			select {
			case m := <-from.Messages():
				all, next = append(all, m), m.Offset+1
			case <-ctx.Done():
				t.Fatalf("partition %d ends at %d, want %d", p, next, end)
			}
		}
		_ = from.Close()
	}
	return all
}

// configure changes one of a topic's settings, as an operator does; it makes the topic where it is missing.
func (b *broker) configure(topic, key, value string) {
	b.t.Helper()
	admin, err := sarama.NewClusterAdmin([]string{b.addr}, settings())
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{key: &value}, false); err != nil {
		b.t.Fatal(err)
	}
}
