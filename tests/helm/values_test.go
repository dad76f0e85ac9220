package helm_test

import (
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// Wrong values fail before anything is installed, and the message names the value and the reason.
func TestWrongValuesAreRefused(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		`servicse: {}`:                                                                                   "servicse",
		`services: {ingest: {replicas: 0}}`:                                                              "/services/ingest/replicas",
		`services: {ingest: {replica: 3}}`:                                                               "/services/ingest",
		`services: {counter: {enabled: true}}`:                                                           "counter",
		`config: {smtp: {}}`:                                                                             "/config",
		`config: {sources: [{name: Acme, provider: clickwrap}]}`:                                         "/config/sources/0/name",
		`config: {sources: [{name: acme}]}`:                                                              "provider",
		`secrets: {"smtp.password": {name: a, key: b}}`:                                                  "smtp.password",
		`secrets: {"email.smtp.password": hunter}`:                                                       "email.smtp.password",
		`nats: {users: {kind: nkey}}`:                                                                    "/nats/users/kind",
		`image: {digests: {ingest: "1.2.3"}}`:                                                            "/image/digests/ingest",
		`image: {pullPolicy: Sometimes}`:                                                                 "/image/pullPolicy",
		`keda: {monitoringEndpoint: "http://nats:8222"}`:                                                 "/keda/monitoringEndpoint",
		`keda: {waitingPerWorker: 0}`:                                                                    "/keda/waitingPerWorker",
		`networkPolicy: {callers: [{}]}`:                                                                 "/networkPolicy/callers/0",
		`networkPolicy: {dns: {to: []}}`:                                                                 "/networkPolicy/dns/to",
		`env: [{name: SIGNRELAY_NATS_URL, value: x}]`:                                                    "/env/0/name",
		`env: [{name: GOMEMLIMIT, value: 1GiB}]`:                                                         "/env/0/name",
		`services: {ingest: {env: [{name: SIGNRELAY_LOG_LEVEL, value: x}]}}`:                             "/services/ingest/env/0/name",
		`services: {enricher: {service: {type: NodePort}}}`:                                              "/services/enricher",
		`services: {ingest: {service: {type: ExternalName}}}`:                                            "/services/ingest/service/type",
		`services: {ingest: {service: {clusterip: None}}}`:                                               "/services/ingest/service",
		`services: {ingest: {service: {nodePort: 99999}}}`:                                               "/services/ingest/service/nodePort",
		`services: {ingest: {resources: {limits: {memory: 1GB}}}}`:                                       "/services/ingest/resources/limits/memory",
		`services: {ingest: {sidecars: []}}`:                                                             "/services/ingest",
		`readinessProbe: {timeoutSeconds: 1}`:                                                            "/readinessProbe/timeoutSeconds",
		`readinessProbe: {httpGet: {path: /}}`:                                                           "/readinessProbe",
		`terminationGracePeriodSeconds: 20`:                                                              "/terminationGracePeriodSeconds",
		`podSecurityContext: {runAsUser: 0}`:                                                             "/podSecurityContext/runAsUser",
		`podSecurityContext: {runAsNonRoot: false}`:                                                      "/podSecurityContext",
		`serviceAccount: {token: true}`:                                                                  "/serviceAccount",
		`extraContainers: [{name: proxy}]`:                                                               "/extraContainers/0",
		`extraVolumes: [{emptyDir: {}}]`:                                                                 "/extraVolumes/0",
		`extraVolumeMounts: [{name: cache}]`:                                                             "/extraVolumeMounts/0",
		`networkPolicy: {dns: {ports: []}}`:                                                              "/networkPolicy/dns/ports",
		`networkPolicy: {dns: {ports: ["53/UDP"]}}`:                                                      "/networkPolicy/dns/ports/0",
		`gateway: {enabled: true, parentRefs: [{namespace: a}]}`:                                         "/gateway/parentRefs/0",
		`gateway: {enabled: true, host: a.example}`:                                                      "gateway.parentRefs is empty",
		`gateway: {enabled: true, parentRefs: [{name: a}]}`:                                              "gateway.host is missing",
		`keda: {authenticationRef: {kind: Secret}}`:                                                      "/keda/authenticationRef/kind",
		`keda: {secretTargetRef: [{parameter: endpoint, name: a, key: b}]}`:                              "/keda/secretTargetRef/0/parameter",
		`keda: {authenticationRef: {name: a}, secretTargetRef: [{parameter: account, name: a, key: b}]}`: "both set",
		`keda: {behavior: {scaledown: {}}}`:                                                              "/keda/behavior",
		`hpa: {behavior: {up: {}}}`:                                                                      "/hpa/behavior",
		`alerts: {job: 'a"b'}`:                                                                           "/alerts/job",
		`alerts: {runbookUrl: docs/operate.md}`:                                                          "/alerts/runbookUrl",
		`doctor: {args: --kill}`:                                                                         "/doctor/args",
		`commonLabels: {a: 1}`:                                                                           "/commonLabels/a",
		`templates: {"invitation.sms.tmpl": x}`:                                                          "invitation.sms.tmpl",
		`services: {ingest: {resources: {}}, enricher: {resources: {request: {}}}}`:                      "/services/enricher/resources",
	} {
		_, err := render(loadChart(t), example(t, "minimal", values))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want an error about %s, got %v", values, want, err)
		}
	}
}

