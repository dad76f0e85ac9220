package event

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Mirror follows a stream from which messages are removed one by one. Its caller keeps facts about the messages, and each Refresh says which messages
// are new and which are gone: one request if nothing changed. It takes 8 bytes for each message.
type Mirror struct {
	Stream string

	created time.Time
	numbers []uint64 // of the messages that the caller knows, in order
	read    uint64   // the last number that was read
}

// Changes are what a Mirror calls.
type Changes struct {
	Add    func(*jetstream.RawStreamMsg) // a message is new; numbers rise
	Remove func(number uint64)           // a message is gone
	Reset  func()                        // the stream was made again: all messages that were known are gone
}

// Len is the number of messages that the caller knows.
func (m *Mirror) Len() int { return len(m.numbers) }

// Refresh brings the caller's facts up to date. After an error, the next Refresh continues. If the stream has more than most messages, it reads none
// and returns false.
func (m *Mirror) Refresh(ctx context.Context, js jetstream.JetStream, most int, do Changes) (bool, error) {
	stream, err := js.Stream(ctx, m.Stream)
	if err != nil {
		return false, fmt.Errorf("read the state of %s: %w", m.Stream, err)
	}
	info := stream.CachedInfo()
	if !info.Created.Equal(m.created) || info.State.LastSeq < m.read {
		do.Reset()
		m.created, m.numbers, m.read = info.Created, nil, 0
	}
	if info.State.Msgs > uint64(max(most, 0)) {
		do.Reset()
		m.numbers, m.read = nil, 0
		return false, nil
	}
	if info.State.LastSeq > m.read && info.State.Msgs > 0 {
		from := max(m.read, info.State.FirstSeq-1)
		for message, err := range (Log{JS: js, Stream: m.Stream}).After(ctx, ">", from) {
			if err != nil {
				return false, err
			}
			do.Add(message)
			m.numbers, m.read = append(m.numbers, message.Sequence), message.Sequence
		}
	}
	// Messages may come in and go while this reads. Those after the state's last one do not count.
	known, _ := slices.BinarySearch(m.numbers, info.State.LastSeq+1)
	if uint64(known) == info.State.Msgs {
		return true, nil
	}
	if info, err = stream.Info(ctx, jetstream.WithDeletedDetails(true)); err != nil {
		return false, fmt.Errorf("read the state of %s: %w", m.Stream, err)
	}
	gone := make(map[uint64]bool, len(info.State.Deleted))
	for _, number := range info.State.Deleted {
		gone[number] = true
	}
	m.numbers = slices.DeleteFunc(m.numbers, func(number uint64) bool {
		is := number < info.State.FirstSeq || gone[number]
		if is {
			do.Remove(number)
		}
		return is
	})
	return true, nil
}
