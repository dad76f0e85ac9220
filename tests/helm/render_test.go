// Package helm_test renders the chart as `helm template` does, decodes every object strictly into Kubernetes' own types, and compares the
// result with libs/flow, libs/config and the services.
package helm_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"

	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
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

// renderAs renders a release for a cluster with additional APIs. It makes the steps of Helm's action for `helm template`; that package would
// also compile Helm's clients of clusters and registries, another 200 packages.
func renderAs(c *chart.Chart, values map[string]any, namespace, name string, apis ...string) (manifests, error) {
	if err := chartutil.ProcessDependencies(c, values); err != nil {
		return manifests{}, err
	}
	cluster := common.DefaultCapabilities.Copy()
	cluster.KubeVersion = common.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"} // the oldest version that the chart supports
	cluster.APIVersions = append(cluster.APIVersions, apis...)
	if !chartutil.IsCompatibleRange(c.Metadata.KubeVersion, cluster.KubeVersion.String()) {
		return manifests{}, fmt.Errorf("the chart does not support Kubernetes %s", cluster.KubeVersion.Version)
	}
	all, err := commonutil.ToRenderValues(c, values, common.ReleaseOptions{Name: name, Namespace: namespace, Revision: 1, IsInstall: true}, cluster)
	if err != nil {
		return manifests{}, err
	}
	files, err := engine.Engine{}.RenderWithContext(context.Background(), c, all)
	if err != nil {
		return manifests{}, err
	}
	notes := path.Join(c.Name(), "templates", "NOTES.txt")
	m := manifests{hooks: map[object]release.Hook{}, values: loader.MergeMaps(c.Values, values), notes: files[notes]}
	delete(files, notes)
	hooks, templates, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return manifests{}, err
	}
	for _, template := range templates {
		o, err := decode(template.Content)
		if err != nil {
			return m, err
		}
		m.objects = append(m.objects, o)
	}
	for _, h := range hooks {
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
