package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/services/sections"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

const example = "../../deployments/signrelay.example.yaml"

func TestTheExampleIsValidAndComplete(t *testing.T) {
	t.Parallel()
	cfg := load(t, []string{"--config", example}, nil)
	if err := config.Check(cfg, providers, nil); err != nil {
		t.Error(err)
	}

	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	// A setting that one example source omits must be in another.
	sources := map[string]any{}
	list, _ := tree["sources"].([]any)
	for _, s := range list {
		source, _ := s.(map[string]any)
		merge(sources, source)
	}
	var names strings.Builder
	config.Names(&names, sections.All)
	for line := range strings.Lines(names.String()) {
		key, _, _ := strings.Cut(line, ":")
		below := tree
		if name, ofSource := strings.CutPrefix(key, "sources."); ofSource {
			key, below = name, sources
		}
		path := strings.Split(key, ".")
		for _, part := range path[:len(path)-1] {
			below, _ = below[part].(map[string]any)
		}
		if _, shown := below[path[len(path)-1]]; !shown {
			t.Errorf("the example does not show %s", strings.TrimSpace(line))
		}
	}
}

func merge(into, from map[string]any) {
	for k, v := range from {
		below, isMap := v.(map[string]any)
		known, has := into[k].(map[string]any)
		if isMap && has {
			merge(known, below)
		} else {
			into[k] = v
		}
	}
}

func TestPrintMasksSecrets(t *testing.T) {
	t.Parallel()
	// Every secret gets a value that can be searched for.
	cfg := load(t, []string{"--config", example}, secretVariables(t))
	for i, s := range cfg.Sources {
		for _, is := range s.Settings() {
			if is.Secret {
				s = s.With(is.Key + "=hunter2")
			}
		}
		cfg.Sources[i] = s
	}
	cfg.Redis.URL = "redis://app:hunter2,@/x@redis:6379/0"
	cfg.NATS.URL = "nats://app:hunter2@a:4222,nats://hunter2@b:4222,c:4222"
	cfg.Sources[0].API.BaseURL = "https://app:hunter2@api.example"
	before := cfg.Sources[0].Text("webhook.secrets")

	var out strings.Builder
	if err := config.Print(&out, cfg); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("a secret is printed:\n%s", out.String())
	}
	for _, want := range []string{
		"url: redis://app:********@redis:6379/0",
		"url: nats://app:********@a:4222,nats://********@b:4222,c:4222",
		"timeout: 10s", "sender_name: Acme Legal", "-----BEGIN CERTIFICATE-----", `- "********"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	if cfg.Sources[0].Text("webhook.secrets") != before || smssettings.VonageSection.Of(cfg).APISecret != "hunter2" {
		t.Error("printing masked the settings themselves")
	}
}

// secretVariables sets each secret outside the sources.
func secretVariables(t *testing.T) []string {
	t.Helper()
	var usage strings.Builder
	if err := config.Usage(&usage, sections.All); err != nil {
		t.Fatal(err)
	}
	var variables []string
	for line := range strings.Lines(usage.String()) {
		if _, rest, secret := strings.Cut(line, ": no flag)"); secret {
			variables = append(variables, strings.TrimSuffix(strings.Fields(rest)[0], "[_FILE]")+"=hunter2")
		}
	}
	if len(variables) < 12 {
		t.Fatalf("only %d secrets were found", len(variables))
	}
	return variables
}

func TestPrintedSettingsCanBeLoaded(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--config", example}} {
		cfg := load(t, args, nil)
		var first, second strings.Builder
		if err := config.Print(&first, cfg); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "printed.yaml")
		if err := os.WriteFile(path, []byte(first.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := config.Print(&second, load(t, []string{"--config", path}, nil)); err != nil {
			t.Fatal(err)
		}
		if first.String() != second.String() {
			t.Errorf("printed:\n%s\nloaded and printed again:\n%s", first.String(), second.String())
		}
	}
}
