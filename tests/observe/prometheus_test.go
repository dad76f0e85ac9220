package observe_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// A real Prometheus scrapes real programs during stories and failures of outside parties. Then every query of the dashboard must return data, Prometheus must compute every rule, and both may use only metrics that a program reports.
func TestEveryQueryReturnsData(t *testing.T) {
	t.Parallel()
	program := debian(t, "prometheus")
	h := testenv.Infrastructure(t, func(h *testenv.Env) string { // texts without a receipt go to the other channel soon
		settings := strings.Replace(testenv.SandboxSettings(h), "provider: clickwrap,", "provider: clickwrap, fallback: {after: 3s},", 1)
		return strings.Replace(settings, "\nsms:", "\n  - {name: application, provider: pleasesign, webhook: {secrets: [unused]}, api: {oauth: {client_id: app}}}\nsms:", 1)
	})
	for _, name := range testenv.Services {
		h.StartService(t, name, name)
	}
	kafka := testenv.Kafka(t, kfake.SeedTopics(1, "signrelay.signing.v1"))
	secret := filepath.Join(t.TempDir(), "password") // a program with a secret in a file reports the number of its replacements
	if err := os.WriteFile(secret, []byte("password"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.StartService(t, "kafka-bridge", "kafka-bridge",
		"SIGNRELAY_KAFKA_BROKERS="+kafka.ListenAddrs()[0], "SIGNRELAY_EMAIL_SMTP_USERNAME=unknown", "SIGNRELAY_EMAIL_SMTP_PASSWORD_FILE="+secret)
	certificate, key := certificateFiles(t) // a listener with TLS reports when its certificate expires
	h.StartService(t, "shortener", "shortener-tls", "SIGNRELAY_LINKS_ADDR="+testenv.FreeAddress(t), "SIGNRELAY_TLS_CERTIFICATE_FILE="+certificate, "SIGNRELAY_TLS_KEY_FILE="+key)
	p := startPrometheus(t, program, h)

	play := func() {
		h.InjectFault(t, `{"target":"receipts","mode":"drop","count":1}`)
		h.Play(t, "clickwrap", "lost-text")
		h.WaitIdle(t)
		for _, f := range []string{
			`{"target":"clickwrap","mode":"refuse","count":2}`,
			`{"target":"vonage","mode":"throttle","count":1}`,
			`{"target":"vonage","mode":"7","count":1}`, // a barred number: the message becomes a dead letter
			`{"target":"smtp","mode":"refuse","count":2}`,
		} {
			h.InjectFault(t, f)
		}
		kafka.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, errors.New("cut"), true })
		if status, _ := h.Callback(t, "POST", "/webhooks/clickwrap/demo", nil, nil, []byte("{}")); status != 401 {
			t.Errorf("an unsigned callback got status %d", status)
		}
		for _, provider := range []string{"clickwrap", "pleasesign", "esign-v1"} {
			h.Play(t, provider, "two-signers")
		}
		h.Play(t, "esign-v1", "long-night") // the provider has a document in its archive for four hours
		unsigned := h.Play(t, "clickwrap", "resend")[0]
		h.WaitIdle(t)
		if output, err := h.Command(t, "reminders", "now", "--yes", unsigned); err != nil {
			t.Errorf("%v: %s", err, output)
		}
		for _, channel := range []string{"sms", "email"} {
			due(t, h, channel)
		}
		dueArchives(t, h)
		if link := regexp.MustCompile(`http://\S+/l/\S+`).FindString(texts(h.Messages(t))); link == "" {
			t.Error("no message has a link")
		} else {
			get(t, link)
		}
	}

	// The values of these panels must also be greater than 0, because their events have occurred.
	more := regexp.MustCompile(`: (in|out|time)$|^(enricher|sms-sender|email-sender): errors$|^(Delivery receipts|Callbacks a minute|Messages a minute|Dead letters in 24 h|Checks|CPU|Memory)$`)
	empty := map[string]bool{}
	for _, panel := range board(t).Panels {
		for i, query := range panel.queries() {
			empty[fmt.Sprintf("%v: %s", panel, query)] = i == 0 && more.MatchString(panel.Title)
		}
	}
	// Some counters start with their first event, so Prometheus sees an increase only after the second story.
	for deadline := time.Now().Add(h.Timeout); len(empty) > 0 && time.Now().Before(deadline); {
		play()
		played := float64(time.Now().UnixMilli()) / 1000
		h.Until(t, "Prometheus has scraped it", func() bool {
			found, err := p.query(t, fmt.Sprintf("min(timestamp(up)) > %f", played+1))
			return err == nil && len(found) == 1
		})
		for what, wants := range empty {
			_, query, _ := strings.Cut(what, `": `)
			found, err := p.query(t, query)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if slices.ContainsFunc(found, func(v float64) bool { return v > 0 || v == 0 && !wants }) {
				delete(empty, what)
			}
		}
	}
	for what := range empty {
		t.Errorf("no data: %s", what)
	}

	h.Until(t, "every rule has been computed", func() bool { return p.computed(t) == len(rules(t)) })
	h.Until(t, "the dead letter is an alert", func() bool {
		found, err := p.query(t, `ALERTS{alertname="SignrelayDeadLetters", alertstate="firing", stage="sms-sender", reason="permanent"}`)
		return err == nil && len(found) == 1
	})
	quiet, err := p.query(t, `ALERTS{alertname=~"SignrelayProgramDown|SignrelayNotReady|SignrelayManyDeadLetters"}`)
	if err != nil || len(quiet) > 0 {
		t.Errorf("alerts without a cause: %v, %v", quiet, err)
	}

	h.InjectFault(t, `{"target":"vonage","mode":"29","count":1}`) // not on the demo account's list: the text is held
	h.Play(t, "clickwrap", "two-signers")
	h.Until(t, "a held text is counted", func() bool {
		found, err := p.query(t, `signrelay_held_messages{channel="sms"}`)
		return err == nil && len(found) > 0
	})

	// The recording rules are computed from time to time. A rule that was computed before the stories has its series after the next time.
	records := regexp.MustCompile(`record: (\S+)`).FindAllStringSubmatch(string(read(t, "deployments", "prometheus", "signrelay.rules.yaml")), -1)
	h.Until(t, "every recorded series exists", func() bool {
		known := p.names(t)
		return len(records) > 0 && !slices.ContainsFunc(records, func(r []string) bool { return !known[r[1]] })
	})
	known := p.names(t)
	for _, name := range append(testsOfRules(t), "signrelay.rules.yaml") {
		checkNames(t, name, string(read(t, "deployments", "prometheus", name)), known)
	}
	checkNames(t, "signrelay.json", string(read(t, "deployments", "grafana", "signrelay.json")), known)
}

