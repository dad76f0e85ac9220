package helm_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

// missingAccounts finds pods whose service account the release does not create, and accounts with a token.
func missingAccounts(m manifests) []string {
	var r report
	for name, pod := range pods(m) {
		account, found := named[*core.ServiceAccount](m, pod.Spec.ServiceAccountName)
		r.unless(found || pod.Spec.ServiceAccountName == "default", "%s uses the missing account %q", name, pod.Spec.ServiceAccountName)
		r.unless(!found || isFalse(account.AutomountServiceAccountToken), "the account of %s mounts a token", name)
	}
	return r.wrong
}

// missingVolumes finds mounts of missing volumes, and settings that the release lacks. Secrets are the operator's.
func missingVolumes(m manifests) []string {
	var r report
	for name, pod := range pods(m) {
		volumes := map[string]bool{}
		for _, v := range pod.Spec.Volumes {
			volumes[v.Name] = true
			if v.ConfigMap == nil {
				continue
			}
			settings, found := named[*core.ConfigMap](m, v.ConfigMap.Name)
			r.unless(found, "%s mounts the missing ConfigMap %s", name, v.ConfigMap.Name)
			for _, item := range v.ConfigMap.Items {
				r.unless(found && settings.Data[item.Key] != "", "%s mounts the missing key %s of ConfigMap %s", name, item.Key, v.ConfigMap.Name)
			}
		}
		for _, mount := range pod.Spec.Containers[0].VolumeMounts {
			r.unless(volumes[mount.Name], "%s mounts %s", name, mount.Name)
			delete(volumes, mount.Name)
		}
		r.unless(len(volumes) == 0, "%s does not mount %v", name, sorted(volumes))
	}
	return r.wrong
}

