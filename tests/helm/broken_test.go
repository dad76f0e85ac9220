package helm_test

import (
	"bytes"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
)

// broken is the control of every check: a chart with one mistake, which the check must find.
var broken = []struct {
	check, file, old, new string
}{
	{"names are legal and unique", "templates/services.yaml", `"signrelay.fullname" $ }}-{{ $name }}`, `"signrelay.fullname" $ }}-route`},
	{"names are legal and unique", "templates/_services.tpl", `{{- define "signrelay.labels" -}}`, "{{- define \"signrelay.labels\" -}}\nteam: \"a b\""},

	{"pods are harmless", "templates/_pod.tpl", "automountServiceAccountToken: false\n", ""},
	{"pods are harmless", "templates/_pod.tpl", "enableServiceLinks: false\n", ""},
	{"pods are harmless", "templates/_pod.tpl", "  runAsNonRoot: true\n", ""},
	{"pods are harmless", "templates/_pod.tpl", "{{ $key }}: {{ int64 $id }}", "{{ $key }}: 1"},
	{"pods are harmless", "templates/_pod.tpl", "type: RuntimeDefault", "type: Unconfined"},
	{"pods are harmless", "templates/_pod.tpl", "  readOnlyRootFilesystem: true\n", ""},
	{"pods are harmless", "templates/_pod.tpl", "defaultMode: 0440", "defaultMode: 0444"},
	{"pods are harmless", "templates/_pod.tpl", "drop: [ALL]", "drop: [NET_RAW]"},
	{"pods are harmless", "templates/_pod.tpl", "resources: {{- toYaml .row.resources | nindent 2 }}", ""},

	{"pods have probes and time to end", "templates/deployments.yaml", "path: /readyz", "path: /livez"},
	{"pods are harmless", "templates/_pod.tpl", "  runAsNonRoot: true\n", "  runAsNonRoot: true\n  runAsUser: 65532\n"},
	{"pods are harmless", "templates/_pod.tpl", `dig "limits" "memory" "" .row.resources`, `dig "requests" "memory" "" .row.resources`},
	{"pods are harmless", "templates/_pod.tpl", "  - {name: GOMEMLIMIT,", "  - {name: MEMLIMIT,"},

	{"service accounts exist", "templates/serviceaccount.yaml", "automountServiceAccountToken: false\n", ""},
	{"service accounts exist", "templates/_pod.tpl", `serviceAccountName: {{ include "signrelay.account" . }}`, "serviceAccountName: signing"},
	{"service accounts exist", "templates/serviceaccount.yaml", `{{ include "signrelay.account" (dict "root" $ "name" "") }}`, "another"},

	{"pods have probes and time to end", "templates/deployments.yaml", "{{- toYaml $.Values.readinessProbe | nindent 12 }}", "failureThreshold: 1"},
	{"pods have probes and time to end", "templates/deployments.yaml", "terminationGracePeriodSeconds: {{ $.Values.terminationGracePeriodSeconds }}", "terminationGracePeriodSeconds: 26"},
	{"pods have probes and time to end", "templates/deployments.yaml", "maxUnavailable: 0", "maxUnavailable: 1"},

	{"images are ours", "templates/_pod.tpl", `.row.program | default .name`, `print .name`},
	{"images are ours", "templates/_pod.tpl", ":{{ $values.image.tag | default .root.Chart.AppVersion }}", ":latest"},

	{"mounted volumes exist", "templates/_pod.tpl", "name: {{ include \"signrelay.fullname\" .root }}-{{ .name }}}", "name: settings}"},
	{"mounted volumes exist", "templates/settings.yaml", `replace "/" "__"`, `replace "/" "."`},

	{"selectors find pods", "templates/disruption.yaml", `include "signrelay.selector" $of`, `include "signrelay.selector" (dict "root" $ "name" "")`},
	{"selectors find pods", "templates/services.yaml", "targetPort: {{ .name }}", "targetPort: web"},
	{"selectors find pods", "templates/monitoring.yaml", "port: admin", "port: http"},
	{"selectors find pods", "templates/monitoring.yaml", "replacement: {{ $fullname }}", "replacement: signing"},

	{"routes lead to listeners", "files/services.yaml", "path: /l}", "path: /links}"},
	{"routes lead to listeners", "templates/gateway.yaml", "type: PathPrefix", "type: Exact"},
	{"routes lead to listeners", "templates/gateway.yaml", "port: {{ $port }}", "port: 9090"},
	{"routes lead to listeners", "templates/ingress.yaml", `"port" (dict "name" $port)`, `"port" (dict "name" "web")`},

	{"alerts and dashboard equal their sources", "files/alerts.yaml", "for: 5m", "for: 50m"},
	{"alerts and dashboard equal their sources", "templates/monitoring.yaml", `namespace="%s", job="%s"`, `namespace=~".*%s", job="%s"`},
	{"alerts and dashboard equal their sources", "files/dashboard.json", `"refresh"`, `"refreshed"`},

	{"replicas have one owner", "templates/deployments.yaml", `{{- if not (include "signrelay.scaled" $of) }}`, "{{- if true }}"},
	{"replicas have one owner", "templates/scaling.yaml", "minReplicaCount: {{ $row.replicas }}", "minReplicaCount: 0"},
	{"replicas have one owner", "templates/scaling.yaml", "scaleTargetRef: {name: {{ $fullname }}-{{ $name }}}", "scaleTargetRef: {name: {{ $name }}}"},
	{"replicas have one owner", "templates/scaling.yaml", "failureThreshold: 3", "failureThreshold: -1"},

	{"provisioning comes first", "templates/provision.yaml", `"helm.sh/hook-weight" "-2"`, `"helm.sh/hook-weight" "0"`},
	{"provisioning comes first", "templates/provision.yaml", `"pre-install,pre-upgrade"`, `"pre-install"`},

	{"services match the flow", "templates/_services.tpl", "{{- if and $values.enabled (not $idle) -}}", `{{- if and $values.enabled (not $idle) (ne $name "enricher") -}}`},
	{"services match the flow", "templates/_services.tpl", `(not (dig "kafka" "brokers" list $.Values.config))`, "true"},
	{"services match the flow", "templates/_services.tpl", `(not (dig "archive" "url" "" $.Values.config))`, "true"},

	{"refills are started by hand", "templates/refill.yaml", "suspend: true", "suspend: false"},

	{"stages are scaled as in the flow", "files/flow.yaml", "streams: [SIGNING, REPLAY]", "streams: [SIGNING]"},
	{"stages are scaled as in the flow", "files/flow.yaml", "ordered: true", "ordered: false"},
	{"stages are scaled as in the flow", "files/flow.yaml", "workers: 8 ", "workers: 9 "},
	{"stages are scaled as in the flow", "templates/scaling.yaml", "authenticationRef: {name: {{ $fullname }}-keda}", "useCachedMetrics: true"},
	{"stages are scaled as in the flow", "templates/scaling.yaml", "consumer: {{ $stage.consumer }}", "consumer: worker"},

	{"programs accept their settings", "files/services.yaml", "setting: SIGNRELAY_LINKS_ADDR", "setting: SIGNRELAY_SHORTENER_ADDR"},
	{"programs accept their settings", "files/services.yaml", "reads: [sources, api, shortener, archive, drain_delay, tls, nats, redis, master_key, log]", "reads: [sources, api, shortener, nats, log]"},
	{"programs accept their settings", "files/services.yaml", "reads: [kafka, nats, log]", "reads: [nats, log]"},
	{"programs accept their settings", "templates/_pod.tpl", `ternary "_FILE" ""`, `ternary "" ""`},

	{"NATS knows the users", "templates/_pod.tpl", `value: {{ .row.user | default .name }}`, "value: signrelay"},

	{"policies allow the needed connections", "templates/network.yaml", "policyTypes: [Ingress, Egress]", "policyTypes: [Ingress]"},
	{"policies allow the needed connections", "templates/network.yaml", "- from: {{- toYaml $callers | nindent 8 }}\n      ports:", "- ports:"},
	{"policies allow the needed connections", "files/services.yaml", "calls: [nats, kafka]", "calls: [nats, kafka, web]"},
	{"policies allow the needed connections", "files/services.yaml", "calls: [nats, redis, smtp]", "calls: [nats, redis]"},
	{"policies allow the needed connections", "templates/_network.tpl", "- {port: {{ int . }}, protocol: TCP}", "- {protocol: TCP}"},
	{"policies allow the needed connections", "templates/_network.tpl", "range $policy.dns.ports", "range list 53"},
	{"policies allow the needed connections", "templates/_network.tpl", `$to = list "ingest" }}`, `$to = list }}`},
}

