package flow_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
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
	for _, s := range flow.Stages {
		consumerIs(t, js, s.Stream, s.Name, s.Consumes)
		consumerIs(t, js, flow.Replay, s.Name, []string{s.Replays()})
	}
}

func consumerIs(t *testing.T, js jetstream.JetStream, stream, name string, wantTakes []string) {
	t.Helper()
	c, err := js.Consumer(t.Context(), stream, name)
	if err != nil {
		t.Fatal(err)
	}
	got := c.CachedInfo().Config
	if got.MaxDeliver != -1 || got.AckPolicy != jetstream.AckExplicitPolicy || got.AckWait != flow.AckWait {
		t.Errorf("%s on %s: %+v", name, stream, got)
	}
	takes := got.FilterSubjects
	if len(takes) == 0 {
		takes = []string{got.FilterSubject}
	}
	if diff := cmp.Diff(wantTakes, takes); diff != "" {
		t.Errorf("%s on %s: takes (-want +got):\n%s", name, stream, diff)
	}
}

// DLQ gets the server's advisories about the stages' messages, but not those about other parties' consumers.
func TestTheDLQGetsOnlyAdvisoriesOfOurStages(t *testing.T) {
	t.Parallel()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	others, err := js.CreateConsumer(t.Context(), flow.Notify, jetstream.ConsumerConfig{Durable: "billing", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	ours, err := js.Consumer(t.Context(), flow.Notify, flow.SMSSender)
	if err != nil {
		t.Fatal(err)
	}
	replays, err := js.Consumer(t.Context(), flow.Replay, flow.SMSSender)
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"notify.v1.send.sms.a.b.c", "replay.v1.sms-sender.NOTIFY.1.1"} {
		if _, err := js.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []jetstream.Consumer{others, ours, replays} {
		m, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.TermWithReason("by hand"); err != nil {
			t.Fatal(err)
		}
	}
	dlq, err := js.OrderedConsumer(t.Context(), flow.DLQ, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var heard []string
	for range 2 {
		m, err := dlq.Next(jetstream.FetchMaxWait(20 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, strings.TrimPrefix(m.Subject(), "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED."))
	}
	slices.Sort(heard)
	if diff := cmp.Diff([]string{"NOTIFY.sms-sender", "REPLAY.sms-sender"}, heard); diff != "" {
		t.Errorf("the DLQ has (-want +got):\n%s", diff)
	}
}

func TestTablesAreConsistent(t *testing.T) {
	t.Parallel()
	age := map[string]time.Duration{}
	for _, s := range flow.Streams {
		age[s.Name] = s.MaxAge
		if s.MaxAge != 0 && s.MaxAge < flow.DuplicateWindow {
			t.Errorf("%s deletes messages before their ids", s.Name)
		}
	}
	for _, s := range flow.Stages {
		if age[s.Stream] == 0 {
			t.Errorf("%s reads %s, which is no stream", s.Name, s.Stream)
		}
		if s.Workers <= 0 || s.Timeout <= 0 || s.Policy.MaxAttempts <= 1 || s.Purpose == "" || len(s.Consumes) == 0 {
			t.Errorf("%s is incomplete: %+v", s.Name, s)
		}
		if flow.StageNamed(s.Name).Name != s.Name {
			t.Errorf("%s is not found by its name", s.Name)
		}
	}
	if age[flow.Replay] < age[flow.DLQ] {
		t.Error("REPLAY deletes a replay before DLQ deletes the dead letter, so the dead letter could be replayed twice")
	}
	const pleaseSignRetries = 72 * time.Hour
	if flow.Remember <= pleaseSignRetries {
		t.Errorf("ids are remembered for %v, which is not longer than PleaseSign retries", flow.Remember)
	}
}

// A producer that runs periodically gets no callbacks.
func TestOnlyProducersWithCallbacksReceiveThem(t *testing.T) {
	t.Parallel()
	picture := flow.Mermaid([]flow.Producer{
		{Name: "ingest", Receives: "callbacks", Publishes: []string{event.Everything}},
		{Name: "reconciler", Publishes: []string{event.Everything}},
	}, nil)
	for line, want := range map[string]bool{
		"  providers -->|callbacks| ingest\n": true, "  ingest --> SIGNING\n": true, "callbacks| reconciler": false, "  reconciler --> SIGNING\n": true,
	} {
		if strings.Contains(picture, line) != want {
			t.Errorf("%q is in the picture: %t\n%s", line, !want, picture)
		}
	}
}

// Each service that claims has a namespace of its own, or it would take another one's claims for its own. Only the reconciler shares ingest's: a
// late callback and a reconciliation must not both store a fact.
func TestNamespacesOfClaimsAreDistinct(t *testing.T) {
	t.Parallel()
	owner := map[string]string{}
	var names []string
	for _, p := range flow.Producers {
		names = append(names, p.Name)
	}
	for _, s := range flow.Stages {
		names = append(names, s.Name)
		if s.Effect && flow.ClaimsOf(s.Name) == "" {
			t.Errorf("%s has an outside effect, and claims nothing", s.Name)
		}
	}
	for _, name := range names {
		space := flow.ClaimsOf(name)
		if name == flow.Reconciler {
			if space != flow.IngestClaims {
				t.Errorf("%s claims under %q, want ingest's namespace", name, space)
			}
			continue
		}
		if other := owner[space]; space != "" && other != "" {
			t.Errorf("%s and %s claim under %q", other, name, space)
		}
		owner[space] = name
	}
	if owner["i"] != "ingest" || owner["sms-sender"] != "sms-sender" || owner["email-sender"] != "email-sender" {
		t.Errorf("%v: these are keys in each Redis in use, so they never change", owner)
	}
}

func TestTheReadmeShowsTheFlow(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```mermaid\n"+flow.Mermaid(flow.Producers, flow.Stages)+"```\n") {
		t.Error("the picture in README.md differs from the flow: run make generate")
	}
}
