package operate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The attributes with which an event names an operator's order.
const (
	attributeBy     = "by"
	attributeReason = "reason"
	attributePlan   = "plan"
	// attributeWhy is the operator's reason in replay.requested, whose attribute reason is that of the dead letter.
	attributeWhy = "why"
)

// SelectedDeadLetters reads the stream DLQ once and returns the result of keep for each selected dead letter, oldest first. keep drops the
// content, because all content together may not fit in memory.
func SelectedDeadLetters[T any](
	ctx context.Context, deadLetters stage.DeadLetters, has func(stage.DeadLetter) bool, keep func(stage.DeadLetter) T,
) ([]T, error) {
	kept := map[uint64]T{}
	for deadLetter, err := range deadLetters.All(ctx) {
		if err != nil {
			return nil, err
		}
		if has(deadLetter) {
			kept[deadLetter.Number] = keep(deadLetter)
		}
	}
	all := make([]T, 0, len(kept))
	for _, number := range slices.Sorted(maps.Keys(kept)) {
		all = append(all, kept[number])
	}
	return all, nil
}

// withoutContent returns the part of a dead letter that a plan needs.
func withoutContent(l stage.DeadLetter) stage.DeadLetter {
	l.Data, l.Header, l.Error, l.Stack = nil, nil, "", ""
	return l
}

// replay sends a dead letter back to its stage. With a repair, its content is replaced.
func replay(ctx context.Context, deadLetters stage.DeadLetters, l stage.DeadLetter, order Order, at time.Time, repair []byte) error {
	if repair != nil {
		l.Data = repair
	}
	requested, err := replayRequested(ctx, l, order, at, repair != nil)
	if err != nil {
		return fmt.Errorf("number %d is not replayed: %w", l.Number, err)
	}
	return deadLetters.Replay(ctx, l, requested)
}

// replayRequested makes the event replay.requested: an operator sends a dead letter back to its stage. Each replay has one id, even if the order is
// repeated.
func replayRequested(ctx context.Context, l stage.DeadLetter, order Order, at time.Time, repaired bool) (*nats.Msg, error) {
	replay, a := strconv.Itoa(l.Replays+1), AboutOf(l)
	e := aboutEventOf(a, event.ReplayRequested, at)
	e.Id = event.DerivedID(l.ID, l.Stage, "replay/"+replay)
	e.Attributes = map[string]string{"stage": l.Stage, "reason": l.Reason, "replay": replay, "input": l.ID, "about": a.What}
	for name, value := range map[string]string{attributeBy: order.By, attributeWhy: order.Reason, attributePlan: order.Plan} {
		if value != "" {
			e.Attributes[name] = value
		}
	}
	if repaired {
		e.Attributes["repaired"] = "true"
	}
	return event.Message(ctx, e)
}

// aboutEventOf returns an event about the document and the person of a dead letter, without an id.
func aboutEventOf(a About, eventType string, at time.Time) *signingv1.SigningEvent {
	e := &signingv1.SigningEvent{
		Source: a.Source, Provider: a.Provider, Type: eventType, OccurredAt: timestamppb.New(at), Verification: signingv1.Verification_VERIFICATION_INTERNAL,
	}
	if a.Document != "" {
		e.Document = &signingv1.Document{Id: a.Document}
	}
	if a.Recipient != "" {
		e.Recipient = &signingv1.Recipient{Id: a.Recipient}
	}
	return e
}

// ourselves is the source of an event about a job, which may have items of several sources. No provider has that name.
var ourselves = About{Source: "signrelay", Provider: "signrelay"}

// acted makes the event operator.acted. The id distinguishes the action, so that a repetition is the same event.
func acted(e *signingv1.SigningEvent, id string, action Action, order Order, count int) *signingv1.SigningEvent {
	e.Id, e.Type = id, event.OperatorActed
	e.Attributes = map[string]string{
		event.AttributeAction: string(action), attributeBy: order.By, attributeReason: order.Reason, attributePlan: order.Plan, "count": strconv.Itoa(count),
	}
	return e
}

// publish stores an event once: the log's own memory of ids ends after two minutes, and a job may be continued later.
func (o *Operator) publish(ctx context.Context, e *signingv1.SigningEvent, repeated bool) error {
	m, err := event.Message(ctx, e)
	if err != nil {
		return err
	}
	if repeated {
		found, err := o.signing().Which(ctx, m.Subject, event.Span{}, e.GetId())
		if err != nil || found[e.GetId()] {
			return err
		}
	}
	if _, err := o.JS.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("publish %s: %w", e.GetType(), err)
	}
	return nil
}
