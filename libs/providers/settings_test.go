package providers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/clickwrap"
	"github.com/signrelay/signrelay/libs/providers/esignv1"
	"github.com/signrelay/signrelay/libs/providers/pleasesign"
)

// secretText is a secret that can be searched for.
const secretText = "hunter2-of-the-source"

// users returns the settings that only some providers have, and these providers in the order of the list.
func users() map[string][]string {
	all := map[string][]string{}
	for _, p := range providers.All {
		for _, is := range p.Settings.New("acme").Settings() {
			all[is.Key] = append(all[is.Key], p.Name)
		}
	}
	return all
}

// value returns a value of a setting, as a person would write it, and the same in YAML. A secret can be searched for.
func value(key, provider string) (text, yaml string) {
	p, _ := providers.ByName(provider)
	i := slices.IndexFunc(p.Settings.New("acme").Settings(), func(is config.SourceSetting) bool { return is.Key == key })
	is := p.Settings.New("acme").Settings()[i]
	switch fallback := p.Settings.New("acme").Text(key); {
	case is.List:
		return secretText, "[" + secretText + "]"
	case is.Secret:
		return secretText, secretText
	case fallback == "false":
		return "true", "true"
	case fallback == "0":
		return "7", "7"
	default:
		return "any-text", "any-text"
	}
}

// nested returns a key with a value in YAML: "api: {oauth: {client_id: x}}".
func nested(key, yaml string) string {
	above, below, deeper := strings.Cut(key, ".")
	if deeper {
		yaml = "{" + nested(below, yaml) + "}"
	}
	return above + ": " + yaml
}

// Each provider with each setting of all providers, from the file and from a variable: its own setting is used, that of another provider is
// a warning, and a similar name that no provider has is an error.
func TestEachProviderWithEachSetting(t *testing.T) {
	t.Parallel()
	for _, p := range providers.All {
		for key, users := range users() {
			t.Run(p.Name+"/"+key, func(t *testing.T) {
				t.Parallel()
				name := key[strings.LastIndexByte(key, '.')+1:]
				text, yaml := value(key, users[0])
				bare := "sources: [{name: acme, provider: " + p.Name + "}]\n"
				inFile := "sources: [{" + nested(key, yaml) + ", name: acme, provider: " + p.Name + "}]\n"
				variable := "SIGNRELAY_SOURCE_" + upper(p.Name) + "_ACME_" + upper(key)
				for from, cfg := range map[string]config.Config{"file": load(t, inFile), "variable": load(t, bare, variable+"="+text)} {
					if got := cfg.Sources[0].Text(key); got != text {
						t.Errorf("%s: it is %q", from, got)
					}
					var want []string
					if !slices.Contains(users, p.Name) {
						want = []string{"sources[0]." + key + ": " + p.Name + " does not use it (" + sentence(users) + "): remove it"}
					}
					if got := warningsOf(cfg); !slices.Equal(got, want) {
						t.Errorf("%s: %q, want %q", from, got, want)
					}
					if printed := printOf(t, cfg); strings.Contains(printed, secretText) || !strings.Contains(printed, " "+name+":") {
						t.Errorf("%s: printed:\n%s", from, printed)
					}
					if is := slices.Contains(cfg.Sources[0].Secrets(), secretText); is != (text == secretText) {
						t.Errorf("%s: a secret of the source: %t", from, is)
					}
				}
				misspelled := strings.Replace(inFile, name+":", name+"x:", 1)
				if err := errorOf(t, misspelled); err != "sources[0]."+key+"x (line 1): unknown key; did you mean "+name+"?" {
					t.Errorf("misspelled: %s", err)
				}
				if err := errorOf(t, bare, variable+"X="+text); err != variable+"X: no such setting; did you mean "+variable+"?" {
					t.Errorf("misspelled variable: %s", err)
				}
			})
		}
	}
}

