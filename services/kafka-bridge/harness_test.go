package kafkabridge

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// longest is how long a test waits for an immediate effect.
const longest = 30 * time.Second

// brokers is a Kafka cluster in this process: one broker that can be stopped, and started again with its data.
type brokers struct {
	t       *testing.T
	addr    string
	options []kfake.Opt
	cluster *kfake.Cluster
}

func newBrokers(t *testing.T, options ...kfake.Opt) *brokers {
	t.Helper()
	realtest.Server(t, "a Kafka protocol server")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	number, _ := strconv.Atoi(port)
	b := &brokers{t: t, addr: l.Addr().String()}
	b.options = append([]kfake.Opt{kfake.NumBrokers(1), kfake.Ports(number), kfake.DataDir(t.TempDir())}, options...)
	t.Cleanup(b.stop)
	return b
}

func (b *brokers) start() *brokers {
	b.t.Helper()
	cluster, err := kfake.NewCluster(b.options...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.cluster = cluster
	return b
}

func (b *brokers) stop() {
	if b.cluster != nil {
		b.cluster.Close()
		b.cluster = nil
	}
}

// read returns the first count records of the topic, in each partition's order.
func (b *brokers) read(count int, options ...kgo.Opt) []*kgo.Record {
	b.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(b.addr), kgo.ConsumeTopics("signrelay.signing.v1"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.MetadataMinAge(100 * time.Millisecond),
	}, options...)...)
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), longest)
	defer cancel()
	var records []*kgo.Record
	for len(records) < count {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			b.t.Fatalf("%d of %d records", len(records), count)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// make creates the topic as an operator does.
func (b *brokers) make(configs map[string]string) {
	b.t.Helper()
	made := kmsg.NewCreateTopicsRequestTopic()
	made.Topic, made.NumPartitions, made.ReplicationFactor = "signrelay.signing.v1", 3, 1
	for name, value := range configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = name, &value
		made.Configs = append(made.Configs, c)
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, made)
	response := b.request(request).(*kmsg.CreateTopicsResponse)
	if err := kerr.ErrorForCode(response.Topics[0].ErrorCode); err != nil {
		b.t.Fatal(err)
	}
}

// configure changes one of the topic's settings.
func (b *brokers) configure(name, value string) {
	b.t.Helper()
	set := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	set.Name, set.Value = name, &value
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, "signrelay.signing.v1"
	resource.Configs = append(resource.Configs, set)
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Resources = append(request.Resources, resource)
	response := b.request(request).(*kmsg.IncrementalAlterConfigsResponse)
	if err := kerr.ErrorForCode(response.Resources[0].ErrorCode); err != nil {
		b.t.Fatal(err)
	}
}

func (b *brokers) request(request kmsg.Request, options ...kgo.Opt) kmsg.Response {
	b.t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(b.addr))...)
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	response, err := client.Request(b.t.Context(), request)
	if err != nil {
		b.t.Fatal(err)
	}
	return response
}

func (b *brokers) settings() config.Config {
	cfg := config.Default()
	kafkasettings.Section.In(&cfg).Brokers = []string{b.addr}
	kafkasettings.Section.In(&cfg).ReplicationFactor = 1
	kafkasettings.Section.In(&cfg).CreateTopic = true
	return cfg
}

// harness is a log, and replicas of the bridge.
type harness struct {
	*servicetest.Bench
	t       *testing.T
	limits  limits
	written int
}

// setup creates the log. Leases and time limits are short, so that a test does not wait half a minute for a dead replica's work.
func setup(t *testing.T, cfg config.Config) *harness {
	t.Helper()
	h := &harness{Bench: servicetest.New(t, cfg), t: t, limits: limits{
		respond: 2 * time.Second, metadata: 200 * time.Millisecond, login: time.Second,
		runner: stage.Limits{Finish: 3 * time.Second, Lag: 100 * time.Millisecond},
	}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", h.Logged)
		}
	})
	c, err := h.Env.JS.Consumer(t.Context(), flow.Signing, flow.KafkaBridge)
	if err != nil {
		t.Fatal(err)
	}
	is := c.CachedInfo().Config
	is.AckWait, is.PinnedTTL = 3*time.Second, 1500*time.Millisecond
	if _, err := h.Env.JS.UpdateConsumer(t.Context(), flow.Signing, is); err != nil {
		t.Fatal(err)
	}
	return h
}

