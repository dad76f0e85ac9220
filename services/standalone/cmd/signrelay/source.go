package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/oauth"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/registration"
	"github.com/signrelay/signrelay/libs/service"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
	"github.com/signrelay/signrelay/services/standalone"
)

func publicURLFlag(fs *flag.FlagSet) {
	fs.String("url", "", "the beginning of our public `URL`, such as https://sign.acme.example; by default ingest.public_url")
}

func sourceCheckFlags(fs *flag.FlagSet) {
	publicURLFlag(fs)
	jsonFlag(fs)
}

func sourceConnectFlags(fs *flag.FlagSet) {
	publicURLFlag(fs)
	fs.Bool("rotate", false, "first add a new secret to the file that the settings name for the source's secrets")
	fs.Duration("wait", 11*time.Second, "with --rotate: the `time` that each ingest may take to read the new secret")
	fs.Bool("remove-old", false, "remove all secrets but the last from that file, once the provider cannot use them any more")
	fs.Bool("show-secret", false, "print the secret that is to be entered at a provider without an API")
	fs.Bool("untested", false, "register the address although the test of it fails or is not possible")
	orderFlags(fs)
	fs.Bool("yes", false, "do not ask for confirmation")
}

// aSource is the argument of the commands about one source.
const aSource = "<provider>/<source>"

// sourceKey reads the argument of a command about one source.
func sourceKey(name string) (providers.SourceKey, error) {
	provider, own, ok := strings.Cut(name, "/")
	if !ok || own == "" {
		return providers.SourceKey{}, usageError{fmt.Sprintf("want %s, such as pleasesign/acme, not %q", aSource, name)}
	}
	return providers.SourceKey{Name: own, Provider: provider}, nil
}

// placeOf returns the index of a source in the settings.
func placeOf(cfg config.Config, key providers.SourceKey) (int, error) {
	i := slices.IndexFunc(cfg.Sources, func(s config.Source) bool { return s.Provider == key.Provider && s.Name == key.Name })
	if i < 0 {
		return 0, usageError{fmt.Sprintf("the settings have no source %q", key.Provider+"/"+key.Name)}
	}
	return i, nil
}

// source is the source that a command is about.
type source struct {
	registration.Source

	c    *call
	env  service.Env
	file string          // of its secrets; empty if the settings do not name one
	key  *rsa.PrivateKey // the provider's, in the demo
	done func()

	order erase.Order // of connect
}

// openSource finds the source that the arguments name. The caller calls done.
func (c *call) openSource(ctx context.Context) (*source, error) {
	name, err := c.argument("a source, such as pleasesign/acme")
	if err != nil {
		return nil, err
	}
	return c.openSourceNamed(ctx, name, c.cfg)
}

func (c *call) openSourceNamed(ctx context.Context, name string, cfg config.Config) (*source, error) {
	key, err := sourceKey(name)
	if err != nil {
		return nil, err
	}
	env, done, err := open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s, err := c.sourceIn(env, key)
	if err != nil {
		done()
		return nil, err
	}
	s.done = done
	return s, nil
}

