// Package helm_test renders the chart as `helm template` does, decodes every object strictly into Kubernetes' own types, and compares the
// result with libs/flow, libs/config and the services.
package helm_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	release "helm.sh/helm/v4/pkg/release/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

const (
	root      = "../.."
	chartPath = root + "/deployments/helm/signrelay"
)

// examples are the chart's own sets of values.
var examples = []string{"minimal", "production", "sandbox", "openshift"}

// object is a Kubernetes object.
type object interface {
	runtime.Object
	meta.Object
}

// manifests is one rendering.
type manifests struct {
	objects []object                // in the order of the manifest, then hooks
	hooks   map[object]release.Hook // the hooks, with when they run
	values  map[string]any          // all values, including the chart's defaults
	notes   string                  // the text for the operator
}

// loadChart reads the chart from its folder.
func loadChart(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartPath)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// example reads one of the chart's sets of values, and merges others into it.
func example(t *testing.T, name string, over ...string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(chartPath, "ci", name+"-values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	for _, text := range append([]string{string(data)}, over...) {
		var values map[string]any
		if err := yaml.UnmarshalStrict([]byte(text), &values); err != nil {
			t.Fatal(err)
		}
		all = loader.MergeMaps(all, values)
	}
	return all
}

// render is `helm template signrelay`, with hooks; each object is decoded strictly.
func render(c *chart.Chart, values map[string]any) (manifests, error) {
	return renderAs(c, values, "signing", "signrelay")
}

// renderAs renders a release for a cluster with additional APIs.
func renderAs(c *chart.Chart, values map[string]any, namespace, name string, apis ...string) (manifests, error) {
	install := action.NewInstall(action.NewConfiguration())
	install.DryRunStrategy = action.DryRunClient
	install.KubeVersion = &common.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"} // the oldest version that the chart supports
	install.ReleaseName, install.Namespace, install.Replace = name, namespace, true
	install.APIVersions = apis
	response, err := install.Run(c, values)
	if err != nil {
		return manifests{}, err
	}
	rel, ok := response.(*release.Release)
	if !ok {
		return manifests{}, fmt.Errorf("helm returned a %T", response)
	}
	m := manifests{hooks: map[object]release.Hook{}, values: loader.MergeMaps(c.Values, values), notes: rel.Info.Notes}
	for text := range strings.SplitSeq("\n"+rel.Manifest, "\n---\n") {
		if strings.TrimSpace(text) == "" {
			continue
		}
		o, err := decode(text)
		if err != nil {
			return m, err
		}
		m.objects = append(m.objects, o)
	}
	for _, h := range rel.Hooks {
		o, err := decode(h.Manifest)
		if err != nil {
			return m, err
		}
		m.objects = append(m.objects, o)
		m.hooks[o] = *h
	}
	return m, nil
}

// strict decodes the kinds of the chart, and refuses unknown fields.
var strict = func() runtime.Decoder {
	utilruntime.Must(keda.AddToScheme(scheme.Scheme))
	utilruntime.Must(monitoring.AddToScheme(scheme.Scheme))
	utilruntime.Must(gateway.Install(scheme.Scheme))
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
}()

func decode(text string) (object, error) {
	o, _, err := strict.Decode([]byte(text), nil, nil)
	if err != nil {
		return nil, fmt.Errorf("%w in:\n%s", err, text)
	}
	decoded, ok := o.(object)
	if !ok {
		return nil, fmt.Errorf("%T is not an object", o)
	}
	return decoded, nil
}

// of lists the objects of a type.
func of[T object](m manifests) []T {
	var all []T
	for _, o := range m.objects {
		if found, ok := o.(T); ok {
			all = append(all, found)
		}
	}
	return all
}

// named is the object of this type and name, if there is one.
func named[T object](m manifests, name string) (T, bool) {
	all := of[T](m)
	i := slices.IndexFunc(all, func(o T) bool { return o.GetName() == name })
	if i < 0 {
		var none T
		return none, false
	}
	return all[i], true
}

// service is the name of the program in a pod: ingest, or provision.
func service(o meta.Object) string { return o.GetLabels()["app.kubernetes.io/component"] }

// services are the Deployments by service.
func services(m manifests) map[string]*apps.Deployment {
	all := map[string]*apps.Deployment{}
	for _, d := range of[*apps.Deployment](m) {
		all[service(d)] = d
	}
	return all
}

// pods are all pods of the chart, by program.
func pods(m manifests) map[string]core.PodTemplateSpec {
	all := map[string]core.PodTemplateSpec{}
	for name, d := range services(m) {
		all[name] = d.Spec.Template
	}
	for _, j := range of[*batch.Job](m) {
		all[service(j)] = j.Spec.Template
	}
	for _, j := range of[*batch.CronJob](m) {
		all[service(j)] = j.Spec.JobTemplate.Spec.Template
	}
	for _, p := range of[*core.Pod](m) {
		all[service(p)] = core.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec}
	}
	return all
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
