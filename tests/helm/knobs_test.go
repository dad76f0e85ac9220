package helm_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// Each value takes effect: its setting is in the Kubernetes object with the value, and not without it.
func TestEveryValueReachesItsPlace(t *testing.T) {
	t.Parallel()
	const (
		ingest   = "Deployment/signrelay-ingest"
		enricher = "Deployment/signrelay-enricher"
		job      = "Job/signrelay-provision"
		doctor   = "Pod/signrelay-doctor"
		pod      = "spec.template.spec."
		own      = pod + "containers.0."
	)
	without, err := render(loadChart(t), example(t, "minimal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		values, object, path, want string // want is YAML: the list must hold it, or the map must hold its keys
	}{
		{`commonLabels: {a: b}`, ingest, "metadata.labels", `{a: b}`},
		{`commonLabels: {a: b}`, ingest, "spec.template.metadata.labels", `{a: b}`},
		{`commonLabels: {a: b}`, job, "metadata.labels", `{a: b}`},
		{`commonLabels: {a: b}`, "Service/signrelay-ingest", "metadata.labels", `{a: b}`},
		{`commonLabels: {a: b}`, "ConfigMap/signrelay-ingest", "metadata.labels", `{a: b}`},
		{`commonAnnotations: {a: b}`, "PodDisruptionBudget/signrelay-ingest", "metadata.annotations", `{a: b}`},
		{`commonAnnotations: {a: b}`, job, "metadata.annotations", `{a: b, helm.sh/hook: "pre-install,pre-upgrade"}`},
		{`commonAnnotations: {a: b}`, doctor, "metadata.annotations", `{a: b, helm.sh/hook: test}`},
		{`deploymentAnnotations: {a: b}`, ingest, "metadata.annotations", `{a: b}`},
		{`services: {ingest: {deploymentAnnotations: {a: b}}}`, ingest, "metadata.annotations", `{a: b}`},
		{`podAnnotations: {a: b}`, ingest, "spec.template.metadata.annotations", `{a: b}`},
		{`podLabels: {a: b}`, ingest, "spec.template.metadata.labels", `{a: b}`},
		{`podLabels: {a: b}`, doctor, "metadata.labels", `{a: b}`},
		{`services: {ingest: {podLabels: {a: b}, podAnnotations: {c: d}}}`, ingest, "spec.template.metadata", `{labels: {a: b}, annotations: {c: d}}`},

		{`serviceAccount: {annotations: {a: b}}`, "ServiceAccount/signrelay", "metadata.annotations", `{a: b}`},
		{`serviceAccount: {annotations: {a: b}}`, "ServiceAccount/signrelay-provision", "metadata.annotations", `{a: b}`},
		{`serviceAccount: {name: esign}`, ingest, pod + "serviceAccountName", `esign`},
		{`serviceAccount: {name: esign}`, job, pod + "serviceAccountName", `esign-provision`},
		{`serviceAccount: {create: false, name: mine}`, job, pod + "serviceAccountName", `mine`},
		{`serviceAccount: {create: false}`, ingest, pod + "serviceAccountName", `default`},
		{`podSecurityContext: {runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000}`, ingest, pod + "securityContext", `{runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000, runAsNonRoot: true}`},
		{`podSecurityContext: {runAsUser: 1000}`, doctor, "spec.securityContext", `{runAsUser: 1000}`},

		{`env: [{name: A, value: b}]`, ingest, own + "env", `[{name: A, value: b}]`},
		{`env: [{name: A, value: b}]`, doctor, "spec.containers.0.env", `[{name: A, value: b}]`},
		{`envFrom: [{configMapRef: {name: a}}]`, job, own + "envFrom", `[{configMapRef: {name: a}}]`},
		{`services: {ingest: {env: [{name: A, value: b}], envFrom: [{secretRef: {name: c}}]}}`, ingest, own[:len(own)-1], `{env: [{name: A, value: b}], envFrom: [{secretRef: {name: c}}]}`},
		{`nodeSelector: {a: b}`, job, pod + "nodeSelector", `{a: b}`},
		{`services: {ingest: {nodeSelector: {a: b}}}`, ingest, pod + "nodeSelector", `{a: b}`},
		{`tolerations: [{key: a, operator: Exists}]`, doctor, "spec.tolerations", `[{key: a, operator: Exists}]`},
		{`services: {ingest: {tolerations: [{key: a, operator: Exists}]}}`, ingest, pod + "tolerations", `[{key: a, operator: Exists}]`},
		{`affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}`, enricher, pod + "affinity", `{podAntiAffinity: {}}`},
		{`services: {ingest: {affinity: {nodeAffinity: {}}}}`, ingest, pod + "affinity", `{nodeAffinity: {}}`},
		{`priorityClassName: high`, job, pod + "priorityClassName", `high`},
		{`services: {ingest: {priorityClassName: high}}`, ingest, pod + "priorityClassName", `high`},
		{`services: {ingest: {topologySpread: [{topologyKey: rack, maxSkew: 2, whenUnsatisfiable: DoNotSchedule}]}}`, ingest, pod + "topologySpreadConstraints.0", `{topologyKey: rack, maxSkew: 2}`},
		{`{extraVolumes: [{name: cache, emptyDir: {}}], extraVolumeMounts: [{name: cache, mountPath: /cache}]}`, ingest, pod[:len(pod)-1], `{volumes: [{name: cache, emptyDir: {}}]}`},
		{`{extraVolumes: [{name: cache, emptyDir: {}}], extraVolumeMounts: [{name: cache, mountPath: /cache}]}`, ingest, own + "volumeMounts", `[{name: cache, mountPath: /cache}]`},
		{`services: {ingest: {initContainers: [{name: wait, image: "a:1"}], extraContainers: [{name: proxy, image: "b:1"}]}}`, ingest, pod[:len(pod)-1], `{initContainers: [{name: wait, image: "a:1"}], containers: [{name: proxy, image: "b:1"}]}`},
		{`initContainers: [{name: wait, image: "a:1"}]`, job, pod + "initContainers", `[{name: wait, image: "a:1"}]`},
		{`readinessProbe: {failureThreshold: 7}`, ingest, own + "readinessProbe", `{failureThreshold: 7, periodSeconds: 5, timeoutSeconds: 5}`},
		{`livenessProbe: {initialDelaySeconds: 9}`, ingest, own + "livenessProbe", `{initialDelaySeconds: 9, failureThreshold: 3}`},
		{`terminationGracePeriodSeconds: 90`, ingest, pod + "terminationGracePeriodSeconds", `90`},

		{`services: {ingest: {service: {type: LoadBalancer, annotations: {a: b}, loadBalancerClass: c, loadBalancerIP: 192.0.2.1, loadBalancerSourceRanges: [192.0.2.0/24], externalTrafficPolicy: Local}}}`,
			"Service/signrelay-ingest", "spec", `{type: LoadBalancer, loadBalancerClass: c, loadBalancerIP: 192.0.2.1, loadBalancerSourceRanges: [192.0.2.0/24], externalTrafficPolicy: Local}`},
		{`services: {ingest: {service: {annotations: {a: b}}}}`, "Service/signrelay-ingest", "metadata.annotations", `{a: b}`},
		{`services: {shortener: {service: {type: NodePort, nodePort: 30083}}}`, "Service/signrelay-shortener", "spec", `{type: NodePort, ports: [{name: http, port: 8083, nodePort: 30083}]}`},
		{`gateway: {enabled: true, host: a.example, parentRefs: [{name: public, namespace: gateways, sectionName: https}], annotations: {a: b}}`,
			"HTTPRoute/signrelay-shortener", "spec", `{parentRefs: [{name: public, namespace: gateways, sectionName: https}], hostnames: [a.example]}`},
		{`{gateway: {enabled: true, host: a.example, parentRefs: [{name: public}]}, services: {ingest: {host: hooks.example}}}`,
			"HTTPRoute/signrelay-ingest", "spec", `{hostnames: [hooks.example]}`},
		{`hpa: {enabled: true, behavior: {scaleDown: {stabilizationWindowSeconds: 600}}}`, "HorizontalPodAutoscaler/signrelay-ingest", "spec.behavior", `{scaleDown: {stabilizationWindowSeconds: 600}}`},
		{`keda: {enabled: true, monitoringEndpoint: "nats:8222", behavior: {scaleUp: {stabilizationWindowSeconds: 60}}}`,
			"ScaledObject/signrelay-enricher", "spec.advanced.horizontalPodAutoscalerConfig.behavior", `{scaleUp: {stabilizationWindowSeconds: 60}}`},
		{`keda: {enabled: true, authenticationRef: {name: a, kind: ClusterTriggerAuthentication}}`,
			"ScaledObject/signrelay-enricher", "spec.triggers.1", `{authenticationRef: {name: a, kind: ClusterTriggerAuthentication}, metadata: {account: SIGNRELAY}}`},
		{`keda: {enabled: true, secretTargetRef: [{parameter: natsServerMonitoringEndpoint, name: a, key: b}]}`,
			"TriggerAuthentication/signrelay-keda", "spec", `{secretTargetRef: [{parameter: natsServerMonitoringEndpoint, name: a, key: b}]}`},
		{`networkPolicy: {enabled: true, dns: {ports: [53, 5353]}}`, "NetworkPolicy/signrelay-ingest", "spec.egress.0.ports",
			`[{port: 53, protocol: UDP}, {port: 53, protocol: TCP}, {port: 5353, protocol: UDP}, {port: 5353, protocol: TCP}]`},
		{`networkPolicy: {enabled: true, dns: {ports: [5353]}}`, "NetworkPolicy/signrelay-doctor", "spec.egress.0.ports", `[{port: 5353, protocol: UDP}]`},
		{`alerts: {enabled: true, runbookUrl: "https://a.example/runbook"}`, "PrometheusRule/signrelay", "spec.groups.1.rules.0.annotations",
			`{runbook_url: "https://a.example/runbook#signrelayprogramdown"}`},
		{`alerts: {enabled: true, job: esign}`, "PrometheusRule/signrelay", "spec.groups.1.rules.0", `{expr: 'up{namespace="signing", job="esign"} == 0'}`},
		{`{config: {kafka: {brokers: ["kafka:9092"]}}, kafkaRefill: {args: [--since, 1h]}}`, "CronJob/signrelay-kafka-refill", "spec.jobTemplate.spec.template.spec.containers.0.args",
			`[kafka, refill, --yes, --since, 1h]`},
		{`doctor: {args: [--nats-monitor, "http://nats:8222"]}`, doctor, "spec.containers.0.args", `[doctor, "--ingest-url=http://signrelay-ingest:8080", --nats-monitor, "http://nats:8222"]`},
	} {
		with, err := render(loadChart(t), example(t, "minimal", c.values))
		if err != nil {
			t.Errorf("%s: %v", c.values, err)
			continue
		}
		var want any
		if err := yaml.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if got := at(t, with, c.object, c.path); !holds(got, want) {
			t.Errorf("%s: %s of %s is\n%v\nand not\n%v", c.values, c.path, c.object, got, want)
		}
		if holds(at(t, without, c.object, c.path), want) {
			t.Errorf("%s: %s has it without the value, so this row shows nothing", c.values, c.object)
		}
	}
}

// A service's own value replaces the common value for this service only; the job and the doctor have the common value.
func TestServiceValueOverridesOnlyThatService(t *testing.T) {
	t.Parallel()
	m, err := render(loadChart(t), example(t, "minimal", `{nodeSelector: {of: all}, env: [{name: A, value: all}], services: {ingest: {nodeSelector: {one: ingest}, env: []}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range pods(m) {
		all := name != "ingest"
		hasEnv := slices.Contains(p.Spec.Containers[0].Env, core.EnvVar{Name: "A", Value: "all"})
		if (p.Spec.NodeSelector["of"] == "all") != all || (p.Spec.NodeSelector["one"] == "ingest") == all || hasEnv != all {
			t.Errorf("%s: %v, env %t", name, p.Spec.NodeSelector, hasEnv)
		}
	}
}

// OpenShift assigns users and groups to each namespace, and refuses pods that set others.
func TestOpenShiftAssignsTheUser(t *testing.T) {
	t.Parallel()
	values := example(t, "openshift", `podSecurityContext: {runAsUser: 1000}`)
	m, err := renderAs(loadChart(t), values, "signing", "signrelay", "security.openshift.io/v1")
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range pods(m) {
		sc := p.Spec.SecurityContext
		if sc.RunAsUser != nil || sc.RunAsGroup != nil || sc.FSGroup != nil || !isTrue(sc.RunAsNonRoot) {
			t.Errorf("%s: %+v", name, sc)
		}
	}
	elsewhere, err := render(loadChart(t), values)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range pods(elsewhere) {
		if sc := p.Spec.SecurityContext; value(sc.RunAsUser) != 1000 || value(sc.FSGroup) != imageID {
			t.Errorf("without OpenShift %s: %+v", name, sc)
		}
	}
}

// Go's limit is 90% of the container's limit, in any unit, and missing if the container has none.
func TestGoGetsTheMemoryLimit(t *testing.T) {
	t.Parallel()
	for limit, want := range map[string]int64{
		"1Gi": 966367641, "1.5Gi": 1449551462, "512Mi": 483183820, "262144Ki": 241591910, "1G": 900000000, "500M": 450000000, "250000k": 225000000, "268435456": 241591910,
		"1Ti": 989560464998, "null": 0,
	} {
		m, err := render(loadChart(t), example(t, "minimal", fmt.Sprintf(`services: {ingest: {resources: {limits: {memory: %s}}}}`, limit)))
		if err != nil {
			t.Errorf("%s: %v", limit, err)
			continue
		}
		got := int64(0)
		for _, e := range services(m)["ingest"].Spec.Template.Spec.Containers[0].Env {
			if e.Name == "GOMEMLIMIT" {
				if got, err = strconv.ParseInt(e.Value, 10, 64); err != nil {
					t.Errorf("%s: %v", limit, err)
				}
			}
		}
		if got != want {
			t.Errorf("%s: GOMEMLIMIT is %d, not %d", limit, got, want)
		}
	}
}

// at is the value at a path of an object, "Kind/name".
func at(t *testing.T, m manifests, name, path string) any {
	t.Helper()
	for _, o := range m.objects {
		if o.GetObjectKind().GroupVersionKind().Kind+"/"+o.GetName() != name {
			continue
		}
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var found any
		if err := json.Unmarshal(data, &found); err != nil {
			t.Fatal(err)
		}
		for key := range strings.SplitSeq(path, ".") {
			switch in := found.(type) {
			case map[string]any:
				found = in[key]
			case []any:
				i, err := strconv.Atoi(key)
				if err != nil || i >= len(in) {
					return nil
				}
				found = in[i]
			default:
				return nil
			}
		}
		return found
	}
	return nil
}

// holds reports whether found contains all of want: a map all its keys, a list all its items.
func holds(found, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		in, is := found.(map[string]any)
		for key, value := range want {
			if below, there := in[key]; !there || !holds(below, value) {
				return false
			}
		}
		return is
	case []any:
		in, is := found.([]any)
		for _, item := range want {
			if !slices.ContainsFunc(in, func(one any) bool { return holds(one, item) }) {
				return false
			}
		}
		return is
	default:
		return reflect.DeepEqual(found, want)
	}
}
