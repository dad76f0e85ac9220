package kafkabridge

import (
	"context"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/stage"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

func TestEventsOfADocumentStayInOrder(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t).start()
	h := setup(t, kafka.settings())
	h.publish(1300, 7) // more than two windows
	r := h.replica()
	h.publish(50, 7)
	h.inOrder(kafka.read(1350))
	h.Settled(flow.KafkaBridge)
	if got := value(t, r.metrics, "signrelay_kafka_records_total"); got != 1350 {
		t.Errorf("%v records counted", got)
	}
}

func TestKafkaIsAwayAtTheStart(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t)
	h := setup(t, kafka.settings())
	h.publish(20, 3)
	r := h.replica()
	h.until("the bridge reports that Kafka is away", func() bool { return r.check(t.Context()) != nil })
	kafka.start()
	h.inOrder(kafka.read(20))
	h.until("it is ready", func() bool { return r.check(t.Context()) == nil })
}

func TestKafkaIsAwayDuringWork(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t).start()
	h := setup(t, kafka.settings())
	r := h.replica()
	h.publish(20, 3)
	h.Settled(flow.KafkaBridge)
	kafka.stop()
	const many = 1200 // more than the bridge may have in flight
	h.publish(many, 3)
	h.until("it reports the lag", func() bool { return value(t, r.metrics, "signrelay_kafka_lag_events") >= many })
	h.until("the bridge reports that Kafka is away", func() bool { return r.check(t.Context()) != nil })
	if got := h.inFlight(); got > flow.StageNamed(flow.KafkaBridge).Workers {
		t.Errorf("%d events in flight", got)
	}
	kafka.start()
	h.inOrder(kafka.read(20 + many))
	h.Settled(flow.KafkaBridge)
	h.until("it reports that it has caught up", func() bool { return value(t, r.metrics, "signrelay_kafka_lag_events") == 0 })
}

func TestTheBridgeWaitsForAMissingTopic(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t).start()
	cfg := kafka.settings()
	kafkasettings.Section.In(&cfg).CreateTopic = false
	h := setup(t, cfg)
	h.publish(5, 1)
	r := h.replica()
	h.until("it reports that the topic is missing", func() bool {
		err := r.check(t.Context())
		return err != nil && strings.Contains(err.Error(), "kafka.create_topic")
	})
	if got := h.inFlight(); got != 0 {
		t.Errorf("it fetched %d events that it cannot write", got)
	}
	kafka.make(nil)
	h.inOrder(kafka.read(5))
}

// The events that a dead replica had in flight come before those that are still in the log, but arrive later.
func TestADeadReplicasEventsComeFirst(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t).start()
	h := setup(t, kafka.settings())
	h.publish(30, 1)
	h.dies(10)
	h.replica()
	h.inOrder(kafka.read(30))
	if !strings.Contains(h.Logged.String(), "another replica has in flight") {
		t.Error("another replica had nothing in flight: the test proves nothing")
	}
}

func TestOneReplicaWorksAndTheOtherIsStandby(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t).start()
	h := setup(t, kafka.settings())
	one, two := h.replica(), h.replica()
	active := func(r *replica) bool { return value(t, r.metrics, "signrelay_kafka_active_replicas") == 1 }
	for range 10 {
		h.publish(30, 4)
		h.Settled(flow.KafkaBridge)
	}
	if active(one) == active(two) {
		t.Fatalf("active: %v and %v", active(one), active(two))
	}
	if active(two) {
		one, two = two, one
	}
	one.stop()
	h.publish(30, 4)
	h.inOrder(kafka.read(330))
	if got := value(t, two.metrics, "signrelay_kafka_records_total"); got != 30 {
		t.Errorf("the standby wrote %v", got)
	}
}

func TestAShutdownReturnsUnwrittenEvents(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t).start()
	h := setup(t, kafka.settings())
	r := h.replica()
	h.publish(10, 2)
	h.Settled(flow.KafkaBridge)
	failures := func() float64 { return value(t, r.metrics, "signrelay_kafka_failures_total") }
	before := failures()
	kafka.stop()
	h.publish(40, 2)
	h.until("it has events in flight and cannot write them", func() bool { return h.inFlight() > 0 && failures() > before })
	r.stop()
	h.replica()
	kafka.start()
	h.inOrder(kafka.read(50))
}

func TestEventsThatKafkaRefusesBecomeDeadLetters(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t).start()
	kafka.make(map[string]string{"max.message.bytes": "4000"})
	h := setup(t, kafka.settings())
	h.publish(40, 1) // together more than 4,000 bytes
	large := anEvent(40, "document-0")
	large.Attributes = map[string]string{"render_data.text": strings.Repeat("x", 5000)}
	h.Publish(event.Message(t.Context(), large))
	m, err := event.Message(t.Context(), anEvent(41, "document-0"))
	m.Data = []byte("no protobuf")
	h.Publish(m, err)
	h.written = 42
	h.publish(40, 1)

	r := h.replica()
	records := kafka.read(80)
	h.written -= 2
	h.inOrder(records)
	h.Settled(flow.KafkaBridge)
	if got := value(t, r.metrics, "signrelay_kafka_buried_total"); got != 2 {
		t.Errorf("%v events dropped", got)
	}
	deadLetters := map[string]stage.DeadLetter{}
	for deadLetter, err := range (stage.DeadLetters{JS: h.Env.JS}).All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		deadLetters[deadLetter.ID] = deadLetter
	}
	if got := deadLetters["event-000040"]; got.Reason != "message-too-large" || got.Stage != flow.KafkaBridge {
		t.Errorf("too large: %+v", got)
	}
	if got := deadLetters["event-000041"]; got.Reason != "undecodable" || string(got.Data) != "no protobuf" {
		t.Errorf("not readable: %+v", got)
	}

	// The operator raises the topic's message limit, and replays.
	kafka.configure("max.message.bytes", "40000")
	replayed, err := event.Message(t.Context(), anEvent(42+40, "document-9"))
	if err != nil {
		t.Fatal(err)
	}
	if err := (stage.DeadLetters{JS: h.Env.JS}).Replay(t.Context(), deadLetters["event-000040"], replayed); err != nil {
		t.Fatal(err)
	}
	h.until("the replayed event is in Kafka", func() bool {
		for _, r := range kafka.read(82) {
			if header(r, "ce_id") == "event-000040" {
				return true
			}
		}
		return false
	})
}

func TestMissingBrokersAreReported(t *testing.T) {
	t.Parallel()
	h := setup(t, newBrokers(t).settings())
	kafkasettings.Section.In(&h.Env.Config).Brokers = nil
	if err := Run(context.Background(), h.Env); err == nil || !strings.Contains(err.Error(), "SIGNRELAY_KAFKA_BROKERS") {
		t.Errorf("%v", err)
	}
}

// A consumer that is lost and created again continues where the bridge stopped. A consumer without a known position gets the whole log.
func TestALostConsumerResumes(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t).start()
	h := setup(t, kafka.settings())
	lose := func() {
		if err := h.Env.JS.DeleteConsumer(t.Context(), flow.Signing, flow.KafkaBridge); err != nil {
			t.Fatal(err)
		}
		if err := flow.Provision(t.Context(), h.Env.JS, 1); err != nil {
			t.Fatal(err)
		}
	}
	h.publish(5, 2)
	lose()
	r := h.replica()
	h.inOrder(kafka.read(5))
	h.Settled(flow.KafkaBridge)
	r.stop()
	h.publish(2, 2)
	lose()
	h.replica()
	h.Settled(flow.KafkaBridge)
	h.inOrder(kafka.read(7)) // no event twice
}