// An unknown provider is one mistake: there are no others about its settings, and no warnings.
func TestAnUnknownProviderIsOneMistake(t *testing.T) {
	t.Parallel()
	for text, provider := range map[string]string{"provider: docusign": "DOCUSIGN", "provider: ~": "", "sender_name: Acme": "", "provider: Clickwrap": "CLICKWRAP"} {
		var b strings.Builder
		fmt.Fprintf(&b, "sources:\n  - name: acme\n    %s\n", text)
		for _, above := range []string{"webhook", "api", "api.oauth"} {
			indent := strings.Repeat("  ", strings.Count(above, ".")+2)
			fmt.Fprintf(&b, "%s%s:\n", indent, above[strings.LastIndexByte(above, '.')+1:])
			for key, users := range users() {
				if name, below := strings.CutPrefix(key, above+"."); below && !strings.Contains(name, ".") {
					_, yaml := value(key, users[0])
					fmt.Fprintf(&b, "%s  %s: %s\n", indent, name, yaml)
				}
			}
		}
		cfg := load(t, b.String(), "SIGNRELAY_SOURCE_"+provider+"_ACME_API_KEY="+secretText)
		err := config.Check(cfg, []string{"clickwrap", "esign-v1", "pleasesign"}, func(config.Source) error { panic("the provider is unknown") })
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "sources[0].provider: want one of clickwrap, esign-v1, pleasesign, not ") {
			t.Errorf("%s: %v", text, err)
		}
		if got := warningsOf(cfg); got != nil {
			t.Errorf("%s: %q", text, got)
		}
		if printed := printOf(t, cfg); strings.Contains(printed, secretText) {
			t.Errorf("%s: printed:\n%s", text, printed)
		}
	}
}

// The provider decides about the other keys, wherever the source names it.
func TestTheProviderMayBeNamedAnywhere(t *testing.T) {
	t.Parallel()
	const before = "log: {level: &p esign-v1}\nsources:\n- &base {provider: esign-v1, name: base}\n- &other {provider: clickwrap, name: other}\n"
	for name, item := range map[string]string{
		"first":                      "{provider: esign-v1, name: a, webhook: {token: t}}",
		"last":                       "{name: a, webhook: {token: t}, provider: esign-v1}",
		"in a block":                 "\n  webhook:\n    token: t\n  name: a\n  provider: esign-v1\n",
		"with a tag and an anchor":   "{name: a, webhook: {token: t}, provider: !!str &q esign-v1}",
		"with white space":           `{name: a, webhook: {token: t}, provider: " esign-v1\n"}`,
		"by an alias":                "{name: a, webhook: {token: t}, provider: *p}",
		"by an alias of a neighbour": "{sender_name: &q esign-v1, webhook: {token: t}, name: a, provider: *q}",
		"by a merge":                 "{name: a, webhook: {token: t}, <<: *base}",
		"by a merge at the front":    "{<<: *base, name: a, webhook: {token: t}}",
		"by a merge of a merge":      "{name: a, webhook: {token: t}, <<: {locale: de, <<: *base}}",
		"over a merge":               "{name: a, webhook: {token: t}, provider: esign-v1, <<: *other}",
		"empty over a merge":         "{name: a, webhook: {token: t}, provider: ~, <<: *base}",
		"in a source with an anchor": "&whole {name: a, webhook: {token: t}, provider: esign-v1}",
		"in an alias":                "&whole {name: a, webhook: {token: t}, provider: esign-v1}\n- *whole",
		"settings from a merge":      "&half {name: a, webhook: {token: t}, provider: clickwrap}\n- {<<: *half, provider: esign-v1}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := load(t, before+"- "+item)
			last := cfg.Sources[len(cfg.Sources)-1]
			if own := esignv1.Settings.Of(last).Webhook; last.Provider != "esign-v1" || last.Name != "a" || own.Token != "t" || own.Digest != "sha1" {
				t.Errorf("%q: %+v", last.Provider, own)
			}
			for _, w := range warningsOf(cfg) {
				if strings.HasPrefix(w, fmt.Sprintf("sources[%d]", len(cfg.Sources)-1)) {
					t.Error("a warning:", w)
				}
			}
		})
	}
}

func TestAnEmptyTextHasTheDefault(t *testing.T) {
	t.Parallel()
	cfg := load(t, "sources: [{name: a, provider: esign-v1, webhook: {digest: ''}}, {name: b, provider: esign-v1}, {name: c, provider: esign-v1, webhook: {digest: sha256}}]")
	for i, want := range []string{"sha1", "sha1", "sha256"} {
		if got := esignv1.Settings.Of(cfg.Sources[i]).Webhook.Digest; got != want {
			t.Errorf("source %d: %q", i, got)
		}
	}
}

