package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Env is a running Signrelay with the sandbox around it.
type Env struct {
	IngestURL  string
	IngestURLs []string // of all replicas
	SandboxURL string
	NATSURL    string
	DataDir    string
	Variant    Variant       // the build variant of the services
	Vars       []string      // more variables for every service
	Timeout    time.Duration // how long Until waits; two minutes by default, because only a failed test waits that long
	Processes  map[string]*Process
	Redis      *realtest.RedisServer // nil in standalone; tests that use its URL connect as the user "default", who has all permissions

	t testing.TB

	connecting sync.Mutex
	js         jetstream.JetStream // created at the first use

	env         []string
	node        node                                                      // the single NATS server, if there is one
	credentials nats.Option                                               // of the test's own connection, if the server requires them
	embedded    bool                                                      // the NATS server is part of standalone
	startRedis  func(testing.TB, map[string]string) *realtest.RedisServer // nil for one server
	redisUsers  map[string]bool                                           // the services with users of their own in Redis; nil if Redis has no users
	lazySync    bool                                                      // NATS syncs every two minutes, its own default
}

// Standalone starts all services in one process, as `make run` does, on free ports. More variables can be added.
func Standalone(t testing.TB, more ...string) *Env {
	t.Helper()
	e := newEnv(t)
	e.embedded = true
	admin := FreeAddress(t)
	env := append(slices.Clone(e.env), "SIGNRELAY_ADMIN_ADDR="+admin)
	env = append(env, more...)
	e.Processes["signrelay"] = newProcess(t, "signrelay", Program(t, "signrelay"), "http://"+admin+"/readyz", env, "run").Start()
	return e
}

// StandaloneWith starts all services in one process with a settings file, and the sandbox as a separate process: `signrelay run` has none if its
// settings have sources. The sandbox and the commands get the variables too.
func StandaloneWith(t testing.TB, settings func(*Env) string, vars ...string) *Env {
	t.Helper()
	e := newEnv(t)
	e.embedded = true
	path := filepath.Join(e.DataDir, "signrelay.yaml")
	if err := os.WriteFile(path, []byte(settings(e)), 0o600); err != nil {
		t.Fatal(err)
	}
	e.env = append(append(e.env, "SIGNRELAY_CONFIG="+path, "SIGNRELAY_MASTER_KEY="+MasterKey), vars...)
	e.StartService(t, "sandbox", "sandbox")
	admin := FreeAddress(t)
	e.Processes["signrelay"] = newProcess(t, "signrelay", Program(t, "signrelay"), "http://"+admin+"/readyz", append(slices.Clone(e.env), "SIGNRELAY_ADMIN_ADDR="+admin), "run").Start()
	return e
}

// Separate starts each service as a process, with a NATS server and a Redis of this environment, after provisioning.
func Separate(t testing.TB) *Env {
	t.Helper()
	e := Infrastructure(t, SandboxSettings)
	for _, name := range Services {
		e.StartService(t, name, name)
	}
	return e
}

// Infrastructure starts a NATS server and a Redis and creates the streams of these settings. It starts no service.
func Infrastructure(t testing.TB, settings func(*Env) string) *Env {
	t.Helper()
	e := newEnv(t)
	e.startNATS(t, node{})
	e.provision(t, settings(e))
	return e
}

// LazySync starts Infrastructure with a NATS server that syncs to the disk every two minutes, to fill a long log in a short time.
func LazySync(t testing.TB, settings func(*Env) string) *Env {
	t.Helper()
	e := newEnv(t)
	e.lazySync = true
	e.startNATS(t, node{})
	e.provision(t, settings(e))
	return e
}

// Encrypted is LazySync with a NATS server that encrypts its files.
func Encrypted(t testing.TB, settings func(*Env) string) *Env {
	t.Helper()
	e := newEnv(t)
	e.lazySync = true
	e.startNATS(t, node{key: MasterKey})
	e.provision(t, settings(e))
	return e
}

