package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/realtest"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reread polls once, with the check of the services.
func reread(t *testing.T, live *config.Live, atOnce bool) (replaced []string, err error) {
	t.Helper()
	return live.Reread(func(c config.Config) error { return config.Check(c, []string{"clickwrap", "pleasesign"}, nil) }, atOnce)
}

// now returns the current settings.
func now(live *config.Live) config.Config {
	return config.Pick(live, func(all config.Config) config.Config { return all }).Now()
}

func wantReplaced(t *testing.T, live *config.Live, keys ...string) {
	t.Helper()
	replaced, err := reread(t, live, true)
	if err != nil || !slices.Equal(replaced, keys) {
		t.Errorf("replaced %q, want %q: %v", replaced, keys, err)
	}
}

const twoSources = "sources: [{name: acme, provider: clickwrap}, {name: plain, provider: pleasesign}]"

func TestValuesFromFilesAreReplaced(t *testing.T) {
	t.Parallel()
	password, secrets := file(t, "one\n"), file(t, "first\n")
	live := config.NewLive(load(t, []string{"--config", file(t, twoSources)}, []string{
		"SIGNRELAY_NATS_USER=ingest", "SIGNRELAY_NATS_PASSWORD_FILE=" + password,
		"SIGNRELAY_SOURCE_PLEASESIGN_PLAIN_WEBHOOK_SECRETS_FILE=" + secrets,
	}))
	before := now(live)
	wantReplaced(t, live)

	write(t, password, "two\n")
	write(t, secrets, "first\nsecond\n")
	wantReplaced(t, live, "nats.password", "sources[1].webhook.secrets")
	after := now(live)
	if after.NATS.Password != "two" || after.Sources[1].Text("webhook.secrets") != "first,second" {
		t.Errorf("%+v", after)
	}
	if before.NATS.Password != "one" || before.Sources[1].Text("webhook.secrets") != "first" {
		t.Error("earlier settings were modified")
	}
	if after.NATS.User != "ingest" || after.Sources[0].Name != "acme" {
		t.Error("a setting that came from no file is lost")
	}
	wantReplaced(t, live)
}

// A poll may read a half-written file.
func TestANewValueIsUsedAfterTwoEqualPolls(t *testing.T) {
	t.Parallel()
	password := file(t, "one")
	live := config.NewLive(load(t, nil, []string{"SIGNRELAY_NATS_USER=ingest", "SIGNRELAY_NATS_PASSWORD_FILE=" + password}))
	for _, look := range []struct{ text, want string }{{"tw", "one"}, {"two", "one"}, {"two", "two"}, {"two", "two"}} {
		write(t, password, look.text)
		if _, err := reread(t, live, false); err != nil || now(live).NATS.Password != look.want {
			t.Errorf("after %q it is %q, want %q: %v", look.text, now(live).NATS.Password, look.want, err)
		}
	}
}

// Vonage would refuse a new key with an old secret. The gate would then stop all calls for 15 minutes.
func TestAPairWrittenDuringAPollIsReplacedTogether(t *testing.T) {
	t.Parallel()
	key, secret, password := file(t, "oldoldol"), file(t, "old"), file(t, "old")
	live := config.NewLive(load(t, nil, []string{
		"SIGNRELAY_SMS_VONAGE_FROM=Acme", "SIGNRELAY_SMS_VONAGE_API_KEY_FILE=" + key, "SIGNRELAY_SMS_VONAGE_API_SECRET_FILE=" + secret,
		"SIGNRELAY_REDIS_URL=redis://127.0.0.1", "SIGNRELAY_REDIS_PASSWORD_FILE=" + password,
	}))
	look := func(want ...string) {
		t.Helper()
		if replaced, err := reread(t, live, false); err != nil || !slices.Equal(replaced, want) {
			t.Errorf("replaced %q, want %q: %v", replaced, want, err)
		}
	}
	write(t, key, "newnewne")
	write(t, password, "new")
	look()
	write(t, secret, "new")
	look("redis.password") // independent of the other two settings
	look("sms.vonage.api_key", "sms.vonage.api_secret")

	// A pair with a missing second file does not block other settings.
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	write(t, key, "newestne")
	for range 2 {
		_, _ = reread(t, live, false)
	}
	if got := smssettings.VonageSection.Of(now(live)); got.APIKey != "newestne" || got.APISecret != "new" {
		t.Errorf("%+v", got)
	}
}

