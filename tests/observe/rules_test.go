package observe_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// rule is an alert, or a recording rule, which has no Alert.
type rule struct {
	Alert       string            `yaml:"alert"`
	Record      string            `yaml:"record"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var written struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(read(t, "deployments", "prometheus", "signrelay.rules.yaml"), &written); err != nil {
		t.Fatal(err)
	}
	for _, g := range written.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func TestRulesPassTheirTests(t *testing.T) {
	t.Parallel()
	promtool := debian(t, "promtool")
	commands := [][]string{{"check", "rules", "signrelay.rules.yaml"}, {"check", "config", "prometheus.yml"}}
	files := testsOfRules(t)
	for _, file := range files { // each in its own process, because promtool runs one test after another
		commands = append(commands, []string{"test", "rules", file})
	}
	if len(files) != 5 {
		t.Errorf("the files with tests of the rules are %v, want 5", files)
	}
	for _, args := range commands {
		t.Run(args[len(args)-1], func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), promtool, args...)
			cmd.Dir = file("deployments", "prometheus")
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, output)
			}
		})
	}
}

// testsOfRules lists the files with tests of the rules.
func testsOfRules(t *testing.T) (names []string) {
	t.Helper()
	found, err := filepath.Glob(file("deployments", "prometheus", "*.rules.test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		names = append(names, filepath.Base(path))
	}
	return names
}

func TestEveryAlertIsComplete(t *testing.T) {
	t.Parallel()
	var all [][]byte
	for _, file := range testsOfRules(t) {
		all = append(all, read(t, "deployments", "prometheus", file))
	}
	tested := string(bytes.Join(all, nil))
	const runbook = "https://github.com/signrelay/signrelay/blob/main/docs/operate.md#"
	var alerts []string
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		alerts = append(alerts, r.Alert)
		if s := r.Labels["severity"]; s != "critical" && s != "warning" && r.Alert != "SignrelayPartAway" { // a rule has either an alert or a record
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s has no summary or description", r.Alert)
		}
		if got := r.Annotations["runbook_url"]; got != runbook+strings.ToLower(r.Alert) {
			t.Errorf("%s: runbook_url is %s", r.Alert, got)
		}
		if !strings.Contains(tested, `{labels: '{alertname="`+r.Alert+`"`) {
			t.Errorf("%s never fires in the rules' tests", r.Alert)
		}
	}

	// The runbook's section has a heading for each alert, in the rules' order, and no other.
	_, section, _ := strings.Cut(string(read(t, "docs", "operate.md")), "\n## Alerts\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var headings []string
	for _, found := range regexp.MustCompile(`(?m)^### (\S+)$`).FindAllStringSubmatch(section, -1) {
		headings = append(headings, found[1])
	}
	if !slices.Equal(headings, alerts) {
		t.Errorf("the runbook has\n%v\nand the rules have\n%v", headings, alerts)
	}
}

// prometheus.yml names only one file of rules, so there may be no second one.
func TestPrometheusLoadsTheRules(t *testing.T) {
	t.Parallel()
	var config struct {
		RuleFiles []string `yaml:"rule_files"`
	}
	if err := yaml.Unmarshal(read(t, "deployments", "prometheus", "prometheus.yml"), &config); err != nil {
		t.Fatal(err)
	}
	there, err := filepath.Glob(file("deployments", "prometheus", "*.rules.yaml"))
	if err != nil || len(there) != 1 || !slices.Equal(config.RuleFiles, []string{filepath.Base(there[0])}) {
		t.Errorf("prometheus.yml loads %v; the files are %v (%v)", config.RuleFiles, there, err)
	}
}

// reasonsInCode matches the reasons for retries, which are string literals in the code.
var reasonsInCode = regexp.MustCompile(`\boutcome\.(?:Away\(|Later\([^"\n]*|PutOff\([^"\n]*)"([a-z-]+)"`)

// The runbook of SignrelayStageStuck has every reason for a retry, with the remedy.
func TestRunbookHasEveryReasonOfARetry(t *testing.T) {
	t.Parallel()
	_, section, _ := strings.Cut(string(read(t, "docs", "operate.md")), "\n### SignrelayStageStuck\n")
	section, _, _ = strings.Cut(section, "\n### ")
	found := map[string]bool{"failed": true, "named": true} // the reasons of stage.Decide for an error without one
	for _, folder := range []string{"libs", "services"} {
		err := filepath.WalkDir(file(folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, reason := range reasonsInCode.FindAllSubmatch(text, -1) {
				found[string(reason[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 8 {
		t.Errorf("only %d reasons are found in the code", len(found))
	}
	for reason := range found {
		if !regexp.MustCompile("(?m)^\\|[^|]*`" + reason + "`[^|]*\\|").MatchString(section) {
			t.Errorf("the runbook of SignrelayStageStuck has no row for reason %s", reason)
		}
	}
}
