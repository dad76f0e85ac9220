package doctor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/realtest"
	kafkasettings "github.com/signrelay/signrelay/services/kafka-bridge/settings"
	shortenersettings "github.com/signrelay/signrelay/services/shortener/settings"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
	"github.com/signrelay/signrelay/services/standalone/doctor"
)

// report contains the findings of Examine, by check. Several findings of one check are joined.
type report map[string]doctor.Finding

func examine(t *testing.T, cfg config.Config, o doctor.Options) report {
	t.Helper()
	found := report{}
	doctor.Examine(t.Context(), cfg, o, func(f doctor.Finding) {
		line, err := json.Marshal(f)
		if err != nil {
			t.Error(err)
		}
		for _, secret := range []string{"s3cret", "eric@", "sandbox-secret"} {
			if strings.Contains(string(line), secret) {
				t.Errorf("a finding contains a secret or a person: %s", line)
			}
		}
		if (f.Status == doctor.OK) == (f.Fix != "") {
			t.Errorf("%s: %s, and its fix is %q", f.Check, f.Status, f.Fix)
		}
		if before, twice := found[f.Check]; twice {
			f.Found = before.Found + "\n" + f.Found
		}
		found[f.Check] = f
	})
	return found
}

func (r report) want(t *testing.T, check string, status doctor.Status, fragments ...string) {
	t.Helper()
	f := r[check]
	for _, w := range fragments {
		if !strings.Contains(f.Found, w) {
			t.Errorf("%s found %q, want %q in it", check, f.Found, w)
		}
	}
	if f.Status != status {
		t.Errorf("%s: %+v, want %s", check, f, status)
	}
}

// broker starts a NATS server with users and with its monitoring.
func broker(t *testing.T, change func(*server.Options)) (*server.Server, func(user string) string) {
	t.Helper()
	realtest.Server(t, "a NATS server")
	may := func(publish ...string) *server.Permissions {
		return &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: publish},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}
	}
	o := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, HTTPHost: "127.0.0.1", HTTPPort: server.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(), JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 1 << 30,
		MaxPayload: 8 << 20, NoLog: true, NoSigs: true,
		Users: []*server.User{
			{Username: "all", Password: "s3cret"},
		},
	}
	for _, u := range flow.Users() {
		o.Users = append(o.Users, &server.User{Username: u.Name, Password: "s3cret", Permissions: may(u.Publish...)})
	}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS server was not ready within 10 s")
	}
	return s, func(user string) string { return "nats://" + user + ":s3cret@" + s.Addr().String() }
}

