package flow_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
)

func TestProvisionMakesTheTablesAndNothingElseTwice(t *testing.T) {
	t.Parallel()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provisioned(t.Context(), js); err == nil {
		t.Error("an empty server counts as provisioned")
	}
	for range 2 {
		if err := flow.Provision(t.Context(), js, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := flow.Provisioned(t.Context(), js); err != nil {
		t.Error(err)
	}
	for _, want := range flow.Streams {
		s, err := js.Stream(t.Context(), want.Name)
		if err != nil {
			t.Fatal(err)
		}
		got := s.CachedInfo().Config
		if got.Retention != jetstream.LimitsPolicy {
			t.Errorf("%s: %v; a work queue forgets its duplicate window on a restart", want.Name, got.Retention)
		}
		if got.MaxAge != want.MaxAge || got.Duplicates != flow.DuplicateWindow || !got.AllowDirect || got.Storage != jetstream.FileStorage {
			t.Errorf("%s: %+v", want.Name, got)
		}
		if diff := cmp.Diff(want.Subjects, got.Subjects); diff != "" {
			t.Errorf("%s: subjects (-want +got):\n%s", want.Name, diff)
		}
	}
	for _, want := range flow.Stages {
		c, err := js.Consumer(t.Context(), want.Stream, want.Name)
		if err != nil {
			t.Fatal(err)
		}
		got := c.CachedInfo().Config
		if got.MaxDeliver != -1 || got.AckPolicy != jetstream.AckExplicitPolicy || got.AckWait != flow.AckWait {
			t.Errorf("%s: %+v", want.Name, got)
		}
		takes := got.FilterSubjects
		if len(takes) == 0 {
			takes = []string{got.FilterSubject}
		}
		if diff := cmp.Diff(want.Takes, takes); diff != "" {
			t.Errorf("%s: takes (-want +got):\n%s", want.Name, diff)
		}
	}
}

func TestTablesHoldTogether(t *testing.T) {
	t.Parallel()
	streams := map[string]bool{}
	for _, s := range flow.Streams {
		streams[s.Name] = true
		if s.MaxAge < flow.DuplicateWindow {
			t.Errorf("%s forgets messages before their ids", s.Name)
		}
	}
	for _, s := range flow.Stages {
		if !streams[s.Stream] {
			t.Errorf("%s reads %s, which is no stream", s.Name, s.Stream)
		}
		if s.Workers <= 0 || s.Timeout <= 0 || s.Policy.MaxAttempts <= 1 || s.Does == "" || len(s.Takes) == 0 {
			t.Errorf("%s is incomplete: %+v", s.Name, s)
		}
		if flow.StageNamed(s.Name).Name != s.Name {
			t.Errorf("%s is not found by its name", s.Name)
		}
	}
	const pleaseSignRetries = 72 * time.Hour
	if flow.Remember <= pleaseSignRetries {
		t.Errorf("ids are remembered for %v, which is no longer than PleaseSign retries", flow.Remember)
	}
}

func TestTheReadmeShowsTheFlow(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```mermaid\n"+flow.Mermaid()+"```\n") {
		t.Error("the picture in README.md is not the flow: run make generate")
	}
}
