package helm_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/signrelay/signrelay/libs/config"
	libservice "github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/services/sections"
)

// misunderstoodSettings does the first step of each program: it reads the variables, the file and the secrets, and checks them.
func misunderstoodSettings(m manifests) []string {
	var r report
	read := map[string]bool{} // the secrets that were read
	for name, pod := range pods(m) {
		cfg, err := settings(m, pod)
		if err != nil {
			r.add("%s: %v", name, err)
			continue
		}
		declared, is := declaration(name)
		r.unless(is || isCommand(name), "%s has no program", name)
		r.unless(cfg.NATS.URL != "" || is && !slices.Contains(declared.Calls, "nats"), "%s has no address of NATS", name)
		r.unless(cfg.Redis.URL != "" || !slices.Contains(declared.Calls, "redis"), "%s has no address of Redis", name)
		for _, setting := range sorted(mounted(pod)) {
			read[setting] = read[setting] || name != "doctor" && name != "kafka-refill" // which reads the settings of the services
		}
	}
	for setting := range part(m.values, "secrets") {
		r.unless(read[setting], "no program reads the secret %s", setting)
	}
	return r.wrong
}

// declaration is a service's declaration, from the table that make generate writes from the code; false if the program is not a service.
func declaration(name string) (d declared, is bool) {
	d, is = declarations()[name]
	return d, is && !isCommand(name)
}

// declared is a row of that table.
type declared struct{ Calls, Reads []string }

func declarations() (all map[string]declared) {
	text, err := os.ReadFile(filepath.Join(root, "deployments", "helm", "signrelay", "files", "services.yaml"))
	if err != nil {
		return nil
	}
	if err := yaml.Unmarshal(text, &all); err != nil {
		return nil
	}
	return all
}

// withLater adds to services of the first release those services of later releases whose declaration is as described.
func withLater(first []string, is func(declared) bool) []string {
	all := slices.Clone(first)
	for name, d := range declarations() {
		if _, old := firstCalls[name]; !old && is(d) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// unknownUsers finds services whose user is not in the accounts of deployments/nats.
func unknownUsers(m manifests) []string {
	var r report
	users := part(part(m.values, "nats"), "users")["secret"] != ""
	accounts, err := os.ReadFile(filepath.Join(root, "deployments", "nats", "accounts.conf"))
	if err != nil {
		return []string{err.Error()}
	}
	for name, pod := range pods(m) {
		cfg, err := settings(m, pod)
		if err != nil || name == "sandbox" {
			continue // another check reports it
		}
		want := ""
		if users {
			want = name
		}
		if users && isCommand(name) {
			want = "operator"
		}
		r.unless(cfg.NATS.User == want, "%s has the NATS user %q", name, cfg.NATS.User)
		r.unless(!users || cfg.NATS.Password != "", "%s has no password for NATS", name)
		r.unless(want == "" || strings.Contains(string(accounts), "{user: "+want+","), "NATS does not know %s", want)
	}
	return r.wrong
}

// isCommand reports whether the pod runs the command line, as the operator.
func isCommand(name string) bool {
	return name == "provision" || name == "doctor" || name == "kafka-refill"
}

// settings are the settings that the pod's program would read, with made-up secrets.
func settings(m manifests, pod core.PodTemplateSpec) (config.Config, error) {
	disk, err := os.MkdirTemp("", "helm-")
	if err != nil {
		return config.Config{}, err
	}
	defer func() { _ = os.RemoveAll(disk) }()
	c := pod.Spec.Containers[0]
	for _, mount := range c.VolumeMounts {
		files, err := contents(m, pod, mount.Name)
		if err != nil {
			return config.Config{}, err
		}
		for path, text := range files {
			path = filepath.Join(disk, mount.MountPath, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return config.Config{}, err
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				return config.Config{}, err
			}
		}
	}
	environ := make([]string, 0, len(c.Env))
	for _, e := range c.Env {
		text := e.Value
		if strings.HasPrefix(text, "/etc/signrelay/") {
			text = filepath.Join(disk, text)
			if _, err := os.Stat(text); err != nil {
				return config.Config{}, fmt.Errorf("%s is %s, which is not mounted", e.Name, e.Value)
			}
		}
		environ = append(environ, e.Name+"="+text)
	}
	cfg, _, err := config.Load(sections.All, nil, environ)
	if err == nil {
		err = libservice.Check(cfg) // before the files are removed
	}
	return cfg, err
}

// contents are the files of a volume, by path.
func contents(m manifests, pod core.PodTemplateSpec, volume string) (map[string]string, error) {
	for _, v := range pod.Spec.Volumes {
		switch {
		case v.Name != volume:
		case v.ConfigMap != nil:
			data, found := named[*core.ConfigMap](m, v.ConfigMap.Name)
			if !found {
				return nil, fmt.Errorf("no ConfigMap %s", v.ConfigMap.Name)
			}
			if len(v.ConfigMap.Items) == 0 {
				return data.Data, nil
			}
			files := map[string]string{}
			for _, item := range v.ConfigMap.Items {
				files[item.Path] = data.Data[item.Key]
			}
			return files, nil
		default:
			files := map[string]string{}
			for setting := range mounted(pod) {
				files[setting] = made(setting)
			}
			return files, nil
		}
	}
	return nil, fmt.Errorf("no volume %s", volume)
}

// mounted are the pod's secrets: setting to name of the Secret.
func mounted(pod core.PodTemplateSpec) map[string]string {
	all := map[string]string{}
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			for _, item := range s.Secret.Items {
				all[item.Path] = s.Secret.Name
			}
		}
	}
	return all
}

