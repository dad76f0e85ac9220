package helm_test

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// check is a condition for every rendering. broken_test.go has a chart for each that violates it.
type check struct {
	name string
	find func(manifests) []string // the violations
}

var checks = []check{
	{"names are legal and unique", illegalNames},
	{"pods are harmless", harmfulPods},
	{"pods have probes and time to end", unwatchedPods},
	{"images are ours", strangeImages},
	{"mounted volumes exist", missingVolumes},
	{"service accounts exist", missingAccounts},
	{"selectors find pods", blindSelectors},
	{"routes lead to listeners", lostRoutes},
	{"alerts and dashboard equal their sources", strangeAlerts},
	{"replicas have one owner", unownedReplicas},
	{"provisioning comes first", lateProvisioning},
	{"services match the flow", unknownServices},
	{"refills are started by hand", runningRefills},
	{"stages are scaled as in the flow", unscaledStages},
	{"programs accept their settings", misunderstoodSettings},
	{"NATS knows the users", unknownUsers},
	{"policies allow the needed connections", wrongPolicies},
}

// report collects violations.
type report struct{ wrong []string }

func (r *report) add(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

// unless adds a violation if a condition does not hold.
func (r *report) unless(holds bool, format string, args ...any) {
	if !holds {
		r.add(format, args...)
	}
}

// illegalNames finds objects that the API server would refuse, and objects that overwrite each other.
func illegalNames(m manifests) []string {
	var r report
	seen := map[string]bool{}
	for _, o := range m.objects {
		kind := o.GetObjectKind().GroupVersionKind().Kind
		who := kind + " " + o.GetName()
		// The rule for a Service's name is the strictest; one rule for all objects is simpler.
		for _, msg := range validation.IsDNS1035Label(o.GetName()) {
			r.add("%s: %s", who, msg)
		}
		r.unless(!seen[who], "%s occurs twice", who)
		seen[who] = true
		for key, value := range o.GetLabels() {
			for _, msg := range append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...) {
				r.add("%s: label %s: %s", who, key, msg)
			}
		}
		for key := range o.GetAnnotations() {
			for _, msg := range validation.IsQualifiedName(strings.ToLower(key)) {
				r.add("%s: annotation %s: %s", who, key, msg)
			}
		}
		r.unless(o.GetNamespace() == "", "%s sets its namespace", who)
	}
	return r.wrong
}
