package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/signrelay/signrelay/libs/outcome"
)

func TestOneLogLineAnAttempt(t *testing.T) {
	t.Parallel()
	h := setup(t)
	var log bytes.Buffer
	r := h.effect(h.memory())
	r.Log = slog.New(slog.NewJSONHandler(&log, nil))
	r.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		switch in.Attempt {
		case 1:
			return nil, outcome.Unknown(errPlain)
		case 2:
			panic("in the middle")
		default:
			return nil, nil
		}
	}
	stop := h.run(r)
	h.publish("input", withID("a"))
	for h.next() != "+ACK" {
	}
	stop()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	want := []map[string]any{
		{"level": "WARN", "attempt": 1.0, "verdict": "retry", "reason": "failed", "unknown": false, "error": "it failed"},
		{"level": "WARN", "attempt": 2.0, "verdict": "retry", "reason": "panic", "unknown": true, "error": "panic: in the middle"},
		{"level": "INFO", "attempt": 3.0, "verdict": "done", "reason": "", "unknown": true, "error": nil},
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), log.String())
	}
	for i, line := range lines {
		var got map[string]any
		h.must(json.Unmarshal([]byte(line), &got))
		want[i]["msg"], want[i]["stage"], want[i]["id"], want[i]["subject"] = "attempt", "tester", "a", "in.acme"
		for key, value := range want[i] {
			if got[key] != value {
				t.Errorf("line %d: %s is %v, want %v", i+1, key, got[key], value)
			}
		}
		if _, ok := got["took_ms"].(float64); !ok {
			t.Errorf("line %d: took_ms is %v", i+1, got["took_ms"])
		}
		if _, stack := got["stack"]; stack != (i == 1) {
			t.Errorf("line %d: stack is %v", i+1, got["stack"])
		}
	}
}

// Two stages of one program count into one registry.
func TestMetrics(t *testing.T) {
	t.Parallel()
	h := setup(t)
	registry := prometheus.NewRegistry()
	first, second, pure := h.effect(h.memory()), h.effect(h.memory()), h.stage()
	first.Metrics, second.Metrics, pure.Metrics = registry, registry, registry
	second.Stage.Name, pure.Stage.Name = "second", "pure"
	first.Do = func(_ context.Context, in Event[string]) ([]Out, error) {
		if in.Attempt == 1 {
			return nil, outcome.Unknown(errPlain)
		}
		return nil, nil
	}
	second.Do = func(context.Context, Event[string]) ([]Out, error) {
		return nil, outcome.Unknown(errors.New("for ever"))
	}

	stop := h.run(first)
	h.publish("input", withID("a"))
	for h.next() != "+ACK" {
	}
	stop()
	pure.Do = second.Do
	for _, r := range []Runner[string]{second, pure} {
		for _, stream := range []string{"IN", "REPLAY"} {
			_, err := h.js.CreateConsumer(t.Context(), stream, h.fit(r.Stage.Name))
			h.must(err)
		}
		stop = h.run(r)
		for h.next() != "+TERM attempts-exhausted" {
		}
		stop()
	}

	got := count(t, registry)
	for series, want := range map[string]float64{
		"signrelay_stage_attempts_total{outcome=retry,reason=failed,stage=tester}":               1,
		"signrelay_stage_attempts_total{outcome=done,reason=,stage=tester}":                      1,
		"signrelay_stage_attempts_total{outcome=retry,reason=failed,stage=second}":               2,
		"signrelay_stage_attempts_total{outcome=give-up,reason=attempts-exhausted,stage=second}": 1,
		"signrelay_stage_attempts_total{outcome=retry,reason=failed,stage=pure}":                 2,
		"signrelay_stage_attempts_total{outcome=give-up,reason=attempts-exhausted,stage=pure}":   1,
		"signrelay_stage_seconds{stage=pure}":                                                    3,
		"signrelay_stage_seconds{stage=tester}":                                                  2,
		"signrelay_stage_seconds{stage=second}":                                                  3,
		"signrelay_stage_age_seconds{stage=pure}":                                                1,
		"signrelay_stage_age_seconds{stage=tester}":                                              1,
		"signrelay_stage_age_seconds{stage=second}":                                              1,
		"signrelay_stage_unknown_total{stage=tester}":                                            1,
		"signrelay_stage_unknown_total{stage=second}":                                            2,
	} {
		if got[series] != want {
			t.Errorf("%s is %v, want %v", series, got[series], want)
		}
		delete(got, series)
	}
	// A counter starts at 0, so that Prometheus sees the first event as growth. A stage without an effect has no counter of unknown outcomes.
	for _, series := range []string{
		"signrelay_stage_attempts_total{outcome=give-up,reason=permanent,stage=tester}",
		"signrelay_stage_attempts_total{outcome=give-up,reason=panic,stage=pure}",
		"signrelay_stage_waiting_messages{stage=pure,stream=REPLAY}",
	} {
		if _, there := got[series]; !there {
			t.Errorf("%s is not reported", series)
		}
	}
	for series, value := range got {
		if value != 0 || strings.HasPrefix(series, "signrelay_stage_unknown_total") {
			t.Errorf("unexpected %s: %v", series, value)
		}
	}
}

