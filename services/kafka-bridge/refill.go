package kafkabridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
)

// Refill writes a part of the log to the topic again, in the log's order, while the bridge pauses. The topic therefore has all
// events in order: first the rewritten ones, then the new ones.
//
// A consumer of the log keeps the refill's place. The consumer remains when the refill is stopped or killed, and is removed
// when the refill is done.
type Refill struct {
	js     jetstream.JetStream
	bridge *bridge
	Format string // of the records: protobuf or json
	Topic  string
	// Partitions of the topic.
	Partitions int

	mu      sync.Mutex
	skipped map[string]int
}

const (
	// refill is its consumer on the log.
	refill = "kafka-refill"
	// keepPlace is how long a refill that was stopped can be gone on with.
	keepPlace = 30 * 24 * time.Hour
	// pauseFor is how long the bridge pauses at most after a refill was killed. It is renewed every third of it.
	pauseFor = time.Minute
	// idleWithin bounds the wait until the bridge has finished its work: the leases of a dead one lapse in between.
	idleWithin = flow.AckWait + 5*time.Second
)

// The keys of the consumer's metadata, from which a resumed refill reads its parameters.
const (
	metaTopic  = "signrelay-topic"
	metaFrom   = "signrelay-from"
	metaTo     = "signrelay-to"
	metaEvents = "signrelay-events"
	metaBegun  = "signrelay-begun"
)

// RefillPlan is what a refill will do.
type RefillPlan struct {
	From, To uint64    // the log's sequences, both included
	Events   int       // of them, when it was begun
	Left     int       // of them, that are not written yet
	Begun    time.Time // of one that goes on; else zero
}

// OpenRefill connects to Kafka. It fails where the brokers do not answer or the topic is missing and may not be made.
func OpenRefill(ctx context.Context, js jetstream.JetStream, cfg kafkasettings.Kafka, log *slog.Logger) (*Refill, error) {
	if !cfg.Set() {
		return nil, errors.New("kafka.brokers is empty: set the brokers of the topic, SIGNRELAY_KAFKA_BROKERS")
	}
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	t, err := openTopic(config.Fixed(cfg), log, m)
	if err != nil {
		return nil, err
	}
	r := &Refill{js: js, Topic: cfg.Topic, Format: cfg.Format, skipped: map[string]int{}}
	r.bridge = &bridge{js: js, log: log, metrics: m, topic: t, encode: encoding(cfg.Format), wait: patience{topic: t}, giveUp: r.skip}
	// A topic that was just made is known a moment later.
	for tries := 0; ; tries++ {
		r.Partitions, err = t.partitions(ctx)
		if err == nil || tries == 20 || !errors.Is(err, errMade) && reason(err) != "no-leader" {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause / 4):
		}
	}
	if err != nil {
		t.close()
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return r, nil
}

// Close ends the connections to Kafka.
func (r *Refill) Close() { r.bridge.topic.close() }

// Skipped is how many events Kafka did not take, by the reason: message-too-large, invalid-record, undecodable.
func (r *Refill) Skipped() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.skipped)
}

// Plan describes what Run will do, and changes nothing. A stopped refill resumes, unless anew is true. Otherwise a refill
// begins with the log's first event since that time, or with the first of all events for the zero time. Plan fails while
// another refill runs.
func (r *Refill) Plan(ctx context.Context, since time.Time, anew bool) (RefillPlan, error) {
	newer, err := r.written(ctx)
	if err != nil {
		return RefillPlan{}, err
	}
	c, err := r.js.Consumer(ctx, flow.Signing, refill)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
	case err != nil:
		return RefillPlan{}, fmt.Errorf("look for a refill that was stopped: %w", err)
	case atWork(c.CachedInfo()):
		return RefillPlan{}, fmt.Errorf("another refill is at work, or was killed less than %v ago", flow.StandBy)
	case !anew:
		return r.goesOn(c.CachedInfo(), newer)
	}
	where := startOf(since)
	where.AckPolicy, where.MemoryStorage, where.InactiveThreshold = jetstream.AckNonePolicy, true, time.Minute
	c, err = r.js.CreateConsumer(ctx, flow.Signing, where)
	if err != nil {
		return RefillPlan{}, fmt.Errorf("look at the log: %w", err)
	}
	is := c.CachedInfo()
	defer func() { _ = r.js.DeleteConsumer(context.WithoutCancel(ctx), flow.Signing, is.Name) }()
	return planOf(is, newer), nil
}

