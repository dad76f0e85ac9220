package ingest_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/services/ingest"
)

// numbered is a callback about a document of its own.
func numbered(i int) string {
	return fmt.Sprintf(`{"event_type":"request_sent","request":"d%04d","id":"e%04d","created_time":%q}`, i, i, today)
}

// today is the time of all numbered callbacks: a retry has the same time.
var today = time.Now().UTC().Format(time.RFC3339)

// atOnce posts the callbacks with the numbers from..to at the same time and returns the number of responses by status.
func (h *harness) atOnce(t *testing.T, from, to int) map[int]int {
	t.Helper()
	statuses := make([]int, to-from)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() {
			got := h.post(t, "/webhooks/clickwrap/acme", numbered(from+i))
			if statuses[i] = got.status; got.status == http.StatusServiceUnavailable {
				t.Logf("callback %d: %v", from+i, got.body["reason"])
			}
		})
	}
	all.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	return count
}

// inBatches returns the number of stored events, and of those that were stored in a batch with another one.
func (h *harness) inBatches(t *testing.T) (stored, shared int) {
	t.Helper()
	batches := map[string]int{}
	for m, err := range (event.Log{JS: h.js, Stream: flow.Signing}).Messages(t.Context(), "signing.v1.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		stored++
		if id := m.Header.Get("Nats-Batch-Id"); id != "" {
			batches[id]++
		}
	}
	for _, n := range batches {
		if n > 1 {
			shared += n
		}
	}
	return stored, shared
}

const crowd = 64 // callbacks at once, several batches

func TestConcurrentCallbacksShareBatches(t *testing.T) {
	t.Parallel()
	h := openWith(t, ingest.RunWithBatches)
	h.warm(t)
	sent, stored, shared := 0, 0, 0
	for round := 0; shared == 0 && round < 20; round++ { // on a busy machine the callbacks of a round may arrive one after the other
		if got := h.atOnce(t, sent, sent+crowd); got[202] != crowd {
			t.Errorf("the responses are %v", got)
		}
		sent += crowd
		stored, shared = h.inBatches(t)
	}
	if stored != sent+1 || shared == 0 {
		t.Errorf("the log holds %d events, %d of them from shared batches", stored, shared)
	}
	if got := h.atOnce(t, 0, crowd); got[200] != crowd {
		t.Errorf("sent again: %v", got)
	}
	if again, _ := h.inBatches(t); again != stored {
		t.Errorf("the log holds %d events after the retries, want %d", again, stored)
	}
}

// A stream refuses a batch that contains an id of its duplicate window. Without the dedupe store ingest does not know those ids.
func TestADuplicateDoesNotFailTheOthersOfItsBatch(t *testing.T) {
	t.Parallel()
	h := openWith(t, ingest.RunWithBatches)
	h.warm(t)
	h.redis.Stop()
	if got := h.atOnce(t, 0, crowd/2); got[202] != crowd/2 {
		t.Fatalf("the responses are %v", got)
	}
	// The search of the log finds nothing on other subjects, so only the stream knows these ids.
	for m, err := range (event.Log{JS: h.js, Stream: flow.Signing}).Messages(t.Context(), "signing.v1.acme.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if err := h.deleteFromLog(t, m.Sequence); err != nil {
			t.Fatal(err)
		}
	}
	got := h.atOnce(t, 0, crowd)
	if got[202] != crowd/2 || got[503] != crowd/2 {
		t.Errorf("the responses are %v, want %d stored, and %d that the stream refuses without having them", got, crowd/2, crowd/2)
	}
}

func (h *harness) deleteFromLog(t *testing.T, sequence uint64) error {
	t.Helper()
	s, err := h.js.Stream(t.Context(), flow.Signing)
	if err != nil {
		return err
	}
	return s.DeleteMsg(t.Context(), sequence)
}