// blindSelectors finds Services, budgets and monitors that select no pods, or other pods than intended.
func blindSelectors(m manifests) []string {
	var r report
	chosen := func(selector map[string]string) (names []string) {
		for name, pod := range pods(m) {
			if matches(selector, pod.Labels) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	for name, d := range services(m) {
		r.unless(slices.Equal(chosen(d.Spec.Selector.MatchLabels), []string{name}), "Deployment %s selects %v", name, chosen(d.Spec.Selector.MatchLabels))
		budget, found := named[*policy.PodDisruptionBudget](m, d.Name)
		r.unless(name == "sandbox" || found && slices.Equal(chosen(budget.Spec.Selector.MatchLabels), []string{name}), "%s has no budget", name)
	}
	for _, s := range of[*core.Service](m) {
		name := service(s)
		r.unless(slices.Equal(chosen(s.Spec.Selector), []string{name}), "Service %s selects %v", s.Name, chosen(s.Spec.Selector))
		for _, p := range s.Spec.Ports {
			c := pods(m)[name].Spec.Containers[0]
			to := port(c, p.TargetPort.StrVal)
			same := to == p.Port || to != 0 && p.Port == map[string]int32{"http": 443, "plain": 80}[p.Name] // with TLS, of which a container uses high ports
			r.unless(p.TargetPort.Type == intstr.String && same, "Service %s: %s is no port of the pods", s.Name, p.Name)
		}
	}
	for _, p := range of[*monitoring.PodMonitor](m) {
		got := len(chosen(p.Spec.Selector.MatchLabels))
		r.unless(got == len(pods(m)), "the PodMonitor selects %d of %d", got, len(pods(m)))
		r.unless(len(p.Spec.PodMetricsEndpoints) == 1 && value(p.Spec.PodMetricsEndpoints[0].Port) == "admin", "the PodMonitor does not use the admin port")
		relabel := p.Spec.PodMetricsEndpoints[0].RelabelConfigs
		r.unless(len(relabel) == 1 && relabel[0].TargetLabel == "job" && value(relabel[0].Replacement) == p.Name && len(relabel[0].SourceLabels) == 0,
			"the job is not the release's: %+v", relabel)
	}
	return r.wrong
}

// strangeAlerts finds a PrometheusRule or a dashboard that differs from deployments/prometheus and deployments/grafana. The rules of a
// release have its namespace and job where the file selects every installation.
func strangeAlerts(m manifests) []string {
	var r report
	for _, p := range of[*monitoring.PrometheusRule](m) {
		data, err := os.ReadFile(filepath.Join(root, "deployments", "prometheus", "signrelay.rules.yaml"))
		var want monitoring.PrometheusRuleSpec
		if err == nil {
			data = bytes.ReplaceAll(data, []byte(`job=~".*signrelay.*"`), []byte(`namespace="signing", job="`+cmp.Or(text(m.values, "alerts", "job"), p.Name)+`"`))
			data = bytes.ReplaceAll(data, []byte("https://github.com/signrelay/signrelay/blob/main/docs/operate.md"), []byte(text(m.values, "alerts", "runbookUrl")))
			err = yaml.UnmarshalStrict(data, &want)
		}
		r.unless(err == nil && len(want.Groups) > 0 && reflect.DeepEqual(p.Spec, want), "the alerts differ: %v", err)
	}
	for _, c := range of[*core.ConfigMap](m) {
		if text, is := c.Data["signrelay.json"]; is {
			data, err := os.ReadFile(filepath.Join(root, "deployments", "grafana", "signrelay.json"))
			var got, want map[string]any
			err = errors.Join(err, json.Unmarshal([]byte(text), &got), json.Unmarshal(data, &want))
			r.unless(err == nil && len(want) > 0 && reflect.DeepEqual(got, want), "the dashboard differs: %v", err)
		}
	}
	return r.wrong
}

// routes are the public paths, with their services.
var routes = map[string]string{"/webhooks": "ingest", "/l": "shortener", "/receipts": "sms-sender", "/inbound": "sms-sender"}

// lostRoutes finds public routes that lead to no service, or to a service without such a route.
func lostRoutes(m manifests) []string {
	var r report
	for _, i := range of[*networking.Ingress](m) {
		found := map[string]bool{}
		for _, rule := range i.Spec.Rules {
			r.unless(rule.Host != "", "a route has no host")
			for _, p := range rule.HTTP.Paths {
				found[p.Path] = true
				name := routes[p.Path]
				s, is := named[*core.Service](m, p.Backend.Service.Name)
				r.unless(is && service(s) == name, "%s leads to %s", p.Path, p.Backend.Service.Name)
				r.unless(is && slices.ContainsFunc(s.Spec.Ports, func(sp core.ServicePort) bool { return sp.Name == p.Backend.Service.Port.Name }),
					"%s leads to port %s", p.Path, p.Backend.Service.Port.Name)
				r.unless(value(p.PathType) == networking.PathTypePrefix, "%s is not a prefix", p.Path)
				r.unless(serves(name, p.Path), "%s does not serve %s", name, p.Path)
			}
		}
		r.unless(len(found) == len(routes), "the routes are %v", sorted(found))
	}
	on, _ := part(m.values, "gateway")["enabled"].(bool)
	found := map[string]bool{}
	for _, h := range of[*gateway.HTTPRoute](m) {
		r.unless(len(h.Spec.ParentRefs) > 0, "%s is attached to no Gateway", h.Name)
		r.unless(len(h.Spec.Hostnames) == 1 && h.Spec.Hostnames[0] != "", "%s is for %v", h.Name, h.Spec.Hostnames)
		for _, rule := range h.Spec.Rules {
			path := value(rule.Matches[0].Path.Value)
			found[path] = true
			r.unless(value(rule.Matches[0].Path.Type) == gateway.PathMatchPathPrefix, "%s is not a prefix", path)
			to := rule.BackendRefs[0].BackendObjectReference
			s, is := named[*core.Service](m, string(to.Name))
			r.unless(is && service(s) == routes[path], "%s leads to %s", path, to.Name)
			r.unless(is && slices.ContainsFunc(s.Spec.Ports, func(sp core.ServicePort) bool { return sp.Port == value(to.Port) && sp.Name == "http" }),
				"%s leads to port %d", path, value(to.Port))
		}
	}
	r.unless(len(found) == len(routes) || !on && len(found) == 0, "the Gateway's routes are %v", sorted(found))
	return r.wrong
}

// serves reports whether the service's code registers a route below the path.
func serves(name, path string) bool {
	mounted := regexp.MustCompile(`"(?:[A-Z]+ )?` + regexp.QuoteMeta(path) + `/`)
	files, _ := filepath.Glob(filepath.Join(root, "services", name, "*.go"))
	return slices.ContainsFunc(files, func(file string) bool {
		data, err := os.ReadFile(file)
		return err == nil && !strings.HasSuffix(file, "_test.go") && mounted.Match(data)
	})
}

// lateProvisioning finds objects that the job needs and that do not exist when it runs: only hooks of a lesser weight do.
func lateProvisioning(m manifests) []string {
	var r report
	for _, j := range of[*batch.Job](m) {
		hook, is := m.hooks[j]
		r.unless(is, "the job is not a hook")
		before := func(o object) bool {
			other, is := m.hooks[o]
			return is && other.Weight < hook.Weight && slices.Equal(other.Events, hook.Events)
		}
		events := make([]string, 0, len(hook.Events))
		for _, e := range hook.Events {
			events = append(events, e.String())
		}
		r.unless(slices.Equal(events, []string{"pre-install", "pre-upgrade"}), "the job runs at %v", events)
		for _, v := range j.Spec.Template.Spec.Volumes {
			if v.ConfigMap != nil {
				settings, found := named[*core.ConfigMap](m, v.ConfigMap.Name)
				r.unless(found && before(settings), "ConfigMap %s comes after the job", v.ConfigMap.Name)
			}
		}
		if own, found := named[*networking.NetworkPolicy](m, j.Name); found {
			r.unless(before(own), "its policy comes after the job")
		}
		if own, found := named[*core.ServiceAccount](m, j.Spec.Template.Spec.ServiceAccountName); found {
			r.unless(before(own), "its account comes after the job")
		}
		r.unless(value(j.Spec.ActiveDeadlineSeconds) > 0 && value(j.Spec.ActiveDeadlineSeconds) < 300, "the job may run longer than helm's timeout")
	}
	r.unless(len(of[*batch.Job](m)) == 1, "there is no job")
	return r.wrong
}
