package stage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// DeadLetters is the DLQ as an operator sees it.
type DeadLetters struct{ JS jetstream.JetStream }

// All yields the letters that are there now, each once, and reads DLQ once. When a stage gives up and terminates its input, the
// server reports it too, in the same stream: that advisory is joined to the letter. Where there is no letter, because somebody
// else terminated the message or limited its deliveries, the message itself is looked up.
//
// Letters come oldest first, then what the server alone gave up: only the end of the stream shows that no letter follows. Drop
// and Replay want a letter of a pass that has ended, because it takes its advisories with it.
func (l DeadLetters) All(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		about := map[place]*mentions{}
		var alone []*jetstream.RawStreamMsg // advisories that no letter came before
		for m, err := range l.messages(ctx) {
			if err != nil {
				yield(DeadLetter{}, err)
				return
			}
			letter, ok := readDeadLetter(m.Header, m.Data)
			at := placeOf(m)
			if at == (place{}) {
				continue // neither a letter nor an advisory
			}
			if about[at] == nil {
				about[at] = &mentions{}
			}
			switch all := about[at]; {
			case !ok:
				if all.advisories = append(all.advisories, m.Sequence); len(all.letters) == 0 && len(all.advisories) == 1 {
					alone = append(alone, m)
				}
			case len(all.letters) > 0:
				all.letters = append(all.letters, m.Sequence) // buried again: the first stands for it
			default:
				all.letters = append(all.letters, m.Sequence)
				letter.Number, letter.Buried, letter.mentions = m.Sequence, m.Time, all
				if !yield(letter, nil) {
					return
				}
			}
		}
		for _, m := range alone {
			all := about[placeOf(m)]
			if len(all.letters) > 0 {
				continue
			}
			letter, err := l.open(ctx, m)
			letter.mentions = all
			if !yield(letter, err) || err != nil {
				return
			}
		}
	}
}

// mentions are the numbers of all messages in DLQ about one input.
type mentions struct{ letters, advisories []uint64 }

// One reads the letter of that number, and no other message of DLQ. Its result is for display: only a pass over
// DLQ finds the advisories that Drop and Replay remove with it. A number that DLQ does not hold is jetstream.ErrMsgNotFound.
func (l DeadLetters) One(ctx context.Context, number uint64) (DeadLetter, error) {
	m, err := l.message(ctx, flow.DLQ, number)
	if err != nil {
		return DeadLetter{}, err
	}
	if placeOf(m) == (place{}) {
		return DeadLetter{}, jetstream.ErrMsgNotFound
	}
	return l.open(ctx, m)
}

// Again reads a letter of All again, for a caller that did not keep its content. Where it is no longer in DLQ, the error is
// jetstream.ErrMsgNotFound.
func (l DeadLetters) Again(ctx context.Context, listed DeadLetter) (DeadLetter, error) {
	letter, err := l.One(ctx, listed.Number)
	letter.mentions = listed.mentions
	return letter, err
}

func (l DeadLetters) messages(ctx context.Context) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return event.Log{JS: l.JS, Stream: flow.DLQ}.Messages(ctx, ">", time.Time{})
}

// open reads the letter that a message in DLQ is, or stands for.
func (l DeadLetters) open(ctx context.Context, m *jetstream.RawStreamMsg) (DeadLetter, error) {
	letter, ok := readDeadLetter(m.Header, m.Data)
	if !ok {
		var err error
		if letter, err = l.lookUp(ctx, readAdvisory(m)); err != nil {
			return DeadLetter{}, err
		}
	}
	letter.Number, letter.Buried = m.Sequence, m.Time
	return letter, nil
}

// Replay gives the dead letter's input back to its stage alone, records the replay in the log, and removes the dead letter from DLQ. Each
// replay of an input has a subject of its own, which REPLAY takes once. So another replay of the dead letter completes one that was
// interrupted, and the stage gets the input once. The input keeps its id, so a stage with an effect does only the work that was not
// done.
func (l DeadLetters) Replay(ctx context.Context, letter DeadLetter, told *nats.Msg) error {
	if letter.Gone {
		return fmt.Errorf("number %d cannot be replayed: its message is no longer in %s", letter.Number, letter.Stream)
	}
	letter.Replays++
	id := fmt.Sprintf("%s.%s.%d.%d", letter.Stage, letter.Stream, letter.Sequence, letter.Replays)
	ack, err := l.JS.PublishMsg(ctx, letter.message(flow.ReplaySubject(id), "replay."+id), jetstream.WithExpectLastSequencePerSubject(0))
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

// taken reports whether REPLAY has refused a subject because it holds a message on it.
func taken(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// Drop takes the letter out of DLQ, with all that is there about it; the letter itself last, so that no part of it
// appears as a letter of its own.
func (l DeadLetters) Drop(ctx context.Context, letter DeadLetter) error {
	stream, err := l.JS.Stream(ctx, flow.DLQ)
	if err != nil {
		return err
	}
	numbers := []uint64{letter.Number}
	if letter.mentions != nil {
		numbers = slices.Concat(letter.mentions.letters, letter.mentions.advisories)
	}
	for _, number := range slices.Backward(numbers) {
		if err := stream.DeleteMsg(ctx, number); err != nil && !missing(ctx, stream, number) {
			return fmt.Errorf("take number %d out of the DLQ: %w", number, err)
		}
	}
	return nil
}

// missing reports whether a message could not be deleted because it is not there: the server has one error for all failures.
func missing(ctx context.Context, stream jetstream.Stream, number uint64) bool {
	_, err := stream.GetMsg(ctx, number)
	return errors.Is(err, jetstream.ErrMsgNotFound)
}
