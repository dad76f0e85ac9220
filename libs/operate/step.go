package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/quarantine"
	"github.com/signrelay/signrelay/libs/recipient"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// doer does one item. repeated is true if a runner may have begun the item before: then an item that is gone was done. An error means that a part
// of Signrelay did not respond.
type doer = func(ctx context.Context, f frozen, repeated bool) (result, error)

// The bounded reasons of failed items.
const (
	failedChanged    = "changed"    // its content is not the one that the plan saw
	failedUnreadable = "unreadable" // the callback still cannot be read, and stays in quarantine
	failedRefused    = "refused"    // the action is not allowed any more
	failedErased     = "erased"     // an erasure removed what the job had to do
)

// UnreadableError is an error of Operator.Callback: the callback stays in quarantine.
type UnreadableError struct{ Err error }

func (e *UnreadableError) Error() string { return e.Err.Error() }
func (e *UnreadableError) Unwrap() error { return e.Err }

// gone is the result of an item that is not there any more.
func gone(repeated bool) result { return result{skipped: !repeated} }

// step returns the function that does the items of a job.
func (o *Operator) step(ctx context.Context, w work) (doer, error) {
	switch w.Plan.Action {
	case Replay, Drop, Repair:
		return o.stepDead(w), nil
	case ReplayCallbacks, RepairCallback, DropCallbacks:
		stream, err := o.JS.Stream(ctx, flow.Quarantine)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", flow.Quarantine, err)
		}
		return o.stepCallback(w, stream), nil
	case Release:
		return func(ctx context.Context, f frozen, repeated bool) (result, error) {
			h, held, err := notification.HeldMessage(ctx, o.JS, heldKey(f.Key))
			if err != nil || !held || !h.Limit {
				return gone(repeated), err
			}
			if err := notification.ReleaseLimited(ctx, o.JS, h); err != nil {
				return result{}, err
			}
			return result{}, o.publish(ctx, actedOnHeld(w, h, o), repeated)
		}, nil
	case ReleaseChannels:
		return func(ctx context.Context, f frozen, _ bool) (result, error) {
			return result{}, notification.Release(ctx, o.JS, strings.TrimPrefix(f.Key, channelKey("")))
		}, nil
	default:
		return o.stepDocument(w), nil
	}
}

func (o *Operator) stepDead(w work) doer {
	deadLetters := stage.DeadLetters{JS: o.JS}
	return func(ctx context.Context, f frozen, repeated bool) (result, error) {
		n := number(Dead, f.Key)
		l, err := deadLetters.Numbered(ctx, n, f.Numbers)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return gone(repeated), nil
		case err != nil:
			return result{}, err
		case hashOfDead(l) != f.Hash:
			return result{failure: failedChanged}, nil
		case w.Plan.Action == Drop:
			e := aboutEventOf(AboutOf(l), event.OperatorActed, o.now())
			if err := o.publish(ctx, acted(e, event.DerivedID(w.Plan.ID, "operate", f.Key), Drop, w.order(), 1), repeated); err != nil {
				return result{}, err
			}
			return result{}, deadLetters.Drop(ctx, l)
		case w.Plan.Action == Repair:
			return result{}, replay(ctx, deadLetters, l, w.order(), o.now(), w.Selection.Body)
		default:
			return result{}, replay(ctx, deadLetters, l, w.order(), o.now(), nil)
		}
	}
}

func (o *Operator) stepCallback(w work, stream jetstream.Stream) doer {
	return func(ctx context.Context, f frozen, repeated bool) (result, error) {
		n, done := number(Quarantined, f.Key), result{}
		m, err := stream.GetMsg(ctx, n)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return gone(repeated), nil
		case err != nil:
			return result{}, err
		case hashOfCallback(m) != f.Hash:
			return result{failure: failedChanged}, nil
		case w.Plan.Action == DropCallbacks:
			k := quarantine.Describe(m)
			e := aboutEventOf(About{Source: k.Source, Provider: k.Provider}.complete(), event.OperatorActed, o.now())
			if err := o.publish(ctx, acted(e, event.DerivedID(w.Plan.ID, "operate", f.Key), DropCallbacks, w.order(), 1), repeated); err != nil {
				return result{}, err
			}
		case o.Callback == nil:
			return result{}, errors.New("this process cannot read callbacks")
		default:
			stored, err := o.Callback(ctx, m.Header, m.Data, CallbackRepair{w.Selection.Body, w.Selection.Query})
			if errors.As(err, new(*UnreadableError)) {
				return result{failure: failedUnreadable, detail: err.Error()}, nil
			}
			if err != nil {
				return result{}, fmt.Errorf("number %d stays in quarantine: %w", n, err)
			}
			done.detail = stored
		}
		if err := flow.Remains(ctx, stream, n, stream.DeleteMsg(ctx, n)); err != nil {
			return result{}, fmt.Errorf("remove number %d from quarantine: %w", n, err)
		}
		return done, nil
	}
}

