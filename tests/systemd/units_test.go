// Package systemd_test compares the units of deployments/systemd with the services and the settings that they accept, and lets systemd
// check them.
package systemd_test

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sections"
	"github.com/signrelay/signrelay/tests/testenv"
)

const (
	installed = "/usr/local/lib/signrelay/" // the folder of the programs in the units
	drain     = 27                          // the maximum time in seconds for a service to end: 25 to finish its work, 2 for its last traces
)

func folder() string { return filepath.Join(testenv.Root(), "deployments", "systemd") }

// unit is a unit's directives, including those of the drop-in for all units, in systemd's order.
type unit map[string][]string

func read(t *testing.T, names ...string) unit {
	t.Helper()
	u := unit{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(folder(), name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if key, value, found := strings.Cut(strings.TrimSpace(line), "="); found && !strings.HasPrefix(key, "#") {
				u[key] = append(u[key], value)
			}
		}
	}
	return u
}

func (u unit) last(key string) string {
	if values := u[key]; len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

// units returns all services' units by service, and the job "provision".
func units(t *testing.T) map[string]unit {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder(), "signrelay-*.service"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]unit{}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "signrelay-"), ".service")
		all[name] = read(t, filepath.Base(file), "signrelay-.service.d/confined.conf")
	}
	return all
}

func TestEveryServiceHasAUnit(t *testing.T) {
	t.Parallel()
	folders, err := os.ReadDir(filepath.Join(testenv.Root(), "services"))
	if err != nil {
		t.Fatal(err)
	}
	operate, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "operate.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := units(t)
	for _, f := range folders {
		if f.Name() == "sections" { // the settings of all services
			continue
		}
		u, there := all[f.Name()]
		if !there {
			t.Errorf("%s has no unit", f.Name())
		}
		delete(all, f.Name())
		program := map[string]string{"standalone": "signrelay run"}[f.Name()]
		if program == "" {
			program = f.Name()
		}
		if got := u.last("ExecStart"); got != installed+program {
			t.Errorf("%s starts %s", f.Name(), got)
		}
		member := f.Name() != "standalone" && f.Name() != "sandbox" // standalone replaces all others, the sandbox is for trials
		if (u.last("PartOf") == "signrelay.target") != member || (u.last("WantedBy") == "signrelay.target") != member {
			t.Errorf("%s is part of %q and wanted by %q", f.Name(), u.last("PartOf"), u.last("WantedBy"))
		}
		if !strings.Contains(string(operate), "`signrelay-"+f.Name()+"`") {
			t.Errorf("docs/operate.md does not mention signrelay-%s", f.Name())
		}
	}
	if u := all["provision"]; u.last("Type") != "oneshot" || u.last("ExecStart") != installed+"signrelay provision" {
		t.Errorf("provision is %v", u)
	}
	delete(all, "provision")
	if len(all) > 0 {
		t.Errorf("units of no service: %v", all)
	}
}

