package console

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

const (
	// countWithin is the time for which a page waits for the counts. What is not counted by then is counted in the background.
	countWithin = 200 * time.Millisecond
	// countFor limits the reading in the background. The next view continues it.
	countFor = 30 * time.Second
)

// tallies count the events of sources by minute and type, so that a page that is loaded again reads only what is new. A source takes about 100 KB: the
// minutes of a day, with a few types in each.
type tallies struct {
	mutex sync.Mutex
	of    map[[2]string]*tally // by provider and source
}

type tally struct {
	mutex   sync.Mutex
	read    uint64 // the last sequence
	minutes map[int64]map[string]int
	last    map[string]time.Time // by type
	reading chan struct{}        // closed when the reading in progress ends; nil if there is none
	err     error                // of the last reading
}

func (t *tallies) source(src config.Source) *tally {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.of == nil {
		t.of = map[[2]string]*tally{}
	}
	key := [2]string{src.Provider, src.Name}
	if t.of[key] == nil {
		t.of[key] = &tally{minutes: map[int64]map[string]int{}, last: map[string]time.Time{}}
	}
	return t.of[key]
}

// countTypes counts the events of the last day from a source, by type. complete is false while older events are still being counted.
func (s *Server) countTypes(ctx context.Context, src config.Source, now time.Time) (counts []TypeCount, complete bool, err error) {
	t := s.tallies.source(src)
	done := t.refresh(ctx, s.env.JS, src, now)
	wait := time.NewTimer(countWithin)
	defer wait.Stop()
	select {
	case <-done:
		complete = true
	case <-wait.C:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if complete && t.err != nil {
		return nil, false, t.err
	}
	return t.counts(now), complete, nil
}

// refresh reads the events that are new, unless that is in progress. The channel is closed at its end.
func (t *tally) refresh(ctx context.Context, js jetstream.JetStream, src config.Source, now time.Time) <-chan struct{} {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.reading != nil {
		return t.reading
	}
	done := make(chan struct{})
	t.reading = done
	log, filter, read := event.Log{JS: js, Stream: flow.Signing}, event.SourceFilter(src.Name, src.Provider), t.read
	go func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), countFor)
		defer cancel()
		messages := log.After(limit, filter, read)
		if read == 0 {
			messages = log.Messages(limit, filter, now.Add(-24*time.Hour))
		}
		var failed error
		for m, err := range messages {
			if err != nil {
				failed = err
				break
			}
			t.add(m)
		}
		t.mutex.Lock()
		t.reading, t.err = nil, failed
		t.mutex.Unlock()
		close(done)
	}()
	return done
}

func (t *tally) add(m *jetstream.RawStreamMsg) {
	address, ok := event.ParseSubject(m.Subject)
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.read = m.Sequence
	if !ok {
		return
	}
	minute := m.Time.Unix() / 60
	if t.minutes[minute] == nil {
		t.minutes[minute] = map[string]int{}
	}
	t.minutes[minute][address.Type]++
	t.last[address.Type] = m.Time.UTC()
}

// counts forgets the minutes that are older than a day, and adds up the others. The caller holds the lock.
func (t *tally) counts(now time.Time) []TypeCount {
	counts := []TypeCount{}
	day, hour := now.Add(-24*time.Hour).Unix()/60, now.Add(-time.Hour).Unix()/60
	for minute, types := range t.minutes {
		if minute < day {
			delete(t.minutes, minute)
			continue
		}
		for name, n := range types {
			i := slices.IndexFunc(counts, func(c TypeCount) bool { return c.Type == name })
			if i < 0 {
				i, counts = len(counts), append(counts, TypeCount{Type: name, Last: t.last[name]})
			}
			counts[i].Day += n
			if minute >= hour {
				counts[i].Hour += n
			}
		}
	}
	slices.SortFunc(counts, func(a, b TypeCount) int { return strings.Compare(a.Type, b.Type) })
	return counts
}