// goesOn reads what a refill was begun with.
func (r *Refill) goesOn(is *jetstream.ConsumerInfo, newer bridgeAt) (RefillPlan, error) {
	if topic := is.Config.Metadata[metaTopic]; topic != r.Topic {
		return RefillPlan{}, fmt.Errorf("a refill of the topic %s was stopped and not finished; kafka.topic is %s now. Finish that one, or begin anew", topic, r.Topic)
	}
	p := RefillPlan{From: sequence(is, metaFrom), To: sequence(is, metaTo), Events: int(min(sequence(is, metaEvents), 1<<40))}
	if is.AckFloor.Stream < p.To {
		// What the bridge has written since then is behind p.To, and not ours.
		p.Left = max(int(is.NumPending)+is.NumAckPending-newer.left-int(newer.floor-p.To), 1)
	}
	p.Begun, _ = time.Parse(time.RFC3339, is.Config.Metadata[metaBegun])
	return p, nil
}

// atWork reports whether a refill runs now: the server has pinned its client.
func atWork(is *jetstream.ConsumerInfo) bool {
	return slices.ContainsFunc(is.PriorityGroups, func(g jetstream.PriorityGroupState) bool { return g.PinnedClientID != "" })
}

func sequence(is *jetstream.ConsumerInfo, key string) uint64 {
	n, _ := strconv.ParseUint(is.Config.Metadata[key], 10, 64)
	return n
}

// planOf is what a consumer of the log that stands at the beginning has before it, up to where the bridge is.
func planOf(is *jetstream.ConsumerInfo, newer bridgeAt) RefillPlan {
	p := RefillPlan{From: is.Delivered.Stream + 1, To: newer.floor}
	if p.From <= p.To {
		p.Events = max(int(is.NumPending)-newer.left, 0)
	}
	p.Left = p.Events
	return p
}

// bridgeAt is where the bridge is in the log: the last event that it has written and all before it, and how many are behind that.
type bridgeAt struct {
	floor uint64
	left  int
}

func (r *Refill) written(ctx context.Context) (bridgeAt, error) {
	c, err := r.js.Consumer(ctx, flow.Signing, flow.KafkaBridge)
	if err != nil {
		return bridgeAt{}, fmt.Errorf("look for the bridge's place in the log; run `signrelay provision`: %w", err)
	}
	is := c.CachedInfo()
	return bridgeAt{is.AckFloor.Stream, int(is.NumPending) + is.NumAckPending}, nil
}

// forget removes the refill's place in the log: it is done, or another begins.
func (r *Refill) forget(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := r.js.DeleteConsumer(ctx, flow.Signing, refill); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("remove the refill's place in the log: %w", err)
	}
	return nil
}

func startOf(since time.Time) jetstream.ConsumerConfig {
	if since.IsZero() {
		return jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	}
	return jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since}
}

// Run writes the events that Plan would describe now, at most rate events a second. After each window it calls tell with the
// number of events left. It returns nil when all are written. When ctx ends, it finishes the write in progress, resumes
// the bridge, and keeps its place.
func (r *Refill) Run(ctx context.Context, since time.Time, anew bool, rate int, tell func(left int)) error {
	resume, err := r.pauseBridge(ctx)
	if err != nil {
		return err
	}
	defer resume()
	c, p, err := r.begin(ctx, since, anew, min(rate, flow.StageNamed(flow.KafkaBridge).Workers))
	switch {
	case err != nil:
		return err
	case p.Left == 0:
		return r.forget(ctx)
	}
	b := r.bridge
	b.stage = flow.Stage{Name: refill, Stream: flow.Signing, Workers: c.CachedInfo().Config.MaxAckPending}
	b.end = p.To
	defer b.leave(ctx, c)
	for due := time.Now(); ctx.Err() == nil; {
		done, err := b.window(ctx, c)
		if p.Left -= done; done > 0 {
			tell(max(p.Left, 0))
		}
		if err != nil {
			if gone(err) {
				return fmt.Errorf("the refill's place in the log is gone; begin again: %w", err)
			}
			if err := b.trouble(ctx, err); err != nil {
				return err
			}
			continue
		}
		is, err := c.Info(ctx)
		if err == nil && (is.AckFloor.Stream >= p.To || is.NumPending == 0 && is.NumAckPending == 0) {
			return r.forget(ctx)
		}
		due = due.Add(time.Second * time.Duration(done) / time.Duration(rate))
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(due)):
		}
	}
	return ctx.Err()
}