// replica is a running bridge.
type replica struct {
	check   func(context.Context) error
	metrics *prometheus.Registry
	live    *config.Live // its settings
	stop    func()       // and waits for its end
}

func (h *harness) replica() *replica {
	h.t.Helper()
	r := &replica{metrics: prometheus.NewRegistry()}
	env := h.Env
	env.Metrics, env.Health = r.metrics, new(service.Health)
	env.Live = config.NewLive(env.Config)
	r.live = env.Live
	up := make(chan struct{})
	env.Up = func() { close(up) }
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, env, h.limits, func(_ string, check func(context.Context) error) { r.check = check })
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				h.t.Errorf("the bridge's end: %v", err)
			}
		case <-time.After(25 * time.Second):
			h.t.Error("the bridge did not end within 25 s")
		}
	})
	h.t.Cleanup(r.stop)
	select {
	case <-up:
	case <-time.After(longest):
		h.t.Fatal("the bridge was not up in time")
	}
	return r
}

// publish stores events, for each document in turn.
func (h *harness) publish(count, documents int) {
	h.t.Helper()
	for range count {
		h.Publish(event.Message(h.t.Context(), anEvent(h.written, fmt.Sprintf("document-%d", h.written%documents))))
		h.written++
	}
}

func anEvent(n int, document string) *signingv1.SigningEvent {
	return &signingv1.SigningEvent{
		Id: fmt.Sprintf("event-%06d", n), Source: "acme", Provider: "clickwrap", Type: "recipient.opened",
		Document: &signingv1.Document{Id: document}, OccurredAt: timestamppb.New(time.Unix(1_700_000_000+int64(n), 0)),
	}
}

// inOrder requires every published event, each document's events in order, and no event twice.
func (h *harness) inOrder(records []*kgo.Record) {
	h.t.Helper()
	last, seen := map[string]string{}, map[string]bool{}
	for _, r := range records {
		id := header(r, "ce_id")
		if seen[id] {
			h.t.Errorf("%s came twice", id)
		}
		seen[id] = true
		if before := last[string(r.Key)]; before >= id {
			h.t.Errorf("%s: %s came after %s", r.Key, id, before)
		}
		last[string(r.Key)] = id
	}
	if len(seen) != h.written {
		h.t.Errorf("%d events, want %d", len(seen), h.written)
	}
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// inFlight returns the number of events in flight at all replicas.
func (h *harness) inFlight() int {
	h.t.Helper()
	c, err := h.Env.JS.Consumer(h.t.Context(), flow.Signing, flow.KafkaBridge)
	if err != nil {
		h.t.Fatal(err)
	}
	return c.CachedInfo().NumAckPending
}

// redelivered returns the number of events in flight that were delivered before.
func (h *harness) redelivered() int {
	h.t.Helper()
	c, err := h.Env.JS.Consumer(h.t.Context(), flow.Signing, flow.KafkaBridge)
	if err != nil {
		h.t.Fatal(err)
	}
	return c.CachedInfo().NumRedelivered
}

// dies fetches events and does not ack them, like a replica that dies.
func (h *harness) dies(count int) {
	h.t.Helper()
	_, js := h.Broker.Connect()
	c, err := js.Consumer(h.t.Context(), flow.Signing, flow.KafkaBridge)
	if err != nil {
		h.t.Fatal(err)
	}
	batch, err := c.Fetch(count, jetstream.FetchPriorityGroup(flow.Active))
	if err != nil {
		h.t.Fatal(err)
	}
	taken := 0
	for range batch.Messages() {
		taken++
	}
	if taken != count {
		h.t.Fatalf("took %d of %d: %v", taken, count, batch.Error())
	}
}

func (h *harness) until(what string, holds func() bool) {
	h.t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	late := time.After(longest)
	for !holds() {
		select {
		case <-look.C:
		case <-late:
			h.t.Fatalf("not in time: %s", what)
		}
	}
}

func value(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
