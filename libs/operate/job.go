package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
)

// State is the state of a job.
type State string

// The states. A job that is running or paused is open.
const (
	Running State = "running"
	Paused  State = "paused"
	Stopped State = "stopped" // by a user, before its end
	Done    State = "done"
	Failed  State = "failed" // it ended before its last item, because a part of Signrelay did not work
)

// Open reports whether the job may still do something.
func (s State) Open() bool { return s == Running || s == Paused }

// Job is a plan that was started. It is kept for 90 days and has no personal data and no ids of documents.
type Job struct {
	ID     string `json:"id"`
	Action Action `json:"action"`
	By     string `json:"by"`
	Reason string `json:"reason"`
	State  State  `json:"state"`
	// ChangedBy is the user who paused, resumed or stopped it last.
	ChangedBy string `json:"changed_by,omitempty"`

	All     int `json:"all"`     // items
	Done    int `json:"done"`    //
	Skipped int `json:"skipped"` // they were gone, or the same work was done already
	Failed  int `json:"failed"`
	Rate    int `json:"rate"` // items a second
	// Failures counts the failed items by their reason, which is bounded.
	Failures map[string]int `json:"failures,omitempty"`

	Started  time.Time `json:"started"`
	Updated  time.Time `json:"updated"`
	Finished time.Time `json:"finished,omitzero"`

	// Owner is the runner that works on it, until Lease.
	Owner string    `json:"owner,omitempty"`
	Lease time.Time `json:"lease,omitzero"`
	// Next is the number of items that are done with, and Begun that of the items that a runner may have begun.
	Next  int `json:"next"`
	Begun int `json:"begun"`

	revision uint64
	repeats  int // a runner before this one may have done the items before that number
}

// Left is the time that the rest of a running job takes at least.
func (j Job) Left() time.Duration {
	return time.Duration(j.All-j.Next) * time.Second / time.Duration(max(j.Rate, 1))
}

// ErrNoJob means that there is no job with an id, or that it ended more than 90 days ago.
var ErrNoJob = errors.New("there is no such job; jobs are kept for 90 days")

// Job returns a job by its id.
func (o *Operator) Job(ctx context.Context, id string) (Job, error) {
	bucket, err := o.bucket(ctx)
	if err != nil {
		return Job{}, err
	}
	return readJob(ctx, bucket, id)
}

func readJob(ctx context.Context, bucket jetstream.KeyValue, id string) (Job, error) {
	entry, err := bucket.Get(ctx, jobKey(id))
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrInvalidKey):
		return Job{}, ErrNoJob
	case err != nil:
		return Job{}, fmt.Errorf("read a job: %w", err)
	}
	return decodeJob(entry.Value(), entry.Revision())
}

func decodeJob(data []byte, revision uint64) (Job, error) {
	j := Job{revision: revision}
	if err := json.Unmarshal(data, &j); err != nil {
		return Job{}, fmt.Errorf("read a job: %w", err)
	}
	return j, nil
}

// Jobs returns the jobs of the last 90 days, the newest first.
func (o *Operator) Jobs(ctx context.Context) ([]Job, error) {
	var all []Job
	for m, err := range o.entries(ctx, jobPrefix) {
		if err != nil {
			return nil, err
		}
		j, err := decodeJob(m.Data, m.Sequence)
		if err != nil {
			return nil, err
		}
		all = append(all, j)
	}
	slices.SortFunc(all, func(a, b Job) int { return b.Started.Compare(a.Started) })
	return all, nil
}

// changed stores a change of a job, and repeats it if another process changed the job at the same time. change returns false to change nothing.
func (o *Operator) changed(ctx context.Context, id string, change func(*Job) (bool, error)) (Job, error) {
	bucket, err := o.bucket(ctx)
	if err != nil {
		return Job{}, err
	}
	for range flow.UpdateAttempts {
		j, err := readJob(ctx, bucket, id)
		if err != nil {
			return Job{}, err
		}
		j.Failures = maps.Clone(j.Failures)
		store, err := change(&j)
		if err != nil || !store {
			return j, err
		}
		j.Updated = o.now().UTC()
		data, err := json.Marshal(j)
		if err != nil {
			return Job{}, fmt.Errorf("encode a job: %w", err)
		}
		j.revision, err = bucket.Update(ctx, jobKey(id), data, j.revision)
		if err == nil {
			return j, nil
		}
		if !flow.Raced(err) {
			return Job{}, fmt.Errorf("store a job: %w", err)
		}
	}
	return Job{}, fmt.Errorf("store a job: others changed it at the same time, %d times in a row", flow.UpdateAttempts)
}

// Pause makes the runner stop after the item in hand, until Resume. It fails if the job has ended.
func (o *Operator) Pause(ctx context.Context, id, by string) (Job, error) {
	return o.set(ctx, id, by, Paused)
}

// Resume continues a paused job.
func (o *Operator) Resume(ctx context.Context, id, by string) (Job, error) {
	return o.set(ctx, id, by, Running)
}

// Stop ends a job after the item in hand. The rest of its items stay as they are.
func (o *Operator) Stop(ctx context.Context, id, by string) (Job, error) {
	j, err := o.set(ctx, id, by, Stopped)
	if err == nil {
		err = o.close(ctx, id)
	}
	return j, err
}

// set changes the state of an open job, with an event in the log.
func (o *Operator) set(ctx context.Context, id, by string, to State) (Job, error) {
	if err := (Order{By: by, Reason: "-"}).check(); err != nil {
		return Job{}, &SelectionError{err.Error()}
	}
	changed := false
	j, err := o.changed(ctx, id, func(j *Job) (bool, error) {
		if changed = j.State != to; !changed {
			return false, nil
		}
		if !j.State.Open() {
			return false, &RefusedError{string(j.State), fmt.Sprintf("the job has ended: it is %s", j.State)}
		}
		j.State, j.ChangedBy = to, by
		if to == Stopped {
			j.Finished = o.now().UTC()
		}
		return true, nil
	})
	if err != nil || !changed {
		return j, err
	}
	verb := map[State]Action{Paused: "pause-job", Running: "resume-job", Stopped: "stop-job"}[to]
	e := aboutEventOf(ourselves, event.OperatorActed, o.now())
	at := j.Updated.Format(time.RFC3339Nano)
	return j, o.publish(ctx, acted(e, event.DerivedID(id, string(verb), at), verb, Order{By: by, Reason: j.Reason, Plan: id}, j.All-j.Next), false)
}

// close removes what only an open job needs.
func (o *Operator) close(ctx context.Context, id string) error {
	bucket, err := o.bucket(ctx)
	if err != nil {
		return err
	}
	for _, key := range []string{workKey(id), openKey(id)} {
		if err := bucket.Purge(ctx, key, jetstream.PurgeTTL(markerTTL)); err != nil {
			return fmt.Errorf("remove the work of a job: %w", err)
		}
	}
	return nil
}

// markerTTL is the time for which the server keeps the mark that an entry was removed.
const markerTTL = time.Minute