func connected(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestNATSIsChecked(t *testing.T) {
	t.Parallel()
	s, url := broker(t, func(o *server.Options) { o.SyncAlways = true })
	js := connected(t, url("all"))
	monitor := "http://" + s.MonitorAddr().String()
	cfg := config.Default()
	cfg.NATS.URL = url("all")

	found := examine(t, cfg, doctor.Options{})
	found.want(t, "streams", doctor.Fail, "stream SIGNING is missing", "consumer enricher on SIGNING is missing")
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	found = examine(t, cfg, doctor.Options{MonitorURL: monitor})
	for _, check := range []string{"nats", "nats version", "nats max_payload", "permissions", "streams", "replicas", "room", "nats clock"} {
		found.want(t, check, doctor.OK)
	}
	found.want(t, "nats sync_interval", doctor.OK, "always")
	examine(t, cfg, doctor.Options{}).want(t, "nats sync_interval", doctor.Warn, "cannot be read")
	examine(t, cfg, doctor.Options{Embedded: true}).want(t, "nats sync_interval", doctor.OK)
	examine(t, cfg, doctor.Options{MonitorURL: "http://127.0.0.1:1"}).want(t, "nats sync_interval", doctor.Warn, "does not report it")

	if _, err := js.PauseConsumer(t.Context(), flow.Notify, flow.SMSSender, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	cfg.NATS.Replicas = 3
	examine(t, cfg, doctor.Options{}).want(t, "streams", doctor.Fail, "consumer sms-sender on NOTIFY: paused is true", "SIGNING: num_replicas is 1, not 3")

	// The probes left no messages.
	for _, stream := range []string{flow.Signing, flow.Notify, flow.Quarantine, flow.DLQ, flow.Replay, "KV_LINKS", "KV_STATE", "KV_TEXTS"} {
		held, err := js.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		if n := held.CachedInfo().State.LastSeq; n != 0 {
			t.Errorf("%s contains %d messages", stream, n)
		}
	}
	for _, stage := range flow.Stages {
		c, err := js.Consumer(t.Context(), stage.Stream, stage.Name)
		if err != nil {
			t.Fatal(err)
		}
		if i := c.CachedInfo(); i.NumWaiting != 0 || i.AckFloor.Consumer != 0 || i.Delivered.Consumer != 0 {
			t.Errorf("the probes changed consumer %s: %+v", stage.Name, i)
		}
	}
}

func TestTheProbesAffectNoMessages(t *testing.T) {
	t.Parallel()
	_, url := broker(t, nil)
	js := connected(t, url("all"))
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(t.Context(), flow.Notify, flow.SMSSender)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := js.Publish(t.Context(), "notify.v1.send.sms.acme.clickwrap.d1", []byte("work")); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := c.Next(); err != nil { // this message is in flight
		t.Fatal(m, err)
	}
	cfg := config.Default()
	cfg.NATS.URL = url("all")
	examine(t, cfg, doctor.Options{}).want(t, "permissions", doctor.OK)
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.NumAckPending != 1 || info.NumPending != 1 || info.Delivered.Consumer != 1 || info.AckFloor.Consumer != 0 || info.NumWaiting != 0 {
		t.Errorf("the probes changed the message in flight: %+v", info)
	}
}

func TestAWrongBrokerIsReported(t *testing.T) {
	t.Parallel()
	s, url := broker(t, func(o *server.Options) { o.MaxPayload, o.SyncInterval = 1<<20, time.Minute })
	cfg := config.Default()
	cfg.NATS.URL = url("all")
	found := examine(t, cfg, doctor.Options{MonitorURL: "http://" + s.MonitorAddr().String()})
	found.want(t, "nats max_payload", doctor.Fail, "1048576 bytes")
	found.want(t, "nats sync_interval", doctor.Fail, "1m0s")

	cfg.NATS.URL = "nats://all:wrong-s3cret@" + s.Addr().String()
	examine(t, cfg, doctor.Options{}).want(t, "nats", doctor.Fail, "nats.user and nats.password", "uthorization")
	cfg.NATS.URL = "nats://127.0.0.1:1"
	examine(t, cfg, doctor.Options{}).want(t, "nats", doctor.Fail, "no servers")
}

func TestPermissionsOfTheCredentials(t *testing.T) {
	t.Parallel()
	s, url := broker(t, nil)
	if err := flow.Provision(t.Context(), connected(t, url("all")), 1); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.NATS.URL = url("ingest")
	found := examine(t, cfg, doctor.Options{})
	found.want(t, "permissions", doctor.Fail, "sms-sender: $JS.API.CONSUMER.MSG.NEXT.NOTIFY.sms-sender", "enricher: $JS.ACK.SIGNING.enricher", "shortener: $KV.LINKS.doctor")
	if strings.Contains(found["permissions"].Found, "ingest:") {
		t.Errorf("ingest is reported to lack a permission: %s", found["permissions"].Found)
	}
	found.want(t, "streams", doctor.Fail, "may not read")

	// Each service's own credentials have all its permissions, and no other permission that is tested.
	for _, u := range flow.Users() {
		cfg.NATS.URL = url(u.Name)
		found := examine(t, cfg, doctor.Options{For: []string{u.Name}})
		found.want(t, "permissions", doctor.OK)
		found.want(t, "streams", doctor.OK, u.Name)
		if f, reported := found["permissions beyond"]; reported {
			t.Errorf("%s: %+v", u.Name, f)
		}
		cfg.NATS.URL = url("all")
		examine(t, cfg, doctor.Options{For: []string{u.Name}}).want(t, "permissions beyond", doctor.Warn, u.Name+" do not need: $JS.API.STREAM.DELETE.doctor")
	}
	cfg.NATS.URL = url("sms-sender")
	examine(t, cfg, doctor.Options{For: []string{"ingest"}}).want(t, "permissions", doctor.Fail, "ingest: quarantine.v1.doctor")

	// A service that nats.user names needs no --for.
	cfg.NATS.URL, cfg.NATS.User, cfg.NATS.Password = "nats://"+s.Addr().String(), "kafka-bridge", "s3cret"
	examine(t, cfg, doctor.Options{}).want(t, "permissions", doctor.OK)
	if err := (doctor.Options{For: []string{"ingest", "sms"}}).Check(); err == nil || !strings.Contains(err.Error(), `"sms"`) {
		t.Errorf("an unknown service: %v", err)
	}
}

func TestRedisIsChecked(t *testing.T) {
	t.Parallel()
	server := realtest.Redis(t)
	client := realtest.RedisClient(t, server.URL)
	ctx := t.Context()
	cfg := config.Default()
	cfg.Redis.URL = server.URL
	set := func(name, value string) {
		t.Helper()
		if err := client.ConfigSet(ctx, name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	epoch := func(value string) {
		t.Helper()
		if err := client.Set(ctx, "signrelay:epoch", value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}

	found := examine(t, cfg, doctor.Options{})
	for _, check := range []string{"redis", "redis version", "redis role", "redis appendonly", "redis maxmemory", "redis clock"} {
		found.want(t, check, doctor.OK)
	}
	found.want(t, "redis epoch", doctor.Warn, "none")
	epoch(fmt.Sprintf("0@%d", time.Now().Unix()))
	examine(t, cfg, doctor.Options{}).want(t, "redis epoch", doctor.OK)
	epoch(fmt.Sprintf("7@%d", time.Now().Unix()))
	examine(t, cfg, doctor.Options{}).want(t, "redis epoch", doctor.Warn, "emptied or is new")
	epoch(fmt.Sprintf("7@%d", time.Now().Add(-flow.Remember-time.Hour).Unix()))
	examine(t, cfg, doctor.Options{}).want(t, "redis epoch", doctor.OK)
	epoch("something else")
	set("appendonly", "no")
	set("maxmemory-policy", "allkeys-lru")
	found = examine(t, cfg, doctor.Options{})
	found.want(t, "redis epoch", doctor.Warn, "another master_key")
	found.want(t, "redis appendonly", doctor.Fail)
	found.want(t, "redis maxmemory", doctor.Warn, "allkeys-lru")
	set("maxmemory", "100mb")
	examine(t, cfg, doctor.Options{}).want(t, "redis maxmemory", doctor.Fail, "of 100 MB")

	server.Stop()
	examine(t, cfg, doctor.Options{}).want(t, "redis", doctor.Fail)
	cfg.Redis.URL = ""
	examine(t, cfg, doctor.Options{}).want(t, "redis", doctor.Warn)
	examine(t, cfg, doctor.Options{Embedded: true}).want(t, "redis", doctor.OK)
}

// The REST API of one provider, with its response to one request.
func TestProvidersAPIs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		want   doctor.Status
		text   string
	}{
		"no such document":  {404, `{"error":"not found"}`, doctor.OK, "credentials are accepted"},
		"gone":              {410, ``, doctor.OK, "credentials are accepted"},
		"not an id":         {400, ``, doctor.OK, "credentials are accepted"},
		"credentials":       {401, ``, doctor.Fail, "rejects the credentials"},
		"permissions":       {403, ``, doctor.Fail, "rejects the credentials"},
		"too often":         {429, ``, doctor.Warn, "too many requests"},
		"outage":            {500, ``, doctor.Fail, "Internal Server Error"},
		"another server":    {200, `<html>`, doctor.Fail, "lacks the expected content"},
		"any document":      {200, `{"signers":[{"signer":{"email":"eric@reader.example"},"request_url":"https://x.example/s3cret"}]}`, doctor.Warn, "does not exist"},
		"the wrong address": {302, ``, doctor.Fail, "Found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.Header.Get("Authorization") != "Bearer s3cret" {
					t.Errorf("%s with %q", r.Method, r.Header.Get("Authorization"))
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			t.Cleanup(s.Close)
			cfg := config.Default()
			cfg.Sources = []config.Source{providers.NewSource("clickwrap", "acme", "api.base_url="+s.URL, "api.token=s3cret")}
			examine(t, cfg, doctor.Options{}).want(t, "api clickwrap/acme", c.want, c.text)
		})
	}
	cfg := config.Default()
	cfg.Sources = []config.Source{
		providers.NewSource("clickwrap", "away", "api.base_url=http://127.0.0.1:1", "api.token=s3cret"),
		providers.NewSource("pleasesign", "half", "api.key=s3cret"),
		providers.NewSource("esign-v1", "none"),
	}
	found := examine(t, cfg, doctor.Options{})
	found.want(t, "api clickwrap/away", doctor.Fail, "the connection failed")
	found.want(t, "api pleasesign/half", doctor.Fail)
	found.want(t, "api esign-v1/none", doctor.Warn)
	found.want(t, "secrets clickwrap/away", doctor.Fail, "webhook.secrets")
}

func TestEndpointsAndOutsideParties(t *testing.T) {
	t.Parallel()
	var behind http.HandlerFunc
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { behind(w, r) }))
	t.Cleanup(s.Close)
	cfg := config.Default()
	cfg.Sources = []config.Source{providers.NewSource("clickwrap", "acme", "webhook.secrets=s3cret")}
	shortenersettings.Section.In(&cfg).PublicURL = s.URL
	vonage := smssettings.VonageSection.In(&cfg)
	vonage.ReceiptsURL, vonage.APIKey, vonage.BaseURL = s.URL, "12345678", s.URL
	kafkasettings.Section.In(&cfg).Brokers = []string{strings.TrimPrefix(s.URL, "http://"), "127.0.0.1:1"}
	o := doctor.Options{IngestURL: s.URL}

	behind = func(w http.ResponseWriter, r *http.Request) { // ours
		status := http.StatusNotFound
		switch {
		case strings.HasPrefix(r.URL.Path, "/l/"):
			w.Header().Set("X-Robots-Tag", "noindex, nofollow")
		case r.URL.Path == "/receipts/vonage/acme":
			status = http.StatusUnauthorized
			fallthrough
		default:
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
	}
	found := examine(t, cfg, o)
	for _, check := range []string{"public_url", "receipts_url", "ingest", "vonage", "kafka broker 1", "secrets clickwrap/acme"} {
		found.want(t, check, doctor.OK)
	}
	found.want(t, "vonage receipts", doctor.Warn)
	found.want(t, "kafka broker 2", doctor.Fail)
	found.want(t, "smtp", doctor.Fail, "email.smtp.host is empty")
	found.want(t, "shortener builtin", doctor.OK)

	behind = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) } // another server
	found = examine(t, cfg, o)
	for _, check := range []string{"public_url", "receipts_url", "ingest"} {
		found.want(t, check, doctor.Fail, "does not come from")
	}
	s.Close()
	found = examine(t, cfg, o)
	for _, check := range []string{"public_url", "receipts_url", "ingest", "vonage"} {
		found.want(t, check, doctor.Fail)
	}
	cfg.Sources[0].Notify.Channels = []string{"email"}
	shortenersettings.Section.In(&cfg).PublicURL = ""
	found = examine(t, cfg, doctor.Options{})
	found.want(t, "vonage", doctor.OK, "not needed")
	found.want(t, "public_url", doctor.Fail)
	if _, checked := found["ingest"]; checked {
		t.Error("ingest was checked without an address")
	}
}

