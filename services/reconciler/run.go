package reconciler

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/signrelay/signrelay/libs/crash"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
)

// rounds is the largest number of times that the lists are read. Documents move between pages while they are read, and one may be skipped. A
// round that finds nothing new is the last.
const rounds = 3

// attempt is one process's work on a run.
type attempt struct {
	reconciler
	*kept
	key    providers.SourceKey
	api    pack.Reporter
	people people
	// seen has the documents that this process has compared and whose facts it has published, and counted those that are in the result.
	seen, counted map[string]bool
	saved         time.Time // when the record was last stored
}

// reconcile works on a run until it ends. If it returns an error, the run continues later, here or in another replica.
func (r reconciler) reconcile(ctx context.Context, src providers.Source, k *kept) error {
	api, ok := src.API.(pack.Reporter)
	if !ok {
		return nil
	}
	key := providers.SourceKey{Name: src.Settings.Name, Provider: src.Settings.Provider}
	a := &attempt{
		reconciler: r, kept: k, key: key, api: api, seen: map[string]bool{}, counted: map[string]bool{}, saved: time.Now(),
		people: people{log: r.log, key: key},
	}
	worked, pause := time.Now(), r.pace.Pause
	for {
		done, err := a.step(ctx)
		switch o := outcome.Of(err); {
		case err == nil && done:
			return a.end(ctx, nil)
		case err == nil:
			worked, pause = time.Now(), r.pace.Pause
		case ctx.Err() != nil:
			a.leave(ctx)
			return ctx.Err()
		case errors.Is(err, errLost):
			return err
		case o.Kind() == outcome.GaveUp, o.Kind() == outcome.Held, time.Since(worked) > r.pace.Patience:
			return a.end(ctx, err)
		case o.Kind() == outcome.Waits: // our own limit of calls
			worked = time.Now()
			if err := a.wait(ctx, max(o.After(), r.pace.Pause)); err != nil {
				return err
			}
		default:
			r.out.WarnContext(ctx, "reconciliation: an attempt failed and is repeated", "source", key.Name, "provider", key.Provider, "error", err)
			if err := a.wait(ctx, max(o.After(), pause)); err != nil {
				return err
			}
			pause = min(2*pause, time.Minute)
		}
	}
}

// step reads and compares one page, and stores the place of the next one. A kill before that repeats the page.
func (a *attempt) step(ctx context.Context) (done bool, err error) {
	lister, lists := a.api.(pack.Lister)
	asked := time.Now()
	switch {
	case a.Run.Known || !lists:
		a.Run.Known = true
		done, err = a.known(ctx, asked)
	default:
		err = a.page(ctx, lister, asked)
	}
	if err != nil {
		return false, err
	}
	crash.Point("compared")
	return done, a.save(ctx)
}

func (a *attempt) page(ctx context.Context, lister pack.Lister, asked time.Time) error {
	page, err := lister.List(ctx, a.Run.Since, a.Run.Cursor)
	if err != nil {
		return err
	}
	for _, report := range page.Reports {
		if err := a.compare(ctx, report, asked); err != nil {
			return err
		}
	}
	switch {
	case page.Next != "":
	case a.Run.Fresh > 0 && a.Run.Round < rounds:
		a.Run.Round, a.Run.Fresh = a.Run.Round+1, 0
	default:
		a.Run.Known = true
	}
	a.Run.Cursor = page.Next
	return nil
}

// known compares the next of the documents that are open in the log and that no list had. It reports whether they were the last.
func (a *attempt) known(ctx context.Context, asked time.Time) (bool, error) {
	open, err := a.open(ctx)
	if err != nil {
		return false, err
	}
	open = slices.DeleteFunc(open, func(id string) bool { return id <= a.Run.Cursor || a.seen[id] })
	for some := range slices.Chunk(open, a.api.Reporting().AtOnce) {
		reports, err := a.api.Reports(ctx, some...)
		if err != nil {
			return false, err
		}
		for _, report := range reports {
			if err := a.compare(ctx, report, asked); err != nil {
				return false, err
			}
		}
		a.Run.Cursor = some[len(some)-1]
		if err := a.keep(ctx); err != nil {
			return false, err
		}
		asked = time.Now()
	}
	return true, nil
}

// save stores the progress and extends the lease.
func (a *attempt) save(ctx context.Context) error {
	if err := a.extend(ctx, a.pace.Lease); err != nil {
		return err
	}
	a.saved = time.Now()
	crash.Point("saved")
	return nil
}

// keep extends the lease if a third of it is over.
func (a *attempt) keep(ctx context.Context) error {
	if time.Since(a.saved) < a.pace.Lease/3 {
		return nil
	}
	return a.save(ctx)
}

// wait waits for d and extends the lease meanwhile.
func (a *attempt) wait(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := wait(ctx, min(left, a.pace.Lease/3)); err != nil {
			a.leave(ctx)
			return err
		}
		if err := a.keep(ctx); err != nil {
			return err
		}
	}
}

// leaveWithin bounds the release of the lease when the program ends.
const leaveWithin = 2 * time.Second

// leave ends the lease, so that another replica continues at once. If it fails, the lease ends by itself.
func (a *attempt) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	_ = a.extend(ctx, 0)
}

// end stores the result.
func (a *attempt) end(ctx context.Context, failure error) error {
	run := a.Run
	result := run.Result
	result.Ended = a.now().UTC()
	attributes := []any{
		"source", a.key.Name, "provider", a.key.Provider, "since", result.Since, "looked_at", result.LookedAt, "known", result.AlreadyKnown,
		"found", result.Found, "published", result.Published, "contradicting", result.Contradicting,
	}
	if failure != nil {
		result.Error = failure.Error()
	} else {
		a.Reached = run.Began
	}
	switch {
	case run.Nightly && failure != nil:
		a.FailedNights++
	case failure == nil: // a run on demand makes up for failed nights
		a.FailedNights = 0
	}
	a.Last, a.Run = &result, nil
	if err := a.put(ctx); err != nil {
		a.Run = run
		return err
	}
	a.metrics.show(a.key, a.record)
	if failure != nil {
		a.out.ErrorContext(ctx, "reconciliation failed", append(attributes, "error", failure)...)
		return nil
	}
	a.out.InfoContext(ctx, "reconciliation is done", attributes...)
	return nil
}
