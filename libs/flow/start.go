package flow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Start is where a consumer starts in a stream. The zero Start is the beginning of a stream in which no message waits for it.
type Start struct {
	All   bool      // at the first message that the stream holds
	New   bool      // at the first message stored from now on
	Since time.Time // at the first message stored from then on
	after uint64    // after the stage's floor
}

// ParseStart reads "all", "new", or a time in the format of RFC 3339.
func ParseStart(text string) (Start, error) {
	switch text {
	case "all":
		return Start{All: true}, nil
	case "new":
		return Start{New: true}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return Start{}, fmt.Errorf("%q is neither all nor new nor a time such as 2026-01-31T18:00:00Z", text)
	}
	return Start{Since: at}, nil
}

// in sets the start in a consumer's settings.
func (s Start) in(c *jetstream.ConsumerConfig) {
	switch {
	case s.New:
		c.DeliverPolicy = jetstream.DeliverNewPolicy
	case !s.Since.IsZero():
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &s.Since
	case s.after > 0:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, s.after+1
	default:
		c.DeliverPolicy = jetstream.DeliverAllPolicy
	}
}

func (s Start) String() string {
	switch {
	case s.New:
		return "begins with the messages that are stored from now on"
	case !s.Since.IsZero():
		return "begins with the messages that were stored since " + s.Since.Format(time.RFC3339)
	case s.after > 0:
		return fmt.Sprintf("resumes after message %d, where the stage stopped", s.after)
	default:
		return "begins with the first message"
	}
}

// StartError means that consumers are missing on streams that are not empty, and that the progress of their stages is unknown.
// Everything else was provisioned.
type StartError struct{ Undecided []Undecided }

// Undecided is a consumer that was not created.
type Undecided struct {
	Stage, Stream string
	Since         time.Time // of the first message that the stream holds
	Why           string    // the reason why the floor cannot be used
}

func (e *StartError) Error() string {
	var b strings.Builder
	for _, u := range e.Undecided {
		fmt.Fprintf(&b, "consumer %s on %s is missing, and the place where it stopped is unknown (%s); ", u.Stage, u.Stream, u.Why)
	}
	stage := e.Undecided[0].Stage
	fmt.Fprintf(&b, "choose where each begins: --start %[1]s=new (only messages that are stored from now on; waiting messages are never processed), "+
		"--start %[1]s=<time> (messages that were stored since then), or --start %[1]s=all (the stream holds messages since %[2]s, and all are processed again)",
		stage, e.Undecided[0].Since.Format(time.RFC3339))
	return b.String()
}

// start returns where a missing consumer of the stage starts. A stream in which no message waits for it is read from its beginning. In any
// other stream the consumer resumes after the stage's floor. Without a floor the operator must decide: if a log of 90 days is read from its
// beginning, people get messages about old events again. An optional stage without a floor never worked, and needs all messages. A stage that an
// upgrade brings begins with new ones.
func (p Provisioner) start(ctx context.Context, s Stage, stream jetstream.Stream, subjects []string) (Start, *Undecided, error) {
	if chosen, ok := p.Starts[s.Name]; ok {
		return chosen, nil, nil
	}
	info := stream.CachedInfo()
	name := info.Config.Name
	waits, err := holdsAny(ctx, stream, subjects)
	if err != nil || !waits {
		return Start{}, nil, err
	}
	floor, revision, err := s.floor(ctx, p.JS, name)
	if err != nil {
		return Start{}, nil, err
	}
	undecided := &Undecided{Stage: s.Name, Stream: name, Since: info.State.FirstTime, Why: "it left no floor"}
	switch {
	case revision == 0 && s.Optional:
		return Start{All: true}, nil, nil
	case revision == 0 && s.FromNow && name == s.Stream:
		return Start{New: true}, nil, nil
	case revision == 0:
		return Start{}, undecided, nil
	}
	holds, err := floor.holds(ctx, stream)
	if err != nil || holds {
		return Start{after: floor.Sequence}, nil, err
	}
	undecided.Why = "its floor is from before the stream was recreated or restored"
	return Start{}, undecided, nil
}

// holdsAny reports whether the stream holds a message on one of the subjects.
func holdsAny(ctx context.Context, stream jetstream.Stream, subjects []string) (bool, error) {
	if stream.CachedInfo().State.Msgs == 0 {
		return false, nil
	}
	for _, subject := range subjects {
		_, err := stream.GetLastMsgForSubject(ctx, subject)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return false, fmt.Errorf("look for %s in %s: %w", subject, stream.CachedInfo().Config.Name, err)
		}
	}
	return false, nil
}