func (c *call) sourceIn(env service.Env, key providers.SourceKey) (*source, error) {
	i, err := placeOf(env.Config, key)
	if err != nil {
		return nil, err
	}
	// A handful of calls by a person need no share of the services' limits.
	opened, err := providers.Open(env.Config.Sources[i:i+1], providers.ForEvents, limit.NewLocal(), nil, oauth.NewStore(env.JS, keyring.New(env.Config.MasterKeys()), nil))
	if err != nil {
		return nil, err
	}
	public := cmp.Or(c.flag("url"), ingestsettings.Section.Of(env.Config).PublicURL)
	if public == "" {
		return nil, usageError{"the address at which the provider calls is not known: set ingest.public_url, or pass --url https://sign.acme.example"}
	}
	s := &source{c: c, env: env}
	if s.Source, err = registration.NewSource(opened[key], public); err != nil {
		return nil, usageError{err.Error()}
	}
	s.file = env.Config.FileOf(fmt.Sprintf("sources[%d].%s", i, secretsOf(s.Source)))
	if len(c.cfg.Sources) == 0 { // the demo's certificate is ours
		if s.key, err = standalone.DemoKey(env.Config.DataDir); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// secretsOf returns the setting with the source's secrets: "webhook.secrets".
func secretsOf(s registration.Source) string {
	setting := "webhook.secrets"
	if registry, ok := s.API.(pack.Registry); ok {
		for _, w := range registry.Wanted(s.Address) {
			setting = cmp.Or(list(w.Key.Setting), setting)
		}
	}
	return setting
}

// list returns the setting of a list without an index: "webhook.secrets" for "webhook.secrets[1]".
func list(setting string) string {
	setting, _, _ = strings.Cut(setting, "[")
	return setting
}

// finding is one line of `source check`.
type finding struct {
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

// sourceCheck compares what is registered with the settings. It fails if they differ.
func sourceCheck(ctx context.Context, c *call) error {
	s, err := c.openSource(ctx)
	if err != nil {
		return err
	}
	defer s.done()
	findings, err := s.findings(ctx)
	if err != nil {
		return s.explained(err)
	}
	wrong := 0
	for _, f := range findings {
		mark := "ok   "
		if !f.OK {
			mark = "WRONG"
			wrong++
		}
		if c.json() {
			err = printJSON(c.stdout, f)
		} else {
			err = c.say("%s  %s", mark, f.Text)
		}
		if err != nil {
			return err
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%s: `signrelay source connect %s/%s` corrects it", count(wrong, "difference"), s.Settings.Provider, s.Settings.Name)
	}
	return nil
}

func (s *source) findings(ctx context.Context) ([]finding, error) {
	var all []finding
	found := func(ok bool, format string, args ...any) {
		all = append(all, finding{ok, fmt.Sprintf(format, args...)})
	}
	if s.Pasted() != nil {
		found(true, "%s has no API that tells what is registered: compare its page with `signrelay source connect %s/%s`", s.Settings.Provider, s.Settings.Provider, s.Settings.Name)
		return append(all, s.lastUses(ctx)...), nil
	}
	p, err := s.Plan(ctx, s.env.JS)
	if err != nil {
		return nil, err
	}
	for _, r := range p.Right {
		text := "registered: " + s.describe(r)
		if !p.Told {
			text += ", " + moment(p.Last.At) + " by Signrelay; the provider does not tell what it has now"
		}
		found(true, "%s", text)
	}
	for _, change := range p.Changes {
		switch {
		case change.Remove:
			found(false, "registered, but not wanted: %s with another token", s.describe(change.Registration))
		case p.Told:
			found(false, "not registered: %s", s.describe(change.Registration))
		case p.Last.At.IsZero():
			found(false, "not registered by Signrelay: %s; the provider does not tell what it has", s.describe(change.Registration))
		default:
			found(false, "registered %s by Signrelay is %s with %s, but the settings ask for %s", moment(p.Last.At), p.Last.Address,
				cmp.Or(p.Last.Setting, "no secret")+fingerprint(p.Last.Key), s.describe(change.Registration))
		}
	}
	if p.Others > 0 {
		found(true, "%s of other systems", count(p.Others, "registration"))
	}
	all = append(all, s.oldSecrets(p)...)
	return append(all, s.lastUses(ctx)...), nil
}

// oldSecrets says until when the secrets before the last one must stay in the settings.
func (s *source) oldSecrets(p registration.Plan) (all []finding) {
	registry, ok := s.API.(pack.Registry)
	if !ok {
		return nil
	}
	newest := registry.Wanted(s.Address)[0].Key.Setting
	var last int
	if n, err := fmt.Sscanf(strings.TrimPrefix(newest, list(newest)), "[%d]", &last); n != 1 || err != nil {
		return nil
	}
	for i := range last {
		old := fmt.Sprintf("%s[%d]", list(newest), i)
		switch {
		case p.Old.IsZero():
			all = append(all, finding{true, old + ": keep it until the last secret is registered, and then for as long as `source check` says"})
		case time.Now().Before(p.Old):
			all = append(all, finding{true, fmt.Sprintf("%s: keep it until %s; until then the provider may repeat a callback with it", old, moment(p.Old))})
		default:
			all = append(all, finding{true, fmt.Sprintf("%s: it can be removed; the provider has not used it since %s", old, moment(p.Old))})
		}
	}
	return all
}

// lastUses says when each secret last verified a callback.
func (s *source) lastUses(ctx context.Context) (all []finding) {
	uses, err := flow.KeyUses(ctx, s.env.JS, s.Settings.Provider, s.Settings.Name)
	if err != nil || len(uses) == 0 {
		return []finding{{true, "no callback has arrived yet"}}
	}
	for _, u := range uses {
		all = append(all, finding{true, fmt.Sprintf("%s%s last verified a callback %s", cmp.Or(u.Setting, "no secret"), fingerprint(u.Fingerprint), moment(u.At))})
	}
	return all
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func fingerprint(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

// describe describes a registration without its token.
func (s *source) describe(r pack.Registration) string {
	address, _, token := strings.Cut(r.URL, "?")
	text := address
	if r.Sends != "" {
		text = fmt.Sprintf("%q to %s", r.Sends, address)
	}
	switch {
	case r.Key.Setting != "":
		text += " with " + r.Key.Setting + fingerprint(r.Key.Fingerprint)
	case token:
		text += " with a token"
	}
	return text
}

// explained adds the provider's own message to an error of its API.
func (s *source) explained(err error) error {
	var refused *pack.CallError
	if !errors.As(err, &refused) || refused.Message == "" {
		return err
	}
	return fmt.Errorf("%w; %s says: %s", err, s.Settings.Provider, refused.Message)
}

// sourceTest sends test callbacks through the public address.
func sourceTest(ctx context.Context, c *call) error {
	s, err := c.openSource(ctx)
	if err != nil {
		return err
	}
	defer s.done()
	return s.test(ctx)
}

func (s *source) test(ctx context.Context) error {
	arrived, err := s.Test(ctx, s.env.JS, s.key)
	for _, a := range arrived {
		if err := s.c.say("tested: %s%s accepted a callback after %d ms, and the log had its event after %d ms: %s", s.Address, a.Route,
			a.Accepted.Milliseconds(), a.Stored.Milliseconds(), a.Event); err != nil {
			return err
		}
	}
	if errors.Is(err, pack.ErrOnlyProviderSigns) {
		return fmt.Errorf("%w: `signrelay source check` shows when one arrives", err)
	}
	return err
}

// sourceConnect registers our address at the provider, with the last secret of the settings.
func sourceConnect(ctx context.Context, c *call) error {
	s, err := c.openSource(ctx)
	if err != nil {
		return err
	}
	defer s.done()
	changes := s.Pack.Paste == nil || value[bool](c, "remove-old") || value[bool](c, "rotate")
	if changes {
		if s.order, err = c.order(); err != nil {
			return err
		}
	}
	if value[bool](c, "remove-old") {
		return s.removeOld(ctx)
	}
	if value[bool](c, "rotate") {
		if s, err = s.rotated(ctx); err != nil {
			return err
		}
		defer s.done()
	}
	if pasted := s.Pasted(); pasted != nil {
		return s.paste(pasted)
	}
	p, err := s.Plan(ctx, s.env.JS)
	if err != nil {
		return s.explained(err)
	}
	if !p.Told && len(p.Changes) == 0 { // the provider may have been changed by hand
		for _, r := range p.Right {
			p.Changes = append(p.Changes, registration.Change{Registration: r})
		}
		p.Right = nil
	}
	if len(p.Changes) == 0 {
		return c.say("Nothing to change: %s/%s is registered as the settings ask.", s.Settings.Provider, s.Settings.Name)
	}
	if err := s.sayPlan(p); err != nil {
		return err
	}
	if err := c.confirm(ctx); err != nil {
		return err
	}
	// A provider may call at once, so the address must work before it is registered.
	if err := s.test(ctx); err != nil {
		if !value[bool](c, "untested") {
			return fmt.Errorf("nothing was registered, because the address does not work: %w. With --untested it is registered all the same", err)
		}
		if err := c.say("not tested: %s", err); err != nil {
			return err
		}
	}
	if err := s.Apply(ctx, s.env.JS, p, time.Now()); err != nil {
		return s.explained(err)
	}
	if err := s.acted(ctx, "connect", len(p.Changes)); err != nil {
		return err
	}
	return c.say("Registered. `signrelay source check %s/%s` shows the first callback.", s.Settings.Provider, s.Settings.Name)
}

func (s *source) sayPlan(p registration.Plan) error {
	c := s.c
	if err := c.say("To change at %s, for source %s:", s.Settings.Provider, s.Settings.Name); err != nil {
		return err
	}
	for _, r := range p.Right {
		if err := c.say("  keep      %s", s.describe(r)); err != nil {
			return err
		}
	}
	for _, change := range p.Changes {
		what := "register "
		if change.Remove {
			what = "remove   "
		}
		if err := c.say("  %s %s", what, s.describe(change.Registration)); err != nil {
			return err
		}
	}
	if !p.Told {
		return c.say("The provider has one address and one key, and does not tell which: these replace them.")
	}
	return nil
}

// paste prints what a person enters at a provider without an API.
func (s *source) paste(fields []pack.Pasted) error {
	c := s.c
	if err := c.say("%s has no API for this. Enter on its page of the webhook:", s.Settings.Provider); err != nil {
		return err
	}
	for _, f := range fields {
		text := f.Value
		if f.Setting != "" && !value[bool](c, "show-secret") {
			text = "the value of " + f.Setting + " (--show-secret prints it)"
		}
		if err := c.say("  %-12s  %s", f.Field, text); err != nil {
			return err
		}
	}
	return c.say("Then press its button Test, or run `signrelay source test %s/%s`.", s.Settings.Provider, s.Settings.Name)
}

// acted stores the event of what was done to a source.
func (s *source) acted(ctx context.Context, action string, changes int) error {
	return registration.Acted(ctx, s.env.JS, s.Settings, registration.Order{Action: action, By: s.order.By, Reason: s.order.Reason, Count: changes})
}

// rotated adds a secret to the file of the source's secrets, waits until ingest accepts it, and returns the source with it.
func (s *source) rotated(ctx context.Context) (*source, error) {
	c, setting := s.c, secretsOf(s.Source)
	if s.file == "" {
		return nil, fmt.Errorf("%s does not come from a file: add a new last value to it, such as the output of `openssl rand -hex 32`, restart ingest, and run connect without --rotate", setting)
	}
	if err := c.say("A new secret becomes the last line of the file of %s. ingest accepts all of its lines.", setting); err != nil {
		return nil, err
	}
	if err := c.confirm(ctx); err != nil {
		return nil, err
	}
	lines, mode, err := readLines(s.file)
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	if err := writeLines(s.file, append(lines, hex.EncodeToString(secret)), mode); err != nil {
		return nil, fmt.Errorf("%w: add the line yourself, such as the output of `openssl rand -hex 32`, and run connect without --rotate", err)
	}
	live := config.NewLive(c.cfg)
	if _, err := live.Reread(func(config.Config) error { return nil }, true); err != nil {
		return nil, err
	}
	reread := config.Pick(live, func(all config.Config) config.Config { return all }).Now()
	next, err := c.openSourceNamed(ctx, s.Settings.Provider+"/"+s.Settings.Name, reread)
	if err != nil {
		return nil, err
	}
	next.order = s.order
	// Each replica reads its files every 5 s, and uses what it read twice.
	all := value[time.Duration](c, "wait")
	if err := c.say("Waiting %s, until each ingest has read it.", all); err != nil {
		next.done()
		return nil, err
	}
	select {
	case <-time.After(all):
	case <-ctx.Done():
		next.done()
		return nil, errors.New("interrupted: the new secret is in the file. Run connect without --rotate")
	}
	return next, nil
}

// removeOld removes all secrets but the last from the file, if the provider cannot send callbacks with them any more.
func (s *source) removeOld(ctx context.Context) error {
	c, setting := s.c, secretsOf(s.Source)
	if s.file == "" {
		return fmt.Errorf("%s does not come from a file: remove the old values from it", setting)
	}
	p, err := s.Plan(ctx, s.env.JS)
	switch {
	case err != nil:
		return s.explained(err)
	case p.Old.IsZero():
		return fmt.Errorf("nothing was removed: the last secret is not registered. `signrelay source connect %s/%s` registers it", s.Settings.Provider, s.Settings.Name)
	case time.Now().Before(p.Old):
		return fmt.Errorf("nothing was removed: until %s the provider may repeat a callback with an old secret", moment(p.Old))
	}
	lines, mode, err := readLines(s.file)
	if err != nil {
		return err
	}
	if len(lines) < 2 {
		return c.say("Nothing to remove: the file has one secret.")
	}
	if err := c.say("To remove: %s from the file of %s. The last one, which is registered, stays.", count(len(lines)-1, "old secret"), setting); err != nil {
		return err
	}
	if err := c.confirm(ctx); err != nil {
		return err
	}
	if err := writeLines(s.file, lines[len(lines)-1:], mode); err != nil {
		return err
	}
	return c.say("Removed. Each ingest uses the file within 10 s.")
}

func readLines(path string) (lines []string, mode os.FileMode, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, errors.New("the file of the secrets cannot be read")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, errors.New("the file of the secrets cannot be read")
	}
	return strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' || r == '\r' }), info.Mode().Perm(), nil
}

// writeLines replaces a file at once, so that no reader sees a part of it.
func writeLines(path string, lines []string, mode os.FileMode) error {
	failed := errors.New("the file of the secrets cannot be written")
	f, err := os.CreateTemp(filepath.Dir(path), ".secrets-*")
	if err != nil {
		return failed
	}
	_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return failed
	}
	return nil
}
