package service

import (
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
)

func TestAHostSaysWhichServicesItRuns(t *testing.T) {
	t.Parallel()
	broker := provisioned(t)
	_, js := broker.Connect()
	until := func(what string, want map[string]int) {
		t.Helper()
		var got map[string]int
		for end := time.Now().Add(waitLimit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			var err error
			if got, err = flow.ReplicasOf(t.Context(), js); err != nil {
				t.Fatal(err)
			}
			if len(got) == len(want) && got[flow.Enricher] == want[flow.Enricher] && got[flow.Shortener] == want[flow.Shortener] {
				return
			}
		}
		t.Fatalf("%s: the replicas are %v, want %v", what, got, want)
	}
	to := func(c *config.Config) { c.NATS.URL = broker.URL }
	one := open(t, settings(t, to), idle(flow.Enricher), idle(flow.Shortener), idle("sandbox"))
	one.opened()
	until("one process", map[string]int{flow.Enricher: 1, flow.Shortener: 1})
	two := open(t, settings(t, to), idle(flow.Enricher))
	two.opened()
	until("another one", map[string]int{flow.Enricher: 2, flow.Shortener: 1})
	one.stop()
	if err := one.end(); err != nil {
		t.Fatal(err)
	}
	until("after the end of the first", map[string]int{flow.Enricher: 1})
}
