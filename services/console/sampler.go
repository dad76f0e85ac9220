package console

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/service"
)

const (
	// sampleEvery is the time between two samples: about 40 requests to the server, of 1 ms each.
	sampleEvery = 5 * time.Second
	// samples is the number of samples that are kept: one hour. With 14 stages they take about 0.4 MB.
	samples = int(time.Hour / sampleEvery)
	// activeFor is the time without a request for work after which a stage counts as stopped.
	activeFor = 30 * time.Second
	// sampleWithin limits one sample.
	sampleWithin = 4 * time.Second
)

// sampler asks the server for the state of each stage and each stream, and keeps the answers of one hour. It is a few requests every 5 s, however
// many readers there are.
type sampler struct {
	env      service.Env
	operator *operate.Operator
	backlogs backlogs

	mu     sync.Mutex
	last   Snapshot
	ring   []sample             // the oldest first
	active map[string]time.Time // when a replica of a stage was last seen to ask for work
	notify chan struct{}
}

// sample is the part of a snapshot that is kept for an hour.
type sample struct {
	at     time.Time
	stages []stageSample // in the order of flow.Stages
}

type stageSample struct{ delivered, dead uint64 }

// Snapshot is the state of the flow at one time.
type Snapshot struct {
	At      time.Time     `json:"at"`
	Error   string        `json:"error,omitempty"` // why there is no newer one
	Stages  []StageState  `json:"stages"`
	Streams []StreamState `json:"streams"`
	Used    uint64        `json:"used_bytes,string"`            // by all streams
	Limit   uint64        `json:"limit_bytes,string,omitempty"` // 0 if the account has none
	Since   time.Time     `json:"since"`                        // of the oldest sample: rates of the last hour begin there
	// Held are the messages that wait for the operator, at most three samples old.
	Held []operate.Group `json:"held"`

	heldAt time.Time
}

// StageState is the state of one stage.
type StageState struct {
	Name    string `json:"name"`
	Program string `json:"program"`
	Purpose string `json:"purpose"`
	Stream  string `json:"stream"`
	// Missing: its consumer does not exist. Optional: it works only if the settings enable it.
	Missing  bool `json:"missing,omitempty"`
	Optional bool `json:"optional,omitempty"`

	Replicas  *int      `json:"replicas,omitempty"`      // of its program; nil if they are not known
	Waiting   uint64    `json:"waiting,string"`          // inputs that are not done, with those in retry
	InFlight  int       `json:"in_flight"`               // inputs that a replica has, or that wait for another attempt
	Retrying  int       `json:"in_retry"`                // inputs that were delivered more than once and are not done
	Oldest    time.Time `json:"oldest_waiting,omitzero"` // when the oldest input that is not done was stored, or an earlier time (see backlogs)
	Active    bool      `json:"active"`                  // a replica asks for work, or has some
	LastDone  time.Time `json:"last_ack,omitzero"`       // of the newest ack that moved the floor
	PerMinute float64   `json:"deliveries_per_minute"`   // in the last minute, with repeated attempts
	LastHour  uint64    `json:"deliveries_1h,string"`    // since Snapshot.Since
	Dead      uint64    `json:"dead_letters,string"`     // in the DLQ
	NewDead   uint64    `json:"dead_letters_1h,string"`  // since Snapshot.Since
	Rates     []float64 `json:"deliveries_by_minute"`    // of the last hour, the oldest first
}

// Programs says how many replicas of the stage's program work; empty if that is not known.
func (s StageState) Programs() string {
	if s.Replicas == nil {
		return ""
	}
	return counted(*s.Replicas, "replica")
}

// StreamState is the size of one stream.
type StreamState struct {
	Name     string    `json:"name"`
	Purpose  string    `json:"purpose"`
	Messages uint64    `json:"messages,string"`
	Bytes    uint64    `json:"bytes,string"`
	Newest   time.Time `json:"newest,omitzero"`
}

func newSampler(env service.Env, operator *operate.Operator) *sampler {
	return &sampler{env: env, operator: operator, active: map[string]time.Time{}, notify: make(chan struct{})}
}

// run takes samples until ctx ends.
func (s *sampler) run(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		s.take(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// take takes one sample. If the server does not respond, the last snapshot stays, with the reason.
func (s *sampler) take(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, sampleWithin)
	defer cancel()
	next, err := s.look(limit)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			s.last.Error = "NATS does not respond"
			s.env.Log.WarnContext(ctx, "the state of the flow cannot be read", "error", err)
		}
	} else {
		s.keep(next)
	}
	close(s.notify)
	s.notify = make(chan struct{})
}

// keep adds a snapshot to the ring and computes its rates. The caller holds the lock.
func (s *sampler) keep(next Snapshot) {
	one := sample{at: next.At, stages: make([]stageSample, len(next.Stages))}
	for i, stage := range next.Stages {
		one.stages[i] = stageSample{stage.LastHour, stage.Dead}
	}
	s.ring = append(s.ring, one)
	if len(s.ring) > samples+1 {
		s.ring = append(s.ring[:0:0], s.ring[len(s.ring)-samples-1:]...)
	}
	first := s.ring[0]
	next.Since = first.at
	for i := range next.Stages {
		stage := &next.Stages[i]
		// A replica asks for work again after each batch, so one sample may fall between two requests.
		if _, known := s.active[stage.Name]; stage.Active || !known && !stage.Optional {
			s.active[stage.Name] = next.At
		}
		stage.Active = next.At.Sub(s.active[stage.Name]) < activeFor
		stage.LastHour = grown(one.stages[i].delivered, first.stages[i].delivered)
		stage.NewDead = grown(one.stages[i].dead, first.stages[i].dead)
		stage.Rates = s.rates(i)
		stage.PerMinute = s.rate(i, next.At.Add(-time.Minute))
	}
	s.last = next
}

