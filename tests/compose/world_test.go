package compose_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

// world is the compose file, started by a Docker engine as a project of its own.
type world struct {
	t     *testing.T
	args  []string // of docker, before the command
	env   []string
	nats  string
	kafka string

	sandbox string
	links   string
}

// limit is the timeout of until: a dead sender's message waits 60 s for a receipt that may still arrive.
const limit = 4 * time.Minute

// up builds the images and starts the files, and removes everything at the end of the test.
func up(t *testing.T, env []string, files ...string) *world {
	t.Helper()
	needEngine(t)
	var ports [5]string
	for i := range ports {
		_, ports[i], _ = net.SplitHostPort(testenv.FreeAddress(t)) // the ports must stay free while the images are built
	}
	w := &world{
		t: t, sandbox: "http://127.0.0.1:" + ports[0], links: "127.0.0.1:" + ports[1],
		nats: "nats://127.0.0.1:" + ports[2], kafka: "127.0.0.1:" + ports[3],
		args: []string{"compose", "--project-name", "signrelay-test-" + ports[0], "--project-directory", testenv.Root(), "--env-file", os.DevNull},
		env: append(os.Environ(), append(env, "VERSION=test", "SANDBOX_PORT="+ports[0], "LINKS_PORTS="+ports[1], "NATS_PORT="+ports[2],
			"KAFKA_PORT="+ports[3], "INGEST_PORTS="+ports[4], "RECEIPTS_PORTS=0", "BIND=127.0.0.1", "COMPOSE_PROFILES=")...),
	}
	for _, file := range files {
		w.args = append(w.args, "--file", filepath.Join(testenv.Root(), file))
	}
	t.Cleanup(func() {
		if t.Failed() {
			output, _ := w.try("logs", "--no-color", "--tail", "40")
			t.Log(output)
		}
		if output, err := w.try("down", "--volumes", "--timeout", "5"); err != nil {
			t.Errorf("%v\n%s", err, output)
		}
	})
	w.compose("up", "--build", "--detach", "--wait", "--quiet-pull")
	return w
}

// needEngine skips the test unless it was requested and a Docker engine responds. If it was requested in CI without an engine, it fails.
func needEngine(t *testing.T) {
	t.Helper()
	if os.Getenv("SIGNRELAY_TEST_COMPOSE") == "" {
		t.Skip("it builds the images and takes about ten minutes: make compose-test runs it")
	}
	for _, args := range [][]string{{"version"}, {"compose", "version"}} {
		if output, err := exec.CommandContext(t.Context(), "docker", args...).CombinedOutput(); err != nil {
			realtest.Missing(t, "needs a Docker engine that responds, and Compose 2.20 or newer (docker %s: %v)\n%s", strings.Join(args, " "), err, output)
		}
	}
}

// try runs docker compose.
func (w *world) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", append(append([]string{}, w.args...), args...)...)
	cmd.Env = w.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("docker compose %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

func (w *world) compose(args ...string) string {
	w.t.Helper()
	output, err := w.try(args...)
	if err != nil {
		w.t.Fatalf("%v\n%s", err, output)
	}
	return output
}

// kill ends a service's container as a crash does, and starts it again, because the engine treats a manual kill as a stop.
func (w *world) kill(service string) {
	w.t.Helper()
	w.compose("kill", "--signal", "KILL", service)
	w.compose("start", service)
}

// ready waits until every container reports that it is healthy.
func (w *world) ready() {
	w.t.Helper()
	w.until("all are healthy", func() error {
		for _, c := range w.containers() {
			if c.State != "running" && c.ExitCode != 0 || c.State == "running" && c.Health != "healthy" {
				return fmt.Errorf("%s is %s, %s", c.Service, c.State, c.Health)
			}
		}
		return nil
	})
}

type container struct {
	ID, Service, State, Health string
	ExitCode                   int
}

func (w *world) containers() (all []container) {
	w.t.Helper()
	lines := json.NewDecoder(strings.NewReader(w.compose("ps", "--all", "--format", "json")))
	for {
		var c container
		err := lines.Decode(&c)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, c)
	}
}

// story is a story of the sandbox, with its messages.
type story struct {
	Provider string `json:"provider"`
	Story    string `json:"story"`
	Messages []struct {
		Channel string `json:"channel"`
		To      string `json:"to"`
	} `json:"messages"`
}

// received counts messages by channel and address.
type received map[string]int

func (s story) received(times int) received {
	all := received{}
	for _, m := range s.Messages {
		all[m.Channel+" "+m.To] += times
	}
	return all
}

func (w *world) story(provider, name string) story {
	w.t.Helper()
	var all []story
	w.request(http.MethodGet, "/api/stories", "", &all)
	for _, s := range all {
		if s.Provider == provider && s.Story == name {
			return s
		}
	}
	w.t.Fatalf("there is no story %s/%s", provider, name)
	return story{}
}

