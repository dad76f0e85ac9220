package console

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// backlogs knows since when the oldest input of each consumer waits. The server has no such time. It could search for the first message that matches a
// consumer's filters, but with a "*" in a filter it visits every subject of the log: 0.2 s at 1.5 * 10^6 events, every 5 s and for each filter, and in
// that time it answers nothing else on the console's connection (docs/adr/0054). So the console reads a few messages by their sequence.
type backlogs struct {
	mu  sync.Mutex
	all map[string]*backlog // by stream and consumer
}

type backlog struct {
	idle  time.Time // when the consumer was last seen without work: what waits now is younger
	floor uint64    // the ack floor for which at was found
	at    time.Time
}

// mostRead is the number of messages after a consumer's ack floor among which its first input is looked for: 20 ms at most. An input comes after fewer
// messages for all consumers of the log, unless none of their types has come for a while.
const mostRead = 64

// oldest returns when the oldest input that is not done was stored; zero if there is none. If the messages after the ack floor are of other consumers,
// it returns the time of the last one that it has read, or the last time without work. The oldest input is younger than that.
func (b *backlogs) oldest(ctx context.Context, stream jetstream.Stream, info *jetstream.ConsumerInfo, now time.Time) (time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all = map[string]*backlog{}
	}
	is := b.all[info.Stream+"."+info.Name]
	if is == nil {
		is = new(backlog)
		b.all[info.Stream+"."+info.Name] = is
	}
	if info.NumPending == 0 && info.NumAckPending == 0 {
		*is = backlog{idle: now}
		return time.Time{}, nil
	}
	if is.at.IsZero() || is.floor != info.AckFloor.Stream {
		at, exact, err := firstInput(ctx, stream, info)
		if err != nil {
			return time.Time{}, err
		}
		if !exact && is.idle.After(at) {
			at = is.idle
		}
		is.floor, is.at = info.AckFloor.Stream, at
	}
	return is.at, nil
}

// firstInput returns when the first message after the ack floor that matches the filters was stored. exact is false if it was not among those read.
func firstInput(ctx context.Context, stream jetstream.Stream, info *jetstream.ConsumerInfo) (at time.Time, exact bool, err error) {
	filters := info.Config.FilterSubjects
	if info.Config.FilterSubject != "" {
		filters = []string{info.Config.FilterSubject}
	}
	next := info.AckFloor.Stream + 1
	for range mostRead {
		m, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(">")) // the next one that was not removed
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return at, false, nil
		}
		if err != nil {
			return at, false, err
		}
		at, next = m.Time.UTC(), m.Sequence+1
		if len(filters) == 0 || slices.ContainsFunc(filters, func(f string) bool { return matches(f, m.Subject) }) {
			return at, true, nil
		}
	}
	return at, false, nil
}

// matches reports whether a filter of NATS matches a subject.
func matches(filter, subject string) bool {
	wanted, tokens := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, token := range wanted {
		switch {
		case token == ">":
			return len(tokens) > i
		case i >= len(tokens) || token != "*" && token != tokens[i]:
			return false
		}
	}
	return len(tokens) == len(wanted)
}