// Kubernetes replaces a symlink two folders above the files of a secret.
func TestAReplacedSymlinkIsFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	swap := func(version, text string) {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "password"), text)
		if err := errors.Join(os.Symlink(version, filepath.Join(dir, "new")), os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "..data"))); err != nil {
			t.Fatal(err)
		}
	}
	swap("..1", "one")
	if err := os.Symlink(filepath.Join("..data", "password"), filepath.Join(dir, "password")); err != nil {
		t.Fatal(err)
	}
	live := config.NewLive(load(t, nil, []string{"SIGNRELAY_NATS_USER=ingest", "SIGNRELAY_NATS_PASSWORD_FILE=" + filepath.Join(dir, "password")}))
	swap("..2", "two")
	wantReplaced(t, live, "nats.password")
}

func TestABrokenValueKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	authority := realtest.NewAuthority(t)
	cert1, key1 := authority.Issue("one")
	cert2, key2 := authority.Issue("two")
	certificate, key, ca, password := file(t, cert1), file(t, key1), file(t, authority.PEM), file(t, "one")
	live := config.NewLive(load(t, nil, []string{
		"SIGNRELAY_NATS_URL=tls://127.0.0.1", "SIGNRELAY_NATS_TLS_CERTIFICATE_FILE=" + certificate, "SIGNRELAY_NATS_TLS_KEY_FILE=" + key,
		"SIGNRELAY_REDIS_URL=rediss://127.0.0.1", "SIGNRELAY_REDIS_TLS_CA_FILE=" + ca, "SIGNRELAY_REDIS_PASSWORD_FILE=" + password,
	}))
	refused := func(about string, keys ...string) {
		t.Helper()
		replaced, err := reread(t, live, true)
		if !slices.Equal(replaced, keys) || err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), about) {
			t.Errorf("replaced %q, want %q: %v, want something about %s", replaced, keys, err, about)
		}
	}

	// Half of a pair does not block other settings, and is used when the other half is present.
	write(t, certificate, cert2)
	write(t, password, "two")
	refused("nats.tls.certificate", "redis.password")
	if now(live).NATS.TLS.Certificate != strings.TrimSuffix(cert1, "\n") {
		t.Error("a certificate without its key is in use")
	}
	write(t, key, key2)
	wantReplaced(t, live, "nats.tls.certificate", "nats.tls.key")

	write(t, ca, "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n")
	refused("redis.tls.ca")
	write(t, ca, "\n")
	refused("SIGNRELAY_REDIS_TLS_CA_FILE: the file that it names is empty")
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	write(t, password, "three")
	refused("SIGNRELAY_REDIS_TLS_CA_FILE: read the file that it names: no such file", "redis.password")
	if now := now(live); now.Redis.TLS.CA != strings.TrimSuffix(authority.PEM, "\n") || now.Redis.Password != "three" {
		t.Errorf("%+v", now.Redis)
	}
	write(t, ca, realtest.NewAuthority(t).PEM)
	wantReplaced(t, live, "redis.tls.ca")
}

// Settings that need a restart, or that do not come from the file, are not polled.
func TestSettingsThatAreNotReplaced(t *testing.T) {
	t.Parallel()
	url, ca := file(t, "nats://one"), file(t, "one")
	live := config.NewLive(load(t, []string{"--nats.tls.ca", "flag"}, []string{
		"SIGNRELAY_NATS_URL_FILE=" + url, "SIGNRELAY_NATS_TLS_CA_FILE=" + ca,
	}))
	write(t, url, "nats://two")
	write(t, ca, "two")
	wantReplaced(t, live)
	if now := now(live); now.NATS.URL != "nats://one" || now.NATS.TLS.CA != "flag" {
		t.Errorf("%+v", now.NATS)
	}
}

func TestDerivedValues(t *testing.T) {
	t.Parallel()
	password := file(t, "one")
	live := config.NewLive(load(t, nil, []string{"SIGNRELAY_NATS_USER=ingest", "SIGNRELAY_NATS_PASSWORD_FILE=" + password}))
	times := 0
	made, err := config.Derive(live, func(c config.Config) (string, error) {
		times++
		if c.NATS.Password == "bad" {
			return "", errors.New("bad")
		}
		return "made of " + c.NATS.Password, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two", "bad"} {
		write(t, password, text)
		if _, err := reread(t, live, true); err != nil {
			t.Fatal(err)
		}
		made.Now()
	}
	if got := made.Now(); got != "made of two" || times != 3 {
		t.Errorf("%q after %d times, want the last value that could be made, after 3 calls", got, times)
	}
}