// play plays a story and returns the ids of its callbacks' events. It may run in parallel with the test.
func (w *world) play(s story, pause time.Duration) (ids []string, err error) {
	var played struct {
		Callbacks []struct {
			IDs []string `json:"ids"`
		} `json:"callbacks"`
	}
	body := fmt.Sprintf(`{"provider":%q,"story":%q,"pause_ms":%d}`, s.Provider, s.Story, pause.Milliseconds())
	if err := w.call(http.MethodPost, "/api/play", body, &played); err != nil {
		return nil, err
	}
	for _, c := range played.Callbacks {
		ids = append(ids, c.IDs...)
	}
	return ids, nil
}

// inbox returns the messages that signers received since the last clear.
func (w *world) inbox() (received, []testenv.Message) {
	w.t.Helper()
	var messages []testenv.Message
	w.request(http.MethodGet, "/api/messages", "", &messages)
	all := received{}
	for _, m := range messages {
		all[m.Channel+" "+m.To]++
	}
	return all, messages
}

func (w *world) clear() {
	w.t.Helper()
	w.request(http.MethodDelete, "/api/messages", "", nil)
}

func (w *world) request(method, path, body string, into any) {
	w.t.Helper()
	if err := w.call(method, path, body, into); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) call(method, path, body string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, w.sandbox+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	output, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %d %s: %w", method, path, response.StatusCode, output, err)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(output, into)
}

// until waits for a condition; not is the description of the missing part.
func (w *world) until(what string, not func() error) {
	w.t.Helper()
	var last error
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		if last = not(); last == nil {
			return
		}
		select {
		case <-w.t.Context().Done():
			w.t.Fatalf("the test ended while it waited until %s", what)
		case <-time.After(200 * time.Millisecond):
		}
	}
	w.t.Fatalf("waited %v without success until %s: %v", limit, what, last)
}

// jetStream connects to JetStream as the operator's user.
func (w *world) jetStream() jetstream.JetStream {
	w.t.Helper()
	nc, err := nats.Connect(w.nats, nats.UserInfo("operator", "not-a-secret"), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		w.t.Fatal(err)
	}
	return js
}

// idle waits until every stage and the bridge have completed their input. A message that has not arrived by then will not arrive.
func (w *world) idle(js jetstream.JetStream) {
	w.t.Helper()
	w.until("every stage is idle", func() error {
		for _, s := range flow.Stages {
			consumer, err := js.Consumer(w.t.Context(), s.Stream, s.Name)
			if err != nil {
				return err
			}
			if info := consumer.CachedInfo(); info.NumPending > 0 || info.NumAckPending > 0 {
				return fmt.Errorf("%s has %d waiting and %d in flight", s.Name, info.NumPending, info.NumAckPending)
			}
		}
		return nil
	})
}

// log counts the events in the log by id, and the messages that are marked as possible duplicates.
func (w *world) log(js jetstream.JetStream) (ids map[string]int, marked int) {
	w.t.Helper()
	ids = map[string]int{}
	for m, err := range (event.Log{JS: js, Stream: flow.Signing}).Messages(w.t.Context(), "signing.v1.>", time.Time{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			w.t.Fatal(err)
		}
		ids[e.GetId()]++
		if e.GetNotice().GetPossibleDuplicate() {
			marked++
		}
	}
	return ids, marked
}

// topic counts the records in Kafka by the ids of their events.
func (w *world) topic() map[string]int {
	w.t.Helper()
	settings := sarama.NewConfig()
	settings.Consumer.Return.Errors = true
	client, err := sarama.NewClient([]string{w.kafka}, settings)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		w.t.Fatal(err)
	}
	const topic = "signrelay.signing.v1"
	partitions, err := consumer.Partitions(topic)
	if err != nil {
		w.t.Fatal(err)
	}
	ids := map[string]int{}
	for _, partition := range partitions {
		end, err := client.GetOffset(topic, partition, sarama.OffsetNewest)
		if err != nil {
			w.t.Fatal(err)
		}
		if end == 0 {
			continue
		}
		records, err := consumer.ConsumePartition(topic, partition, sarama.OffsetOldest)
		if err != nil {
			w.t.Fatal(err)
		}
		for next := int64(0); next < end; {
			select {
			case record := <-records.Messages():
				next = record.Offset + 1
				for _, h := range record.Headers {
					if string(h.Key) == "ce_id" {
						ids[string(h.Value)]++
					}
				}
			case err := <-records.Errors():
				w.t.Fatal(err)
			case <-time.After(time.Minute):
				w.t.Fatalf("partition %d of %s ends too early", partition, topic)
			}
		}
		_ = records.Close()
	}
	return ids
}
