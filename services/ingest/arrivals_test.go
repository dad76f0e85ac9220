package ingest_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/ingest"
)

// Operators see how many callbacks of a source came in, how many were refused, why and since when. A source that the settings do not have has no record.
func TestCallbacksAreCounted(t *testing.T) {
	t.Parallel()
	stop, ended := make(chan struct{}), make(chan error, 1)
	h := openWith(t, func(ctx context.Context, env service.Env) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-stop:
				cancel()
			case <-ctx.Done():
			}
		}()
		err := ingest.Run(ctx, env)
		ended <- err
		return err
	})
	before := time.Now()
	for n, want := range []int{http.StatusAccepted, http.StatusAccepted} {
		if got := h.post(t, "/webhooks/clickwrap/acme", callback(n)); got.status != want {
			t.Fatalf("status %d", got.status)
		}
	}
	h.post(t, "/webhooks/clickwrap/acme", callback(0)) // a duplicate is a callback too
	for range 3 {
		h.send(t, "POST", "/webhooks/clickwrap/acme", tokenOf("wrong"), strings.NewReader(callback(3)))
	}
	h.send(t, "POST", "/webhooks/clickwrap/acme", http.Header{"Content-Type": {"text/html"}}, strings.NewReader("x"))
	h.send(t, "POST", "/webhooks/clickwrap/unknown", tokenOf("12345"), strings.NewReader(callback(4)))
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	state, err := h.js.KeyValue(t.Context(), flow.State)
	if err != nil {
		t.Fatal(err)
	}
	a, err := flow.ReadArrivals(t.Context(), state, "clickwrap", "acme")
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := a.Between(before.Add(-time.Hour), before.Add(2*time.Hour)); n != 3 || a.Last.Before(before.Add(-time.Second)) {
		t.Errorf("%d callbacks, the last one %s", n, a.Last)
	}
	if r := a.Refused["unauthentic"]; r.Count != 3 || r.First.Before(before.Add(-time.Second)) || r.Last.Before(r.First) || a.Refused["content-type"].Count != 1 || len(a.Refused) != 2 {
		t.Errorf("refused: %+v", a.Refused)
	}
	lister, err := state.ListKeysFiltered(t.Context(), "arrivals.>")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range lister.Keys() {
		n++
	}
	if n != 1 {
		t.Errorf("%d records", n)
	}
}
