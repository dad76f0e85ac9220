package stage

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
)

// attempt is one delivery of one input, on its way through the middleware.
type attempt struct {
	msg    jetstream.Msg
	meta   *jetstream.MsgMetadata
	id     string
	number int // 1 on the first delivery

	unknown    bool                     // an earlier attempt may have had its effect; claimed sets it
	givenUp    func(reason error) []Out // what follows when the input is given up; nil for nothing
	verdict    Verdict                  // settled sets it
	unanswered error                    // why the broker did not hear the verdict; settled sets it
}

// handler makes an attempt and returns what follows from its input.
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
	return &attempt{msg: msg, meta: meta, id: inputID(msg, meta), number: int(meta.NumDelivered)}, nil
}

// inputID is the same on each delivery of one message. A message that brings no id is known by its place in its stream;
// the time is in it because a stream made anew counts from 1 again.
func inputID(msg jetstream.Msg, meta *jetstream.MsgMetadata) string {
	h := msg.Headers()
	place := strconv.FormatUint(meta.Sequence.Stream, 10) + "@" + strconv.FormatInt(meta.Timestamp.UnixNano(), 10)
	return cmp.Or(h.Get(jetstream.MsgIDHeader), h.Get("ce-id"), event.DerivedID(meta.Stream, "sequence", place))
}