// begin is the refill's consumer: the one of a refill that goes on, else a new one.
func (r *Refill) begin(ctx context.Context, since time.Time, anew bool, workers int) (jetstream.Consumer, RefillPlan, error) {
	p, err := r.Plan(ctx, since, anew)
	if err == nil && anew {
		err = r.forget(ctx)
	}
	if err != nil || p.Left == 0 {
		return nil, p, err
	}
	if !p.Begun.IsZero() {
		c, err := r.js.Consumer(ctx, flow.Signing, refill)
		return c, p, err
	}
	want := startOf(since)
	want.Durable, want.Description = refill, "writes the log onto Kafka once more"
	want.AckPolicy, want.AckWait, want.MaxDeliver, want.MaxAckPending = jetstream.AckExplicitPolicy, flow.AckWait, -1, workers
	want.PriorityPolicy, want.PriorityGroups, want.PinnedTTL = jetstream.PriorityPolicyPinned, []string{flow.Active}, flow.StandBy
	want.InactiveThreshold = keepPlace
	want.Metadata = map[string]string{
		metaTopic: r.Topic, metaFrom: strconv.FormatUint(p.From, 10), metaTo: strconv.FormatUint(p.To, 10),
		metaEvents: strconv.Itoa(p.Events), metaBegun: time.Now().UTC().Format(time.RFC3339),
	}
	c, err := r.js.CreateConsumer(ctx, flow.Signing, want)
	if err != nil {
		return nil, p, fmt.Errorf("make the refill's place in the log: %w", err)
	}
	return c, p, nil
}

// pauseBridge has the bridge take nothing more, waits until it has finished its work, and keeps it so until resume is called.
func (r *Refill) pauseBridge(ctx context.Context) (resume func(), err error) {
	pauseAgain := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err := r.js.PauseConsumer(ctx, flow.Signing, flow.KafkaBridge, time.Now().Add(pauseFor))
		return err
	}
	if err := pauseAgain(ctx); err != nil {
		return nil, fmt.Errorf("pause the bridge: %w", err)
	}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		tick := time.NewTicker(pauseFor / 3)
		defer tick.Stop()
		for {
			select {
			case <-keeping.Done():
				return
			case <-tick.C:
			}
			if err := pauseAgain(keeping); err != nil && keeping.Err() == nil {
				r.bridge.log.WarnContext(ctx, "cannot keep the bridge paused; new events may be written before old ones", "error", err)
			}
		}
	}()
	resume = func() {
		stop()
		<-kept
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if _, err := r.js.ResumeConsumer(ctx, flow.Signing, flow.KafkaBridge); err != nil {
			r.bridge.log.WarnContext(ctx, "the bridge goes on by itself in a minute", "error", err)
		}
	}
	for deadline := time.Now().Add(idleWithin); time.Now().Before(deadline); {
		c, err := r.js.Consumer(ctx, flow.Signing, flow.KafkaBridge)
		if err == nil && c.CachedInfo().NumAckPending == 0 {
			return resume, nil
		}
		select {
		case <-ctx.Done():
			resume()
			return nil, ctx.Err()
		case <-time.After(pause / 10):
		}
	}
	return resume, nil // the bridge's leases have lapsed: it will write its unwritten events after ours
}

// skip counts what Kafka will never take. The bridge put it into the dead letters when it met it.
func (r *Refill) skip(_ context.Context, _ *item, reason string, _ error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skipped[reason]++
	return true
}
