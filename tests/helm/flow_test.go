package helm_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"

	"github.com/signrelay/signrelay/libs/flow"
)

// unknownServices finds services that the chart lacks, and unknown ones. Two run only if the values enable them.
func unknownServices(m manifests) []string {
	var r report
	folders, err := os.ReadDir(filepath.Join(root, "services"))
	if err != nil {
		return []string{err.Error()}
	}
	running := services(m)
	for _, f := range folders {
		switch name := f.Name(); name {
		case "standalone", "sections":
		case "console", "kafka-bridge", "archiver", "indexer", "sandbox":
			wanted := map[string]bool{"console": m.setting("console", "url") != nil, "kafka-bridge": m.setting("kafka", "brokers") != nil, "archiver": m.setting("archive", "url") != nil, "indexer": m.setting("index", "url") != nil, "sandbox": sandboxOn(m)}
			r.unless((running[name] != nil) == wanted[name], "%s runs: %t", name, running[name] != nil)
			delete(running, name)
		default:
			r.unless(running[name] != nil, "%s does not run", name)
			delete(running, name)
		}
	}
	r.unless(len(running) == 0, "unknown services: %v", sorted(running))
	return r.wrong
}

// unscaledStages finds services that KEDA does not scale by both consumers of each of their stages, and ordered stages that it scales.
func unscaledStages(m manifests) []string {
	var r report
	on, _ := part(m.values, "keda")["enabled"].(bool)
	perWorker := number(part(m.values, "keda")["waitingPerWorker"])
	known := map[string]bool{}
	for _, s := range flow.Stages {
		if s.Program() != s.Name {
			continue // it is scaled with its service's first stage
		}
		d := services(m)[s.Name]
		if d == nil {
			continue // another check reports missing services
		}
		scaled, found := named[*keda.ScaledObject](m, d.Name)
		if s.Ordered || !on {
			r.unless(!found, "%s is scaled", s.Name)
			r.unless(!s.Ordered || value(d.Spec.Replicas) <= 2, "%s has more than one standby", s.Name)
			continue
		}
		if !found {
			r.add("%s is not scaled", s.Name)
			continue
		}
		known[scaled.Name] = true
		var triggers [][3]string
		for _, trigger := range scaled.Spec.Triggers {
			r.unless(trigger.Type == "nats-jetstream", "%s is scaled by %s", s.Name, trigger.Type)
			triggers = append(triggers, [3]string{trigger.Metadata["stream"], trigger.Metadata["consumer"], trigger.Metadata["lagThreshold"]})
			for parameter, is := range map[string]string{"account": "SIGNRELAY", "natsServerMonitoringEndpoint": text(m.values, "keda", "monitoringEndpoint")} {
				got, given := trigger.Metadata[parameter]
				r.unless(given && got == is && is != "" || !given && authenticates(m, trigger, parameter), "%s: %s is %q", s.Name, parameter, got)
			}
		}
		var want [][3]string
		for _, own := range flow.Stages {
			if own.Program() == s.Name {
				lag := strconv.Itoa(own.Workers * perWorker)
				want = append(want, [3]string{own.Stream, own.Name, lag}, [3]string{flow.Replay, own.Name, lag})
			}
		}
		slices.SortFunc(want, func(a, b [3]string) int { return slices.Compare(a[:], b[:]) })
		slices.SortFunc(triggers, func(a, b [3]string) int { return slices.Compare(a[:], b[:]) })
		r.unless(slices.Equal(triggers, want), "%s is scaled by %v, not %v", s.Name, triggers, want)
	}
	for _, o := range of[*keda.ScaledObject](m) {
		r.unless(known[o.Name], "%s is not a stage", o.Name)
	}
	return r.wrong
}

// runningRefills finds a refill that would start by itself, or one without Kafka.
func runningRefills(m manifests) []string {
	var r report
	jobs := of[*batch.CronJob](m)
	r.unless((len(jobs) == 1) == (m.setting("kafka", "brokers") != nil), "there are %d refills", len(jobs))
	for _, j := range jobs {
		r.unless(isTrue(j.Spec.Suspend), "the refill runs at %s", j.Spec.Schedule)
		r.unless(value(j.Spec.JobTemplate.Spec.BackoffLimit) > 0, "a refill does not resume after its pod died")
	}
	return r.wrong
}

