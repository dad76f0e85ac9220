package flow_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
)

// log is a provisioned broker that loses consumers.
type log struct {
	*testing.T
	js jetstream.JetStream
}

func newLog(t *testing.T) log {
	t.Helper()
	_, js := realtest.NATS(t).Connect()
	l := log{t, js}
	l.must(flow.Provision(t.Context(), js, 1))
	return l
}

func (l log) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// store stores events that the enricher consumes, or that are replayed to it, and returns when the last one was stored.
func (l log) store(subject string, n int) time.Time {
	l.Helper()
	var at time.Time
	for range n {
		ack, err := l.js.Publish(l.Context(), subject, []byte("x"))
		l.must(err)
		s, err := l.js.Stream(l.Context(), ack.Stream)
		l.must(err)
		m, err := s.GetMsg(l.Context(), ack.Sequence)
		l.must(err)
		at = m.Time
	}
	return at
}

func (l log) lose(stream, stage string) {
	l.Helper()
	l.must(l.js.DeleteConsumer(l.Context(), stream, stage))
}

// floor stores a floor as the stage does.
func (l log) floor(stage, stream string, sequence uint64, stored time.Time) {
	l.Helper()
	l.must(flow.StageNamed(stage).KeepFloor(l.Context(), l.js, stream, flow.Floor{Sequence: sequence, Stored: stored}))
}

// pending returns the number of messages that wait for the consumer.
func (l log) pending(stream, stage string) int {
	l.Helper()
	c, err := l.js.Consumer(l.Context(), stream, stage)
	l.must(err)
	return int(c.CachedInfo().NumPending)
}

// remake recreates a stream. If refill is positive, the new stream holds that many messages.
func (l log) remake(stream, subject string, refill int) {
	l.Helper()
	l.must(l.js.DeleteStream(l.Context(), stream))
	if refill > 0 {
		_, err := l.js.CreateStream(l.Context(), jetstream.StreamConfig{Name: stream, Subjects: []string{strings.Join(strings.Split(subject, ".")[:2], ".") + ".>"}})
		l.must(err)
		l.store(subject, refill)
	}
}

// invited is the subject of an event with which reminders begin.
const invited = "signing.v1.acme.clickwrap.recipient.sent.d1"

const sent, replayed, noted = "signing.v1.acme.clickwrap.document.sent.d1", "replay.v1.enricher.SIGNING.1.1", "notify.v1.send.sms.acme.clickwrap.d1"