// Unknown settings are refused too, all of them at once, although only the services know the meaning of settings.
func TestUnknownSettingsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := render(loadChart(t), example(t, "production", `
config: {sms: {vonage: {form: Acme}}, email: {smtp: plain}, log: {level: {of: info}}, kafka: {topics: [a]}, sources: [{name: acme, provider: clickwrap, webhook: {secret: x}}]}
secrets: {email.smtp.pasword: {name: a, key: b}, sms.vonage.from: {name: a, key: b}, source.clickwrap.acme.api.tokens: {name: a, key: b}}
`))
	if err == nil {
		t.Fatal("rendered")
	}
	for _, want := range []string{
		"config.sms.vonage.form: no such setting", "config.email.smtp: no such setting", "config.log.level.of: no such setting",
		"config.kafka.topics: no such setting", "config.sources.webhook.secret: no such setting",
		`secrets."email.smtp.pasword": no such setting`, `secrets."sms.vonage.from": is not a secret: set it in config`,
		`secrets."source.clickwrap.acme.api.tokens": no such setting`,
		`secrets."source.pleasesign.onboarding.api.key": config.sources has no onboarding of pleasesign`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

// The chart accepts every setting of the example, except those that it sets itself.
func TestChartKnowsAllSettings(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(root + "/deployments/signrelay.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var settings map[string]any
	if err := yaml.Unmarshal(data, &settings); err != nil {
		t.Fatal(err)
	}
	for _, own := range []string{"templates", "links", "receipts", "admin", "data_dir"} {
		delete(settings, own)
	}
	values := example(t, "minimal")
	values["config"] = settings
	m, err := render(loadChart(t), values)
	if err != nil {
		t.Fatal(err)
	}
	if services(m)["kafka-bridge"] == nil {
		t.Error("its brokers have no effect")
	}
}

// Missing values are reported all at once, with their names.
func TestMissingValuesAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := render(loadChart(t), example(t, "minimal", `
config: {nats: {url: ""}, redis: null, sources: [], shortener: {public_url: ""}}
keda: {enabled: true}
ingress: {enabled: true, host: ""}
services: {enricher: {replicas: 9}}
`))
	if err == nil {
		t.Fatal("rendered")
	}
	for _, want := range []string{
		"config.nats.url is missing", "config.redis.url is missing", "config.sources is empty", "config.shortener.public_url is missing",
		"keda.monitoringEndpoint is missing", "set it, or services.sms-sender.host", "services.enricher.maxReplicas is less than its replicas",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

// The values in docs/operate.md are valid, and it shows how to create every secret in them.
func TestDocumentedValuesPassTheChecks(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(root + "/docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(data), "\n## Install on Kubernetes\n")
	_, block, _ := strings.Cut(section, "```yaml\n")
	block, _, _ = strings.Cut(block, "```")
	var values map[string]any
	if err := yaml.UnmarshalStrict([]byte(block), &values); err != nil || len(values) == 0 {
		t.Fatalf("no values: %v", err)
	}
	m, err := render(loadChart(t), values)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		for _, wrong := range c.find(m) {
			t.Errorf("%s: %s", c.name, wrong)
		}
	}
	for _, pod := range pods(m) {
		for setting, secret := range mounted(pod) {
			if !strings.Contains(section, "create secret generic "+secret+" ") {
				t.Errorf("docs/operate.md does not show how to create %s, for %s", secret, setting)
			}
		}
	}
}

// Values that the examples do not have: addresses in secrets, credentials files, services turned off.
func TestOtherValuesPassTheChecks(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]string{
		"addresses in secrets": `
config: {nats: {url: ""}, redis: {url: ""}}
secrets: {nats.url: {name: a, key: b}, redis.url: {name: a, key: c}}`,
		"credentials files":   `nats: {users: {secret: signrelay-nats, kind: creds}}`,
		"services turned off": `services: {sms-sender: {enabled: false}}`,
		"KEDA":                `keda: {enabled: true, monitoringEndpoint: "nats:8222", waitingPerWorker: 3}`,
		"one port given": `
config: {nats: {url: "nats://a:4223,nats://b"}}
networkPolicy: {enabled: true}`,
		"policies": `networkPolicy: {enabled: true, callers: [], monitoring: [], nats: {ports: [4222]}}`,
	} {
		m, err := render(loadChart(t), example(t, "minimal", values))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, c := range checks {
			for _, wrong := range c.find(m) {
				// These follow from the values.
				if name == "services turned off" && wrong == "sms-sender does not run" ||
					name == "policies" && strings.Contains(wrong, "is called at [") || name == "credentials files" && c.name == "NATS knows the users" {
					continue
				}
				t.Errorf("%s: %s: %s", name, c.name, wrong)
			}
		}
	}
}
