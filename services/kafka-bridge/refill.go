package kafkabridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// Refill writes a part of the log to the topic again, in the log's order, while the bridge pauses. So the topic has all events in order:
// first the rewritten ones, then the new ones.
//
// A consumer of the log keeps the refill's position. The consumer remains when the refill is stopped or killed, and is removed
// when the refill is done.
type Refill struct {
	js     jetstream.JetStream
	log    *slog.Logger
	topic  *topic
	bridge *bridge
	Format string // of the records: protobuf or json
	Topic  string
	// Partitions of the topic.
	Partitions int

	mu      sync.Mutex
	skipped map[string]int
}

// refill is the name of its consumer on the log.
const refill = "kafka-refill"

// OpenRefill connects to Kafka. It fails if no broker responds, or if the topic is missing and the settings do not allow its creation.
func OpenRefill(ctx context.Context, js jetstream.JetStream, settings kafkasettings.Kafka, log *slog.Logger) (*Refill, error) {
	if !settings.Set() {
		return nil, errors.New("kafka.brokers is empty: set the brokers of the topic, SIGNRELAY_KAFKA_BROKERS")
	}
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	t, err := openTopic(config.Fixed(settings), log, m, limits{})
	if err != nil {
		return nil, err
	}
	r := &Refill{js: js, log: log, topic: t, Topic: settings.Topic, Format: settings.Format, skipped: map[string]int{}}
	r.bridge = &bridge{js: js, log: log, topic: t, encode: encoding(settings.Format)}
	// The brokers know a new topic a moment after its creation.
	for tries := 0; ; tries++ {
		r.Partitions, err = t.partitions(ctx)
		if err == nil || tries == 20 || !errors.Is(err, errCreated) && reason(err) != "no-leader" {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
	if err != nil {
		t.close()
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return r, nil
}

// Close ends the connections to Kafka.
func (r *Refill) Close() { r.topic.close() }

// Skipped returns how many events Kafka did not take, by the reason: message-too-large, invalid-record, undecodable.
func (r *Refill) Skipped() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.skipped)
}

// Run writes the events that Plan would describe now, at most rate events a second. After each window it calls progress with the
// number of events left. It returns nil when all are written. When ctx ends, it finishes the write in progress, resumes
// the bridge, and keeps its position.
func (r *Refill) Run(ctx context.Context, since time.Time, restart bool, rate int, progress func(left int)) error {
	resume, err := r.pauseBridge(ctx)
	if err != nil {
		return err
	}
	defer resume()
	c, p, err := r.begin(ctx, since, restart, min(rate, flow.StageNamed(flow.KafkaBridge).Workers))
	switch {
	case err != nil:
		return err
	case p.Left == 0:
		return r.forget(ctx)
	}
	place := flow.Stage{Name: refill, Stream: flow.Signing, Workers: c.CachedInfo().Config.MaxAckPending, Ordered: true}
	seen := &refillStatus{status: status{topic: r.topic, metrics: r.topic.metrics}, refill: r, left: p.Left, rate: rate, due: time.Now(), progress: progress}
	writing := r.bridge.runner(place, prometheus.NewRegistry(), seen)
	writing.End = p.To
	writing.Decode, writing.Write = r.record, r.write
	err = writing.Run(ctx)
	switch {
	case err == nil:
		return r.forget(ctx)
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrConsumerDeleted):
		return errors.New("the refill's position in the log is lost; start a new refill with --anew")
	default:
		return err
	}
}

// record and write skip an event that Kafka will never take. The bridge stored its dead letter when it read the event.
func (r *Refill) record(in stage.Input) (record, error) {
	made, err := r.bridge.record(in)
	if err != nil {
		return made, outcome.Skip("undecodable")
	}
	return made, nil
}

func (r *Refill) write(ctx context.Context, partition int, records []record) (int, error) {
	written, err := r.bridge.write(ctx, partition, records)
	if o := outcome.Of(err); o.Kind() == outcome.GaveUp {
		err = outcome.Skip(o.Reason())
	}
	return written, err
}

// refillStatus counts what a refill has done, and keeps it to its rate.
type refillStatus struct {
	status
	refill   *Refill
	left     int
	rate     int
	due      time.Time // when the next window may begin
	progress func(left int)
}

// Dropped counts an event that Kafka does not take.
func (s *refillStatus) Dropped(reason string) {
	s.refill.mu.Lock()
	defer s.refill.mu.Unlock()
	s.refill.skipped[reason]++
}

// Window reports the progress, and waits until the next window may begin.
func (s *refillStatus) Window(ctx context.Context, settled int, _ time.Duration) {
	if settled == 0 {
		return
	}
	s.left -= settled
	s.progress(max(s.left, 0))
	s.due = s.due.Add(time.Second * time.Duration(settled) / time.Duration(s.rate))
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(s.due)):
	}
}
