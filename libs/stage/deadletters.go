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

// DeadLetters reads and changes the DLQ for an operator.
type DeadLetters struct{ JS jetstream.JetStream }

// All yields each current dead letter once, and reads DLQ once. When a stage gives up and terminates its input, the server also reports
// that in the same stream: All joins that advisory to the dead letter. If there is no dead letter, because another party
// terminated the message or limited its deliveries, All looks up the message itself.
//
// Dead letters come first, the oldest first. Then come the inputs on which only the server gave up, because only the end of the stream shows
// that no dead letter follows. Drop and Replay need a dead letter from a completed pass, because they also remove its advisories.
func (l DeadLetters) All(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		about := map[place]*mentions{}
		var alone []*jetstream.RawStreamMsg // advisories without an earlier dead letter
		for m, err := range l.messages(ctx) {
			if err != nil {
				yield(DeadLetter{}, err)
				return
			}
			dead, ok := readDeadLetter(m.Header, m.Data)
			at := placeOf(m)
			if at == (place{}) {
				continue // neither a dead letter nor an advisory
			}
			if about[at] == nil {
				about[at] = &mentions{}
			}
			switch all := about[at]; {
			case !ok:
				if all.advisories = append(all.advisories, m.Sequence); len(all.deadLetters) == 0 && len(all.advisories) == 1 {
					alone = append(alone, m)
				}
			case len(all.deadLetters) > 0:
				all.deadLetters = append(all.deadLetters, m.Sequence) // stored again: the first represents both
			default:
				all.deadLetters = append(all.deadLetters, m.Sequence)
				dead.Number, dead.Buried, dead.mentions = m.Sequence, m.Time, all
				if !yield(dead, nil) {
					return
				}
			}
		}
		for _, m := range alone {
			all := about[placeOf(m)]
			if len(all.deadLetters) > 0 {
				continue
			}
			dead, err := l.open(ctx, m)
			dead.mentions = all
			if !yield(dead, err) || err != nil {
				return
			}
		}
	}
}

// After yields the messages of DLQ after a number as dead letters, in the order of DLQ, for a caller that keeps what it has read. A dead letter and
// the server's advisory about it both appear: they have one stage and one id.
func (l DeadLetters) After(ctx context.Context, number uint64) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		for m, err := range (event.Log{JS: l.JS, Stream: flow.DLQ}).After(ctx, ">", number) {
			if err != nil {
				yield(DeadLetter{}, err)
				return
			}
			if placeOf(m) == (place{}) {
				continue
			}
			if dead, err := l.open(ctx, m); !yield(dead, err) || err != nil {
				return
			}
		}
	}
}

// mentions has the numbers of all messages in DLQ about one input.
type mentions struct{ deadLetters, advisories []uint64 }

// One reads the dead letter with that number, and no other message of DLQ. Its result is for display: only a pass over
// DLQ finds the advisories that Drop and Replay remove too. If DLQ does not hold the number, the error is jetstream.ErrMsgNotFound.
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

// Again reads a dead letter of All again, for a caller that did not keep its content. If it is no longer in DLQ, the error is
// jetstream.ErrMsgNotFound.
func (l DeadLetters) Again(ctx context.Context, listed DeadLetter) (DeadLetter, error) {
	dead, err := l.One(ctx, listed.Number)
	dead.mentions = listed.mentions
	return dead, err
}

// Numbers returns the numbers of all messages in DLQ about the dead letter, for Numbered. A dead letter of One has only its own.
func (l DeadLetter) Numbers() []uint64 {
	if l.mentions == nil {
		return []uint64{l.Number}
	}
	return slices.Concat(l.mentions.deadLetters, l.mentions.advisories)
}

// Numbered reads a dead letter again by its number and the result of Numbers in an earlier pass, so that Replay and Drop remove all messages
// about it. If it is no longer in DLQ, the error is jetstream.ErrMsgNotFound.
func (l DeadLetters) Numbered(ctx context.Context, number uint64, numbers []uint64) (DeadLetter, error) {
	dead, err := l.One(ctx, number)
	dead.mentions = &mentions{deadLetters: numbers}
	return dead, err
}

