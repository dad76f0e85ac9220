package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sections"
	"github.com/signrelay/signrelay/services/standalone"
)

// files lists the files that contain tables of services.
var files = []string{
	"deployments/helm/signrelay/files/services.yaml", "deployments/helm/signrelay/values.schema.json", "deployments/prometheus/prometheus.yml",
	"docker-compose.yml", "deployments/compose/cluster.yml", "Dockerfile", ".env.example", "deployments/grafana/signrelay.json", "docs/operate.md",
}

func copied(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range append([]string{"deployments/systemd/signrelay-ingest.service"}, files...) {
		text, err := os.ReadFile(filepath.Join("../../..", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func text(t *testing.T, root, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestANewServiceIsInEveryTable(t *testing.T) {
	t.Parallel()
	root := copied(t)
	notary := service.Service{
		Name: "notary", Summary: "reminds signers", Calls: []service.Party{service.NATS, service.Redis}, Reads: []string{"sources", "nats", "redis", "log"},
		Listeners: []service.Listener{{Name: "http", Key: "links.addr", Port: 8099, Path: "/r"}}, Secrets: []string{"sms.vonage.api_key"}, MemoryMiB: 100,
	}
	if err := write(root, append(append([]service.Service(nil), standalone.Services...), notary)); err != nil {
		t.Fatal(err)
	}
	port := adminPort(len(standalone.Services))
	for name, wants := range map[string][]string{
		"deployments/helm/signrelay/files/services.yaml": {
			"notary:\n  listeners:\n    - {name: http, port: 8099, setting: SIGNRELAY_LINKS_ADDR, path: /r}\n  reads: [sources, nats, redis, log]\n  calls: [nats, redis]\n",
		},
		"deployments/helm/signrelay/values.schema.json": {`"notary": {"$ref": "#/definitions/public"}`},
		"deployments/prometheus/prometheus.yml":         {", notary]"},
		"docker-compose.yml": {
			"      NATS_REMINDER_PASSWORD: ${NATS_REMINDER_PASSWORD:-not-a-secret}\n",
			"      REDIS_REMINDER_PASSWORD: ${REDIS_REMINDER_PASSWORD:-${REDIS_PASSWORD:-not-a-secret}}\n", ",notary\n",
		},
		"deployments/compose/cluster.yml": {"  NATS_REMINDER_PASSWORD: ${NATS_REMINDER_PASSWORD:-not-a-secret}\n"},
		"docs/operate.md":                 {fmt.Sprintf("| `signrelay-notary` | `notary` | %d | 127.0.0.1:8083 |\n", port)},
		"Dockerfile":                      {"FROM image AS notary\nEXPOSE 8099\n"},
		".env.example":                    {"\nNATS_REMINDER_PASSWORD=not-a-secret\n", "\nREDIS_REMINDER_PASSWORD=not-a-secret\n"},
		"deployments/systemd/signrelay-notary.service": {
			"Description=Signrelay notary: reminds signers\n", fmt.Sprintf("SIGNRELAY_ADMIN_ADDR=127.0.0.1:%d\n", port), "SIGNRELAY_NATS_USER=notary\n",
			"SIGNRELAY_REDIS_PASSWORD_FILE=%d/redis.password\n", "SIGNRELAY_SMS_VONAGE_API_KEY_FILE=%d/sms.vonage.api_key\n",
			"MemoryMax=100M\nEnvironment=GOMEMLIMIT=90MiB\n", "PartOf=signrelay.target\n",
		},
	} {
		is := text(t, root, name)
		for _, want := range wants {
			if !strings.Contains(is, want) {
				t.Errorf("%s has no %q:\n%s", name, want, is)
			}
		}
	}
}

// notary are the settings of a new service.
type notary struct {
	After string `yaml:"after"`
}

// A new stage gets the five panels of every stage, right of the stages before it, and a new section of settings is in the chart's schema.
func TestANewStageHasPanelsAndSettings(t *testing.T) {
	t.Parallel()
	was := text(t, "../../..", "deployments/grafana/signrelay.json")
	is, err := dashboard(was, "ingest", append(slices.Clone(flow.Stages), flow.Stage{Name: "notary"}))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(is), &board); err != nil {
		t.Fatal(err)
	}
	width := 24 / (len(flow.Stages) + 2) // with ingest and the notary
	ids, places := map[int]string{}, map[string]int{}
	var titles []string
	for _, p := range board.Panels {
		if ids[p.ID] != "" {
			t.Errorf("%s and %s have the id %d", ids[p.ID], p.Title, p.ID)
		}
		ids[p.ID] = p.Title
		name, what, _ := strings.Cut(p.Title, ": ")
		places[name] = p.GridPos.X
		if name == "notary" {
			titles = append(titles, what)
			if p.GridPos.X != width*(len(flow.Stages)+1) || p.GridPos.W != width || p.GridPos.Y != 6+7*(len(titles)-1) || !strings.Contains(p.Targets[0].Expr, `stage="notary"`) {
				t.Errorf("%+v", p)
			}
		}
	}
	if want := "in out lag errors time"; strings.Join(titles, " ") != want || places["ingest"] != 0 || places["enricher"] != width {
		t.Errorf("its panels are %q, and the columns are at %v", titles, places)
	}
	if gone, err := dashboard(is, "ingest", flow.Stages); err != nil || gone != was {
		t.Errorf("without the stage, the dashboard is not as before: %v", err)
	}
	section := &config.Section[notary]{Key: "notary"}
	schema, err := settingsSchema(text(t, "../../..", "deployments/helm/signrelay/values.schema.json"), append(slices.Clone(sections.All), section))
	if err != nil || !strings.Contains(schema, ",\n        \"notary\": {\"type\": \"object\"}\n") || !json.Valid([]byte(schema)) {
		t.Errorf("%v\n%s", err, schema)
	}
}

// The tables of the repository are up to date, and writing them twice changes nothing.
func TestTheTablesAreUpToDate(t *testing.T) {
	t.Parallel()
	root := copied(t)
	if err := write(root, standalone.Services); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if text(t, root, name) != text(t, "../../..", name) {
			t.Errorf("%s is stale: run make generate", name)
		}
	}
}

// A file without its block causes an error that names the block, and the file stays unchanged.
func TestAMissingBlockIsReported(t *testing.T) {
	t.Parallel()
	root := copied(t)
	path := filepath.Join(root, ".env.example")
	if err := os.WriteFile(path, []byte("NATS_SYS_PASSWORD=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := write(root, standalone.Services)
	if err == nil || !strings.Contains(err.Error(), ".env.example: want one block between # <services: ") {
		t.Error(err)
	}
	if text(t, root, ".env.example") != "NATS_SYS_PASSWORD=x\n" {
		t.Error("it was changed")
	}
}
