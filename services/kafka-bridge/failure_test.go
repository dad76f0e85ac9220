package kafkabridge

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/signrelay/signrelay/libs/flow"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// refusing makes the brokers refuse every write until the returned func is called.
func (b *brokers) refusing(with *kerr.Error) (stop func()) {
	return b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: with, Count: -1}).Remove
}

// silent makes the brokers ignore all requests of a kind, until the returned func is called.
func (b *brokers) silent(key kmsg.Key) (stop func()) {
	var over atomic.Bool
	b.cluster.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		if over.Load() {
			b.cluster.DropControl()
			return nil, nil, false
		}
		b.cluster.KeepControl()
		return nil, nil, true
	})
	return func() { over.Store(true) }
}

func (r *replica) failures(t *testing.T) float64 {
	t.Helper()
	return value(t, r.metrics, "signrelay_kafka_failures_total")
}

// The bridge has a window in flight for partitions that no longer exist.
func TestTheTopicIsCreatedAgainWithFewerPartitions(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t).start()
	h := setup(t, kafka.settings()) // the bridge creates twelve partitions
	r := h.replica()
	h.publish(24, 24)
	h.Settled(flow.KafkaBridge)
	accept := kafka.refusing(kerr.NotEnoughReplicas)
	h.publish(24, 24)
	h.until("a window is in flight that cannot be written", func() bool { return h.inFlight() > 0 && r.failures(t) > 0 })
	if err := kafka.cluster.DeleteTopic("signrelay.signing.v1"); err != nil {
		t.Fatal(err)
	}
	kafka.make(nil) // three partitions
	accept()
	h.Settled(flow.KafkaBridge)
	h.written = 24 // the earlier events are gone with the topic
	records := kafka.read(24)
	h.inOrder(records)
	if id := header(records[0], "ce_id"); id < "event-000024" {
		t.Errorf("%s must not be written again", id)
	}
}

func TestTheBridgeCreatesADeletedTopicAgain(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t).start()
	h := setup(t, kafka.settings())
	r := h.replica()
	accept := kafka.refusing(kerr.NotEnoughReplicas)
	h.publish(24, 24)
	h.until("a window is in flight that cannot be written", func() bool { return h.inFlight() > 0 && r.failures(t) > 0 })
	if err := kafka.cluster.DeleteTopic("signrelay.signing.v1"); err != nil {
		t.Fatal(err)
	}
	accept()
	h.inOrder(kafka.read(24))
}

func TestPartitionsMoveToAnotherBroker(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t, kfake.NumBrokers(2), kfake.Ports()).start()
	kafka.addr = kafka.cluster.ListenAddrs()[0]
	h := setup(t, kafka.settings())
	r := h.replica()
	h.publish(60, 12)
	h.Settled(flow.KafkaBridge)
	moved := kafka.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: 3})
	for p := range int32(12) {
		if err := kafka.cluster.MoveTopicPartition("signrelay.signing.v1", p, 1-kafka.cluster.LeaderFor("signrelay.signing.v1", p)); err != nil {
			t.Fatal(err)
		}
	}
	h.publish(60, 12)
	h.inOrder(kafka.read(120))
	if moved.Hits() == 0 || r.failures(t) == 0 {
		t.Error("no request went to the wrong broker: the test proves nothing")
	}
}

