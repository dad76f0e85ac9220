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

// A lost topic is filled again from the log while new events are stored. It then has all events, once each and in the log's order.
func TestRefillRestoresLostTopic(t *testing.T) {
	t.Parallel()
	b, broker := lost(t, 1000)
	b.StartService(t, "kafka-bridge", "bridge")
	refill, out := b.refill(t, "--rate", "300")
	b.untilRecords(broker, 100)
	b.publish(200, 7)
	if err := refill.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"To write: 1000 events of the log, sequences 1 to 1000, to the topic " + broker.topic + " (3 partitions, protobuf)", "Done. The bridge continues."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	b.wholeAndOnce(broker, 1200)
	if _, err := b.JetStream(t).Consumer(t.Context(), flow.Signing, "kafka-refill"); err == nil {
		t.Error("its consumer still exists although it is done")
	}
}

// A stopped refill resumes at its position, and a killed one repeats at most one window. Meanwhile the bridge works.
func TestStoppedRefillResumes(t *testing.T) {
	t.Parallel()
	b, broker := lost(t, 2000)
	b.StartService(t, "kafka-bridge", "bridge")

	first, firstOutput := b.refill(t, "--rate", "300")
	b.untilRecords(broker, 300)
	if out, err := b.command(t, "kafka", "refill", "--yes"); err == nil || !strings.Contains(out, "another refill") {
		t.Errorf("a second refill at the same time: %v\n%s", err, out)
	}
	if err := first.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err == nil || first.ProcessState.ExitCode() != 1 {
		t.Errorf("after the interrupt it ended with %v", err)
	}
	if !strings.Contains(firstOutput.String(), "`signrelay kafka refill` continues") {
		t.Errorf("it did not print how to resume:\n%s", firstOutput)
	}
	stopped := b.recordsIn(broker)
	if stopped < 300 || stopped > 1800 {
		t.Fatalf("it was stopped after %d events, so the test proves nothing", stopped)
	}
	b.publish(10, 7)
	b.untilRecords(broker, stopped+10) // written by the bridge

	if out, err := b.command(t, "kafka", "refill", "--yes", "--since", "1h"); err == nil || !strings.Contains(out, "--anew") {
		t.Errorf("a refill with another start than the stopped refill: %v\n%s", err, out)
	}
	second, _ := b.refill(t, "--rate", "300")
	b.untilRecords(broker, stopped+10+300)
	b.shortLease(t)
	if err := second.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = second.Wait()
	b.Until(t, "the server has noticed the killed refill, and the rest is written", func() bool {
		out, err := b.command(t, "kafka", "refill", "--yes", "--rate", "5000")
		if err != nil && !strings.Contains(out, "another refill") {
			t.Fatalf("%v\n%s", err, out)
		}
		return err == nil && strings.Contains(out, "Started at ") && strings.Contains(out, "Done.")
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
		t.Errorf("%d of %d events, %d of them more than once", len(times), b.published, again)
	}
}

// A refill can be limited to a part of the log, and writes nothing without confirmation. It reports the events that Kafka refuses.
func TestRefillNeedsConfirmationAndHasBounds(t *testing.T) {
	t.Parallel()
	b, broker := lost(t, 50)
	if out, err := b.command(t, "kafka", "refill"); err == nil || !strings.Contains(out, "pass --yes") || !strings.Contains(out, "To write: 50 events") {
		t.Errorf("without --yes: %v\n%s", err, out)
	}
	for _, wrong := range [][]string{{"--rate", "0"}, {"everything"}, {"--since", "yesterday"}} {
		if out, err := b.command(t, append([]string{"kafka", "refill", "--yes"}, wrong...)...); err == nil {
			t.Errorf("%v is accepted:\n%s", wrong, out)
		}
	}
	if n := b.recordsIn(broker); n != 0 {
		t.Errorf("%d records were written", n)
	}
	limit := "2000"
	b.configure(broker, "max.message.bytes", limit)
	b.size = 4000
	b.publish(1, 1)
	b.size = len("small")
	b.StartService(t, "kafka-bridge", "bridge")
	b.Until(t, "the bridge has read everything", func() bool { return b.bridgeAt(t) == uint64(b.published) })
	out, err := b.command(t, "kafka", "refill", "--yes", "--since", "1h", "--rate", "1000")
	if err != nil || !strings.Contains(out, "1 event not written, because Kafka rejects them: message-too-large") {
		t.Errorf("%v\n%s", err, out)
	}
	if n := b.recordsIn(broker); n != 50 {
		t.Errorf("%d records, want the 50 that Kafka accepts", n)
	}
	if output, err := b.Command(t, "dlq", "list", "--json"); err != nil || strings.Count(output, "\n") != 1 {
		t.Errorf("the bridge's dead letter: %v\n%s", err, output)
	}
}

// lost is a log of events that the bridge has written to a topic, which was then deleted.
func lost(t *testing.T, events int) (*bridged, *broker) {
	t.Helper()
	broker := sharedBroker(t)
	b := on(t, broker, testenv.Infrastructure, nil, ", create_topic: true")
	b.publish(events, 7)
	bridge := b.StartService(t, "kafka-bridge", "before")
	b.Until(t, "the bridge has written everything", func() bool { return b.bridgeAt(t) == uint64(events) })
	bridge.Stop()
	admin, err := sarama.NewClusterAdmin([]string{broker.addr}, settings())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.DeleteTopic(broker.topic); err != nil {
		t.Fatal(err)
	}
	b.Until(t, "the topic is gone", func() bool {
		topics, err := admin.ListTopics()
		_, there := topics[broker.topic]
		return err == nil && !there
	})
	return b, broker
}

// bridgeAt returns the sequence up to which the bridge has written the log.
func (b *bridged) bridgeAt(t *testing.T) uint64 {
	t.Helper()
	c, err := b.JetStream(t).Consumer(t.Context(), flow.Signing, flow.KafkaBridge)
	if err != nil {
		t.Fatal(err)
	}
	return c.CachedInfo().AckFloor.Stream
}

// shortLease makes the server notice a killed refill within a second, instead of within 15.
func (b *bridged) shortLease(t *testing.T) {
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

// prepared returns an operator's command, not yet started, and one buffer for its output.
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

// wholeAndOnce requires that the topic has every published event once, and each document's events in the log's order.
func (b *bridged) wholeAndOnce(broker *broker, count int) {
	b.t.Helper()
	b.untilRecords(broker, count)
	last, seen := map[string]string{}, map[string]bool{}
	for _, r := range records(b.t, broker) {
		document, id := string(r.Key), id(r)
		if seen[id] || last[document] >= id {
			b.t.Errorf("%s: %s was written after %s", document, id, last[document])
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

// recordsIn is the number of records in the topic; 0 if there is no topic.
func (b *bridged) recordsIn(broker *broker) (count int) {
	client, err := sarama.NewClient([]string{broker.addr}, settings())
	if err != nil {
		return 0
	}
	defer func() { _ = client.Close() }()
	partitions, err := client.Partitions(broker.topic)
	if err != nil {
		return 0
	}
	for _, p := range partitions {
		end, err := client.GetOffset(broker.topic, p, sarama.OffsetNewest)
		if err != nil {
			return 0
		}
		count += int(end)
	}
	return count
}

// records are the topic's records, each partition's in order.
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
	partitions, err := client.Partitions(broker.topic)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(partitions)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, p := range partitions {
		end, err := client.GetOffset(broker.topic, p, sarama.OffsetNewest)
		if err != nil {
			t.Fatal(err)
		}
		from, err := consumer.ConsumePartition(broker.topic, p, sarama.OffsetOldest)
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

// configure changes a setting of the topic, as an operator does, and waits until the broker uses it: the broker reads the change a moment later.
func (b *bridged) configure(broker *broker, key, value string) {
	b.t.Helper()
	admin, err := sarama.NewClusterAdmin([]string{broker.addr}, settings())
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.AlterConfig(sarama.TopicResource, broker.topic, map[string]*string{key: &value}, false); err != nil {
		b.t.Fatal(err)
	}
	b.Until(b.t, "the broker uses "+key+"="+value, func() bool {
		found, err := admin.DescribeConfigs(
			[]*sarama.ConfigResource{{Type: sarama.TopicResource, Name: broker.topic, ConfigNames: []string{key}}}, sarama.DescribeConfigsOptions{})
		return err == nil && len(found) == 1 && len(found[0].Configs) == 1 && found[0].Configs[0].Value == value
	})
}
