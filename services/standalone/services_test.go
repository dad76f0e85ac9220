package standalone_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sections"
	"github.com/signrelay/signrelay/services/standalone"
)

const root = "../.."

// Each service is in every list outside its folder that "make generate" does not write. CONTRIBUTING.md, "Add a service", has the same list.
func TestEveryServiceIsInEveryList(t *testing.T) {
	t.Parallel()
	folders, err := os.ReadDir(filepath.Join(root, "services"))
	if err != nil {
		t.Fatal(err)
	}
	var compose, values struct {
		Services map[string]any `yaml:"services"`
	}
	read(t, "docker-compose.yml", &compose)
	read(t, "deployments/helm/signrelay/values.yaml", &values)
	checked := 0
	for _, f := range folders {
		name := f.Name()
		if name == "standalone" || name == "sections" {
			continue
		}
		checked++
		i := slices.IndexFunc(standalone.Services, func(s service.Service) bool { return s.Name == name })
		if i < 0 {
			t.Errorf("services/standalone/services.go: Services has no %s", name)
			continue
		}
		if s := standalone.Services[i]; s.Purpose() == "" || s.Run == nil {
			t.Errorf("services/%s: its declaration has no purpose or no Run", name)
		}
		if compose.Services[name] == nil {
			t.Errorf("docker-compose.yml: services has no %s", name)
		}
		if values.Services[name] == nil {
			t.Errorf("deployments/helm/signrelay/values.yaml: services has no %s", name)
		}
	}
	if checked < 7 || checked != len(standalone.Services) {
		t.Errorf("%d folders of services, and %d declarations", checked, len(standalone.Services))
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// The demo has a source of each provider, so that a newcomer can send its samples.
func TestEveryProviderHasADemoSource(t *testing.T) {
	t.Parallel()
	cfg := config.Default(sections.All...)
	cfg.DataDir = t.TempDir()
	cfg, err := standalone.WithDemo(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range providers.All {
		if !slices.ContainsFunc(cfg.Sources, func(s config.Source) bool { return s.Provider == p.Name }) {
			t.Errorf("services/standalone/demo.go: WithDemo has no source of %s", p.Name)
		}
	}
}

// A declaration agrees with the map of the flow: a service that connects to NATS or Redis has a user there, with permissions in the map.
func TestDeclarationsAgreeWithTheFlow(t *testing.T) {
	t.Parallel()
	var onNATS, onRedis []string
	for _, u := range flow.Users() {
		onNATS = append(onNATS, u.Name)
	}
	for _, u := range flow.RedisUsers() {
		onRedis = append(onRedis, u.Name)
	}
	for _, s := range standalone.Services {
		if calls := slices.Contains(s.Calls, service.NATS); calls != slices.Contains(onNATS, s.Name) {
			t.Errorf("libs/flow/flow.go: %s calls NATS: %t, and has a user there: %t", s.Name, calls, !calls)
		}
		if calls := slices.Contains(s.Calls, service.Redis); calls != slices.Contains(onRedis, s.Name) {
			t.Errorf("libs/flow/flow.go: %s calls Redis: %t, and has a user there: %t", s.Name, calls, !calls)
		}
		for _, l := range s.Listeners {
			if config.Default(sections.All...).Text(l.Key) == "" { // Text panics if there is no such setting
				t.Errorf("%s: %s has no default", s.Name, l.Key)
			}
		}
	}
}

// Every section has one owner, and every program loads it.
func TestEverySectionHasAnOwner(t *testing.T) {
	t.Parallel()
	owners := map[config.Declared][]string{}
	for _, s := range standalone.Services {
		for _, section := range s.Sections {
			owners[section] = append(owners[section], s.Name)
			if !slices.Contains(sections.All, section) {
				t.Errorf("services/sections/sections.go: All has no section that %s declares", s.Name)
			}
		}
	}
	for _, section := range standalone.Sections {
		owners[section] = append(owners[section], "the command line")
	}
	for i, section := range sections.All {
		if names := owners[section]; !config.IsShared(section) && len(names) != 1 {
			t.Errorf("services/sections/sections.go: entry %d of All is declared by %q, want one service or the command line", i+1, names)
		}
	}
}
