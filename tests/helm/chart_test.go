package helm_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
)

func TestChartPassesTheChecks(t *testing.T) {
	t.Parallel()
	for _, name := range examples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := render(loadChart(t), example(t, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range checks {
				for _, wrong := range c.find(m) {
					t.Errorf("%s: %s", c.name, wrong)
				}
			}
		})
	}
}

func TestHelmLintIsClean(t *testing.T) {
	t.Parallel()
	for _, name := range examples {
		// helm lint --strict
		result := lint.RunAll(chartPath, example(t, name), "signing")
		for _, m := range result.Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%s: %v", name, m.Err)
			}
		}
	}
	// The same check finds an error.
	broken := t.TempDir()
	if err := os.CopyFS(broken, os.DirFS(chartPath)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(broken, "Chart.yaml")); err != nil {
		t.Fatal(err)
	}
	if result := lint.RunAll(broken, example(t, examples[0]), "signing"); result.HighestSeverity < support.ErrorSev {
		t.Errorf("a chart without Chart.yaml: %v", result.Messages)
	}
}

func TestNotesDescribeTheRelease(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][2]bool{"minimal": {false, false}, "production": {true, false}, "sandbox": {false, true}, "openshift": {true, false}} {
		m, err := render(loadChart(t), example(t, name))
		if err != nil {
			t.Fatal(err)
		}
		callbacks := strings.Contains(m.notes, "https://hooks.acme.example/webhooks/<provider>/<source>")
		sandbox := strings.Contains(m.notes, "port-forward svc/signrelay-sandbox 8082")
		if got := [2]bool{callbacks, sandbox}; got != want {
			t.Errorf("%s: callbacks, sandbox: %v, not %v:\n%s", name, got, want, m.notes)
		}
	}
}