// Services lists the services that run as processes, in the order of the flow. The sandbox replaces the outside parties.
var Services = []string{"sandbox", "ingest", "enricher", "shortener", "sms-sender", "email-sender", "reminder", "reconciler", "keeper", "archiver", "console", "indexer"}

// Listeners lists the settings of the addresses on which the services listen by default, as variables. A test that starts a program on a default
// port fails when another test does the same.
var Listeners = []string{"SIGNRELAY_INGEST_ADDR", "SIGNRELAY_CONSOLE_ADDR", "SIGNRELAY_LINKS_ADDR", "SIGNRELAY_RECEIPTS_ADDR"}

// addresses returns a free address for each of Listeners.
func addresses(t testing.TB) (env []string) {
	t.Helper()
	for _, variable := range Listeners {
		env = append(env, variable+"="+FreeAddress(t))
	}
	return env
}

// Replicated starts Separate with two replicas of each stage. In production the replicas of a service with a public listener share its address
// behind a load balancer; here the second one has its own, which no client calls.
func Replicated(t testing.TB) *Env {
	t.Helper()
	e := Separate(t)
	for _, name := range Services[2:] {
		e.StartReplica(t, name, 2)
	}
	return e
}

// StartReplica starts the n-th process of a service, named "<service>-<n>", with listeners of its own. IngestURLs lists every ingest.
func (e *Env) StartReplica(t testing.TB, service string, n int) *Process {
	t.Helper()
	ingest := FreeAddress(t)
	p := e.StartService(t, service, fmt.Sprintf("%s-%d", service, n), append(addresses(t), "SIGNRELAY_INGEST_ADDR="+ingest)...)
	if service == "ingest" {
		e.IngestURLs = append(e.IngestURLs, "http://"+ingest)
	}
	return p
}

// InfrastructureWith is Infrastructure with the Redis that start makes: one with Sentinels, or a cluster.
func InfrastructureWith(t testing.TB, start func(testing.TB, map[string]string) *realtest.RedisServer, settings func(*Env) string) *Env {
	t.Helper()
	e := newEnv(t)
	e.startRedis = start
	e.startNATS(t, node{})
	e.provision(t, settings(e))
	return e
}

