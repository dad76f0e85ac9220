package flow_test

import (
	"sync"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
)

var sunday = time.Date(2026, 11, 29, 8, 30, 0, 0, time.UTC)

// Two replicas count at the same time, and no callback is lost.
func TestArrivalsOfSeveralReplicas(t *testing.T) {
	t.Parallel()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	var replicas sync.WaitGroup
	for replica := range 4 {
		replicas.Go(func() {
			for i := range 5 {
				var a flow.Arrivals
				at := sunday.Add(time.Duration(i) * time.Minute)
				a.Accept(at)
				a.Accept(at)
				a.Refuse("unauthentic", at.Add(time.Duration(replica)*time.Second))
				if err := flow.AddArrivals(t.Context(), js, "clickwrap", "acme", a, sunday); err != nil {
					t.Error(err)
				}
			}
		})
	}
	replicas.Wait()
	state, err := js.KeyValue(t.Context(), flow.State)
	if err != nil {
		t.Fatal(err)
	}
	a, err := flow.ReadArrivals(t.Context(), state, "clickwrap", "acme")
	if err != nil {
		t.Fatal(err)
	}
	if n, hours := a.Between(sunday.Add(-time.Hour), sunday.Add(time.Hour)); n != 40 || hours != 1 {
		t.Errorf("%d callbacks in %d hours", n, hours)
	}
	if r := a.Refused["unauthentic"]; r.Count != 20 || !r.First.Equal(sunday) || !r.Last.Equal(sunday.Add(4*time.Minute+3*time.Second)) {
		t.Errorf("%+v", r)
	}
	if !a.Last.Equal(sunday.Add(4 * time.Minute)) {
		t.Errorf("the last one is of %s", a.Last)
	}
	if other, err := flow.ReadArrivals(t.Context(), state, "clickwrap", "other"); err != nil || !other.Empty() {
		t.Errorf("another source: %+v, %v", other, err)
	}
}

// The record is bounded: hours are kept for eight days, and a refusal for a week.
func TestArrivalsForget(t *testing.T) {
	t.Parallel()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	for hour := range 30 * 24 {
		at := sunday.Add(time.Duration(hour) * time.Hour)
		var a flow.Arrivals
		a.Accept(at)
		if hour < 24 {
			a.Refuse("too-large", at)
		}
		if err := flow.AddArrivals(t.Context(), js, "clickwrap", "acme", a, at); err != nil {
			t.Fatal(err)
		}
	}
	state, err := js.KeyValue(t.Context(), flow.State)
	if err != nil {
		t.Fatal(err)
	}
	a, err := flow.ReadArrivals(t.Context(), state, "clickwrap", "acme")
	if err != nil || len(a.Hours) != 8*24 || len(a.Refused) != 0 {
		t.Errorf("%d hours and %d reasons, %v", len(a.Hours), len(a.Refused), err)
	}
}
