package observe_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// anInstall is in every selector of the rules. The chart replaces it by the namespace and job of its release.
const anInstall = `job=~".*signrelay.*"`

// ruleTests is a file for `promtool test rules`.
type ruleTests struct {
	RuleFiles []string   `yaml:"rule_files"`
	Interval  string     `yaml:"evaluation_interval"`
	Tests     []ruleTest `yaml:"tests"`
}

type ruleTest struct {
	Name     string `yaml:"name"`
	Interval string `yaml:"interval"`
	Series   []struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	} `yaml:"input_series"`
	Queries []struct {
		Expr     string `yaml:"expr"`
		EvalTime string `yaml:"eval_time"`
		Samples  []struct {
			Labels string  `yaml:"labels"`
			Value  float64 `yaml:"value"`
		} `yaml:"exp_samples"`
	} `yaml:"promql_expr_test"`
}

// Every test of the rules becomes a separate installation, all in one Prometheus. Each has its expected alerts, although other
// installations fail while it works, and work while it fails.
func TestInstallationsDoNotShareAlerts(t *testing.T) {
	t.Parallel()
	promtool := debian(t, "promtool")
	rules := string(read(t, "deployments", "prometheus", "signrelay.rules.yaml"))
	inNamespaces := func(labels string, i int) string { return fmt.Sprintf(`namespace="install-%d", `, i) + labels }
	asJobs := func(labels string, i int) string {
		return strings.Replace(labels, `job="signrelay"`, fmt.Sprintf(`job="signrelay-%d"`, i), 1)
	}
	for _, c := range []struct {
		name, rules string
		label       func(labels string, i int) string
		only        string // of ALERTS
		holds       bool
	}{
		{"each in a namespace", rules, inNamespaces, `namespace="install-%d"`, true},
		{"each in a job", rules, asJobs, `job="signrelay-%d"`, true},
		{"rules that combine namespaces", strings.ReplaceAll(rules, "(namespace, ", "("), inNamespaces, `namespace="install-%d"`, false},
		{"rules that combine jobs", strings.NewReplacer("(namespace, job, ", "(namespace, ", "(namespace, job)", "(namespace)").Replace(rules), asJobs, `job="signrelay-%d"`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			files := map[string]string{"rules.yaml": c.rules}
			args := []string{"test", "rules"}
			for _, file := range ruleTestFiles {
				data, err := yaml.Marshal(togetherAs(t, file, c.label, c.only))
				if err != nil {
					t.Fatal(err)
				}
				files[file] = string(data)
				args = append(args, filepath.Join(dir, file))
			}
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			output, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
			if failed := strings.Contains(string(output), "FAILED"); err == nil != c.holds || failed == c.holds {
				t.Errorf("promtool: %v\n%s", err, output)
			}
		})
	}
}

// ruleTestFiles lists the files with tests of single installations. Each has its own interval of evaluation.
var ruleTestFiles = []string{"signrelay.rules.test.yaml", "receipts.rules.test.yaml"}

// togetherAs merges all tests of a file into one, with an installation for each test.
func togetherAs(t *testing.T, file string, label func(labels string, i int) string, only string) ruleTests {
	t.Helper()
	var written ruleTests
	if err := yaml.Unmarshal(read(t, "deployments", "prometheus", file), &written); err != nil {
		t.Fatal(err)
	}
	all := ruleTest{Name: "all together", Interval: written.Interval}
	for i, one := range written.Tests {
		if one.Interval != written.Interval {
			t.Fatalf("%s: %q has samples every %s; the file evaluates every %s", file, one.Name, one.Interval, written.Interval)
		}
		for _, s := range one.Series {
			name, labels, _ := strings.Cut(s.Series, "{")
			s.Series = name + "{" + label(labels, i)
			all.Series = append(all.Series, s)
		}
		for _, q := range one.Queries {
			q.Expr = strings.Replace(q.Expr, "ALERTS{", "ALERTS{"+fmt.Sprintf(only, i)+", ", 1)
			all.Queries = append(all.Queries, q)
		}
	}
	if len(written.Tests) < 2 || len(all.Queries) < 2*len(written.Tests) {
		t.Fatalf("%s: read %d tests with %d queries", file, len(written.Tests), len(all.Queries))
	}
	return ruleTests{RuleFiles: []string{"rules.yaml"}, Interval: written.Interval, Tests: []ruleTest{all}}
}

// The chart cannot replace a selector without the installation's label. An aggregation or a match without namespace and job combines installations.
func TestEveryRuleSeparatesInstallations(t *testing.T) {
	t.Parallel()
	for _, r := range rules(t) {
		name := r.Alert + r.Record
		for _, wrong := range mixesInstalls(r.Expr) {
			t.Errorf("%s: %s", name, wrong)
		}
	}
	for _, expr := range []string{
		`sum(signrelay_ready{job=~".*signrelay.*"})`,
		`sum by (stage) (signrelay_ready{job=~".*signrelay.*"})`,
		`signrelay_ready{job=~".*signrelay.*"} and on (stage) signrelay_ready{job=~".*signrelay.*"}`,
		`sum without (instance) (signrelay_ready{job=~".*signrelay.*"})`,
		`signrelay_ready == 0`,
		`signrelay_ready{component="ingest"} == 0`,
		`up == 0`,
		`signrelay:stage_ended:rate10m > 0`,
	} {
		if len(mixesInstalls(expr)) == 0 {
			t.Errorf("no mistake is found in %s", expr)
		}
	}
}

var (
	selectors    = regexp.MustCompile(`\b(?:signrelay[_:][a-z0-9_:]+|up|process_[a-z_]+)\b(\{[^}]*\})?`)
	aggregations = regexp.MustCompile(`(?:^|[^:\w])(?:sum|min|max|avg|count|group|quantile|stddev|topk|bottomk)\b\s*(by \([^)]*\)|without \([^)]*\)|)`)
	matchings    = regexp.MustCompile(`\b(?:on|ignoring)\s*\([^)]*\)`)
)

func mixesInstalls(expr string) (wrong []string) {
	for _, found := range selectors.FindAllStringSubmatch(expr, -1) {
		if !strings.HasPrefix(found[1], "{"+anInstall) {
			wrong = append(wrong, found[0]+" does not begin with "+anInstall)
		}
	}
	for _, found := range aggregations.FindAllStringSubmatch(expr, -1) {
		if !regexp.MustCompile(`^by \(namespace, job\b`).MatchString(found[1]) {
			wrong = append(wrong, found[0]+" is not by (namespace, job)")
		}
	}
	for _, found := range matchings.FindAllString(expr, -1) {
		if !regexp.MustCompile(`^on \(namespace, job\b`).MatchString(found) {
			wrong = append(wrong, found+" is not on (namespace, job)")
		}
	}
	return wrong
}