func actedOnHeld(w work, h notification.Held, o *Operator) *signingv1.SigningEvent {
	e := aboutEventOf(About{Source: h.Source, Provider: h.Provider, Document: h.Document}.complete(), event.OperatorActed, o.now())
	return acted(e, event.DerivedID(w.Plan.ID, "operate", h.ID), Release, w.order(), 1)
}

func (o *Operator) stepDocument(w work) doer {
	d := *w.Selection.Document
	about := About{Source: d.Source, Provider: d.Provider, Document: d.ID, Recipient: w.Selection.Recipient}
	return func(ctx context.Context, f frozen, repeated bool) (result, error) {
		id := OrderID(w.Plan.ID, f.Key)
		switch w.Plan.Action {
		case Resend:
			e := aboutEventOf(about, event.ResendRequested, o.now())
			e.Id = id
			e.Attributes = map[string]string{
				event.AttributeChannels: channelNames(w.Selection), attributeBy: w.Plan.By, attributeReason: w.Plan.Reason, attributePlan: w.Plan.ID,
			}
			return result{}, o.publish(ctx, e, repeated)
		case Correct:
			e := aboutEventOf(about, event.CorrectionRequested, o.now())
			e.Id, e.Recipient = id, recipient.Corrected(w.Selection.Recipient, *w.Selection.Details)
			e.Attributes = map[string]string{attributeBy: w.Plan.By, attributeReason: w.Plan.Reason, attributePlan: w.Plan.ID}
			return result{}, o.publish(ctx, e, repeated)
		case CancelReminders:
			of := about
			of.Recipient = strings.TrimPrefix(f.Key, reminderKey)
			return result{}, o.publish(ctx, acted(aboutEventOf(of, event.OperatorActed, o.now()), id, CancelReminders, w.order(), 1), repeated)
		case ArchiveAgain:
			completed, err := o.completed(ctx, d)
			if err != nil || completed == nil {
				return result{skipped: true}, err
			}
			if err := stage.Redeliver(ctx, o.JS, flow.StageNamed(flow.Archiver), completed, w.Plan.ID); err != nil {
				return result{}, err
			}
			return result{}, o.publish(ctx, acted(aboutEventOf(about, event.OperatorActed, o.now()), id, ArchiveAgain, w.order(), 1), repeated)
		case Erase:
			return o.erase(ctx, w, d, repeated)
		case HoldDocument:
			_, err := erase.Hold(ctx, o.JS, d.erased(), erase.Order{By: w.Plan.By, Reason: w.Plan.Reason}, o.now())
			return result{}, err
		default:
			all, err := erase.Holds(ctx, o.JS)
			if err != nil {
				return result{}, err
			}
			held, is := all[d.erased()]
			if !is {
				return gone(repeated), nil
			}
			return result{}, erase.Release(ctx, o.JS, held, erase.Order{By: w.Plan.By, Reason: w.Plan.Reason}, o.now())
		}
	}
}

func (o *Operator) erase(ctx context.Context, w work, d Document, repeated bool) (result, error) {
	if o.Eraser == nil {
		return result{}, errNoEraser
	}
	e, done, err := o.Eraser(ctx)
	if err != nil {
		return result{}, err
	}
	defer done()
	target := erase.Target{Exact: map[erase.Document]bool{d.erased(): true}}
	found, err := e.Find(ctx, target)
	if err != nil {
		return result{}, err
	}
	if found.Empty() {
		return gone(repeated), nil
	}
	_, err = e.Run(ctx, target, found, erase.Order{By: w.Plan.By, Reason: w.Plan.Reason}, o.now())
	if errors.As(err, new(*erase.HeldError)) {
		return result{failure: failedRefused}, nil
	}
	return result{}, err
}