// provision starts Redis, writes the settings, and creates the streams.
func (e *Env) provision(t testing.TB, settings string) {
	t.Helper()
	hasUsers := true
	if e.startRedis == nil {
		e.Redis, hasUsers = realtest.RedisWithUsers(t, RedisUsers())
	} else {
		e.Redis = realtest.RedisFailover(t, RedisUsers(), e.startRedis)
		if e.Redis.Master != "" {
			e.env = append(e.env, "SIGNRELAY_REDIS_SENTINEL_MASTER="+e.Redis.Master)
		} else {
			e.env = append(e.env, "SIGNRELAY_REDIS_CLUSTER=true")
		}
	}
	path := filepath.Join(e.DataDir, "signrelay.yaml")
	if err := os.WriteFile(path, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	e.env = append(e.env, "SIGNRELAY_NATS_URL="+e.NATSURL, "SIGNRELAY_REDIS_URL="+e.Redis.URL, "SIGNRELAY_CONFIG="+path, "SIGNRELAY_MASTER_KEY="+MasterKey,
		"SIGNRELAY_ARCHIVE_URL=file://"+filepath.ToSlash(e.Archive()),
		"SIGNRELAY_INDEX_URL=sqlite://"+filepath.ToSlash(filepath.Join(e.DataDir, "index", "index.db")))
	if hasUsers {
		e.env = append(e.env, RedisUser(flow.Operator)...)
		e.redisUsers = map[string]bool{}
		for _, u := range flow.RedisUsers() {
			e.redisUsers[u.Name] = true
		}
	}
	if out, err := e.Command(t, "provision"); err != nil {
		t.Fatalf("provision: %v\n%s", err, out)
	}
}

// Archive returns the folder of the archive.
func (e *Env) Archive() string { return filepath.Join(e.DataDir, "archive") }

// StartService starts one more process of a service under the given name. Its variables override those of the environment.
func (e *Env) StartService(t testing.TB, service, name string, env ...string) *Process {
	t.Helper()
	return e.service(t, service, name, env).Start()
}

// LaunchService starts a service without waiting until the process is ready.
func (e *Env) LaunchService(t testing.TB, service, name string, env ...string) *Process {
	t.Helper()
	return e.service(t, service, name, env).Launch()
}

func (e *Env) service(t testing.TB, service, name string, env []string) *Process {
	t.Helper()
	admin := FreeAddress(t)
	var redis []string
	switch {
	case e.redisUsers[service]:
		redis = RedisUser(service)
	case e.redisUsers != nil: // this service uses no Redis
		redis = []string{"SIGNRELAY_REDIS_URL=", "SIGNRELAY_REDIS_USERNAME=", "SIGNRELAY_REDIS_PASSWORD="}
	}
	env = slices.Concat(e.env, redis, e.Vars, env, []string{"SIGNRELAY_ADMIN_ADDR=" + admin})
	p := newProcess(t, name, ProgramAs(t, service, e.Variant), "http://"+admin+"/readyz", env)
	e.Processes[name] = p
	return p
}

func newEnv(t testing.TB) *Env {
	t.Helper()
	realtest.Server(t, "Signrelay's programs")
	sandbox, smtp, natsAddr := FreeAddress(t), FreeAddress(t), FreeAddress(t)
	e := &Env{
		SandboxURL: "http://" + sandbox, NATSURL: "nats://" + natsAddr,
		Timeout: 2 * time.Minute, DataDir: filepath.Join(t.TempDir(), "data"), Processes: map[string]*Process{}, t: t, env: addresses(t),
	}
	e.IngestURL = "http://" + e.Address("SIGNRELAY_INGEST_ADDR")
	e.IngestURLs = []string{e.IngestURL}
	if err := os.Mkdir(e.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	e.env = append(e.env,
		"SIGNRELAY_SANDBOX_ADDR="+sandbox, "SIGNRELAY_SMTP_ADDR="+smtp,
		"SIGNRELAY_SANDBOX_INGEST_URL="+e.IngestURL, "SIGNRELAY_NATS_ADDR="+natsAddr, "SIGNRELAY_DATA_DIR="+e.DataDir,
		"SIGNRELAY_DRAIN_DELAY=0s",            // no load balancer
		"SIGNRELAY_SHORTENER_PER_MINUTE=6000", // all signers of a story click from one address
	)
	return e
}

// SandboxSettings returns a settings file with the sandbox in place of the outside parties. Quiet hours are off, so that no test depends on the time of day.
func SandboxSettings(e *Env) string {
	links := e.Address("SIGNRELAY_LINKS_ADDR")
	smtpHost, smtpPort, _ := strings.Cut(e.Address("SIGNRELAY_SMTP_ADDR"), ":")
	return fmt.Sprintf(`
sources:
  - {name: demo, provider: clickwrap, sender_name: PactSafe, webhook: {secrets: ["12345"]}, api: {base_url: %[1]q, token: demo-token}, quiet_hours: {from: "00:00", to: "00:00"},
     notify: {sender: {email: sender@signrelay.example}}}
  - {name: demo, provider: pleasesign, sender_name: PleaseSign, region: AU, webhook: {secrets: ["test"]},
     api: {base_url: %[1]q, key: demo-key, secret: demo-secret, per_minute: 6000}, quiet_hours: {from: "00:00", to: "00:00"}, notify: {sender: {email: sender@signrelay.example}}}
  - {name: demo, provider: esign-v1, sender_name: Legalesign, region: GB, webhook: {token: demo},
     api: {base_url: "%[1]s/api/v1", user: demo, secret: demo-secret, per_minute: 6000}, quiet_hours: {from: "00:00", to: "00:00"}, notify: {sender: {email: sender@signrelay.example}}}
sms: {vonage: {api_key: sandbox0, api_secret: sandbox-secret, from: "13175550100", base_url: %[1]q,
      receipts_url: "http://%[5]s", signature_secret: demo-signature, signature_method: sha256, receipt_within: 2s}}
email: {from: "Signrelay <no-reply@signrelay.example>", smtp: {host: %[2]q, port: %[3]s, tls: none}}
shortener: {kind: builtin, public_url: "http://%[4]s", bitly: {token: demo-token, group: demo, base_url: %[1]q, domain: "%[6]s/b"},
            rebrandly: {apikey: demo-key, base_url: %[1]q, domain: "%[6]s/r"}}
# The sandbox's people have numbers that are kept for fiction, and few of them.
limits: {person_per_day: 0, number_per_hour: 0, texts_per_day: 0, document: 0, source_per_day: 0, number_types: [mobile, unknown]}
`, e.SandboxURL, smtpHost, smtpPort, links, e.Address("SIGNRELAY_RECEIPTS_ADDR"), strings.TrimPrefix(e.SandboxURL, "http://"))
}

// Address returns the value of a variable SIGNRELAY_…_ADDR.
func (e *Env) Address(name string) string {
	for _, variable := range e.env {
		if value, found := strings.CutPrefix(variable, name+"="); found {
			return value
		}
	}
	return ""
}

// Command runs `signrelay <args>` in the environment and returns its output. An exit status other than 0 is an error.
func (e *Env) Command(t testing.TB, args ...string) (string, error) {
	t.Helper()
	return e.CommandWith(t, nil, args...)
}

// CommandWith runs Command with more variables.
func (e *Env) CommandWith(t testing.TB, env []string, args ...string) (string, error) {
	t.Helper()
	Program(t, "signrelay") // which may be built first
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := e.Prepared(ctx, t, args...)
	cmd.Env = append(cmd.Env, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("signrelay %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// Prepared returns the command `signrelay <args>` in the environment, which is not started. The end of ctx kills it.
func (e *Env) Prepared(ctx context.Context, t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, Program(t, "signrelay"), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, e.env...)
	if !e.embedded { // the standalone's server and password are found in the data directory
		cmd.Env = append([]string{"SIGNRELAY_NATS_URL=" + e.NATSURL}, cmd.Env...)
	}
	return cmd
}

// LaunchCommand starts a command of the program signrelay, built as the environment's variant, and does not wait for its end.
func (e *Env) LaunchCommand(t testing.TB, env []string, args ...string) *Process {
	t.Helper()
	return newProcess(t, "signrelay "+strings.Join(args, " "), ProgramAs(t, "signrelay", e.Variant), "", slices.Concat(e.env, env), args...).Launch()
}

// Message is a message that a signer received, as the sandbox reports it.
type Message struct {
	Channel   string `json:"channel"`
	To        string `json:"to"`
	From      string `json:"from"`
	Subject   string `json:"subject"`
	Text      string `json:"text"`
	HTML      string `json:"html"`
	Reference string `json:"reference"`

	ReceivedAt time.Time `json:"received_at"`
}

// Play plays a story and returns the ids of its documents.
func (e *Env) Play(t testing.TB, provider, story string) []string {
	t.Helper()
	var played struct {
		Documents []string `json:"documents"`
	}
	body := fmt.Sprintf(`{"provider":%q,"story":%q}`, provider, story)
	status, response := e.do(t, http.MethodPost, e.SandboxURL+"/api/play", body)
	if status != http.StatusOK {
		t.Fatalf("play %s/%s: %d %s", provider, story, status, response)
	}
	if err := json.Unmarshal(response, &played); err != nil {
		t.Fatalf("play %s/%s: %v", provider, story, err)
	}
	return played.Documents
}

// Messages returns all messages that signers have received.
func (e *Env) Messages(t testing.TB) []Message {
	t.Helper()
	var messages []Message
	status, response := e.do(t, http.MethodGet, e.SandboxURL+"/api/messages", "")
	if err := json.Unmarshal(response, &messages); err != nil || status != http.StatusOK {
		t.Fatalf("messages: %d %v\n%s", status, err, response)
	}
	return messages
}

// ServedFile is a file that a provider served, as the sandbox reports it.
type ServedFile struct {
	Document string `json:"document"`
	Kind     string `json:"kind"`
	Size     int    `json:"size"`
	SHA256   string `json:"sha256"`
}

// ServedFiles returns the files of documents that the providers have served.
func (e *Env) ServedFiles(t testing.TB) []ServedFile {
	t.Helper()
	var files []ServedFile
	status, response := e.do(t, http.MethodGet, e.SandboxURL+"/api/files", "")
	if err := json.Unmarshal(response, &files); err != nil || status != http.StatusOK {
		t.Fatalf("files: %d %v\n%s", status, err, response)
	}
	return files
}

// ClearMessages deletes the received messages.
func (e *Env) ClearMessages(t testing.TB) {
	t.Helper()
	if status, response := e.do(t, http.MethodDelete, e.SandboxURL+"/api/messages", ""); status != http.StatusNoContent {
		t.Fatalf("clear the messages: %d %s", status, response)
	}
}

// InjectFault sets a fault in the sandbox, in the format of POST /api/faults.
func (e *Env) InjectFault(t testing.TB, order string) {
	t.Helper()
	if status, response := e.do(t, http.MethodPost, e.SandboxURL+"/api/faults", order); status/100 != 2 {
		t.Fatalf("set the fault %s: %d %s", order, status, response)
	}
}

// Replicas returns the processes of a service.
func (e *Env) Replicas(service string) []*Process {
	var all []*Process
	for name, p := range e.Processes {
		if name == service || strings.HasPrefix(name, service+"-") {
			all = append(all, p)
		}
	}
	return all
}

func (e *Env) do(t testing.TB, method, target, body string) (int, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	response, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, response
}

// Callback sends a callback to ingest and returns the status and the response.
func (e *Env) Callback(t testing.TB, method, path string, query url.Values, header http.Header, body []byte) (int, map[string]any) {
	t.Helper()
	status, response, _ := e.CallbackWithHeader(t, method, path, query, header, body)
	return status, response
}

// CallbackWithHeader does the same as Callback and also returns the header of the response.
func (e *Env) CallbackWithHeader(
	t testing.TB, method, path string, query url.Values, header http.Header, body []byte,
) (int, map[string]any, http.Header) {
	t.Helper()
	target := e.IngestURL + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var response map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&response); err != nil {
		t.Fatalf("%s %s: %d without JSON: %v", method, path, resp.StatusCode, err)
	}
	return resp.StatusCode, response, resp.Header
}

// Ready returns the status of a process's /readyz.
func (e *Env) Ready(t testing.TB, process string) int {
	t.Helper()
	status, _ := e.do(t, http.MethodGet, e.Processes[process].ready, "")
	return status
}

// JetStream returns the environment's JetStream, on the test's own connection.
func (e *Env) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	e.connecting.Lock()
	defer e.connecting.Unlock()
	if e.js == nil {
		e.js = e.connect(t)
	}
	return e.js
}

func (e *Env) connect(t testing.TB) jetstream.JetStream {
	t.Helper()
	var options []nats.Option
	switch {
	case e.credentials != nil:
		options = append(options, e.credentials)
	case e.embedded:
		options = append(options, nats.UserInfo("signrelay", e.password(t)))
	}
	nc, err := nats.Connect(e.NATSURL, options...)
	if err != nil {
		t.Fatal(err)
	}
	e.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// password returns the password of the standalone's NATS server.
func (e *Env) password(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(e.DataDir, "nats.password"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// Subscriber returns the environment with which the programs of examples/ find the server.
func (e *Env) Subscriber(t testing.TB) []string {
	t.Helper()
	env := []string{"NATS_URL=" + e.NATSURL}
	if e.embedded {
		env = append(env, "NATS_USER=signrelay", "NATS_PASSWORD="+e.password(t))
	}
	return env
}

// Count returns the number of messages of a stream that match a filter.
func (e *Env) Count(t testing.TB, stream, filter string) int {
	t.Helper()
	found, err := e.JetStream(t).Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	info, err := found.Info(t.Context(), jetstream.WithSubjectFilter(filter))
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, n := range info.State.Subjects {
		count += int(n)
	}
	return count
}

// Publish stores a message. err is the error of the function that made it.
func (e *Env) Publish(t testing.TB, m *nats.Msg, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.JetStream(t).PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// PublishCause stores an event that can be the cause of a message about a person whom the provider could not reach. It names no person and
// no document, so no stage produces an output from it.
func (e *Env) PublishCause(t testing.TB, n *notifyv1.Notification) {
	t.Helper()
	m, err := event.Message(t.Context(), &signingv1.SigningEvent{
		Id: n.GetEventId(), Source: n.GetSource(), Provider: n.GetProvider(), Type: "recipient.undeliverable",
	})
	e.Publish(t, m, err)
}

// WaitIdle waits until every stage has completed its input. A message that has not arrived by then will not arrive.
func (e *Env) WaitIdle(t testing.TB) {
	t.Helper()
	js := e.JetStream(t)
	e.Until(t, "every stage is idle", func() bool {
		for _, s := range flow.Stages {
			if s.Optional {
				continue
			}
			consumer, err := js.Consumer(context.Background(), s.Stream, s.Name)
			if err != nil {
				return false
			}
			if info := consumer.CachedInfo(); info.NumPending > 0 || info.NumAckPending > 0 {
				return false
			}
		}
		return true
	})
}

// ChangeStream changes a stream's configuration.
func (e *Env) ChangeStream(t testing.TB, stream string, set func(*jetstream.StreamConfig)) {
	t.Helper()
	js := e.JetStream(t)
	is, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	c := is.CachedInfo().Config
	set(&c)
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// ShortDuplicateWindow sets a stream's duplicate window to the shortest time that the server accepts, instead of two minutes.
func (e *Env) ShortDuplicateWindow(t testing.TB, stream string) {
	t.Helper()
	e.ChangeStream(t, stream, func(c *jetstream.StreamConfig) { c.Duplicates = 100 * time.Millisecond })
}

// Until waits until a condition holds.
func (e *Env) Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(e.Timeout); time.Now().Before(deadline); {
		if holds() {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("the test ended while it waited until %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("waited %v without success until %s", e.Timeout, what)
}

// Ingest starts ingest with its NATS and Redis, for benchmarks. With fsync, NATS syncs to the disk before it acknowledges.
func Ingest(t testing.TB, fsync bool) *Env {
	t.Helper()
	e := newEnv(t)
	e.lazySync = !fsync
	e.startNATS(t, node{})
	unkept := "sources:\n  - {name: unkept, provider: pleasesign, webhook: {secrets: [\"test\"]}, api: {key: demo-key, secret: demo-secret}, keep: []}\n"
	e.provision(t, strings.Replace(SandboxSettings(e), "sources:\n", unkept, 1))
	e.StartService(t, "ingest", "ingest")
	return e
}

// BareStage starts the benchmarks' reference of a service: a program that makes the service's exchanges for each input, and does nothing else. web is the
// address of the provider and Vonage, mail that of the mail server.
func (e *Env) BareStage(t testing.TB, name, web, mail string) {
	t.Helper()
	e.Processes[name] = newProcess(t, name, Program(t, "bare"), "", nil, "stage", name, e.NATSURL, e.Redis.URL, web, mail).Start()
}

// BareServer starts the benchmarks' reference server and returns its URL and process. With the URLs of NATS and Redis as args it also does the
// least that a callback needs.
func BareServer(t testing.TB, args ...string) (string, *Process) {
	t.Helper()
	addr := FreeAddress(t)
	p := newProcess(t, "bare", Program(t, "bare"), "", nil, append([]string{addr}, args...)...).Start()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			return "http://" + addr, p
		}
	}
	t.Fatalf("bare does not listen:\n%s", p.Output())
	return "", nil
}