// grown returns the growth of a counter. A consumer that was created again begins at 0.
func grown(now, before uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// rate returns a stage's deliveries a minute since a time.
func (s *sampler) rate(stage int, since time.Time) float64 {
	newest := s.ring[len(s.ring)-1]
	for _, one := range s.ring {
		if took := newest.at.Sub(one.at); !one.at.Before(since.Add(-sampleEvery/2)) && took > 0 {
			return float64(grown(newest.stages[stage].delivered, one.stages[stage].delivered)) / took.Minutes()
		}
	}
	return 0
}

// rates returns a stage's deliveries in each minute of the ring.
func (s *sampler) rates(stage int) []float64 {
	rates := []float64{}
	before := s.ring[0]
	for _, one := range s.ring[1:] {
		if took := one.at.Sub(before.at); took >= time.Minute-sampleEvery/2 {
			rates = append(rates, float64(grown(one.stages[stage].delivered, before.stages[stage].delivered))/took.Minutes())
			before = one
		}
	}
	return rates
}

// snapshot returns the last snapshot.
func (s *sampler) snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// changed returns a channel that is closed at the next sample.
func (s *sampler) changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notify
}

// stuck returns the number of dead letters, of held messages and of callbacks in quarantine, for the header.
func (s *sampler) stuck() (n uint64) {
	now := s.snapshot()
	for _, stream := range now.Streams {
		if stream.Name == flow.Quarantine {
			n += stream.Messages
		}
	}
	for _, stage := range now.Stages {
		n += stage.Dead
	}
	for _, g := range now.Held {
		n += uint64(max(g.Count, 0))
	}
	return n
}

// look asks the server for a snapshot. LastHour of each stage is its count of deliveries since its consumer exists.
func (s *sampler) look(ctx context.Context) (Snapshot, error) {
	next := Snapshot{At: s.env.Now().UTC()}
	account, err := s.env.JS.AccountInfo(ctx)
	if err != nil {
		return next, err
	}
	next.Used, next.Limit = account.Store, uint64(max(account.Limits.MaxStore, 0))
	streams := map[string]jetstream.Stream{}
	for _, f := range flow.Streams {
		stream, err := s.env.JS.Stream(ctx, f.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return next, err
		}
		streams[f.Name] = stream
		state := stream.CachedInfo().State
		next.Streams = append(next.Streams, StreamState{Name: f.Name, Purpose: f.Purpose, Messages: state.Msgs, Bytes: state.Bytes, Newest: state.LastTime.UTC()})
	}
	dead := map[string]uint64{}
	if dlq := streams[flow.DLQ]; dlq != nil {
		info, err := dlq.Info(ctx, jetstream.WithSubjectFilter(flow.DeadLetters))
		if err != nil {
			return next, err
		}
		dead = info.State.Subjects
	}
	replicas, err := flow.ReplicasOf(ctx, s.env.JS)
	if err != nil {
		return next, err
	}
	for _, f := range flow.Stages {
		state := StageState{Name: f.Name, Program: f.Program(), Purpose: f.Purpose, Stream: f.Stream, Optional: f.Optional, Dead: dead[f.DeadSubject()]}
		if n := replicas[f.Program()]; replicas != nil {
			state.Replicas = &n
		}
		for _, name := range []string{f.Stream, flow.Replay} {
			if err := s.addConsumer(ctx, &state, f, streams[name]); err != nil {
				return next, err
			}
		}
		next.Stages = append(next.Stages, state)
	}
	return next, s.lookAtHeld(ctx, &next)
}

// addConsumer adds the state of a stage's consumer on one stream.
func (s *sampler) addConsumer(ctx context.Context, state *StageState, f flow.Stage, stream jetstream.Stream) error {
	if stream == nil {
		state.Missing = true
		return nil
	}
	consumer, err := stream.Consumer(ctx, f.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		state.Missing = true
		return nil
	}
	if err != nil {
		return err
	}
	info := consumer.CachedInfo()
	state.Waiting += info.NumPending + uint64(max(info.NumAckPending, 0))
	state.InFlight += info.NumAckPending
	state.Retrying += info.NumRedelivered
	state.Active = state.Active || info.NumWaiting > 0 || info.NumAckPending > info.NumRedelivered
	state.LastHour += info.Delivered.Consumer
	if last := info.AckFloor.Last; last != nil && last.After(state.LastDone) {
		state.LastDone = last.UTC()
	}
	at, err := s.backlogs.oldest(ctx, stream, info, s.env.Now().UTC())
	if err == nil && !at.IsZero() && (state.Oldest.IsZero() || at.Before(state.Oldest)) {
		state.Oldest = at
	}
	return err
}

// noun returns what a stage works on, for people.
func noun(stage string) string {
	switch {
	case strings.HasPrefix(stage, flow.SMSSender):
		return "text"
	case strings.HasPrefix(stage, flow.EmailSender):
		return "e-mail"
	case stage == flow.Shortener:
		return "link"
	case stage == flow.ReminderDue:
		return "reminder"
	case strings.HasPrefix(stage, flow.Archiver):
		return "document"
	default:
		return "event"
	}
}