// Each program reads its variables, settings and secrets from the unit, and accepts them.
func TestProgramsAcceptTheirUnits(t *testing.T) {
	t.Parallel()
	const parts = `
nats: {url: nats://nats.acme.example:4222}
redis: {url: redis://redis.acme.example:6379/0}
sources: [{name: acme, provider: clickwrap, sender_name: Acme Legal, webhook: {secrets: ["made-up"]}}]
`
	const sms = "sms: {vonage: {from: Acme, receipts_url: https://sign.acme.example}}\n"
	const email = "email: {from: Acme <no-reply@acme.example>, smtp: {host: smtp.acme.example, username: signrelay}}\n"
	const shortener = "shortener: {public_url: https://sign.acme.example}\n"
	settings := map[string]string{
		"ingest": parts, "enricher": parts, "provision": parts, "shortener": parts + shortener, "sms-sender": parts + sms + shortener, "email-sender": parts + email + shortener,
		"kafka-bridge": parts + "kafka: {brokers: [\"kafka.acme.example:9092\"]}\n", "sandbox": parts,
		"standalone": strings.Replace(parts, "nats:", "#", 1) + sms + email + shortener,
	}
	ports := map[string]string{}
	for name, u := range units(t) {
		credentials := t.TempDir()
		write := func(file, text string) {
			if err := os.WriteFile(filepath.Join(credentials, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		from := map[string]bool{}
		for _, loaded := range u["LoadCredential"] {
			id, path, _ := strings.Cut(loaded, ":")
			if path != "/etc/signrelay/"+name+"/"+id {
				t.Errorf("%s loads %s from %s", name, id, path)
			}
			from[id] = true
			switch id {
			case "signrelay.yaml":
				write(id, cmp.Or(settings[name], parts+shortener)) // the second for a service of a later release
			case "sms.vonage.api_key":
				write(id, "a1b2c3d4")
			default:
				write(id, "made-up")
			}
		}
		var environ []string
		for _, e := range u["Environment"] {
			environ = append(environ, strings.NewReplacer("%d", credentials, "%S", t.TempDir()).Replace(e))
			variable, value, _ := strings.Cut(e, "=")
			if id, is := strings.CutPrefix(value, "%d/"); is {
				want := "SIGNRELAY_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(id)) + "_FILE"
				if id == "signrelay.yaml" {
					want = "SIGNRELAY_CONFIG"
				}
				if !from[id] || variable != want {
					t.Errorf("%s: %s, of the credentials %v", name, e, from)
				}
				delete(from, id)
			}
			if variable == "SIGNRELAY_ADMIN_ADDR" {
				if other, taken := ports[value]; taken {
					t.Errorf("%s and %s both listen at %s", name, other, value)
				}
				ports[value] = name
			}
		}
		if len(from) > 0 {
			t.Errorf("%s does not read %v", name, from)
		}
		cfg, _, err := config.Load(sections.All, nil, environ)
		if err == nil {
			err = service.Check(cfg)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		user := map[string]string{"provision": "operator", "standalone": "", "sandbox": ""}
		want, special := user[name]
		if !special {
			want = name
		}
		if cfg.NATS.User != want {
			t.Errorf("%s has the NATS user %q", name, cfg.NATS.User)
		}
	}
}

// Every unit has the restrictions, and enough time to end.
func TestEachUnitIsConfined(t *testing.T) {
	t.Parallel()
	for name, u := range units(t) {
		for key, want := range map[string]string{
			"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateDevices": "yes", "CapabilityBoundingSet": "",
			"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "RestrictNamespaces": "yes", "MemoryDenyWriteExecute": "yes", "UMask": "0077",
			"Restart": "on-failure", "RestartPreventExitStatus": "2",
		} {
			if got, there := u[key]; !there || u.last(key) != want {
				t.Errorf("%s: %s is %v, not %q", name, key, got, want)
			}
		}
		if !slices.Contains(u["SystemCallFilter"], "@system-service") {
			t.Errorf("%s makes any system call: %v", name, u["SystemCallFilter"])
		}
		if u.last("User") != "" || len(u["ReadWritePaths"]) > 0 || (u.last("StateDirectory") != "") != (name == "standalone") {
			t.Errorf("%s: user %q, writes %v and %q", name, u.last("User"), u["ReadWritePaths"], u.last("StateDirectory"))
		}
		// A service must be allowed to finish its work, after its drain delay.
		if stop, err := strconv.Atoi(u.last("TimeoutStopSec")); err != nil || stop < drain+15 {
			t.Errorf("%s gets %q s to end", name, u.last("TimeoutStopSec"))
		}
		limit, err := strconv.Atoi(strings.TrimSuffix(u.last("MemoryMax"), "M"))
		if want := fmt.Sprintf("GOMEMLIMIT=%dMiB", limit*9/10); err != nil || !slices.Contains(u["Environment"], want) {
			t.Errorf("%s has %s, want %s", name, u.last("MemoryMax"), want)
		}
		for _, e := range u["Environment"] {
			if strings.Contains(e, "PASSWORD=") || strings.Contains(e, "SECRET=") || strings.Contains(e, "API_KEY=") {
				t.Errorf("%s has a secret in its environment: %s", name, e)
			}
		}
	}
}

// A unit with the drop-in for ports below 1024 has that capability and no other. systemd reads all drop-ins of a unit in the order of their names.
func TestDropInForPrivilegedPorts(t *testing.T) {
	t.Parallel()
	const name = "privileged-ports.conf"
	u := read(t, "signrelay-ingest.service", "signrelay-.service.d/confined.conf", name)
	for key, want := range map[string]string{"CapabilityBoundingSet": "CAP_NET_BIND_SERVICE", "AmbientCapabilities": "CAP_NET_BIND_SERVICE", "PrivateUsers": "no", "NoNewPrivileges": "yes"} {
		if got := u.last(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if name < "confined.conf" {
		t.Errorf("confined.conf removes the capability, because its name is after %s", name)
	}
}

// systemd itself checks the units, and rates their exposure as low.
func TestSystemdUnderstandsTheUnits(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		realtest.Missing(t, "install systemd for this test (Debian: systemd): %v", err)
	}
	dir := t.TempDir()
	programs := filepath.Join(dir, "bin") + "/"
	files, err := filepath.Glob(filepath.Join(folder(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, filepath.Join(folder(), "signrelay-.service.d", "confined.conf"))
	var verified []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a folder
		}
		name, _ := filepath.Rel(folder(), file)
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(strings.ReplaceAll(string(text), installed, programs)), 0o600); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, ".conf") {
			verified = append(verified, to)
		}
	}
	if err := os.Mkdir(programs, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, u := range units(t) {
		program, _, _ := strings.Cut(strings.TrimPrefix(u.last("ExecStart"), installed), " ")
		if err := os.WriteFile(programs+program, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), analyze, args...)
		cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":", "NO_COLOR=1")
		output, err := cmd.CombinedOutput()
		return string(output), err
	}
	if output, err := run(append([]string{"verify"}, verified...)...); err != nil || strings.Contains(output, dir) {
		t.Errorf("verify: %v\n%s", err, output)
	}
	for name := range units(t) {
		if output, err := run("security", "--offline=true", "--threshold=20", filepath.Join(dir, "signrelay-"+name+".service")); err != nil { // 2.0 of 10
			t.Errorf("%s is exposed: %v\n%s", name, err, output)
		}
	}
}
