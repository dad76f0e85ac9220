package faults

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// batching is the build with the points of package crash in which any two concurrent callbacks share an atomic batch, without a measurement.
func batching(t *testing.T) testenv.Variant {
	t.Helper()
	return edited(t, "batches", "services/ingest/publisher.go",
		"return p.mode.batches && ", "return ",
		"batchFrom = 16", "batchFrom = 2",
	)
}

// crowd plays many providers at once: each caller repeats a callback until it gets status 2xx. The callbacks cause no messages.
type crowd struct {
	url    string
	client *http.Client
	began  string // the time of all its events: an event that could be older than the dedupe store's entries is published alone
	next   atomic.Int64
}

const crowdSize = 64

func newCrowd(url string) *crowd {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: crowdSize}}
	return &crowd{url: url, client: client, began: time.Now().UTC().Format(time.RFC3339)}
}

// load sends new callbacks until over is closed.
func (c *crowd) load(t *testing.T, over <-chan struct{}) {
	t.Helper()
	var callers sync.WaitGroup
	for range crowdSize {
		callers.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					c.call(t, c.next.Add(1)-1)
				}
			}
		})
	}
	callers.Wait()
}

// again sends each callback once more.
func (c *crowd) again(t *testing.T) {
	t.Helper()
	var next atomic.Int64
	var callers sync.WaitGroup
	for range crowdSize {
		callers.Go(func() {
			for i := next.Add(1) - 1; i < c.next.Load(); i = next.Add(1) - 1 {
				c.call(t, i)
			}
		})
	}
	callers.Wait()
}

func (c *crowd) call(t *testing.T, i int64) {
	t.Helper()
	body := fmt.Sprintf(`{"event_type":"activity_visited","request":"d-%07d","activity":"a-%d","id":"e-%d","created_time":%q}`, i, i, i, c.began)
	for deadline := time.Now().Add(callsFor); time.Now().Before(deadline); time.Sleep(retryEvery) {
		d := driver{client: c.client}
		if status := d.once(context.WithoutCancel(t.Context()), c.url, body); status == http.StatusAccepted || status == http.StatusOK {
			return
		}
	}
	t.Errorf("callback %d was not accepted within %v", i, callsFor)
}

// proveCrowd loads the environment during the fault, sends all callbacks again after the stream's duplicate window, and requires that the log has
// each event once.
func proveCrowd(t *testing.T, h *testenv.Env, fault string, happens func(c *crowd)) {
	t.Helper()
	began := time.Now()
	c := newCrowd(h.IngestURL)
	over, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); c.load(t, over) }()
	happens(c)
	close(over)
	<-done
	h.ShortDuplicateWindow(t, flow.Signing)
	c.again(t)

	stored, batches := map[string]int{}, map[string]bool{}
	for m, err := range (event.Log{JS: h.JetStream(t), Stream: flow.Signing}).Messages(t.Context(), "signing.v1.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if id := m.Header.Get("Nats-Msg-Id"); strings.Contains(m.Subject, ".recipient.opened.") {
			stored[id]++
			batches[m.Header.Get("Nats-Batch-Id")] = true
		}
	}
	r := result{Fault: fault, Accepted: int(c.next.Load()), Stored: len(stored), Seconds: int(time.Since(began).Seconds())}
	r.Lost = r.Accepted - r.Stored
	for _, n := range stored {
		r.Doubled += n - 1
	}
	results.add(r)
	t.Logf("%d events in %d batches", r.Stored, len(batches))
	if r.Lost != 0 || r.Doubled != 0 {
		t.Errorf("%+v", r)
	}
	if h.Variant.Name == "batches" && len(batches) < 2 {
		t.Error("no callbacks shared a batch")
	}
}

// ingestOnly starts NATS, Redis and ingest.
func ingestOnly(t *testing.T, as testenv.Variant, env ...string) *testenv.Env {
	t.Helper()
	h := testenv.Infrastructure(t, testenv.SandboxSettings)
	h.Variant = as
	h.StartService(t, "ingest", "ingest", env...)
	return h
}

// A crash at any step of a batch, whose callbacks are sent again after the stream's duplicate window.
func TestCrashesAroundABatch(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"claimed", "batched", "committed", "published", "responded", "confirmed"} {
		if point != "committed" && !all() {
			continue
		}
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			h := ingestOnly(t, batching(t), "SIGNRELAY_TEST_CRASH="+point+"@20")
			h.ShortDuplicateWindow(t, flow.Signing)
			proveCrowd(t, h, fmt.Sprintf("kill -9 of ingest after %q, 64 callers, batches", point), func(*crowd) {
				select {
				case <-h.Processes["ingest"].Ended():
				case <-time.After(time.Minute):
					t.Errorf("ingest did not reach %q", point)
				}
				h.StartService(t, "ingest", "ingest")
			})
		})
	}
}

const (
	// longRun is the number of callbacks of each run without a cluster: a failure that needs two steps within a millisecond is rare.
	longRun = 30_000
	// killEvery is the time between two kills, in which thousands of callbacks are stored.
	killEvery = 2 * time.Second
)

func TestKillsUnderFullLoad(t *testing.T) {
	t.Parallel()
	if !all() {
		t.Skip("make faults-all has it: it sends tens of thousands of callbacks")
	}
	t.Run("NATS and ingest", func(t *testing.T) {
		t.Parallel()
		h := ingestOnly(t, batching(t))
		proveCrowd(t, h, "kill -9 of NATS and of ingest in turn, 64 callers at full load, batches", func(c *crowd) {
			for c.next.Load() < longRun {
				for _, name := range []string{"nats", "ingest"} {
					time.Sleep(killEvery)
					h.Processes[name].Kill()
					h.Processes[name].Start()
				}
			}
			time.Sleep(time.Second)
		})
	})
	t.Run("a cluster of three", func(t *testing.T) {
		t.Parallel()
		h := testenv.Cluster(t, testenv.SandboxSettings)
		h.Variant = batching(t)
		h.StartService(t, "ingest", "ingest")
		proveCrowd(t, h, "kill -9 of each node of a NATS cluster of three in turn, 64 callers at full load, batches", func(*crowd) {
			for _, node := range []string{"nats-1", "nats-2", "nats-3"} {
				time.Sleep(time.Second)
				h.Processes[node].Kill()
				time.Sleep(time.Second)
				h.Processes[node].Start()
				h.Until(t, node+" has caught up", func() bool { return h.Healthy(node) })
			}
		})
	})

	t.Run("everything in one process, without Redis", func(t *testing.T) {
		t.Parallel()
		h := testenv.Standalone(t)
		proveCrowd(t, h, "kill -9 of `signrelay run` without Redis, 64 callers at full load", func(c *crowd) {
			for c.next.Load() < longRun {
				time.Sleep(killEvery)
				h.Processes["signrelay"].Kill()
				h.Processes["signrelay"].Start()
			}
			time.Sleep(time.Second)
		})
	})
}
