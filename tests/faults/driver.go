package faults

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/tests/testenv"
)

// driver replaces the provider: it repeats a callback until it gets status 2xx, as often as providers do, but faster.
type driver struct {
	urls   []string // of all replicas of ingest
	row    string
	client *http.Client
	tries  time.Duration // the time for which it retries one callback
	pace   time.Duration // between two callbacks of one caller during the fault
	failed atomic.Int64  // attempts without status 2xx

	mutex     sync.Mutex
	documents []string             // reported so far
	accepted  map[string]time.Time // the time when each first got status 2xx
	back      time.Time            // the end of the last outage; zero if there was none
}

const (
	callsAtOnce = 8
	retryEvery  = 250 * time.Millisecond // an hour, at PleaseSign
	callsFor    = 90 * time.Second       // three days
)

func newDriver(h *testenv.Env, row string) *driver {
	return &driver{urls: h.IngestURLs, row: row, client: &http.Client{Timeout: 20 * time.Second}, tries: callsFor, pace: steadily, accepted: map[string]time.Time{}}
}

const (
	least    = 60                     // documents per row, with two messages each
	briskly  = 5 * time.Millisecond   // between two callbacks of one caller, up to the number in the line above
	steadily = 100 * time.Millisecond // the pause after that number, until the fault is over, if the row sets no pace
)

// load reports documents until the fault is over and there are enough of them, and repeats each callback until it gets status 2xx. It
// returns the number of callbacks that did not.
func (d *driver) load(ctx context.Context, over <-chan struct{}) (refused int64) {
	var failed atomic.Int64
	var callers sync.WaitGroup
	for range callsAtOnce {
		callers.Go(func() {
			for {
				document, count := d.another()
				if !d.call(ctx, document) {
					failed.Add(1)
				}
				pace := briskly
				if count >= least {
					pace = d.pace
					select {
					case <-over:
						return
					default:
					}
				}
				time.Sleep(pace)
			}
		})
	}
	callers.Wait()
	return failed.Load()
}

// another returns a new document, and the number of documents with it.
func (d *driver) another() (document string, count int) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	document = fmt.Sprintf("d-%s-%04d", d.row, len(d.documents))
	d.documents = append(d.documents, document)
	return document, len(d.documents)
}

// all returns every document so far.
func (d *driver) all() []string {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return slices.Clone(d.documents)
}

// again reports every document once more, as a provider that got no response does. Each callback must be accepted, or be a duplicate.
func (d *driver) again(t testing.TB) {
	t.Helper()
	documents := d.all()
	var next atomic.Int64
	var callers sync.WaitGroup
	for range callsAtOnce {
		callers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(documents)); i = next.Add(1) - 1 {
				if !d.call(t.Context(), documents[i]) {
					t.Errorf("the callback of %s was not accepted within %v", documents[i], d.tries)
				}
			}
		})
	}
	callers.Wait()
}

// call repeats one callback until it gets status 2xx.
func (d *driver) call(ctx context.Context, document string) bool {
	body := fmt.Sprintf(`{"event_type":"request_sent","request":%q,"activity":"a-%s","id":"e-%s","created_time":"2026-01-02T03:04:05.000Z"}`,
		document, document, document)
	deadline := time.Now().Add(d.tries)
	for try := rand.IntN(len(d.urls)); time.Now().Before(deadline) && ctx.Err() == nil; try++ { // each attempt calls the next replica
		switch d.once(ctx, d.urls[try%len(d.urls)], body) {
		case http.StatusAccepted, http.StatusOK: // 200: an earlier attempt was accepted, and its response was lost
			d.accept(document)
			return true
		}
		d.failed.Add(1)
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
	return false
}

func (d *driver) accept(document string) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.accepted[document].IsZero() {
		d.accepted[document] = time.Now()
	}
}

// once returns the status of one attempt; 0 for no response.
func (d *driver) once(ctx context.Context, base, body string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/webhooks/clickwrap/demo", strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Pactsafe-Webhook-Token", "12345")
	resp, err := d.client.Do(req)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}