// Without the stream's setting, as with a NATS server before 2.12, events are published one by one, and the log reports that once.
func TestWithoutTheSettingEventsArePublishedOneByOne(t *testing.T) {
	t.Parallel()
	h := openWith(t, ingest.RunWithBatches)
	h.warm(t)
	allow := func(yes bool) {
		t.Helper()
		s, err := h.js.Stream(t.Context(), flow.Signing)
		if err != nil {
			t.Fatal(err)
		}
		c := s.CachedInfo().Config
		c.AllowAtomicPublish = yes
		if _, err := h.js.UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	allow(false)
	for from := 0; from < 2*crowd; from += crowd {
		if got := h.atOnce(t, from, from+crowd); got[http.StatusAccepted] != crowd {
			t.Errorf("the responses are %v", got)
		}
	}
	if stored, shared := h.inBatches(t); stored != 2*crowd+1 || shared != 0 {
		t.Errorf("the log holds %d events, %d of them from batches", stored, shared)
	}
	if n := strings.Count(h.logged.String(), "published one by one"); n != 1 {
		t.Errorf("logged %d times, want once:\n%s", n, h.logged)
	}
}

// The setting disappears while ingest runs, for example because an operator restored the stream from a backup.
func TestARefusedBatchIsPublishedOneByOne(t *testing.T) {
	t.Parallel()
	h := openWith(t, ingest.RunWithBatches)
	h.warm(t)
	h.atOnce(t, 0, crowd)
	s, err := h.js.Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.AllowAtomicPublish = false
	if _, err := h.js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := h.atOnce(t, crowd, 2*crowd); got[202] != crowd {
		t.Errorf("the responses are %v", got)
	}
	if stored, _ := h.inBatches(t); stored != 2*crowd+1 {
		t.Errorf("the log holds %d events, want %d", stored, 2*crowd+1)
	}
}

// A provider that repeats a callback at once must not be asked for another repetition because the confirmation is still in flight.
func TestARetryBeforeTheConfirmationIsADuplicate(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.warm(t)
	for i := range 100 {
		h.post(t, "/webhooks/clickwrap/acme", numbered(i))
		if got := h.post(t, "/webhooks/clickwrap/acme", numbered(i)); got.status != 200 {
			t.Fatalf("%d %v", got.status, got.body)
		}
	}
}

// A stream whose publishes take time one after another, and batches that take a fixed time.
func TestTheChooserFindsTheFasterMode(t *testing.T) {
	t.Parallel()
	const callers = 64
	for name, c := range map[string]struct {
		single time.Duration // of each message
		batch  time.Duration // of each batch
		want   bool
	}{
		"a synced disk":       {160 * time.Microsecond, 3 * time.Millisecond, true},
		"a slow disk":         {3 * time.Millisecond, 15 * time.Millisecond, true},
		"no sync":             {20 * time.Microsecond, 3 * time.Millisecond, false},
		"hardly any gain":     {48 * time.Microsecond, 3 * time.Millisecond, false},
		"a batch that stalls": {160 * time.Microsecond, 50 * time.Millisecond, false},
	} {
		var chooser ingest.Chooser
		now, right, publishes := time.Unix(0, 0), 0, 0
		for range 2000 {
			took := callers * c.single
			if chooser.Batches() {
				took = c.batch
			}
			now = now.Add(took)
			for range callers {
				chooser.Record(took, now)
			}
			publishes++
			if chooser.Batches() == c.want {
				right++
			}
		}
		if right < publishes*9/10 {
			t.Errorf("%s: %d of %d rounds were published in the right mode", name, right, publishes)
		}
	}
}

// One publish at a time never pays for a batch, however slow the disk.
func TestTheChooserTriesNoBatchWithoutLoad(t *testing.T) {
	t.Parallel()
	var chooser ingest.Chooser
	now := time.Unix(0, 0)
	for range 100_000 {
		now = now.Add(time.Millisecond)
		chooser.Record(time.Millisecond, now)
		if chooser.Batches() {
			t.Fatal("a batch")
		}
	}
}