func TestTheLagIsReported(t *testing.T) {
	t.Parallel()
	h := setup(t)
	working, release := make(chan struct{}, 3), make(chan struct{})
	r := h.stage()
	r.Do = func(context.Context, Event[string]) ([]Out, error) {
		working <- struct{}{}
		<-release
		return nil, nil
	}
	for _, id := range []string{"a", "b", "c"} {
		h.publish("input", withID(id))
	}
	stop := h.run(r)
	<-working // one of three is in flight

	look := func(want map[string]float64) {
		t.Helper()
		registry := prometheus.NewRegistry()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- reportLag(ctx, r.sources(), []*Floors{{}, {}}, registry, lagEvery, func(*jetstream.ConsumerInfo) {})
		}()
		var got map[string]float64
		for deadline := time.Now().Add(longest); time.Now().Before(deadline) && !maps.Equal(got, want); {
			got = gauges(t, registry)
		}
		if cancel(); !maps.Equal(got, want) {
			t.Errorf("reported %v, want %v", got, want)
		}
		h.must(<-ended)
	}
	look(map[string]float64{
		"signrelay_stage_waiting_messages IN": 3, "signrelay_stage_unanswered_messages IN": 1,
		"signrelay_stage_waiting_messages REPLAY": 0, "signrelay_stage_unanswered_messages REPLAY": 0,
	})
	close(release)
	for range 3 {
		h.next()
	}
	stop()
	look(map[string]float64{
		"signrelay_stage_waiting_messages IN": 0, "signrelay_stage_unanswered_messages IN": 0,
		"signrelay_stage_waiting_messages REPLAY": 0, "signrelay_stage_unanswered_messages REPLAY": 0,
	})

	// A gauge without a current value is removed.
	l, err := newLag(prometheus.NewRegistry())
	h.must(err)
	here := source{stage: r.Stage, stream: "IN", js: h.js, log: r.Log}
	gone := here
	gone.stream = "NOWHERE"
	l.waiting.WithLabelValues("tester", "NOWHERE").Set(7)
	l.ask(t.Context(), gone)
	l.ask(t.Context(), here)
	if n := testutil.CollectAndCount(l.waiting); n != 1 {
		t.Errorf("%d streams are reported, want the one that responded", n)
	}
}

// gauges reads every gauge, by its name and stream.
func gauges(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, l := range metric.GetLabel() {
				if l.GetName() == "stream" {
					all[family.GetName()+" "+l.GetValue()] = metric.GetGauge().GetValue()
				}
			}
		}
	}
	return all
}

func TestAMetricOfAnotherKindIsNotShared(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "signrelay_stage_unknown_total", Help: "another"}))
	if _, err := newMetrics(registry); err == nil {
		t.Error("counts into another component's metric")
	}
}

// count reads every series of a registry: a counter's value, a histogram's number of observations.
func count(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, l := range metric.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			all[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = metric.GetCounter().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return all
}