func TestChecksFailForBrokenCharts(t *testing.T) {
	t.Parallel()
	tried := map[string]bool{}
	for _, s := range broken {
		tried[s.check] = true
		t.Run(s.check+"/"+s.new, func(t *testing.T) {
			t.Parallel()
			c := loadChart(t)
			found := false
			for _, f := range append(append([]*common.File{}, c.Templates...), c.Files...) {
				if f.Name == s.file {
					found = bytes.Contains(f.Data, []byte(s.old))
					f.Data = bytes.ReplaceAll(f.Data, []byte(s.old), []byte(s.new))
				}
			}
			if !found {
				t.Fatalf("there is no %q in %s", s.old, s.file)
			}
			for _, name := range []string{"production", "openshift"} {
				m, err := render(c, example(t, name))
				if err != nil {
					t.Fatal(err)
				}
				for _, check := range checks {
					if check.name == s.check && len(check.find(m)) > 0 {
						return
					}
				}
			}
			t.Errorf("with %q the check finds nothing", s.new)
		})
	}
	for _, c := range checks {
		if !tried[c.name] {
			t.Errorf("no broken chart shows that %q can fail", c.name)
		}
	}
}

// Kubernetes silently drops an unknown field; here it is an error.
func TestUnknownFieldIsRefused(t *testing.T) {
	t.Parallel()
	for file, change := range map[string][2]string{
		"templates/deployments.yaml": {"minReadySeconds", "minReadysSeconds"},
		"templates/scaling.yaml":     {"pollingInterval:", "pollInterval:"},
		"templates/monitoring.yaml":  {"podMetricsEndpoints", "podMetricEndpoints"},
		"templates/network.yaml":     {"policyTypes", "policytypes"},
		"templates/_pod.tpl":         {"runAsNonRoot", "runAsNonroot"},
	} {
		c := loadChart(t)
		for _, f := range c.Templates {
			if f.Name == file {
				f.Data = bytes.ReplaceAll(f.Data, []byte(change[0]), []byte(change[1]))
			}
		}
		if _, err := render(c, example(t, "production")); err == nil {
			t.Errorf("%s: %s is accepted", file, change[1])
		}
	}
}