// A missing consumer starts where its stage stopped, otherwise where the operator chooses. It starts at the beginning only if that
// repeats no old notification.
func TestTheStartOfAMissingConsumer(t *testing.T) {
	t.Parallel()
	hour := time.Hour
	for name, c := range map[string]struct {
		stage, stream string
		before        func(log)
		starts        map[string]flow.Start
		want          int // the number of messages that wait then; -1 if the operator must choose
	}{
		"nothing was ever stored": {flow.Enricher, flow.Signing, func(l log) { l.lose(flow.Signing, flow.Enricher) }, nil, 0},
		"nothing for it was stored": {flow.Enricher, flow.Signing, func(l log) {
			l.store("signing.v1.acme.clickwrap.endpoint.tested._", 3)
			l.lose(flow.Signing, flow.Enricher)
		}, nil, 0},
		"it left a floor": {flow.Enricher, flow.Signing, func(l log) {
			l.floor(flow.Enricher, flow.Signing, 3, l.store(sent, 3))
			l.store(sent, 2)
			l.lose(flow.Signing, flow.Enricher)
		}, nil, 2},
		"a sender left a floor": {flow.SMSSender, flow.Notify, func(l log) {
			l.floor(flow.SMSSender, flow.Notify, 2, l.store(noted, 2))
			l.store(noted, 2)
			l.lose(flow.Notify, flow.SMSSender)
		}, nil, 2},
		"the floor's message is removed": {flow.Enricher, flow.Signing, func(l log) {
			l.floor(flow.Enricher, flow.Signing, 2, l.store(sent, 2))
			l.store(sent, 2)
			s, err := l.js.Stream(l.Context(), flow.Signing)
			l.must(err)
			l.must(s.DeleteMsg(l.Context(), 2))
			l.lose(flow.Signing, flow.Enricher)
		}, nil, 2},
		"all up to the floor is too old": {flow.Enricher, flow.Signing, func(l log) {
			l.floor(flow.Enricher, flow.Signing, 2, l.store(sent, 2))
			l.store(sent, 2)
			s, err := l.js.Stream(l.Context(), flow.Signing)
			l.must(err)
			l.must(s.Purge(l.Context(), jetstream.WithPurgeSequence(4)))
			l.lose(flow.Signing, flow.Enricher)
		}, nil, 1},
		"a lower floor does not undo a higher one": {flow.Enricher, flow.Signing, func(l log) {
			first, second := l.store(sent, 1), l.store(sent, 1)
			l.floor(flow.Enricher, flow.Signing, 2, second)
			l.floor(flow.Enricher, flow.Signing, 1, first)
			l.lose(flow.Signing, flow.Enricher)
		}, nil, 0},
		"its floor was removed, and it left another": {flow.Enricher, flow.Signing, func(l log) {
			l.floor(flow.Enricher, flow.Signing, 3, l.store(sent, 3))
			state, err := l.js.KeyValue(l.Context(), flow.State)
			l.must(err)
			l.must(state.Delete(l.Context(), "floor.enricher.SIGNING"))
			l.floor(flow.Enricher, flow.Signing, 4, l.store(sent, 1))
			l.lose(flow.Signing, flow.Enricher)
		}, nil, 0},
		"it left no floor": {flow.Enricher, flow.Signing, func(l log) {
			l.store(sent, 3)
			l.lose(flow.Signing, flow.Enricher)
		}, nil, -1},
		"the sender left no floor": {flow.SMSSender, flow.Notify, func(l log) {
			l.store(noted, 3)
			l.lose(flow.Notify, flow.SMSSender)
		}, nil, -1},
		"another stage's floor": {flow.Enricher, flow.Signing, func(l log) {
			l.floor(flow.KafkaBridge, flow.Signing, 2, l.store(sent, 2))
			l.lose(flow.Signing, flow.Enricher)
		}, nil, -1},
		"the stream is recreated, and empty": {flow.Enricher, flow.Signing, func(l log) {
			l.floor(flow.Enricher, flow.Signing, 3, l.store(sent, 3))
			l.remake(flow.Signing, sent, 0)
		}, nil, 0},
		"the stream is recreated, and refilled": {flow.Enricher, flow.Signing, func(l log) {
			l.floor(flow.Enricher, flow.Signing, 3, l.store(sent, 3))
			l.remake(flow.Signing, sent, 5)
		}, nil, -1},
		"the floor is ahead of a restored stream": {flow.Enricher, flow.Signing, func(l log) {
			l.floor(flow.Enricher, flow.Signing, 9, l.store(sent, 3))
			l.lose(flow.Signing, flow.Enricher)
		}, nil, -1},
		"a restored stream has used its sequence again": {flow.Enricher, flow.Signing, func(l log) {
			l.floor(flow.Enricher, flow.Signing, 2, l.store(sent, 3).Add(-hour))
			l.lose(flow.Signing, flow.Enricher)
		}, nil, -1},
		"an optional stage without earlier work": {flow.KafkaBridge, flow.Signing, func(l log) {
			l.store(sent, 3)
			l.lose(flow.Signing, flow.KafkaBridge)
		}, nil, 3},
		"an optional stage with earlier work": {flow.KafkaBridge, flow.Signing, func(l log) {
			l.floor(flow.KafkaBridge, flow.Signing, 2, l.store(sent, 2))
			l.store(sent, 1)
			l.lose(flow.Signing, flow.KafkaBridge)
		}, nil, 1},
		"a stage that an upgrade brings": {flow.Reminder, flow.Signing, func(l log) {
			l.store(invited, 3)
			l.lose(flow.Signing, flow.Reminder)
		}, nil, 0},
		"a stage that an upgrade brought earlier": {flow.Reminder, flow.Signing, func(l log) {
			l.floor(flow.Reminder, flow.Signing, 2, l.store(invited, 2))
			l.store(invited, 1)
			l.lose(flow.Signing, flow.Reminder)
		}, nil, 1},
		"nothing was ever replayed to it": {flow.Enricher, flow.Replay, func(l log) {
			l.store(sent, 3)
			l.store("replay.v1.sms-sender.NOTIFY.1.1", 1)
			l.lose(flow.Replay, flow.Enricher)
		}, nil, 0},
		"it left a floor of its replays": {flow.Enricher, flow.Replay, func(l log) {
			l.floor(flow.Enricher, flow.Replay, 1, l.store(replayed, 1))
			l.lose(flow.Replay, flow.Enricher)
		}, nil, 0},
		"it left no floor of its replays": {flow.Enricher, flow.Replay, func(l log) {
			l.store(replayed, 1)
			l.lose(flow.Replay, flow.Enricher)
		}, nil, -1},
		"the operator chooses new": {flow.Enricher, flow.Signing, func(l log) {
			l.store(sent, 3)
			l.lose(flow.Signing, flow.Enricher)
		}, map[string]flow.Start{flow.Enricher: {New: true}}, 0},
		"the operator chooses all": {flow.Enricher, flow.Signing, func(l log) {
			l.floor(flow.Enricher, flow.Signing, 3, l.store(sent, 3))
			l.lose(flow.Signing, flow.Enricher)
		}, map[string]flow.Start{flow.Enricher: {All: true}}, 3},
		"the operator chooses a time": {flow.Enricher, flow.Signing, func(l log) {
			l.store(sent, 3)
			l.lose(flow.Signing, flow.Enricher)
		}, map[string]flow.Start{flow.Enricher: {Since: time.Now().Add(-hour)}}, 3},
		"the operator chooses for another consumer": {flow.Enricher, flow.Signing, func(l log) {
			l.store(sent, 3)
			l.lose(flow.Signing, flow.Enricher)
		}, map[string]flow.Start{flow.Shortener: {All: true}}, -1},
		"it exists, for any choice of the operator": {flow.Enricher, flow.Signing, func(l log) { l.store(sent, 3) },
			map[string]flow.Start{flow.Enricher: {New: true}}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			c.before(l)
			err := flow.Provisioner{JS: l.js, Replicas: 1, Starts: c.starts}.Run(t.Context())
			undecided := new(flow.StartError)
			if c.want < 0 {
				if !errors.As(err, &undecided) || len(undecided.Undecided) == 0 || undecided.Undecided[0].Stage != c.stage || undecided.Undecided[0].Stream != c.stream {
					t.Fatalf("%v, want a StartError", err)
				}
				for _, part := range []string{c.stage + " on " + c.stream, "--start " + c.stage + "=new", c.stage + "=all"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q does not contain %q", err, part)
					}
				}
				if _, err := l.js.Consumer(t.Context(), c.stream, c.stage); !errors.Is(err, jetstream.ErrConsumerNotFound) {
					t.Errorf("the consumer was created: %v", err)
				}
				return
			}
			if err != nil && !errors.As(err, &undecided) { // about other consumers of a recreated stream
				t.Fatal(err)
			}
			if n := l.pending(c.stream, c.stage); n != c.want {
				t.Errorf("%d messages wait, want %d", n, c.want)
			}
			// Provisioning again changes nothing.
			if err := flow.Provision(t.Context(), l.js, 1); err != nil && !errors.As(err, &undecided) {
				t.Error(err)
			}
			differences, err := flow.Drift(t.Context(), l.js, 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range differences {
				if d.Of == "consumer "+c.stage+" on "+c.stream {
					t.Errorf("%v", d)
				}
			}
		})
	}
}

func TestParseStart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]flow.Start{
		"new": {New: true}, "all": {All: true}, "2026-01-31T18:00:00Z": {Since: time.Date(2026, 1, 31, 18, 0, 0, 0, time.UTC)},
	} {
		if got, err := flow.ParseStart(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "none", "yesterday", "17"} {
		if _, err := flow.ParseStart(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
