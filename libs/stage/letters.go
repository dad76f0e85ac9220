package stage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// Letters is the DLQ as an operator sees it.
type Letters struct{ JS jetstream.JetStream }

// All yields the letters that are there now, oldest first, each once. When a stage gives up and terminates its input, the
// server says so too, in the same stream: that is joined to the letter. Where there is no letter, because somebody else
// terminated the message or limited its deliveries, the message itself is looked up.
//
// DLQ is read twice, the first time for what belongs together.
func (l Letters) All(ctx context.Context) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		about, err := l.about(ctx)
		if err != nil {
			yield(Letter{}, err)
			return
		}
		for m, err := range l.messages(ctx) {
			if err != nil {
				yield(Letter{}, err)
				return
			}
			if numbers := about[placeOf(m)]; len(numbers) == 0 || numbers[0] != m.Sequence {
				continue // another stands for it, or it came after the first look
			}
			letter, err := l.open(ctx, m)
			letter.numbers = about[placeOf(m)]
			if !yield(letter, err) || err != nil {
				return
			}
		}
	}
}

// about is what DLQ holds about each place: the numbers of its letters, then of the server's advisories.
func (l Letters) about(ctx context.Context) (map[place][]uint64, error) {
	letters, advisories := map[place][]uint64{}, map[place][]uint64{}
	for m, err := range l.messages(ctx) {
		if err != nil {
			return nil, err
		}
		numbers := advisories
		if _, ok := readLetter(m.Header, nil); ok {
			numbers = letters
		}
		numbers[placeOf(m)] = append(numbers[placeOf(m)], m.Sequence)
	}
	for p, numbers := range advisories {
		letters[p] = append(letters[p], numbers...)
	}
	delete(letters, place{}) // what nobody can read
	return letters, nil
}

func (l Letters) messages(ctx context.Context) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return event.Log{JS: l.JS, Stream: flow.DLQ}.Messages(ctx, ">", time.Time{})
}

// open reads the letter that a message in DLQ is, or stands for.
func (l Letters) open(ctx context.Context, m *jetstream.RawStreamMsg) (Letter, error) {
	letter, ok := readLetter(m.Header, m.Data)
	if !ok {
		var err error
		if letter, err = l.lookUp(ctx, readAdvisory(m)); err != nil {
			return Letter{}, err
		}
	}
	letter.Number, letter.Buried = m.Sequence, m.Time
	return letter, nil
}

// Replay gives the letter's input back to its stage and to nobody else, has the log told, and takes the letter out of
// DLQ. Each replay of an input has a subject of its own, which REPLAY takes once: so what was cut off anywhere is
// finished by replaying the letter again, and the stage gets it once. The input keeps its id; so a stage with an effect
// does what was not done, and does not do again what was.
func (l Letters) Replay(ctx context.Context, letter Letter, told *nats.Msg) error {
	if letter.Gone {
		return fmt.Errorf("number %d cannot be replayed: its message is no longer in %s", letter.Number, letter.Stream)
	}
	letter.Replays++
	id := fmt.Sprintf("%s.%s.%d.%d", letter.Stage, letter.Stream, letter.Sequence, letter.Replays)
	ack, err := l.JS.PublishMsg(ctx, letter.message("replay.v1."+id, "replay."+id), jetstream.WithExpectLastSequencePerSubject(0))
	if err != nil && !taken(err) {
		return fmt.Errorf("number %d is not replayed: %w", letter.Number, err)
	}
	heard := map[string]bool{}
	if err != nil || ack.Duplicate { // an earlier replay was cut off, perhaps after it had told the log
		log := event.Log{JS: l.JS, Stream: flow.Signing}
		if heard, err = log.Which(ctx, told.Subject, event.Span{Since: letter.Buried}, told.Header.Get(jetstream.MsgIDHeader)); err != nil {
			return fmt.Errorf("number %d is replayed, but still in the DLQ: %w", letter.Number, err)
		}
	}
	if len(heard) == 0 {
		if _, err := l.JS.PublishMsg(ctx, told); err != nil {
			return fmt.Errorf("number %d is replayed, but still in the DLQ: tell the log: %w", letter.Number, err)
		}
	}
	if err := l.Drop(ctx, letter); err != nil {
		return fmt.Errorf("number %d is replayed, but still in the DLQ: %w", letter.Number, err)
	}
	return nil
}

// taken tells whether REPLAY has refused a subject because it holds a message on it.
func taken(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// Drop takes the letter out of DLQ, with all that is there about it; the letter itself last, so that no part of it
// appears as a letter of its own.
func (l Letters) Drop(ctx context.Context, letter Letter) error {
	stream, err := l.JS.Stream(ctx, flow.DLQ)
	if err != nil {
		return err
	}
	for i := len(letter.numbers) - 1; i >= 0; i-- {
		if err := stream.DeleteMsg(ctx, letter.numbers[i]); err != nil && !missing(ctx, stream, letter.numbers[i]) {
			return fmt.Errorf("take number %d out of the DLQ: %w", letter.numbers[i], err)
		}
	}
	return nil
}

// missing tells whether a message could not be deleted because it is not there: the server has one error for everything.
func missing(ctx context.Context, stream jetstream.Stream, number uint64) bool {
	_, err := stream.GetMsg(ctx, number)
	return errors.Is(err, jetstream.ErrMsgNotFound)
}
