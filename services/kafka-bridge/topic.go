package kafkabridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// topic is the Kafka topic to which the bridge copies the log.
//
// It uses the client's RawProduce and not its Writer. A Writer splits its input into batches, and may write a later batch although an earlier
// one failed. When a context ends, a batch stays in its queue, which grows while the brokers are away. Here a request is one batch, and no
// event is in memory except those in flight.
type topic struct {
	kafkasettings.Kafka
	client    *kafka.Client
	transport *kafka.Transport
	log       *slog.Logger
	metrics   metrics

	mu        sync.Mutex
	failure   error     // the failure of the last attempt; nil after a success
	throttled time.Time // until then the brokers read no requests of the bridge
}

func openTopic(current *config.Current[kafkasettings.Kafka], log *slog.Logger, m metrics, l limits) (*topic, error) {
	settings := current.Now()
	l = l.orDefault()
	transport, err := dialing(current, l)
	if err != nil {
		return nil, err
	}
	return &topic{
		Kafka: settings, transport: transport, log: log, metrics: m,
		client: &kafka.Client{Addr: kafka.TCP(settings.Brokers...), Transport: transport, Timeout: l.respond},
	}, nil
}

func (t *topic) close() { t.transport.CloseIdleConnections() }

// check is for /readyz. It fails unless the last attempt succeeded, the topic exists, and a broker responds.
func (t *topic) check(ctx context.Context) error {
	t.mu.Lock()
	err := t.failure
	t.mu.Unlock()
	if err != nil {
		return err
	}
	return t.reach(ctx)
}

func (t *topic) setFailure(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failure = err
}

// reach reports whether the topic exists and a broker responds. It sends a request, because the client's knowledge of the topic remains
// while all brokers are away.
func (t *topic) reach(ctx context.Context) error {
	if _, err := t.partitions(ctx); err != nil {
		return err
	}
	_, err := t.client.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
	return err
}

// partitions returns the number of the topic's partitions. A missing topic is created if the settings say so; otherwise it is an error.
func (t *topic) partitions(ctx context.Context) (int, error) {
	layout, err := t.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{t.Topic}})
	if err != nil {
		return 0, fmt.Errorf("request the list of brokers: %w", err)
	}
	if len(layout.Topics) != 1 {
		return 0, errors.New("the brokers did not describe the topic")
	}
	found := layout.Topics[0]
	switch {
	case errors.Is(found.Error, kafka.UnknownTopicOrPartition) && t.CreateTopic:
		return 0, t.create(ctx)
	case errors.Is(found.Error, kafka.UnknownTopicOrPartition):
		return 0, fmt.Errorf("topic %s is missing: create it, or set kafka.create_topic: %w", t.Topic, found.Error)
	case found.Error != nil:
		return 0, fmt.Errorf("topic %s: %w", t.Topic, found.Error)
	case len(found.Partitions) == 0:
		return 0, fmt.Errorf("topic %s has no partitions", t.Topic)
	}
	return len(found.Partitions), nil
}

var errCreated = errors.New("the topic was created and is not known to all brokers yet")

// create creates the topic. The topic keeps events as long as the log does, takes the largest that ingest can make (a callback of
// 1 MiB, with its fields' names), and counts an event as written when it is on all copies but one.
func (t *topic) create(ctx context.Context) error {
	response, err := t.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: t.Topic, NumPartitions: t.Partitions, ReplicationFactor: t.ReplicationFactor,
		ConfigEntries: []kafka.ConfigEntry{
			{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(logAge().Milliseconds(), 10)},
			{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(4 << 20)},
			{ConfigName: "min.insync.replicas", ConfigValue: strconv.Itoa(max(t.ReplicationFactor-1, 1))},
		},
	}}})
	if err == nil {
		err = response.Errors[t.Topic]
	}
	if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return fmt.Errorf("make topic %s: %w", t.Topic, err)
	}
	return errCreated
}

// logAge returns how long the log keeps events.
func logAge() time.Duration {
	for _, s := range flow.Streams {
		if s.Name == flow.Signing {
			return s.MaxAge
		}
	}
	return -1 // without a time limit
}

// write writes the first records as one batch, at most this many, and returns how many those are: a partition takes all of them or none. It
// returns no error when all replicas in sync have the batch. After an error that refused does not list, the batch may have been written
// anyway.
func (t *topic) write(ctx context.Context, partition int, records []record, most int) (count int, err error) {
	if err := t.waitForQuota(ctx); err != nil {
		return 0, err
	}
	buffer, _ := buffers.Get().(*[]byte) // it has no other type
	*buffer, count = appendBatch((*buffer)[:0], records, most, time.Now())
	response, err := t.client.RawProduce(ctx, &kafka.RawProduceRequest{
		Topic: t.Topic, Partition: partition, RequiredAcks: kafka.RequireAll, RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(*buffer)},
	})
	if err == nil {
		// After a failure the client may still read the buffer.
		if cap(*buffer) <= 2*batchBytes {
			buffers.Put(buffer)
		}
		t.throttle(response.Throttle)
		err = response.Error
	}
	if err != nil {
		return count, fmt.Errorf("write to partition %d: %w", partition, err)
	}
	t.metrics.records.Add(float64(count))
	return count, nil
}

// refused returns the bounded reason for which the broker will never take the batch as it is; "" if it may take the batch later.
func refused(err error) string {
	switch {
	case errors.Is(err, kafka.MessageSizeTooLarge), errors.Is(err, kafka.RecordListTooLarge):
		return "message-too-large"
	case errors.Is(err, kafka.InvalidRecord):
		return "invalid-record"
	default:
		return ""
	}
}
