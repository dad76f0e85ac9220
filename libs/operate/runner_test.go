package operate_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
)

// fill buries invitations of n people.
func (w *world) fillDLQ(n int) {
	w.Helper()
	for i := range n {
		w.buried(fmt.Sprint("m", i), fmt.Sprint("d", i), fmt.Sprint("p", i))
	}
}

// each checks that each of n dead letters is replayed once, with one event.
func (w *world) each(n int) {
	w.Helper()
	if replayed, left, events := w.Count(flow.Replay, ">"), w.Count(flow.DLQ, ">"), len(w.events(event.ReplayRequested)); replayed != n || left != 0 || events != n {
		w.Errorf("%d replayed, %d messages left in DLQ, %d events; want %d, 0, %d", replayed, left, events, n, n)
	}
}

// Two runners share the jobs. Each item is done once.
func TestTwoRunners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fillDLQ(40)
	var jobs []string
	for i := range 2 {
		filter := operate.Filter{What: operate.Dead, Document: fmt.Sprint("d", i)}
		p := w.plan(operate.Replay, operate.Selection{Filter: filter, Rate: 1000})
		w.start(p)
		jobs = append(jobs, p.ID)
	}
	p := w.plan(operate.Replay, operate.Selection{Filter: dead, Rate: 1000}) // it has the items of the other two
	w.start(p)
	jobs = append(jobs, p.ID)
	var both sync.WaitGroup
	for range 2 {
		_, js := w.Broker.Connect()
		both.Go(func() {
			r := operate.Runner{Operator: w.another(js), Actions: operate.ConsoleActions}
			if err := r.RunOnce(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	w.must(w.runner().RunOnce(t.Context()))
	w.each(40)
	done, skipped := 0, 0
	for _, id := range jobs {
		j := w.job(id)
		done, skipped = done+j.Done, skipped+j.Skipped
		if j.State != operate.Done || j.Done+j.Skipped+j.Failed != j.All {
			t.Errorf("%+v", j)
		}
	}
	// An item that two jobs have may be replayed by both at once: the stream takes it once, and both count it.
	if done < 40 || done+skipped != 42 {
		t.Errorf("%d done and %d skipped, of 40 items in 42 places", done, skipped)
	}
	all, err := w.operator.Jobs(t.Context())
	w.must(err)
	if len(all) != 3 || all[0].ID != jobs[2] {
		t.Errorf("the history has %+v", all)
	}
}

// A runner is killed between two steps, at any message that it publishes. Another one continues after the lease: each item is done once and counted
// once.
func TestAKilledRunnerIsReplaced(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]struct {
		at  string
		nth int
	}{
		"after the replay":              {"replay.v1.>", 5},
		"after the event":               {event.TypeFilter(event.ReplayRequested), 5},
		"while it removes":              {"$JS.API.STREAM.MSG.DELETE.DLQ", 5},
		"when it takes the job":         {"$KV.JOBS.job.>", 1},
		"when it has begun the job":     {"$KV.JOBS.job.>", 2},
		"while it removes its own work": {"$KV.JOBS.work.>", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			const items = 12
			w.fillDLQ(items)
			p := w.plan(operate.Replay, operate.Selection{Filter: dead, Rate: 100})
			w.start(p)

			conn, js := w.Broker.Connect()
			seen := 0
			killed := make(chan struct{})
			_, err := w.Env.NATS.Subscribe(kill.at, func(*nats.Msg) {
				if seen++; seen == kill.nth {
					conn.Close()
					close(killed)
				}
			})
			w.must(err)
			w.must(w.Env.NATS.Flush())
			dying := operate.Runner{Operator: w.another(js), Actions: operate.ConsoleActions}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = dying.RunOnce(ctx)
			}()
			select {
			case <-killed:
			case <-time.After(20 * time.Second):
				t.Fatal("the runner was not killed")
			}
			stop()
			<-ended

			w.must(w.runner().RunOnce(t.Context()))
			if j := w.job(p.ID); j.State == operate.Running && w.Count(flow.DLQ, ">") == 0 && j.Next < items {
				t.Error("the lease did not hold")
			}
			w.ahead.Add(int64(time.Minute))
			w.must(w.runner().RunOnce(t.Context()))
			w.each(items)
			if j := w.job(p.ID); j.State != operate.Done || j.Done != items || j.Skipped != 0 || j.Failed != 0 {
				t.Errorf("%+v", j)
			}
			if left := w.Count("KV_"+flow.Jobs, "$KV.JOBS.open.>"); left > 1 { // the mark of a removed entry
				t.Errorf("%d open jobs", left)
			}
		})
	}
}

// A paused job does nothing until it is resumed, and a stopped one never does anything again. Both are events.
func TestPauseResumeStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fillDLQ(3)
	p := w.plan(operate.Replay, operate.Selection{Filter: dead, Rate: 1000})
	w.start(p)
	_, err := w.operator.Pause(t.Context(), p.ID, "second")
	w.must(err)
	w.must(w.runner().RunOnce(t.Context()))
	if n := w.Count(flow.Replay, ">"); n != 0 || w.job(p.ID).ChangedBy != "second" {
		t.Errorf("a paused job has replayed %d", n)
	}
	_, err = w.operator.Resume(t.Context(), p.ID, "second")
	w.must(err)
	w.must(w.runner().RunOnce(t.Context()))
	w.each(3)
	if _, err := w.operator.Pause(t.Context(), p.ID, user); !errors.As(err, new(*operate.RefusedError)) {
		t.Errorf("a job that has ended is paused: %v", err)
	}

	w.buried("again", "d9", "p9")
	p = w.plan(operate.Replay, operate.Selection{Filter: dead})
	w.start(p)
	j, err := w.operator.Stop(t.Context(), p.ID, user)
	w.must(err)
	w.must(w.runner().RunOnce(t.Context()))
	if j.State != operate.Stopped || w.Count(flow.Replay, ">") != 3 {
		t.Errorf("a stopped job has replayed: %+v", j)
	}
	actions := map[string]int{}
	for _, e := range w.events(event.OperatorActed) {
		actions[e.GetAttributes()["action"]]++
	}
	if actions["pause-job"] != 1 || actions["resume-job"] != 1 || actions["stop-job"] != 1 || actions["replay"] != 2 {
		t.Errorf("the log has %v", actions)
	}
	if _, err := w.operator.Job(t.Context(), "none"); !errors.Is(err, operate.ErrNoJob) {
		t.Error(err)
	}
}

// A running job is paused after the item in hand, and its progress is exact.
func TestARunningJobIsPaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fillDLQ(60)
	p := w.plan(operate.Replay, operate.Selection{Filter: dead, Rate: 40})
	w.start(p)
	ended := make(chan error, 1)
	go func() { ended <- w.runner().RunOnce(t.Context()) }()
	w.until("some are replayed", func() bool { return w.Count(flow.Replay, ">") > 3 })
	_, err := w.operator.Pause(t.Context(), p.ID, user)
	w.must(err)
	select {
	case err := <-ended:
		w.must(err)
	case <-time.After(10 * time.Second):
		t.Fatal("the runner works on a paused job")
	}
	j := w.job(p.ID)
	if n := w.Count(flow.Replay, ">"); j.State != operate.Paused || j.Done != n || n == 60 || j.Owner != "" {
		t.Errorf("%d are replayed, and the job is %+v", n, j)
	}
	_, err = w.operator.Resume(t.Context(), p.ID, user)
	w.must(err)
	w.must(w.runner().RunOnce(t.Context()))
	w.each(60)
}