// A secret that its provider does not use is replaced when its file changes, as any other, and stays a secret.
func TestAnUnusedSecretIsReplacedToo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, "before")
	cfg := load(t, "sources: [{name: acme, provider: pleasesign, webhook: {secrets: [s]}}]", "SIGNRELAY_SOURCE_PLEASESIGN_ACME_WEBHOOK_TOKEN_FILE="+path)
	live := config.NewLive(cfg)
	write(t, path, secretText)
	keys, err := live.Reread(func(config.Config) error { return nil }, true)
	if err != nil || !slices.Equal(keys, []string{"sources[0].webhook.token"}) {
		t.Errorf("replaced %q: %v", keys, err)
	}
	now := config.Pick(live, func(c config.Config) config.Config { return c }).Now()
	if got := now.Sources[0].Secrets(); !slices.Equal(got, []string{"s", secretText}) {
		t.Errorf("the secrets are %q", got)
	}
	if got := cfg.Sources[0].Secrets(); !slices.Equal(got, []string{"s", "before"}) {
		t.Errorf("the secrets before were %q", got)
	}
	if got := warningsOf(now); !slices.Equal(got, []string{"sources[0].webhook.token: pleasesign does not use it (esign-v1 does): remove it"}) || strings.Contains(printOf(t, now), secretText) {
		t.Errorf("%q, printed:\n%s", got, printOf(t, now))
	}
}

// A source whose API has nothing but settings of another provider was refused before, and still is.
func TestUsesAPI(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"provider: pleasesign": false, "provider: pleasesign, api: {}": false, "provider: pleasesign, api: {per_minute: 0, key: ''}": false,
		"provider: pleasesign, api: {key: k}": true, "provider: pleasesign, api: {per_minute: 1}": true, "provider: pleasesign, api: {base_url: 'https://x.example'}": true,
		"provider: pleasesign, api: {token: t}": true, "provider: esign-v1, webhook: {digest: sha256}": false, "provider: docusign, api: {key: k}": true,
	} {
		if got := load(t, "sources: [{name: acme, "+text+"}]").Sources[0].UsesAPI(); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

// With leaves the source from which it made a copy as it is.
func TestACopyOfASourceIsACopy(t *testing.T) {
	t.Parallel()
	one := providers.NewSource("esign-v1", "acme", "webhook.token=one", "region=GB")
	two := one.With("webhook.token=two", "region=DE", "notify.channels=sms,email")
	if one.Text("webhook.token") != "one" || one.Region != "GB" || two.Text("webhook.token") != "two" || two.Region != "DE" || len(two.Notify.Channels) != 2 {
		t.Errorf("%+v, %+v", one, two)
	}
	if got := clickwrap.Settings.Of(one); got.API.Token != "" || got.Webhook.Secrets != nil {
		t.Errorf("it has settings of another provider: %+v", got)
	}
	if got := pleasesign.Settings.Of(config.Source{Name: "acme", Provider: "pleasesign"}); got.API.Key != "" {
		t.Errorf("a source without settings: %+v", got)
	}
	for _, wrong := range []string{"webhook.secrets=x", "api.per_minute=many"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is accepted", wrong)
				}
			}()
			one.With(wrong)
		}()
	}
}

func load(t *testing.T, text string, environ ...string) config.Config {
	t.Helper()
	cfg, err := read(t, text, environ...)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func errorOf(t *testing.T, text string, environ ...string) string {
	t.Helper()
	_, err := read(t, text, environ...)
	if err == nil {
		t.Fatal("no error")
	}
	return err.Error()
}

func read(t *testing.T, text string, environ ...string) (config.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	write(t, path, text)
	cfg, _, err := config.Load([]config.Declared{providers.Settings}, []string{"--config", path}, environ)
	return cfg, err
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func printOf(t *testing.T, cfg config.Config) string {
	t.Helper()
	var out strings.Builder
	if err := config.Print(&out, cfg); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// warningsOf returns the warnings about sources.
func warningsOf(cfg config.Config) []string {
	var all []string
	for _, w := range config.Warnings(cfg) {
		if strings.HasPrefix(w.Key, "sources") {
			all = append(all, w.Key+": "+w.Found+": "+w.Fix)
		}
	}
	return all
}

func sentence(names []string) string {
	if len(names) == 1 {
		return names[0] + " does"
	}
	return strings.Join(names, " and ") + " do"
}

func upper(key string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}
