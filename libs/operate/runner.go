package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
)

// Runner works on the jobs of some actions. Several may run at once, in one process or in many: each job has one runner at a time.
type Runner struct {
	Operator *Operator
	Actions  []Action // that it does; see ConsoleActions
	// Poll is the time after which it looks for new jobs; 0 is a second.
	Poll time.Duration
}

const (
	// leaseFor is the time after which another runner continues the job of a dead one. Clocks of two machines may differ by a few seconds.
	leaseFor = 15 * time.Second
	// saveEvery is the time between two writes of a job's progress. A pause takes effect at a write.
	saveEvery = 500 * time.Millisecond
	// stepTimeout limits one item; longTimeout one that reads whole streams.
	stepTimeout = 30 * time.Second
	longTimeout = time.Hour
	// stepTries is the number of attempts of an item while NATS or another part does not respond, with a second between two.
	stepTries = 3
	// mostFailures is the number of items in a row that may fail in that way. Then the job ends, because the next item would fail too.
	mostFailures = 10
)

// Run works until ctx ends. Then it finishes the item in hand, stores the progress, and leaves the job to another runner.
func (r Runner) Run(ctx context.Context) error {
	poll := r.Poll
	if poll == 0 {
		poll = time.Second
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	said := "" // an error is logged once, not at each look
	for {
		err := r.RunOnce(ctx)
		if err == nil {
			said = ""
		} else if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			r.Operator.log().WarnContext(ctx, "operators' jobs cannot be read or run; this is tried each second", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// RunOnce works on the open jobs that no other runner has, one after the other, and returns when there are none.
func (r Runner) RunOnce(ctx context.Context) error {
	o := r.Operator
	var ids []string
	for m, err := range o.entries(ctx, "open.") {
		if err != nil {
			return err
		}
		if slices.Contains(r.Actions, Action(m.Data)) {
			ids = append(ids, strings.TrimPrefix(m.Subject, "$KV."+flow.Jobs+".open."))
		}
	}
	var failed error
	for _, id := range ids {
		if ctx.Err() != nil {
			break
		}
		failed = errors.Join(failed, r.job(ctx, id))
	}
	return failed
}

// running is a job in the hands of a runner.
type running struct {
	Runner
	work
	job   Job
	owner string
	saved time.Time
	doing func(context.Context, frozen, bool) (result, error)
}

// errLost means that the job is not this runner's any more: a user paused or stopped it, or the lease lapsed and another runner has it.
var errLost = errors.New("the job is not this runner's any more")

func (r Runner) job(ctx context.Context, id string) error {
	o, owner := r.Operator, dedupe.NewOwner()
	mine := false
	j, err := o.changed(ctx, id, func(j *Job) (bool, error) {
		mine = j.State == Running && (j.Owner == "" || o.now().After(j.Lease))
		j.Owner, j.Lease = owner, o.now().Add(leaseFor).UTC()
		return mine, nil
	})
	switch {
	case errors.Is(err, ErrNoJob):
		return r.orphan(ctx, id)
	case err != nil || !mine && j.State.Open():
		return err
	case !mine: // its runner died after the last item
		return o.close(ctx, id)
	}
	bucket, err := o.bucket(ctx)
	if err != nil {
		return err
	}
	w, err := readWork(ctx, bucket, workKey(id))
	if errors.Is(err, ErrNoPlan) {
		return r.erased(ctx, id, owner)
	}
	if err != nil {
		return fmt.Errorf("read the items of job %s: %w", id, err)
	}
	j.repeats = j.Begun
	in := &running{Runner: r, work: w, job: j, owner: owner, saved: time.Now()}
	if in.doing, err = o.step(ctx, w); err != nil {
		return err
	}
	err = in.run(ctx)
	if errors.Is(err, errLost) {
		return nil
	}
	return err
}

// erased ends a job whose items were removed by an erasure: they had data of an erased document or person.
func (r Runner) erased(ctx context.Context, id, owner string) error {
	_, err := r.Operator.changed(ctx, id, func(j *Job) (bool, error) {
		if j.Owner != owner {
			return false, nil
		}
		left := j.All - j.Next
		if j.Failures == nil {
			j.Failures = map[string]int{}
		}
		j.Failures[failedErased] += left
		j.Failed, j.Next, j.Owner, j.State, j.Finished = j.Failed+left, j.All, "", Failed, r.Operator.now().UTC()
		return true, nil
	})
	if err != nil {
		return err
	}
	return r.Operator.close(ctx, id)
}

// orphan removes the mark of a job that does not exist: its start was interrupted, or it is older than the bucket's entries.
func (r Runner) orphan(ctx context.Context, id string) error {
	bucket, err := r.Operator.bucket(ctx)
	if err != nil {
		return err
	}
	entry, err := bucket.Get(ctx, openKey(id))
	if err != nil || r.Operator.now().Sub(entry.Created()) < time.Minute { // its start may be in progress
		return nil //nolint:nilerr // the next look finds it again
	}
	return r.Operator.close(ctx, id)
}

func (r *running) run(ctx context.Context) error {
	turn := time.NewTicker(time.Second / time.Duration(r.job.Rate))
	defer turn.Stop()
	away := 0
	for r.job.Next < len(r.Items) {
		if ctx.Err() != nil {
			return r.save(ctx, func(j *Job) { j.Owner, j.Begun = "", j.Next })
		}
		if r.job.Next >= r.job.Begun || time.Since(r.saved) > saveEvery {
			if err := r.save(ctx, func(j *Job) { j.Begun = j.Next + r.window() }); err != nil {
				return err
			}
		}
		repeated := r.job.Next < r.job.repeats
		result, err := r.one(ctx, r.Items[r.job.Next], repeated)
		r.count(result, err)
		if away++; err == nil {
			away = 0
		}
		if away >= mostFailures {
			return errors.Join(r.end(ctx, Failed), err)
		}
		select {
		case <-turn.C:
		case <-ctx.Done():
		}
	}
	return r.end(ctx, Done)
}

// window is the number of items that may be done before the next write: those of half a second, at least one.
func (r *running) window() int { return max(1, r.job.Rate/2) }

// one does one item, and repeats it while a part of Signrelay does not respond. It extends the lease meanwhile.
func (r *running) one(ctx context.Context, f frozen, repeated bool) (result, error) {
	timeout := stepTimeout
	if slices.Contains(KeeperActions, r.Plan.Action) {
		timeout = longTimeout
	}
	// The end of the process does not cancel an item, because that would leave a change incomplete.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	ended := make(chan struct{})
	extended := make(chan struct{})
	go func() {
		defer close(extended)
		extend := time.NewTicker(leaseFor / 3)
		defer extend.Stop()
		for {
			select {
			case <-ended:
				return
			case <-extend.C:
				_, _ = r.Operator.changed(bounded, r.Plan.ID, func(j *Job) (bool, error) {
					j.Lease = r.Operator.now().Add(leaseFor).UTC()
					return j.Owner == r.owner, nil
				})
			}
		}
	}()
	defer func() { close(ended); <-extended }()
	for try := 1; ; try++ {
		done, err := r.doing(bounded, f, repeated || try > 1)
		if err == nil || try == stepTries || ctx.Err() != nil {
			return done, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// result is the result of an item.
type result struct {
	skipped bool
	failure string // the bounded reason of a failure of this item alone
	detail  string // what was stored, or why the item failed, for a user who waits for it
}

// unavailable is the reason of an item that failed because a part of Signrelay did not respond.
const unavailable = "unavailable"

func (r *running) count(done result, err error) {
	j := &r.job
	j.Next++
	switch {
	case err != nil:
		r.Operator.log().Warn("an item of an operator's job failed", "job", j.ID, "action", j.Action, "error", err)
		done.failure = unavailable
		fallthrough
	case done.failure != "":
		j.Failed++
		if j.Failures == nil {
			j.Failures = map[string]int{}
		}
		j.Failures[done.failure]++
	case done.skipped:
		j.Skipped++
	default:
		j.Done++
	}
}

// save stores the progress, and fails with errLost if the job is not this runner's any more. A user's pause counts after the progress is stored.
func (r *running) save(ctx context.Context, change func(*Job)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	lost := false
	stored, err := r.Operator.changed(ctx, r.job.ID, func(j *Job) (bool, error) {
		if lost = j.Owner != r.owner; lost {
			return false, nil
		}
		mine := r.job
		j.Done, j.Skipped, j.Failed, j.Failures, j.Next = mine.Done, mine.Skipped, mine.Failed, mine.Failures, mine.Next
		j.Lease = r.Operator.now().Add(leaseFor).UTC()
		if j.State != Running {
			j.Owner, j.Begun = "", j.Next
			return true, nil
		}
		change(j)
		return true, nil
	})
	switch {
	case err != nil:
		return err
	case lost || stored.State != Running && stored.Owner == "":
		return errLost
	}
	repeats := r.job.repeats
	r.job, r.saved = stored, time.Now()
	r.job.repeats = repeats
	return nil
}

// end ends the job.
func (r *running) end(ctx context.Context, state State) error {
	err := r.save(ctx, func(j *Job) {
		j.State, j.Owner, j.Begun, j.Finished = state, "", j.Next, r.Operator.now().UTC()
	})
	if err != nil && !errors.Is(err, errLost) {
		return err
	}
	j := r.job
	r.Operator.log().Info("an operator's job ended", "job", j.ID, "action", j.Action, "state", state, "done", j.Done, "skipped", j.Skipped, "failed", j.Failed)
	if err := r.Operator.close(context.WithoutCancel(ctx), j.ID); err != nil || j.Action != Erase || r.Operator.Eraser == nil {
		return err
	}
	// The work of this job named the erased document.
	e, done, err := r.Operator.Eraser(ctx)
	if err != nil {
		return err
	}
	defer done()
	return e.Forget(context.WithoutCancel(ctx), flow.Jobs)
}