// certificateFiles returns the files of a certificate and of its key.
func certificateFiles(t *testing.T) (certificate, key string) {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	dir, pair := t.TempDir(), server.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}

// due publishes the last message of a channel as the server publishes one that was scheduled. Its sender knows that it was sent.
func due(t *testing.T, h *testenv.Env, channel string) {
	t.Helper()
	notify, err := h.JetStream(t).Stream(t.Context(), flow.Notify)
	if err != nil {
		t.Fatal(err)
	}
	last, err := notify.GetLastMsgForSubject(t.Context(), flow.SendFilter(channel))
	if err != nil {
		t.Fatal(err)
	}
	to, _ := flow.ParseNotification(last.Subject)
	id := last.Header.Get("Nats-Msg-Id")
	subject := flow.DueLaterSubject(channel, to.Source, to.Provider, to.Document, id)
	if _, err := h.JetStream(t).PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: nats.Header{"ce-id": {id}}, Data: last.Data}); err != nil {
		t.Fatal(err)
	}
}

// dueArchives publishes the completed documents that wait for the next attempt to archive them, as the server does when they are due.
func dueArchives(t *testing.T, h *testenv.Env) {
	t.Helper()
	js := h.JetStream(t)
	h.Until(t, "a document waits for its files", func() bool {
		return h.Count(t, flow.Archive, flow.ArchivesOf("demo", "esign-v1", "")) > 0
	})
	consumer, err := js.OrderedConsumer(t.Context(), flow.Archive, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{flow.ArchivesOf("demo", "esign-v1", "")}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := consumer.FetchNoWait(16)
	if err != nil {
		t.Fatal(err)
	}
	for m := range waiting.Messages() {
		if _, scheduled := flow.ScheduledAt(m.Headers()); !scheduled {
			continue
		}
		if _, err := js.PublishMsg(t.Context(), flow.DueMessage(m)); err != nil {
			t.Fatal(err)
		}
	}
}

func texts(messages []testenv.Message) string {
	var all strings.Builder
	for _, m := range messages {
		fmt.Fprintln(&all, m.Text)
	}
	return all.String()
}

func checkNames(t *testing.T, where, text string, known map[string]bool) {
	t.Helper()
	for _, name := range regexp.MustCompile(`\bsignrelay[_:][a-z0-9_:]+`).FindAllString(text, -1) {
		if !known[name] {
			t.Errorf("%s uses %s, which no program reports", where, name)
		}
	}
}

type prometheus struct{ url string }

// startPrometheus starts a Prometheus that scrapes all services of the environment each second, with our rules.
func startPrometheus(t *testing.T, program string, h *testenv.Env) prometheus {
	t.Helper()
	dir := t.TempDir()
	var targets []string
	for _, name := range slices.Sorted(maps.Keys(h.Processes)) {
		if name != "nats" {
			targets = append(targets, strings.TrimPrefix(h.Processes[name].AdminURL(), "http://"))
		}
	}
	// The recording rules are computed every 5 s instead of once a minute: the test waits for them twice.
	ours := string(read(t, "deployments", "prometheus", "signrelay.rules.yaml"))
	if strings.Count(ours, "interval: 1m") != 1 {
		t.Fatal("signrelay.rules.yaml does not have one group with the interval of 1 minute")
	}
	rulesFile := filepath.Join(dir, "signrelay.rules.yaml")
	if err := os.WriteFile(rulesFile, []byte(strings.Replace(ours, "interval: 1m", "interval: 5s", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n"+
		"  - {job_name: signrelay, static_configs: [{targets: [%s]}]}\n",
		rulesFile, `"`+strings.Join(targets, `", "`)+`"`)
	path := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := testenv.FreeAddress(t)
	cmd := exec.Command(program, "--config.file="+path, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // if the test is killed, Prometheus ends too
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("output of prometheus:\n%s", output.String())
		}
	})
	p := prometheus{url: "http://" + addr}
	h.Until(t, "Prometheus is ready", func() bool { status, _ := get(t, p.url+"/-/ready"); return status == 200 })
	h.Until(t, "Prometheus has scraped all", func() bool {
		up, err := p.query(t, "up == 1")
		return err == nil && len(up) == len(targets)
	})
	return p
}

// query returns the numeric values of an instant query.
func (p prometheus) query(t *testing.T, query string) ([]float64, error) {
	t.Helper()
	status, body := get(t, p.url+"/api/v1/query?query="+url.QueryEscape(query))
	var response struct {
		Error string `json:"error"`
		Data  struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &response); err != nil || status != 200 {
		return nil, fmt.Errorf("%s: %d %s", query, status, response.Error)
	}
	var values []float64
	for _, r := range response.Data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err == nil && !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values, nil
}

// computed returns the number of rules that were computed without an error; a rule with an error ends the test.
func (p prometheus) computed(t *testing.T) (good int) {
	t.Helper()
	_, body := get(t, p.url+"/api/v1/rules")
	var response struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name, Health, LastError string
				} `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &response); err != nil {
		t.Fatal(err)
	}
	for _, g := range response.Data.Groups {
		for _, r := range g.Rules {
			switch r.Health {
			case "ok":
				good++
			case "err":
				t.Fatalf("rule %s: %s", r.Name, r.LastError)
			}
		}
	}
	return good
}

// names returns all metric names that Prometheus has ever scraped.
func (p prometheus) names(t *testing.T) map[string]bool {
	t.Helper()
	_, body := get(t, p.url+"/api/v1/label/__name__/values")
	var response struct {
		Data []string `json:"data"`
	}
	if err := json.Unmarshal(body, &response); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, name := range response.Data {
		known[name] = true
	}
	return known
}