// Redeliver gives a message of a stream to one stage again, as a replay does, although the stage did not give it up. The order distinguishes this
// delivery from others: with the same order the stage gets the message once.
func Redeliver(ctx context.Context, js jetstream.JetStream, to flow.Stage, m *jetstream.RawStreamMsg, order string) error {
	in := Input{Subject: m.Subject, Header: m.Header, Data: m.Data, Stream: to.Stream, Sequence: m.Sequence, FirstSeen: m.Time, Replays: 1}
	in.ID = inputID(in)
	id := fmt.Sprintf("%s.%s.%d.%s", to.Name, to.Stream, m.Sequence, order)
	dead := DeadLetter{Stage: to.Name, Reason: "ordered", Input: in}
	if _, err := js.PublishMsg(ctx, dead.message(flow.ReplaySubject(id), "replay."+id), jetstream.WithExpectLastSequencePerSubject(0)); err != nil && !taken(err) {
		return fmt.Errorf("give message %d of %s to %s: %w", m.Sequence, to.Stream, to.Name, err)
	}
	return nil
}

func (l DeadLetters) messages(ctx context.Context) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return event.Log{JS: l.JS, Stream: flow.DLQ}.Messages(ctx, ">", time.Time{})
}

// open reads the dead letter from a message in DLQ: the message itself, or the input of an advisory.
func (l DeadLetters) open(ctx context.Context, m *jetstream.RawStreamMsg) (DeadLetter, error) {
	dead, ok := readDeadLetter(m.Header, m.Data)
	if !ok {
		var err error
		if dead, err = l.lookUp(ctx, readAdvisory(m)); err != nil {
			return DeadLetter{}, err
		}
	}
	dead.Number, dead.Buried = m.Sequence, m.Time
	return dead, nil
}

// Replay returns the dead letter's input to its stage only, publishes the event requested in the log, and removes the dead letter from DLQ.
// Each replay of an input has its own subject, which REPLAY accepts once. So a second replay of the dead letter completes an interrupted one,
// and the stage gets the input once. The input keeps its id, so a stage with an effect does only the work that was not done.
func (l DeadLetters) Replay(ctx context.Context, dead DeadLetter, requested *nats.Msg) error {
	if dead.Gone {
		return fmt.Errorf("number %d cannot be replayed: its message is no longer in %s", dead.Number, dead.Stream)
	}
	dead.Replays++
	id := fmt.Sprintf("%s.%s.%d.%d", dead.Stage, dead.Stream, dead.Sequence, dead.Replays)
	ack, err := l.JS.PublishMsg(ctx, dead.message(flow.ReplaySubject(id), "replay."+id), jetstream.WithExpectLastSequencePerSubject(0))
	if err != nil && !taken(err) {
		return fmt.Errorf("number %d is not replayed: %w", dead.Number, err)
	}
	recorded := map[string]bool{}
	if err != nil || ack.Duplicate { // an earlier replay was interrupted, perhaps after it had published the event
		log := event.Log{JS: l.JS, Stream: flow.Signing}
		if recorded, err = log.Which(ctx, requested.Subject, event.Span{Since: dead.Buried}, requested.Header.Get(jetstream.MsgIDHeader)); err != nil {
			return fmt.Errorf("number %d is replayed, but still in the DLQ: %w", dead.Number, err)
		}
	}
	if len(recorded) == 0 {
		if _, err := l.JS.PublishMsg(ctx, requested); err != nil {
			return fmt.Errorf("number %d is replayed, but still in the DLQ: publish the event: %w", dead.Number, err)
		}
	}
	if err := l.Drop(ctx, dead); err != nil {
		return fmt.Errorf("number %d is replayed, but still in the DLQ: %w", dead.Number, err)
	}
	return nil
}

// taken reports whether REPLAY refused a message because it already holds one on the same subject.
func taken(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// Drop removes the dead letter and its advisories from DLQ. It removes the dead letter last, so that an advisory never
// appears as a separate dead letter.
func (l DeadLetters) Drop(ctx context.Context, dead DeadLetter) error {
	stream, err := l.JS.Stream(ctx, flow.DLQ)
	if err != nil {
		return err
	}
	numbers := []uint64{dead.Number}
	if dead.mentions != nil {
		numbers = slices.Concat(dead.mentions.deadLetters, dead.mentions.advisories)
	}
	for _, number := range slices.Backward(numbers) {
		if err := flow.Remains(ctx, stream, number, stream.DeleteMsg(ctx, number)); err != nil {
			return fmt.Errorf("remove number %d from the DLQ: %w", number, err)
		}
	}
	return nil
}
