package compose_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/service"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
	"github.com/signrelay/signrelay/services/sections"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
	"github.com/signrelay/signrelay/tests/testenv"
)

const (
	base     = "docker-compose.yml"
	realFile = "deployments/compose/real.yml"
	cluster  = "deployments/compose/cluster.yml"
	secure   = "deployments/compose/tls.yml"
)

// withConsole are our services with the console, which runs only in its profile: it needs users and an https address.
func withConsole() []string { return append(ours(), "console") }

// load reads compose files as docker compose does, with these variables and no others.
func load(t *testing.T, env []string, files ...string) *types.Project {
	t.Helper()
	paths := make([]string, len(files))
	for i, file := range files {
		paths[i] = filepath.Join(testenv.Root(), file)
	}
	options, err := cli.NewProjectOptions(paths, cli.WithWorkingDirectory(testenv.Root()), cli.WithEnv(env), cli.WithDefaultProfiles())
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestServicesAreThoseOfTheMap(t *testing.T) {
	t.Parallel()
	parts := []string{"nats", "redis", "kafka", "provision"}
	demo := []string{"demo-certificate", "sandbox"}
	nodes, windows := []string{"nats-2", "nats-3"}, []string{"prometheus", "alertmanager", "grafana"}
	for name, row := range map[string]struct {
		files   []string
		profile string
		want    []string
	}{
		"default":             {[]string{base}, "", slices.Concat(parts, ours(), demo)},
		"real":                {[]string{base, realFile}, "", slices.Concat(parts, ours())},
		"three nodes":         {[]string{base, cluster}, "", slices.Concat(parts, nodes, ours(), demo)},
		"real on three nodes": {[]string{base, realFile, cluster}, "", slices.Concat(parts, nodes, ours())},
		"observed":            {[]string{base}, "observe", slices.Concat(parts, ours(), demo, windows)},
		"the command line":    {[]string{base}, "command", slices.Concat(parts, ours(), demo, []string{"signrelay"})},
	} {
		got := load(t, []string{"COMPOSE_PROFILES=" + row.profile}, row.files...).ServiceNames()
		slices.Sort(got)
		slices.Sort(row.want)
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The containers of the flow and the sandbox run as no user of the host, and have only the permissions that they need.
func TestContainersAreConfined(t *testing.T) {
	t.Parallel()
	project := load(t, []string{"COMPOSE_PROFILES=observe,console"}, base, cluster)
	for _, name := range project.ServiceNames() {
		s := project.Services[name]
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s has privileges", name)
		}
		if s.ContainerName != "" {
			t.Errorf("%s has a container name, so it cannot be scaled", name)
		}
		if s.Logging == nil || s.Logging.Driver != "local" {
			t.Errorf("%s may fill the disk with its log", name)
		}
		limit := int64(s.MemLimit)
		if limit == 0 {
			t.Errorf("%s may take all memory", name)
		}
		// Above 90% of the limit, a Go program's garbage collector works harder.
		if want := fmt.Sprintf("%dMiB", limit*9/10>>20); !slices.Contains([]string{"redis", "kafka", "demo-certificate"}, name) && value(s.Environment, "GOMEMLIMIT") != want {
			t.Errorf("%s: GOMEMLIMIT is %q, and 90%% of the limit is %s", name, value(s.Environment, "GOMEMLIMIT"), want)
		}
		if !s.ReadOnly && name != "kafka" {
			t.Errorf("%s may write to its root file system", name)
		}
		if jobs := []string{"provision", "demo-certificate"}; slices.Contains(jobs, name) {
			if s.Restart != "on-failure" || s.HealthCheck == nil || !s.HealthCheck.Disable {
				t.Errorf("%s is a job: it must end, and needs no health check", name)
			}
		} else if s.Restart != "unless-stopped" || s.HealthCheck == nil || len(s.HealthCheck.Test) == 0 {
			t.Errorf("%s has no restart policy or no health check", name)
		}
	}
	for _, name := range append(withConsole(), "sandbox", "provision", "demo-certificate") {
		s := project.Services[name]
		if s.User != "65532:65532" {
			t.Errorf("%s runs as %q", name, s.User)
		}
		// The services end within 25 s, including their drain delay, and send their last traces within 2 s.
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < 27*time.Second+10*time.Second {
			t.Errorf("%s has too little time to end: %v", name, s.StopGracePeriod)
		}
		program := name
		if name == "provision" || name == "demo-certificate" {
			program = "signrelay"
		}
		if s.Build == nil || s.Build.Args["SERVICE"] == nil || *s.Build.Args["SERVICE"] != program || s.Image != "signrelay/"+program+":dev" {
			t.Errorf("%s is not an image of %s", name, program)
		}
	}
}

// Each service has a NATS user of its own name, with the password that the servers get for it.
func TestNATSUsersAreTheServices(t *testing.T) {
	t.Parallel()
	var env []string
	passwordOf := func(user string) string {
		return "NATS_" + strings.ToUpper(strings.ReplaceAll(user, "-", "_")) + "_PASSWORD"
	}
	for _, user := range append(withConsole(), "operator") {
		env = append(env, passwordOf(user)+"=of-"+user)
	}
	project := load(t, append(env, "COMPOSE_PROFILES=console"), base, cluster)
	for name, user := range users() {
		s := project.Services[name]
		if got := value(s.Environment, "SIGNRELAY_NATS_USER"); got != user {
			t.Errorf("%s is NATS user %q", name, got)
		}
		for _, node := range []string{"nats", "nats-2", "nats-3"} {
			at := value(project.Services[node].Environment, passwordOf(user))
			if got := value(s.Environment, "SIGNRELAY_NATS_PASSWORD"); got != "of-"+user || at != got {
				t.Errorf("%s has the password %q, and %s expects %q", name, got, node, at)
			}
		}
	}
	// Every variable of the servers' files is set.
	accounts, err := filepath.Glob(filepath.Join(testenv.Root(), "deployments/nats/*.conf"))
	if err != nil || len(accounts) == 0 {
		t.Fatal(accounts, err)
	}
	for _, path := range accounts {
		for _, name := range regexp.MustCompile(`\$(NATS_\w+)`).FindAllStringSubmatch(uncommented(t, path), -1) {
			for _, node := range []string{"nats", "nats-2", "nats-3"} {
				if value(project.Services[node].Environment, name[1]) == "" {
					t.Errorf("%s needs %s, which %s does not get", filepath.Base(path), name[1], node)
				}
			}
		}
	}
}

func users() map[string]string {
	all := map[string]string{"provision": "operator"}
	for _, name := range withConsole() {
		all[name] = name
	}
	return all
}

func value(env types.MappingWithEquals, name string) string {
	if v := env[name]; v != nil {
		return *v
	}
	return ""
}

func uncommented(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// Every service accepts its settings, and listens on its published ports.
func TestSettingsReachContainers(t *testing.T) {
	t.Parallel()
	made := madeAtFirst(t)
	for _, files := range [][]string{{base}, {base, cluster}} {
		project := load(t, []string{"COMPOSE_PROFILES=console"}, files...)
		published := map[string][]string{}
		for _, name := range append(withConsole(), "sandbox", "provision") {
			s := project.Services[name]
			cfg := settingsOf(t, made, s)
			for _, p := range s.Ports {
				if p.HostIP != "127.0.0.1" {
					t.Errorf("%s is published to the network, on %s", name, p.HostIP)
				}
				published[name] = append(published[name], ":"+strconv.Itoa(int(p.Target)))
			}
			if cfg.Admin.Addr != ":9090" {
				t.Errorf("%s: its admin listener cannot be reached, %s", name, cfg.Admin.Addr)
			}
			for at, addr := range map[string]string{
				"ingest": ingestsettings.Section.Of(cfg).Addr, "shortener": shortenersettings.Links.Of(cfg).Addr, "sms-sender": smssettings.Receipts.Of(cfg).Addr, "sandbox": sandboxsettings.Section.Of(cfg).Addr,
			} {
				if at == name && !slices.Contains(published[name], addr) {
					t.Errorf("%s listens on %s, which is not published", name, addr)
				}
			}
		}
		want := map[string][]string{"ingest": {":8080"}, "shortener": {":8083"}, "sms-sender": {":8084"}, "sandbox": {":8082"}, "console": {":8081"}}
		if diff := cmp.Diff(want, published); diff != "" {
			t.Errorf("published ports (-want +got):\n%s", diff)
		}
		for part, want := range map[string]int{"nats": 1, "kafka": 1, "redis": 0} { // the ports for subscribers on this machine
			ports := project.Services[part].Ports
			if len(ports) != want || slices.ContainsFunc(ports, func(p types.ServicePortConfig) bool { return p.HostIP != "127.0.0.1" }) {
				t.Errorf("%s is published as %v", part, ports)
			}
		}
	}
	replicas := settingsOf(t, made, load(t, nil, base, cluster).Services["provision"]).NATS.Replicas
	if replicas != 3 {
		t.Errorf("on three nodes the streams have %d replicas", replicas)
	}
}

// settingsOf returns the settings that the container's program reads from its environment and its file; data replaces its volume.
func settingsOf(t *testing.T, data string, s types.ServiceConfig) config.Config {
	t.Helper()
	var environ []string
	for name := range s.Environment {
		text := value(s.Environment, name)
		if file, found := strings.CutPrefix(text, "/data/"); found {
			text = filepath.Join(data, file)
		}
		for _, v := range s.Volumes {
			if v.Target == text && v.Type == types.VolumeTypeBind {
				text = v.Source
			}
		}
		environ = append(environ, name+"="+text)
	}
	cfg, _, err := config.Load(sections.All, nil, environ)
	if err == nil {
		err = service.Check(cfg)
	}
	if err != nil {
		t.Errorf("%s: %v", s.Name, err)
	}
	return cfg
}

// With tls.yml, the services with public listeners get certificates from an ACME server, and the shortener redirects its links.
func TestPublicListenersWithTLS(t *testing.T) {
	t.Parallel()
	data := madeAtFirst(t)
	project := load(t, []string{"TLS_DOMAINS=sign.acme.example,hooks.acme.example", "MASTER_KEY=" + strings.Repeat("k", 32)}, base, realFile, secure)
	for name, redirect := range map[string]string{"ingest": "", "sms-sender": "", "shortener": ":8880"} {
		cfg := settingsOf(t, data, project.Services[name])
		if got := cfg.TLS; len(got.ACME.Domains) != 2 || got.RedirectAddr != redirect {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if ports := project.Services["shortener"].Ports; len(ports) != 2 || ports[1].Published != "80" || ports[1].Target != 8880 {
		t.Errorf("the shortener's ports are %+v", ports)
	}
}

// madeAtFirst returns a folder with the files of the first start: the sandbox's key and, in place of its certificate, the public key.
func madeAtFirst(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"esign-v1.key": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)},
		"esign-v1.crt": {Type: "PUBLIC KEY", Bytes: public},
	} {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// .env.example has every variable that .env may set, with its default.
func TestExampleHasEveryVariable(t *testing.T) {
	t.Parallel()
	inFiles := map[string]string{}
	for _, file := range []string{base, realFile, cluster, secure} {
		for _, found := range regexp.MustCompile(`\$\{(\w+):-(?:\$\{\w+:-)?([^}]*)\}`).FindAllStringSubmatch(uncommented(t, filepath.Join(testenv.Root(), file)), -1) {
			inFiles[found[1]] = found[2]
		}
	}
	example := map[string]string{}
	text, err := os.ReadFile(filepath.Join(testenv.Root(), ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`(?m)^([A-Z_]+)=(.*)$`).FindAllStringSubmatch(string(text), -1) {
		example[found[1]] = found[2]
	}
	delete(inFiles, "SIGNRELAY_SETTINGS") // in a comment, because the operator's own file does not exist yet
	if diff := cmp.Diff(inFiles, example); diff != "" {
		t.Errorf("(-files +example):\n%s", diff)
	}
}

// The tests run with the pinned versions.
func TestVersionsArePinned(t *testing.T) {
	t.Parallel()
	project := load(t, nil, base, cluster)
	for _, row := range []struct{ service, path, version string }{
		{"nats", "go.mod", `nats-server/v2 v([\d.]+)`},
		{"nats-2", "go.mod", `nats-server/v2 v([\d.]+)`},
		{"kafka", "tests/kafka/pom.xml", `<kafka.version>([\d.]+)<`},
	} {
		text := uncommented(t, filepath.Join(testenv.Root(), row.path))
		want := regexp.MustCompile(row.version).FindStringSubmatch(text)
		if want == nil || !strings.Contains(project.Services[row.service].Image, ":"+want[1]) {
			t.Errorf("%s is %s; %s has %v", row.service, project.Services[row.service].Image, row.path, want)
		}
	}
	if image := project.Services["redis"].Image; !regexp.MustCompile(`:\d+\.\d+\.\d+`).MatchString(image) {
		t.Errorf("redis is %s", image)
	}
}

// The Dockerfile has a stage for each program, and no other.
func TestDockerfileBuildsEveryProgram(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(testenv.Root(), "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	var stages []string
	for _, found := range regexp.MustCompile(`(?m)^FROM image AS (\S+)$`).FindAllSubmatch(text, -1) {
		stages = append(stages, string(found[1]))
	}
	want := append(withConsole(), "sandbox", "signrelay")
	slices.Sort(want)
	if slices.Sort(stages); !slices.Equal(want, stages) {
		diff := cmp.Diff(want, stages)
		t.Errorf("(-want +got):\n%s", diff)
	}
	version := regexp.MustCompile(`(?m)^ARG GO_IMAGE=golang:(\d+\.\d+)`).FindSubmatch(text)
	work, err := os.ReadFile(filepath.Join(testenv.Root(), "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	if version == nil || !bytes.Contains(work, append([]byte("go "), version[1]...)) {
		t.Errorf("Go %s is not the version in go.work", version)
	}
}

// Prometheus sends its alerts to the Alertmanager of the compose file, which has a receiver for each route and separates installations.
func TestAlertsReachTheAlertmanager(t *testing.T) {
	t.Parallel()
	project := load(t, []string{"COMPOSE_PROFILES=observe"}, base)
	read := func(name string, into any) {
		text, err := os.ReadFile(filepath.Join(testenv.Root(), "deployments/prometheus", name))
		if err == nil {
			err = yaml.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var prometheus struct {
		Alerting struct {
			Alertmanagers []struct {
				StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
			}
		}
	}
	read("prometheus.yml", &prometheus)
	if a := prometheus.Alerting.Alertmanagers; len(a) != 1 || len(a[0].StaticConfigs) != 1 || !slices.Equal(a[0].StaticConfigs[0].Targets, []string{"alertmanager:9093"}) {
		t.Errorf("Prometheus alerts %+v", a)
	}
	type route struct {
		Receiver string
		GroupBy  []string `yaml:"group_by"`
		Routes   []route
	}
	var manager struct {
		Route     route
		Receivers []struct{ Name string }
	}
	read("alertmanager.yml", &manager)
	if !slices.Equal(manager.Route.GroupBy, []string{"namespace", "job", "alertname"}) {
		t.Errorf("alerts are grouped by %v", manager.Route.GroupBy)
	}
	for _, r := range append(manager.Route.Routes, manager.Route) {
		if !slices.ContainsFunc(manager.Receivers, func(to struct{ Name string }) bool { return to.Name == r.Receiver }) {
			t.Errorf("there is no receiver %q", r.Receiver)
		}
	}
	mounted := slices.ContainsFunc(project.Services["alertmanager"].Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Source == filepath.Join(testenv.Root(), "deployments/prometheus/alertmanager.yml") && slices.Contains(project.Services["alertmanager"].Command, "--config.file="+v.Target)
	})
	if !mounted {
		t.Error("the Alertmanager does not read the file")
	}
}
