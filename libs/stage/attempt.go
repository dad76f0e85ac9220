package stage

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
)

// Input is an input of a stage: a message, exactly as it was published, with its place in its stream.
type Input struct {
	ID        string // the key of its claim, the same on each delivery and each replay
	Subject   string
	Header    nats.Header
	Data      []byte
	Stream    string
	Sequence  uint64
	FirstSeen time.Time // when it was stored there
	Replays   int       // how often an operator replayed it
}

// attempt is one delivery of one input, on its way through the middleware.
type attempt struct {
	msg     jetstream.Msg // the delivery that is settled
	meta    *jetstream.MsgMetadata
	input   Input // the message itself or, for a replay, the input of the dead letter
	number  int   // 1 on the first delivery
	counts  int   // the number of deliveries so far that count by the policy, including this one; set by decided
	nth     int   // the number of the attempt for the stage's function; set by decided
	tried   bool  // this process made an earlier attempt that counts; set by decided
	earlier int   // attempts before the replay

	unknown       bool                     // an earlier attempt may have had its effect; set by claimed, or by a replayed dead letter
	claimedBefore bool                     // its claim shows an earlier attempt; set by claimed
	givenUp       func(reason error) []Out // the outputs when the input is given up; nil for none
	outcome       outcome.Outcome          // the result of the attempt; set by decided
	decision      Decision                 // set by decided, once for each delivery
	unsettled     error                    // why the broker did not get the decision; set by settled
}

// handler makes an attempt and returns the outputs.
type handler func(ctx context.Context, a *attempt) ([]Out, error)

// middleware adds one concern to a handler.
type middleware func(next handler) handler

// chain puts the steps around the work, the first outermost.
func chain(work handler, steps ...middleware) handler {
	for i := len(steps) - 1; i >= 0; i-- {
		work = steps[i](work)
	}
	return work
}

func newAttempt(msg jetstream.Msg) (*attempt, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read a message's metadata: %w", err)
	}
	in := Input{
		Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data(),
		Stream: meta.Stream, Sequence: meta.Sequence.Stream, FirstSeen: meta.Timestamp,
	}
	in.ID = inputID(in)
	a := &attempt{msg: msg, meta: meta, input: in, number: int(meta.NumDelivered)}
	if meta.Stream == flow.Replay { // elsewhere a copy of the header would be made for nothing
		if dead, ok := readDeadLetter(msg.Headers(), msg.Data()); ok {
			a.input, a.earlier, a.unknown = dead.Input, dead.Attempts, dead.Unknown
		}
	}
	return a, nil
}

// counted returns the number of the attempt by the policy, counted since a time or since the input was stored.
func (a *attempt) counted(p flow.Policy, since, now time.Time) int {
	begin := a.meta.Timestamp
	if since.After(begin) {
		begin = since
	}
	return counted(p, a.counts, now.Sub(begin))
}

// inputID returns an id that is the same on each delivery of a message. A message without an id is identified by its place in its stream and
// by its time, because a recreated stream counts from 1 again.
func inputID(in Input) string {
	if id := cmp.Or(in.Header.Get(jetstream.MsgIDHeader), in.Header.Get("ce-id")); id != "" {
		return id
	}
	place := strconv.FormatUint(in.Sequence, 10) + "@" + strconv.FormatInt(in.FirstSeen.UnixNano(), 10)
	return event.DerivedID(in.Stream, "sequence", place)
}
