package helm_test

import (
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/action"
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
		lint := action.Lint{Strict: true, Namespace: "signing"}
		result := lint.Run([]string{chartPath}, example(t, name))
		for _, err := range result.Errors {
			t.Errorf("%s: %v", name, err)
		}
		if result.TotalChartsLinted != 1 {
			t.Errorf("%s: %d charts were checked", name, result.TotalChartsLinted)
		}
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