// made is a secret in the format of the setting.
func made(setting string) string {
	switch {
	case strings.HasSuffix(setting, ".ca"), strings.HasSuffix(setting, ".certificate"):
		return certificate
	case setting == "nats.creds":
		return "-----BEGIN NATS USER JWT-----\nmade-up\n------END NATS USER JWT------\n-----BEGIN USER NKEY SEED-----\nmade-up\n------END USER NKEY SEED------\n"
	case setting == "master_key":
		return strings.Repeat("m", 32)
	case setting == "sms.vonage.api_key":
		return "a1b2c3d4"
	case setting == "nats.url":
		return "nats://user:secret@nats:4222"
	case setting == "redis.url":
		return "redis://user:secret@redis:6379/0"
	default:
		return "made-up"
	}
}

var certificate = func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048) // the only kind of key that the eSignature API v1 uses
	if err != nil {
		panic(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}()

func TestServiceMountsOnlyItsSecrets(t *testing.T) {
	t.Parallel()
	m, err := render(loadChart(t), example(t, "production"))
	if err != nil {
		t.Fatal(err)
	}
	webhooks := []string{"signrelay-acme", "signrelay-legal", "signrelay-onboarding"}
	want := map[string][]string{
		"ingest":       append(webhooks, "signrelay-ca", "signrelay-nats", "signrelay-redis"),
		"enricher":     append(webhooks, "signrelay-ca", "signrelay-nats", "signrelay-redis"),
		"shortener":    append(webhooks, "signrelay-bitly", "signrelay-ca", "signrelay-nats", "signrelay-redis"),
		"sms-sender":   append(webhooks, "signrelay-ca", "signrelay-nats", "signrelay-redis", "signrelay-vonage"),
		"email-sender": {"signrelay-ca", "signrelay-nats", "signrelay-redis", "signrelay-smtp"},
		"kafka-bridge": {"signrelay-ca", "signrelay-kafka", "signrelay-nats"},
		"provision":    {"signrelay-ca", "signrelay-nats"},
		"kafka-refill": {"signrelay-ca", "signrelay-kafka", "signrelay-nats"},
		"doctor": append(webhooks, "signrelay-bitly", "signrelay-ca", "signrelay-kafka", "signrelay-nats", "signrelay-redis", "signrelay-smtp",
			"signrelay-vonage"),
	}
	// Only these call the providers.
	withAPI := withLater([]string{"doctor", "enricher", "shortener"}, func(d declared) bool { return slices.Contains(d.Reads, "api") })
	all := pods(m)
	for name := range all {
		if d, is := declaration(name); want[name] == nil && is { // of a later release
			want[name] = secretsOf(m, d)
		}
	}
	for name, pod := range all {
		names := map[string]bool{}
		for setting, secret := range mounted(pod) {
			names[secret] = true
			if regexp.MustCompile(`^source\..*\.api\.`).MatchString(setting) && !slices.Contains(withAPI, name) {
				t.Errorf("%s has %s", name, setting)
			}
		}
		slices.Sort(want[name])
		if got := sorted(names); !slices.Equal(got, want[name]) {
			t.Errorf("%s has %v, not %v", name, got, want[name])
		}
		for _, s := range cfgSources(t, m, pod) {
			if calls := slices.Contains(withAPI, name); s.Name == "legal" && s.UsesAPI() != calls {
				t.Errorf("%s has credentials for the provider: %t", name, s.UsesAPI())
			}
		}
	}
	if got := mounted(all["enricher"])["source.clickwrap.acme.api.token"]; got != "signrelay-acme" {
		t.Errorf("the enricher's token for the provider comes from %q", got)
	}
	if len(all) != len(want) {
		t.Errorf("the pods are %v", sorted(all))
	}
}

// secretsOf are the names of the Secrets with the settings that a service reads.
func secretsOf(m manifests, d declared) []string {
	names := map[string]bool{}
	for setting, reference := range part(m.values, "secrets") {
		section, _, _ := strings.Cut(setting, ".")
		reads := slices.Contains(d.Reads, section)
		if section == "source" {
			reads = slices.Contains(d.Reads, "sources") && (slices.Contains(d.Reads, "api") || !strings.Contains(setting, ".api."))
		}
		secret, _ := reference.(map[string]any)
		if name, _ := secret["name"].(string); reads {
			names[name] = true
		}
	}
	for _, server := range []string{"nats", "redis"} { // the passwords of their users
		if name, _ := part(part(m.values, server), "users")["secret"].(string); name != "" && slices.Contains(d.Reads, server) {
			names[name] = true
		}
	}
	return sorted(names)
}

func cfgSources(t *testing.T, m manifests, pod core.PodTemplateSpec) []config.Source {
	t.Helper()
	cfg, err := settings(m, pod)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Sources
}

// New settings restart the pods of those services that read them, and no others.
func TestSettingRollsOutOnlyItsReaders(t *testing.T) {
	t.Parallel()
	before, err := render(loadChart(t), example(t, "production"))
	if err != nil {
		t.Fatal(err)
	}
	for change, want := range map[string][]string{
		`config: {email: {smtp: {port: 2587}}}`:               {"email-sender"},
		`config: {kafka: {format: json}}`:                     {"kafka-bridge"},
		`config: {sms: {vonage: {from: Acme2}}}`:              {"sms-sender"},
		`config: {limits: {person_per_day: 10}}`:              {"email-sender", "sms-sender"},
		`config: {shortener: {per_minute: 10}}`:               {"shortener"},
		`config: {shortener: {bitly: {domain: acme.link}}}`:   {"email-sender", "shortener", "sms-sender"},
		`config: {ingest: {max_in_flight: 10}}`:               {"ingest"},
		`templates: {"en/completed.sms.tmpl": "x"}`:           {"email-sender", "sms-sender"},
		`networkPolicy: {enabled: false}`:                     nil,
		`services: {enricher: {maxReplicas: 9}}`:              nil,
		`config: {redis: {url: "rediss://other.redis:6380"}}`: {"email-sender", "enricher", "ingest", "shortener", "sms-sender"},
	} {
		after, err := render(loadChart(t), example(t, "production", change))
		if err != nil {
			t.Fatal(err)
		}
		var changed struct{ Config map[string]any }
		if err := yaml.Unmarshal([]byte(change), &changed); err != nil {
			t.Fatal(err)
		}
		want = withLater(want, func(d declared) bool {
			reads := strings.HasPrefix(change, "templates:") && slices.Contains(d.Reads, "templates")
			for section := range changed.Config {
				reads = reads || slices.Contains(d.Reads, section) || strings.Contains(change, "domain:") && slices.Contains(d.Reads, "short-links")
			}
			return reads
		})
		var rolled []string
		old := services(before)
		want = slices.DeleteFunc(want, func(name string) bool { return old[name] == nil }) // the console does not run without an address
		for name, d := range services(after) {
			if d.Spec.Template.String() != old[name].Spec.Template.String() {
				rolled = append(rolled, name)
			}
		}
		if slices.Sort(rolled); !slices.Equal(rolled, want) {
			t.Errorf("%s: rolls out %v, not %v", change, rolled, want)
		}
	}
}