// The doctor warns about a sender name and a public shortener only if texts may go to the US or Canada.
func TestSettingsThatCarriersInNorthAmericaBlock(t *testing.T) {
	t.Parallel()
	const own = "go.acme.example"
	for name, row := range map[string]struct {
		from, region  string
		countries     []string
		kind, domain  string
		sender, links bool // warnings
	}{
		"a name to the US":                         {"Acme", "US", nil, "bitly", own, true, false},
		"a name to Canada":                         {"Acme", "CA", nil, "bitly", own, true, false},
		"a name to Australia":                      {"Acme", "AU", nil, "bitly", "bit.ly", false, false},
		"a name from Australia to all countries":   {"Acme", "AU", []string{"*"}, "bitly", own, true, false},
		"a name from the US only to Germany":       {"Acme", "US", []string{"DE"}, "bitly", "bit.ly", false, false},
		"a number to the US":                       {"13175550100", "US", nil, "bitly", own, false, false},
		"links of bit.ly to the US":                {"13175550100", "US", nil, "bitly", "bit.ly", false, true},
		"links of bit.ly in upper case":            {"13175550100", "US", nil, "bitly", "Bit.LY", false, true},
		"links of rebrand.ly to Canada among more": {"13175550100", "AU", []string{"AU", "CA"}, "rebrandly", "rebrand.ly", false, true},
		"our own links":                            {"13175550100", "US", nil, "builtin", "bit.ly", false, false},
		"both":                                     {"Acme", "US", nil, "rebrandly", "rebrand.ly", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			closed := "http://127.0.0.1:1" // the accounts are not the subject
			cfg := config.Default()
			cfg.Sources = []config.Source{providers.NewSource("clickwrap", "acme", "webhook.secrets=s3cret")}
			cfg.Sources[0].Region, cfg.Limits.Countries = row.region, row.countries
			vonage := smssettings.VonageSection.In(&cfg)
			vonage.From, vonage.APIKey, vonage.BaseURL = row.from, "12345678", closed
			links := shortenersettings.Section.In(&cfg)
			links.Kind, links.Bitly.Domain, links.Rebrandly.Domain = row.kind, row.domain, row.domain
			links.Bitly.BaseURL, links.Rebrandly.BaseURL = closed, closed
			found := examine(t, cfg, doctor.Options{})
			for check, wanted := range map[string]bool{"vonage sender": row.sender, "short links": row.links} {
				if f, warned := found[check]; warned != wanted || warned && f.Status != doctor.Warn {
					t.Errorf("%s: %+v, want a warning: %t", check, f, wanted)
				}
			}
		})
	}
}

func TestEachMistakeIsAFinding(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Sources = []config.Source{{Name: "Acme", Provider: "unknown"}}
	smssettings.VonageSection.In(&cfg).APIKey = "short"
	cfg.Templates.Dir = "/nowhere-at-all"
	lines := 0
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	doctor.Examine(ctx, cfg, doctor.Options{}, func(f doctor.Finding) {
		if f.Check == "settings" && f.Status == doctor.Fail {
			lines++
		}
		if f.Check == "templates" && f.Status != doctor.Fail {
			t.Errorf("templates: %+v", f)
		}
	})
	if lines < 4 {
		t.Errorf("%d lines about the settings", lines)
	}
}