// authenticates reports whether a parameter of the trigger comes from a Secret, through the chart's own TriggerAuthentication or another
// one.
func authenticates(m manifests, trigger keda.ScaleTriggers, parameter string) bool {
	if trigger.AuthenticationRef == nil {
		return false
	}
	own, found := named[*keda.TriggerAuthentication](m, trigger.AuthenticationRef.Name)
	return !found || slices.ContainsFunc(own.Spec.SecretTargetRef, func(ref keda.AuthSecretTargetRef) bool {
		return ref.Parameter == parameter && ref.Name != "" && ref.Key != ""
	})
}

// text is a value of a section, "" if there is none.
func text(values map[string]any, section, key string) string {
	s, _ := part(values, section)[key].(string)
	return s
}

// unownedReplicas finds scalers without a Deployment, and Deployments whose number of replicas is set twice, or may be 0.
func unownedReplicas(m manifests) []string {
	var r report
	scaled := map[string]bool{}
	bounds := func(name string, least, most *int32) {
		scaled[name] = true
		r.unless(value(least) >= 1 && value(most) >= value(least), "%s is scaled from %d to %d", name, value(least), value(most))
	}
	for _, h := range of[*autoscaling.HorizontalPodAutoscaler](m) {
		to := h.Spec.ScaleTargetRef
		r.unless(to.Kind == "Deployment" && to.APIVersion == "apps/v1", "the HPA scales a %s", to.Kind)
		bounds(to.Name, h.Spec.MinReplicas, &h.Spec.MaxReplicas)
	}
	for _, o := range of[*keda.ScaledObject](m) {
		bounds(o.Spec.ScaleTargetRef.Name, o.Spec.MinReplicaCount, o.Spec.MaxReplicaCount)
		// The rules of KEDA's admission webhook.
		for _, err := range []error{keda.CheckReplicaCountBoundsAreValid(o), keda.CheckFallbackValid(o)} {
			r.unless(err == nil, "%s: %v", o.Name, err)
		}
	}
	for _, d := range services(m) {
		r.unless((d.Spec.Replicas == nil) == scaled[d.Name], "%s: its replicas and its scaler disagree", d.Name)
		r.unless(d.Spec.Replicas == nil || *d.Spec.Replicas > 0, "%s has no replica", d.Name)
		delete(scaled, d.Name)
	}
	r.unless(len(scaled) == 0, "no Deployment for the scalers %v", sorted(scaled))
	return r.wrong
}

func TestChartMatchesTheFlow(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(chartPath, "files", "flow.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Service  string   `json:"service"`
		Consumer string   `json:"consumer"`
		Streams  []string `json:"streams"`
		Workers  int      `json:"workers"`
		Ordered  bool     `json:"ordered"`
	}
	rows := map[string]row{}
	if err := yaml.UnmarshalStrict(data, &rows); err != nil {
		t.Fatal(err)
	}
	for _, s := range flow.Stages {
		got, want := rows[s.Name], row{s.Program(), s.Name, []string{s.Stream, flow.Replay}, s.Workers, s.Ordered}
		if got.Service != want.Service || got.Consumer != want.Consumer || !slices.Equal(got.Streams, want.Streams) || got.Workers != want.Workers || got.Ordered != want.Ordered {
			t.Errorf("%s is %+v, and in libs/flow %+v: run make generate", s.Name, got, want)
		}
	}
	if len(rows) != len(flow.Stages) {
		t.Errorf("%d stages, and %d in libs/flow: run make generate", len(rows), len(flow.Stages))
	}
}

// setting is the value at section.key of config, or nil.
func (m manifests) setting(section, key string) any {
	return part(part(m.values, "config"), section)[key]
}

func sandboxOn(m manifests) bool {
	on, _ := part(part(m.values, "services"), "sandbox")["enabled"].(bool)
	return on
}

func part(values map[string]any, key string) map[string]any {
	below, _ := values[key].(map[string]any)
	return below
}

func number(v any) int {
	switch n := v.(type) {
	case float64:
		return int(n)
	case int64:
		return int(n)
	case int:
		return n
	default:
		return 0
	}
}
