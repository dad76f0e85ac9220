package helm_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"

	"github.com/signrelay/signrelay/libs/realtest"
)

// Three releases in one Prometheus, two of them in one namespace, each with the rules of its own chart. Every alert is about one release
// and fires once, also for a release that Prometheus has never scraped.
func TestEachReleaseHasItsOwnAlerts(t *testing.T) {
	t.Parallel()
	realtest.Server(t, "promtool")
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		realtest.Missing(t, "install Prometheus for this test (Debian: prometheus): %v", err)
	}
	dir := t.TempDir()
	var files []string
	for _, release := range [][2]string{{"eu", "signrelay"}, {"eu", "acme"}, {"us", "signrelay"}} {
		m, err := renderAs(loadChart(t), example(t, "production"), release[0], release[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, rules := range of[*monitoring.PrometheusRule](m) {
			data, err := yaml.Marshal(rules.Spec)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, release[0]+"-"+release[1]+".yaml")
			write(t, filepath.Join(dir, files[len(files)-1]), string(data))
		}
	}
	write(t, filepath.Join(dir, "test.yaml"), fmt.Sprintf(`
rule_files: [%s]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'signrelay_ready{namespace="us", job="signrelay", component="ingest"}', values: '1x60'}
      - {series: 'signrelay_ready{namespace="eu", job="signrelay", component="ingest"}', values: '0x60'}
      - {series: 'signrelay_stage_waiting_messages{namespace="eu", job="signrelay", stage="enricher", stream="SIGNING"}', values: '7x60'}
      - {series: 'signrelay_stage_attempts_total{namespace="eu", job="signrelay", stage="enricher", outcome="done", reason=""}', values: '0x60'}
      - {series: 'signrelay_stage_attempts_total{namespace="us", job="signrelay", stage="enricher", outcome="done", reason=""}', values: '0+60x60'}
    promql_expr_test:
      - expr: count by (alertname, namespace, job) (ALERTS{alertstate="firing"})
        eval_time: 30m
        exp_samples:
          - {labels: '{alertname="SignrelayNoIngest", namespace="eu", job="signrelay"}', value: 1}
          - {labels: '{alertname="SignrelayNoIngest", namespace="eu", job="acme-signrelay"}', value: 1}
          - {labels: '{alertname="SignrelayNotReady", namespace="eu", job="signrelay"}', value: 1}
          - {labels: '{alertname="SignrelayStageStuck", namespace="eu", job="signrelay"}', value: 1}
`, strings.Join(files, ", ")))
	if output, err := exec.CommandContext(t.Context(), promtool, "test", "rules", filepath.Join(dir, "test.yaml")).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, output)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
