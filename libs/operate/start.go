package operate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/stage"
)

// The reasons for which a plan is not started. Nothing was done.
var (
	ErrNoPlan      = errors.New("there is no such plan, or it is older than 10 minutes: make it again. Nothing was done")
	ErrOthersPlan  = errors.New("another user made the plan: make your own. Nothing was done")
	ErrPlanStarted = errors.New("the plan was started before. Nothing was done")
)

// ChangedError means that items of a plan changed or left after it was made. Nothing was done.
type ChangedError struct {
	Left, All int // items
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("The plan does not hold any more: %d of %d left since. Nothing was done.", e.Left, e.All)
}

// Start makes a job from a plan that still holds, with an event in the log. by must be the user who made the plan. A runner takes the job within
// seconds. It fails with ErrNoPlan, ErrOthersPlan, ErrPlanStarted or a *ChangedError, and then nothing was done.
func (o *Operator) Start(ctx context.Context, token, by string) (Job, error) {
	return o.StartFor(ctx, token, by, "")
}

// StartFor works like Start, with a reason that replaces the plan's. A plan without a reason cannot be started without it; the error is a
// *SelectionError.
func (o *Operator) StartFor(ctx context.Context, token, by, reason string) (Job, error) {
	bucket, err := o.bucket(ctx)
	if err != nil {
		return Job{}, err
	}
	id := planID(token)
	w, err := readWork(ctx, bucket, planKey(id))
	if errors.Is(err, ErrNoPlan) {
		if j, jobErr := readJob(ctx, bucket, id); jobErr == nil && j.By == by {
			return j, ErrPlanStarted
		}
	}
	switch {
	case err != nil:
		return Job{}, err
	case w.Plan.By != by:
		return Job{}, ErrOthersPlan
	case o.now().After(w.Plan.Until):
		return Job{}, ErrNoPlan
	}
	w.Plan.Reason = cmp.Or(reason, w.Plan.Reason)
	if err := (Order{By: by, Reason: w.Plan.Reason}).check(); err != nil {
		return Job{}, &SelectionError{err.Error()}
	}
	if left, err := o.changes(ctx, w); err != nil || left > 0 {
		if err == nil {
			err = &ChangedError{left, len(w.Items)}
		}
		return Job{}, err
	}
	now := o.now().UTC()
	j := Job{
		ID: id, Action: w.Plan.Action, By: by, Reason: w.Plan.Reason, State: Running, All: len(w.Items), Rate: w.Plan.Rate, Started: now, Updated: now,
	}
	data, err := json.Marshal(j)
	if err != nil {
		return Job{}, fmt.Errorf("encode a job: %w", err)
	}
	items, err := json.Marshal(w)
	if err != nil {
		return Job{}, fmt.Errorf("encode a plan: %w", err)
	}
	// The job comes last: a job without its items, or one that no runner looks for, would never end.
	if _, err := bucket.Create(ctx, workKey(id), items); err != nil {
		if errors.Is(err, jetstream.ErrKeyExists) {
			return o.startedBefore(ctx, bucket, id)
		}
		return Job{}, fmt.Errorf("store the items of a job: %w", err)
	}
	if _, err := bucket.PutString(ctx, openKey(id), string(w.Plan.Action)); err != nil {
		return Job{}, fmt.Errorf("store the job: %w", err)
	}
	if _, err := bucket.Create(ctx, jobKey(id), data); err != nil {
		if errors.Is(err, jetstream.ErrKeyExists) { // it ended between the reads of two starts
			return Job{}, errors.Join(ErrPlanStarted, o.close(ctx, id))
		}
		return Job{}, fmt.Errorf("store the job: %w", err)
	}
	if err := o.started(ctx, w); err != nil {
		return Job{}, err
	}
	if err := bucket.Purge(ctx, planKey(id), jetstream.PurgeTTL(markerTTL)); err != nil {
		o.log().WarnContext(ctx, "a plan that was started is not removed; it expires", "plan", id, "error", err)
	}
	return j, nil
}

// startedBefore completes a start that was interrupted after it stored the items: its job does not exist yet.
func (o *Operator) startedBefore(ctx context.Context, bucket jetstream.KeyValue, id string) (Job, error) {
	j, err := readJob(ctx, bucket, id)
	if err == nil {
		return j, ErrPlanStarted
	}
	if !errors.Is(err, ErrNoJob) {
		return Job{}, err
	}
	if err := o.close(ctx, id); err != nil {
		return Job{}, err
	}
	return Job{}, errors.New("the start of the plan was interrupted: start it again. Nothing was done")
}

// changes counts the items of a plan that are not as the plan saw them.
func (o *Operator) changes(ctx context.Context, w work) (int, error) {
	var left atomic.Int64
	looks, ctx := errgroup.WithContext(ctx)
	looks.SetLimit(lookups)
	still, err := o.still(ctx, w)
	if err != nil {
		return 0, err
	}
	for _, f := range w.Items {
		looks.Go(func() error {
			is, err := still(ctx, f)
			if err == nil && !is {
				left.Add(1)
			}
			return err
		})
	}
	err = looks.Wait()
	return int(left.Load()), err
}

// still returns a function that reports whether an item is as the plan saw it.
func (o *Operator) still(ctx context.Context, w work) (func(context.Context, frozen) (bool, error), error) {
	switch w.Plan.Action {
	case Replay, Drop, Repair:
		return func(ctx context.Context, f frozen) (bool, error) {
			n := number(Dead, f.Key)
			l, err := stage.DeadLetters{JS: o.JS}.One(ctx, n)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return false, nil
			}
			return err == nil && hashOfDead(l) == f.Hash, err
		}, nil
	case ReplayCallbacks, RepairCallback, DropCallbacks:
		stream, err := o.JS.Stream(ctx, flow.Quarantine)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", flow.Quarantine, err)
		}
		return func(ctx context.Context, f frozen) (bool, error) {
			n := number(Quarantined, f.Key)
			m, err := stream.GetMsg(ctx, n)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return false, nil
			}
			return err == nil && hashOfCallback(m) == f.Hash, err
		}, nil
	case Release:
		return func(ctx context.Context, f frozen) (bool, error) {
			h, held, err := notification.HeldMessage(ctx, o.JS, heldKey(f.Key))
			return held && hashOfHeld(h) == f.Hash, err
		}, nil
	case ReleaseChannels:
		return func(context.Context, frozen) (bool, error) { return true, nil }, nil
	default:
		return o.stillDocument(ctx, w)
	}
}

// stillDocument plans a document's action again, and compares the items.
func (o *Operator) stillDocument(ctx context.Context, w work) (func(context.Context, frozen) (bool, error), error) {
	again := work{Selection: w.Selection, Plan: Plan{Action: w.Plan.Action}}
	err := o.freezeDocument(ctx, &again)
	if err != nil && !errors.As(err, new(*RefusedError)) {
		return nil, err
	}
	now := map[string]string{}
	for _, f := range again.Items {
		now[f.Key] = f.Hash
	}
	return func(_ context.Context, f frozen) (bool, error) {
		hash, known := now[f.Key]
		return known && hash == f.Hash, nil
	}, nil
}

// heldKey returns the key of a held message's record.
func heldKey(key string) string { return key[min(len(key), len(Held)+1):] }
