package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

// The reasons of inputs on which the server, not a stage, gave up.
const (
	maxDeliveries = "max-deliveries" // the consumer was changed to deliver a limited number of times
	terminated    = "terminated"     // another party than the stage terminated the message
)

// advisory is the server's report that it will not deliver a message again.
type advisory struct {
	Stage      string `json:"consumer"`
	Stream     string `json:"stream"`
	Sequence   uint64 `json:"stream_seq"`
	Deliveries int    `json:"deliveries"`
	Text       string `json:"reason"` // from the party that terminated it

	kind string
}

// readAdvisory reads an advisory from DLQ. For any other message it returns the zero advisory.
func readAdvisory(m *jetstream.RawStreamMsg) (a advisory) {
	switch {
	case strings.HasPrefix(m.Subject, flow.AdvisoryMaxDeliveries):
		a.kind = maxDeliveries
	case strings.HasPrefix(m.Subject, flow.AdvisoryTerminated):
		a.kind = terminated
	default:
		return advisory{}
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return advisory{}
	}
	return a
}

// lookUp makes a dead letter from an advisory and its message, if the stream still holds the message.
func (l DeadLetters) lookUp(ctx context.Context, a advisory) (DeadLetter, error) {
	dead := DeadLetter{Input: Input{Stream: a.Stream, Sequence: a.Sequence}, Gone: true}
	m, err := l.message(ctx, a.Stream, a.Sequence)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
	case err != nil:
		return DeadLetter{}, fmt.Errorf("look message %d of %s up: %w", a.Sequence, a.Stream, err)
	case a.Stream == flow.Replay:
		replayed, ok := readDeadLetter(m.Header, m.Data)
		dead.Input, dead.Gone = replayed.Input, !ok
		dead.Attempts, dead.replaySequence = replayed.Attempts, a.Sequence
	default:
		dead.Input = Input{
			Subject: m.Subject, Header: m.Header, Data: m.Data, Stream: a.Stream, Sequence: a.Sequence, FirstSeen: m.Time,
		}
		dead.ID, dead.Gone = inputID(dead.Input), false
	}
	dead.Stage, dead.Reason, dead.Error = a.Stage, a.kind, oneLine(a.Text, longestError)
	dead.Attempts += a.Deliveries
	dead.Unknown = true // the stage did not report the result of the last attempt
	return dead, nil
}

// message returns a message as it was published: without the headers that the server adds to say where it is stored.
func (l DeadLetters) message(ctx context.Context, stream string, sequence uint64) (*jetstream.RawStreamMsg, error) {
	s, err := l.JS.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	m, err := s.GetMsg(ctx, sequence)
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp"} {
		m.Header.Del(key)
	}
	return m, nil
}
