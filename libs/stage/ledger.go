package stage

import (
	"context"
	"errors"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// Ledger tells a caller which dead letters are new and which are gone since its last look, as DeadLetters.All would list them. It reads each message
// of DLQ once, and takes about 200 bytes for each dead letter. Its zero value has read nothing. One goroutine may use it at a time.
type Ledger struct {
	mirror  event.Mirror
	entries map[place]*heard
	of      map[uint64]*heard
	open    map[*heard]bool   // entries that the caller does not know yet, because only another message may represent them
	names   map[string]string // of stages and streams, each once in memory
}

// heard is what DLQ has about one input: the numbers of its messages. known is the number by which the caller knows it; 0 if it does not.
type heard struct {
	place
	mentions
	known uint64
}

// Refresh calls add for each new dead letter and remove for the number of each that is gone. reset means that all are gone. If DLQ has more than most
// messages, it returns false, and the caller knows none.
func (l *Ledger) Refresh(ctx context.Context, js jetstream.JetStream, most int, add func(DeadLetter), remove func(number uint64), reset func()) (bool, error) {
	l.mirror.Stream = flow.DLQ
	empty := func() {
		l.entries, l.of, l.open, l.names = map[place]*heard{}, map[uint64]*heard{}, map[*heard]bool{}, map[string]string{}
		reset()
	}
	if l.entries == nil {
		empty()
	}
	ok, err := l.mirror.Refresh(ctx, js, most, event.Changes{
		Add:    func(m *jetstream.RawStreamMsg) { l.take(m, add, remove) },
		Remove: func(number uint64) { l.drop(number, remove) },
		Reset:  empty,
	})
	if err != nil || !ok {
		return ok, err
	}
	// Only the end of the stream shows that no dead letter follows an advisory of the server.
	deadLetters := DeadLetters{JS: js}
	for e := range l.open {
		number := slices.Concat(e.deadLetters, e.advisories)[0]
		m, err := deadLetters.message(ctx, flow.DLQ, number)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // it left just now: the next look removes it
		}
		var dead DeadLetter
		if err == nil {
			m.Sequence = number
			dead, err = deadLetters.open(ctx, m)
		}
		if err != nil {
			return false, err
		}
		e.known = number
		delete(l.open, e)
		add(dead)
	}
	return true, nil
}

// Numbers returns the numbers of all messages in DLQ about a dead letter, for Numbered.
func (l *Ledger) Numbers(number uint64) []uint64 {
	e := l.of[number]
	if e == nil {
		return []uint64{number}
	}
	return slices.Concat(e.deadLetters, e.advisories)
}

func (l *Ledger) take(m *jetstream.RawStreamMsg, add func(DeadLetter), remove func(uint64)) {
	dead, letter := readDeadLetter(m.Header, m.Data)
	at := place{dead.Stage, dead.Stream, dead.Sequence}
	switch {
	case !letter:
		a := readAdvisory(m)
		at = place{a.Stage, a.Stream, a.Sequence}
	case dead.replaySequence > 0:
		at = place{dead.Stage, flow.Replay, dead.replaySequence}
	}
	if at == (place{}) {
		return // neither a dead letter nor an advisory
	}
	at.stage, at.stream = l.name(at.stage), l.name(at.stream)
	e := l.entries[at]
	if e == nil {
		e = &heard{place: at}
		l.entries[at] = e
	}
	l.of[m.Sequence] = e
	if !letter {
		if e.advisories = append(e.advisories, m.Sequence); e.known == 0 {
			l.open[e] = true
		}
		return
	}
	e.deadLetters = append(e.deadLetters, m.Sequence)
	if len(e.deadLetters) > 1 && e.known != 0 {
		return // stored again: the first represents both
	}
	if e.known != 0 {
		remove(e.known) // it was known by an advisory
	}
	delete(l.open, e)
	e.known = m.Sequence
	dead.Number, dead.Buried = m.Sequence, m.Time
	add(dead)
}

func (l *Ledger) drop(number uint64, remove func(uint64)) {
	e := l.of[number]
	if e == nil {
		return
	}
	delete(l.of, number)
	is := func(n uint64) bool { return n == number }
	e.deadLetters, e.advisories = slices.DeleteFunc(e.deadLetters, is), slices.DeleteFunc(e.advisories, is)
	if e.known == number {
		remove(number)
		e.known = 0
		l.open[e] = true // another message may represent it
	}
	if len(e.deadLetters)+len(e.advisories) == 0 {
		delete(l.entries, e.place)
		delete(l.open, e)
	}
}

func (l *Ledger) name(text string) string {
	if known, is := l.names[text]; is {
		return known
	}
	l.names[text] = text
	return text
}
