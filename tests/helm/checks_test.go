package helm_test

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// check is one thing that holds of every rendering. Each has a spoilt chart, in spoilt_test.go, of which it does not hold.
type check struct {
	name string
	find func(manifests) []string // what is wrong
}

var checks = []check{
	{"names are legal and unique", illegalNames},
	{"pods are harmless", harmfulPods},
	{"pods are watched and given time", unwatchedPods},
	{"images are ours", strangeImages},
	{"what a pod mounts is there", missingVolumes},
	{"accounts are there", missingAccounts},
	{"selectors find pods", blindSelectors},
	{"routes lead to doors", lostRoutes},
	{"alerts and dashboard are the house's", strangeAlerts},
	{"replicas are somebody's", unownedReplicas},
	{"provisioning comes first", lateProvisioning},
	{"services are those that there are", unknownServices},
	{"a refill is asked for", runningRefills},
	{"stages are scaled as the flow says", unscaledStages},
	{"programs understand their settings", misunderstoodSettings},
	{"NATS knows the users", unknownUsers},
	{"policies let through what is needed", wrongPolicies},
}

// report gathers what is wrong.
type report struct{ wrong []string }

func (r *report) add(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

// unless adds what is wrong where something that should hold does not.
func (r *report) unless(holds bool, format string, args ...any) {
	if !holds {
		r.add(format, args...)
	}
}

// illegalNames finds what the API server would refuse, or lay one over the other.
func illegalNames(m manifests) []string {
	var r report
	seen := map[string]bool{}
	for _, o := range m.objects {
		kind := o.GetObjectKind().GroupVersionKind().Kind
		who := kind + " " + o.GetName()
		// A Service's name is the strictest; one rule for all is easier to keep.
		for _, msg := range validation.IsDNS1035Label(o.GetName()) {
			r.add("%s: %s", who, msg)
		}
		r.unless(!seen[who], "%s is there twice", who)
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
		r.unless(o.GetNamespace() == "", "%s names its namespace itself", who)
	}
	return r.wrong
}