// One replica may no longer write. The other one may write, and waits for the events that the first one has in flight.
func TestAReplicaThatCannotWriteYieldsToAnother(t *testing.T) {
	t.Parallel()
	all := kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "signrelay.signing.v1", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationAll, Allow: true}
	kafka := newBrokers(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "root", "root"),
		kfake.User("PLAIN", "one", "one", all), kfake.User("PLAIN", "two", "two", all)).start()
	root := kgo.SASL(plain.Auth{User: "root", Pass: "root"}.AsMechanism())
	if err := kafka.cluster.CreateTopic("signrelay.signing.v1", 3, nil); err != nil {
		t.Fatal(err)
	}
	cfg := kafka.settings()
	kafkasettings.Section.In(&cfg).SASL = kafkasettings.SASL{Mechanism: "plain", User: "one", Password: "one"}
	h := setup(t, cfg)
	one := h.replica()
	h.publish(30, 4)
	h.Settled(flow.KafkaBridge)
	kafkasettings.Section.In(&h.Env.Config).SASL = kafkasettings.SASL{Mechanism: "plain", User: "two", Password: "two"}
	two := h.replica()

	revoke := kmsg.NewCreateACLsRequestCreation()
	revoke.ResourceType, revoke.ResourceName, revoke.ResourcePatternType = all.Resource, all.Name, all.Pattern
	revoke.Principal, revoke.Host, revoke.Operation, revoke.PermissionType = "User:one", "*", kmsg.ACLOperationWrite, kmsg.ACLPermissionTypeDeny
	request := kmsg.NewPtrCreateACLsRequest()
	request.Creations = append(request.Creations, revoke)
	response := kafka.request(request, root).(*kmsg.CreateACLsResponse)
	if err := kerr.ErrorForCode(response.Results[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
	h.publish(30, 4)
	h.until("the first replica reports the refused write", func() bool {
		err := one.check(t.Context())
		return err != nil && strings.Contains(err.Error(), "Topic Authorization Failed")
	})
	h.inOrder(kafka.read(60, root))
	h.until("the other replica has written them", func() bool { return value(t, two.metrics, "signrelay_kafka_records_total") == 30 })
}

// A replica that returns events that it cannot write, and takes them again, does not report a recovery in between.
func TestReturningAWindowDoesNotEndAFailure(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t).start()
	kafka.make(nil)
	h := setup(t, kafka.settings())
	r := h.replica()
	accept := kafka.refusing(kerr.NotEnoughReplicas)
	h.publish(1, 1)
	h.until("it has returned the event and tried again", func() bool { return h.redelivered() > 0 && r.failures(t) > 0 })
	tried := r.failures(t)
	h.until("it fails again", func() bool { return r.failures(t) > tried })
	if logged := h.Logged.String(); strings.Contains(logged, "kafka is back") || strings.Count(logged, "kafka failed") != 1 {
		t.Error("one lasting failure was reported as several")
	}
	accept()
	h.inOrder(kafka.read(1))
	h.until("it is ready", func() bool { return r.check(t.Context()) == nil })
}

// Brokers accept connections and send nothing. The shutdown does not wait for them, and nothing is lost.
func TestAShutdownWhileTheBrokerHangs(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]kmsg.Key{"from the start": kmsg.ApiVersions, "in a write": kmsg.Produce} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kafka := newBrokers(t).start()
			kafka.make(nil)
			respond := kafka.silent(key)
			h := setup(t, kafka.settings())
			h.publish(30, 4)
			r := h.replica()
			h.until("it waits for a response", func() bool {
				return (key != kmsg.Produce || h.inFlight() > 0) && r.failures(t) > 0
			})
			r.stop() // fails after 25 s
			respond()
			h.replica()
			h.inOrder(kafka.read(30))
		})
	}
}

// The client limits the time to connect, but not the login. A broker that hangs during the login must not block the bridge.
func TestABrokerThatHangsInTheLogin(t *testing.T) {
	t.Parallel()
	kafka := newBrokers(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "signrelay", "hunter2")).start()
	kafka.cluster.ControlKey(kmsg.SASLHandshake.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true })
	cfg := kafka.settings()
	kafkasettings.Section.In(&cfg).SASL = kafkasettings.SASL{Mechanism: "plain", User: "signrelay", Password: "hunter2"}
	h := setup(t, cfg)
	h.publish(3, 1)
	r := h.replica()
	h.until("the events are written", func() bool { return value(t, r.metrics, "signrelay_kafka_records_total") == 3 })
	if r.failures(t) == 0 {
		t.Error("no broker hung: the test proves nothing")
	}
}

// The bridge sends nothing for as long as a quota demands, but not longer than ctx.
func TestAQuotaIsObeyed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		metrics := prometheus.NewRegistry()
		m, err := newMetrics(metrics)
		if err != nil {
			t.Fatal(err)
		}
		topic := &topic{metrics: m}
		began := time.Now()
		if err := topic.waitForQuota(t.Context()); err != nil || time.Since(began) > 0 {
			t.Errorf("without a quota: %v after %v", err, time.Since(began))
		}
		topic.throttle(time.Minute)
		topic.throttle(time.Second) // of another broker; it does not shorten the pause
		topic.throttle(0)
		if err := topic.waitForQuota(t.Context()); err != nil || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		topic.throttle(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := topic.waitForQuota(ctx); err == nil {
			t.Error("it waited longer than its context")
		}
		if got := value(t, metrics, "signrelay_kafka_throttled_seconds_total"); got != 121 {
			t.Errorf("%v s told", got)
		}
	})
}
