package observe_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
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

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/signrelay/signrelay/tests/testenv"
)

// A real Prometheus scrapes real programs while stories play and the world outside fails now and then. Then every query of
// the dashboard must have something to show, every rule must be computable, and no name in either may be one that no program
// tells.
func TestEveryQueryReturnsData(t *testing.T) {
	t.Parallel()
	program := debian(t, "prometheus")
	h := testenv.Apart(t)
	h.Timeout = 2 * time.Minute
	kafka := testenv.Kafka(t, kfake.SeedTopics(1, "signrelay.signing.v1"))
	secret := filepath.Join(t.TempDir(), "password") // a program with a secret in a file tells how often it was replaced
	if err := os.WriteFile(secret, []byte("password"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.StartService(t, "kafka-bridge", "kafka-bridge",
		"SIGNRELAY_KAFKA_BROKERS="+kafka.ListenAddrs()[0], "SIGNRELAY_EMAIL_SMTP_USERNAME=nobody", "SIGNRELAY_EMAIL_SMTP_PASSWORD_FILE="+secret)
	p := startPrometheus(t, program, h)

	play := func() {
		for _, f := range []string{
			`{"target":"clickwrap","mode":"refuse","count":2}`,
			`{"target":"vonage","mode":"throttle","count":1}`,
			`{"target":"vonage","mode":"7","count":1}`, // a barred number: given up
			`{"target":"smtp","mode":"refuse","count":2}`,
		} {
			h.Fault(t, f)
		}
		kafka.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, errors.New("cut"), true })
		if status, _ := h.Callback(t, "POST", "/webhooks/clickwrap/demo", nil, nil, []byte("{}")); status != 401 {
			t.Errorf("an unsigned callback is answered %d", status)
		}
		for _, provider := range []string{"clickwrap", "pleasesign", "esign-v1"} {
			h.Play(t, provider, "two-signers")
		}
		h.Idle(t)
		if link := regexp.MustCompile(`http://\S+/l/\S+`).FindString(texts(h.Messages(t))); link == "" {
			t.Error("nobody received a link")
		} else {
			get(t, link)
		}
	}

	// What must not only be there but be more than nothing, because it happened.
	more := regexp.MustCompile(`: (in|out|time)$|^(enricher|sms-sender|email-sender): errors$|^(Delivery receipts|Callbacks a minute|Messages a minute|Dead letters in 24 h|Checks|CPU|Memory)$`)
	empty := map[string]bool{}
	for _, panel := range board(t).Panels {
		for i, query := range panel.queries() {
			empty[fmt.Sprintf("%v: %s", panel, query)] = i == 0 && more.MatchString(panel.Title)
		}
	}
	// Some counts appear with what is counted, and Prometheus sees them grow with the second story only.
	for deadline := time.Now().Add(h.Timeout); len(empty) > 0 && time.Now().Before(deadline); {
		play()
		played := float64(time.Now().UnixMilli()) / 1000
		h.Until(t, "Prometheus has seen it", func() bool {
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
	h.Until(t, "what was given up is an alert", func() bool {
		found, err := p.query(t, `ALERTS{alertname="SignrelayDeadLetters", alertstate="firing", stage="sms-sender", reason="permanent"}`)
		return err == nil && len(found) == 1
	})
	quiet, err := p.query(t, `ALERTS{alertname=~"SignrelayProgramDown|SignrelayNotReady|SignrelayManyDeadLetters"}`)
	if err != nil || len(quiet) > 0 {
		t.Errorf("alerts of what did not happen: %v, %v", quiet, err)
	}

	h.Fault(t, `{"target":"vonage","mode":"29","count":1}`) // not on the demo account's list: the text is held
	h.Play(t, "clickwrap", "two-signers")
	h.Until(t, "a held text is counted", func() bool {
		found, err := p.query(t, `signrelay_held_messages{channel="sms"}`)
		return err == nil && len(found) > 0
	})

	// A group of rules is computed once a minute: a rule that was computed before the stories gives its series at its next turn.
	records := regexp.MustCompile(`record: (\S+)`).FindAllStringSubmatch(string(read(t, "deployments", "prometheus", "signrelay.rules.yaml")), -1)
	h.Until(t, "every recorded series is there", func() bool {
		told := p.names(t)
		return len(records) > 0 && !slices.ContainsFunc(records, func(r []string) bool { return !told[r[1]] })
	})
	told := p.names(t)
	for _, name := range append(testsOfRules(t), "signrelay.rules.yaml") {
		checkNames(t, name, string(read(t, "deployments", "prometheus", name)), told)
	}
	checkNames(t, "signrelay.json", string(read(t, "deployments", "grafana", "signrelay.json")), told)
}

func texts(messages []testenv.Message) string {
	var all strings.Builder
	for _, m := range messages {
		fmt.Fprintln(&all, m.Text)
	}
	return all.String()
}

func checkNames(t *testing.T, where, text string, told map[string]bool) {
	t.Helper()
	for _, name := range regexp.MustCompile(`\bsignrelay[_:][a-z0-9_:]+`).FindAllString(text, -1) {
		if !told[name] {
			t.Errorf("%s asks for %s, which nobody tells", where, name)
		}
	}
}

type prometheus struct{ url string }

// startPrometheus starts one that scrapes all of the house's services each second, with our rules.
func startPrometheus(t *testing.T, program string, h *testenv.Env) prometheus {
	t.Helper()
	dir := t.TempDir()
	var targets []string
	for _, name := range slices.Sorted(maps.Keys(h.Processes)) {
		if name != "nats" {
			targets = append(targets, strings.TrimPrefix(h.Processes[name].AdminURL(), "http://"))
		}
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n"+
		"  - {job_name: signrelay, static_configs: [{targets: [%s]}]}\n",
		file("deployments", "prometheus", "signrelay.rules.yaml"), `"`+strings.Join(targets, `", "`)+`"`)
	path := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := testenv.FreeAddress(t)
	cmd := exec.Command(program, "--config.file="+path, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a killed test leaves nobody behind
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus said:\n%s", said.String())
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

// query returns the values of an instant query that are numbers.
func (p prometheus) query(t *testing.T, query string) ([]float64, error) {
	t.Helper()
	status, body := get(t, p.url+"/api/v1/query?query="+url.QueryEscape(query))
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != 200 {
		return nil, fmt.Errorf("%s: %d %s", query, status, answer.Error)
	}
	var values []float64
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err == nil && !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values, nil
}

// computed is how many rules were computed without an error; one with an error ends the test.
func (p prometheus) computed(t *testing.T) (good int) {
	t.Helper()
	_, body := get(t, p.url+"/api/v1/rules")
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name, Health, LastError string
				} `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	for _, g := range answer.Data.Groups {
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

// names are all that were ever told.
func (p prometheus) names(t *testing.T) map[string]bool {
	t.Helper()
	_, body := get(t, p.url+"/api/v1/label/__name__/values")
	var answer struct {
		Data []string `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, name := range answer.Data {
		told[name] = true
	}
	return told
}
