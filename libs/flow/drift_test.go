package flow_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
)

func TestDriftNamesEachDifferenceFromTheTables(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, js := realtest.NATS(t).Connect()
	drift := func(replicas int) []string {
		t.Helper()
		all, err := flow.Drift(ctx, js, replicas)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, d := range all {
			found = append(found, d.String())
		}
		slices.Sort(found)
		return found
	}
	if n, want := len(drift(1)), len(flow.Streams)+len(flow.Buckets)+2*len(flow.Stages); n != want {
		t.Errorf("an empty server lacks %d resources, want %d: %q", n, want, drift(1))
	}
	if err := flow.Provision(ctx, js, 1); err != nil {
		t.Fatal(err)
	}
	if found := drift(1); len(found) > 0 {
		t.Errorf("a provisioned server differs: %q", found)
	}

	changeStream(t, js, flow.Signing, func(c *jetstream.StreamConfig) { c.MaxAge, c.Duplicates = time.Hour, time.Minute })
	changeStream(t, js, "KV_"+flow.Links, func(c *jetstream.StreamConfig) { c.MaxAge, c.Duplicates = time.Hour, time.Minute })
	c, err := js.Consumer(ctx, flow.Notify, flow.SMSSender)
	if err != nil {
		t.Fatal(err)
	}
	config := c.CachedInfo().Config
	config.MaxDeliver, config.FilterSubjects = 5, []string{"notify.v1.>"}
	if _, err := js.UpdateConsumer(ctx, flow.Notify, config); err != nil {
		t.Fatal(err)
	}
	if _, err := js.PauseConsumer(ctx, flow.Replay, flow.Shortener, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(ctx, flow.Quarantine); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bucket LINKS: max_age is 1h0m0s, not 2160h0m0s",
		"consumer shortener on REPLAY: paused is true, not false",
		"consumer sms-sender on NOTIFY: filter_subjects is notify.v1.>, not notify.v1.send.sms.>",
		"consumer sms-sender on NOTIFY: max_deliver is 5, not unlimited",
		"stream QUARANTINE is missing",
		"stream SIGNING: duplicate_window is 1m0s, not 2m0s",
		"stream SIGNING: max_age is 1h0m0s, not 2160h0m0s",
	}
	if diff := cmp.Diff(want, drift(1)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := flow.Provision(ctx, js, 1); err != nil {
		t.Fatal(err)
	}
	if found := drift(1); len(found) != 1 || found[0] != want[1] { // Provision pauses and resumes nothing
		t.Errorf("provisioned again it differs: %q", found)
	}
	if found := drift(3); !slices.Contains(found, "stream SIGNING: num_replicas is 1, not 3") {
		t.Errorf("with three replicas wanted: %q", found)
	}
}

func changeStream(t *testing.T, js jetstream.JetStream, name string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	change(&config)
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}
