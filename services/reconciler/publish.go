package reconciler

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// errHeld means that ingest, or another reconciliation, is storing one of the facts right now.
var errHeld = errors.New("another program is storing one of the facts")

// publish stores the missing facts of one document in their order, as ingest does: claim, ask the log, publish and wait for the ack, confirm. It
// returns the number of those that it stored.
func (a *attempt) publish(ctx context.Context, missing []pack.Fact) (published int, err error) {
	if len(missing) > 0 {
		e := missing[0].Event
		erased, err := erase.WasErased(ctx, a.js, a.ring, e.GetSource(), e.GetProvider(), e.GetDocument().GetId())
		if err != nil || erased { // an erased document does not come back
			return 0, err
		}
	}
	for _, f := range missing {
		stored, err := a.publishOne(ctx, f)
		if err != nil {
			return published, err
		}
		if stored {
			published++
		}
	}
	return published, nil
}

func (a *attempt) publishOne(ctx context.Context, f pack.Fact) (stored bool, err error) {
	owner, id := dedupe.NewOwner(), f.Event.GetId()
	claims, err := a.memory.Claim(ctx, owner, id)
	if err != nil {
		return false, err
	}
	switch claims[0].State {
	case dedupe.Held:
		return false, errHeld
	case dedupe.Confirmed: // the log decides: NATS may have been restored from a backup
	default:
		defer func() {
			if err != nil {
				// The publish may have reached the log, so the claim stays as pending.
				_ = a.memory.Release(context.WithoutCancel(ctx), owner, dedupe.Unknown, id)
			}
		}()
	}
	crash.Point("claimed")
	has, err := a.stored(ctx, f)
	if err != nil {
		return false, err
	}
	if !has {
		e := proto.CloneOf(f.Event)
		e.ReceivedAt = timestamppb.New(a.now())
		if e.Attributes == nil {
			e.Attributes = map[string]string{}
		}
		e.Attributes[pack.ReconciledAttribute] = a.Run.ID
		message, err := event.Message(ctx, e)
		if err != nil {
			return false, err
		}
		ack, err := a.js.PublishMsg(ctx, message)
		if err != nil {
			return false, fmt.Errorf("publish a fact: %w", err)
		}
		stored = !ack.Duplicate
		crash.Point("published")
	}
	if err := a.memory.Confirm(ctx, dedupe.Done{ID: id}); err != nil {
		return stored, err
	}
	crash.Point("confirmed")
	return stored, nil
}

// stored asks the log again, after the claim. Between the first look and the claim, another program may have stored the fact.
func (a *attempt) stored(ctx context.Context, f pack.Fact) (bool, error) {
	if f.Event.GetDocument().GetId() == "" {
		return a.people.has(ctx, f.Event)
	}
	var again []event.Stored
	for stored, err := range a.log.Document(ctx, event.SignerOf(f.Event), []string{f.Event.GetType(), event.DocumentSent}) {
		if err != nil {
			return false, err
		}
		again = append(again, stored)
	}
	return a.has(ctx, f, again)
}
