package kafkabridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// keepPlace is the time for which a stopped refill can be resumed.
const keepPlace = 30 * 24 * time.Hour

// The keys of the consumer's metadata, from which a resumed refill reads its parameters.
const (
	metaTopic  = "signrelay-topic"
	metaFrom   = "signrelay-from"
	metaTo     = "signrelay-to"
	metaEvents = "signrelay-events"
	metaBegun  = "signrelay-begun"
)

// RefillPlan describes what a refill will do.
type RefillPlan struct {
	From, To uint64    // the log's sequences, both included
	Events   int       // between them, when the refill was begun
	Left     int       // the number of these events that are not written yet
	Begun    time.Time // of a refill that is resumed; otherwise zero
}

// Plan describes what Run will do, and changes nothing. A stopped refill resumes, unless restart is true. Otherwise a refill
// begins with the log's first event since that time, or with the first of all events for the zero time. Plan fails while
// another refill runs.
func (r *Refill) Plan(ctx context.Context, since time.Time, restart bool) (RefillPlan, error) {
	at, err := r.position(ctx)
	if err != nil {
		return RefillPlan{}, err
	}
	c, err := r.js.Consumer(ctx, flow.Signing, refill)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
	case err != nil:
		return RefillPlan{}, fmt.Errorf("look for a stopped refill: %w", err)
	case active(c.CachedInfo()):
		return RefillPlan{}, fmt.Errorf("another refill runs, or was killed less than %v ago", flow.StandBy)
	case !restart:
		return r.resumed(c.CachedInfo(), at)
	}
	where := startOf(since)
	where.AckPolicy, where.MemoryStorage, where.InactiveThreshold = jetstream.AckNonePolicy, true, time.Minute
	c, err = r.js.CreateConsumer(ctx, flow.Signing, where)
	if err != nil {
		return RefillPlan{}, fmt.Errorf("read the log's state: %w", err)
	}
	is := c.CachedInfo()
	defer func() { _ = r.js.DeleteConsumer(context.WithoutCancel(ctx), flow.Signing, is.Name) }()
	return planned(is, at), nil
}

// resumed returns the plan of a refill that was stopped.
func (r *Refill) resumed(is *jetstream.ConsumerInfo, at position) (RefillPlan, error) {
	if topic := is.Config.Metadata[metaTopic]; topic != r.Topic {
		return RefillPlan{}, fmt.Errorf("a refill of the topic %s was stopped and not finished; kafka.topic is %s now. Finish it, or start a new refill with --anew", topic, r.Topic)
	}
	p := RefillPlan{From: sequence(is, metaFrom), To: sequence(is, metaTo), Events: int(min(sequence(is, metaEvents), 1<<40))}
	if is.AckFloor.Stream < p.To {
		// The events that the bridge has written since then are after p.To, and not part of the refill.
		p.Left = max(int(is.NumPending)+is.NumAckPending-at.left-int(at.floor-p.To), 1)
	}
	p.Begun, _ = time.Parse(time.RFC3339, is.Config.Metadata[metaBegun])
	return p, nil
}

// active reports whether a refill runs now: the server has pinned its client.
func active(is *jetstream.ConsumerInfo) bool {
	return slices.ContainsFunc(is.PriorityGroups, func(g jetstream.PriorityGroupState) bool { return g.PinnedClientID != "" })
}

func sequence(is *jetstream.ConsumerInfo, key string) uint64 {
	n, _ := strconv.ParseUint(is.Config.Metadata[key], 10, 64)
	return n
}

// planned returns the plan of a new refill: the events that a new consumer of the log would get, up to the bridge's position.
func planned(is *jetstream.ConsumerInfo, at position) RefillPlan {
	p := RefillPlan{From: is.Delivered.Stream + 1, To: at.floor}
	if p.From <= p.To {
		p.Events = max(int(is.NumPending)-at.left, 0)
	}
	p.Left = p.Events
	return p
}

// position returns the bridge's position in the log, and the number of events after it. The bridge has written the event at that position and
// all earlier ones.
type position struct {
	floor uint64
	left  int
}

func (r *Refill) position(ctx context.Context) (position, error) {
	c, err := r.js.Consumer(ctx, flow.Signing, flow.KafkaBridge)
	if err != nil {
		return position{}, fmt.Errorf("read the bridge's position in the log; run `signrelay provision`: %w", err)
	}
	is := c.CachedInfo()
	return position{is.AckFloor.Stream, int(is.NumPending) + is.NumAckPending}, nil
}

func startOf(since time.Time) jetstream.ConsumerConfig {
	if since.IsZero() {
		return jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	}
	return jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since}
}

// begin returns the refill's consumer: the existing one if a refill is resumed, otherwise a new one.
func (r *Refill) begin(ctx context.Context, since time.Time, restart bool, window int) (jetstream.Consumer, RefillPlan, error) {
	p, err := r.Plan(ctx, since, restart)
	if err == nil && restart {
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
	want.Durable, want.Description = refill, "writes the log to Kafka again"
	want.AckPolicy, want.AckWait, want.MaxDeliver, want.MaxAckPending = jetstream.AckExplicitPolicy, flow.AckWait, -1, window
	want.PriorityPolicy, want.PriorityGroups, want.PinnedTTL = jetstream.PriorityPolicyPinned, []string{flow.Active}, flow.StandBy
	want.InactiveThreshold = keepPlace
	want.Metadata = map[string]string{
		metaTopic: r.Topic, metaFrom: strconv.FormatUint(p.From, 10), metaTo: strconv.FormatUint(p.To, 10),
		metaEvents: strconv.Itoa(p.Events), metaBegun: time.Now().UTC().Format(time.RFC3339),
	}
	c, err := r.js.CreateConsumer(ctx, flow.Signing, want)
	if err != nil {
		return nil, p, fmt.Errorf("create the refill's consumer: %w", err)
	}
	return c, p, nil
}

// forget removes the refill's position in the log: it is done, or another one begins.
func (r *Refill) forget(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := r.js.DeleteConsumer(ctx, flow.Signing, refill); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("remove the refill's position in the log: %w", err)
	}
	return nil
}
