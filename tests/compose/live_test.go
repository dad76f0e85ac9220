// Package compose_test checks the Dockerfile and the compose files. With a Docker engine (make compose-test) it starts them and plays
// stories through the public interfaces while containers are killed.
package compose_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/flow"
)

func TestComposeWithDocker(t *testing.T) {
	w := up(t, nil, base)
	w.ready()

	t.Run("a story of each provider reaches the inbox", func(t *testing.T) {
		w := w.in(t)
		js := w.jetStream()
		w.clear()
		want := received{}
		for _, provider := range []string{"clickwrap", "pleasesign", "esign-v1"} {
			s := w.story(provider, "two-signers")
			if _, err := w.play(s, 2*time.Second); err != nil {
				t.Fatal(err)
			}
			for who, n := range s.received(1) {
				want[who] += n
			}
		}
		w.untilNotified(want)
		w.idle(js)
		got, messages := w.inbox()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		w.complete(js, nil)
		opened, led := 0, 0
		for _, m := range messages {
			for _, link := range regexp.MustCompile(`http://links\.localhost:8083/l/\w+`).FindAllString(m.Text, -1) {
				opened++
				if w.open(link) == "sandbox.localhost:8082" {
					led++
				}
			}
		}
		if opened == 0 || led == 0 { // a link to a signed document shows our own page, which explains it
			t.Errorf("of %d links in messages %d lead to the provider's page", opened, led)
		}
	})

	t.Run("the doctor reports no failure", func(t *testing.T) {
		w := w.in(t)
		fine := w.examine("--nats-monitor", "http://nats:8222", "--ingest-url", "http://ingest:8080")
		if fine < 20 {
			t.Errorf("only %d checks passed", fine)
		}
		for _, service := range ours() {
			w.examine("--nats.user", service, "--for", service)
		}
	})

	// Each service with a single container, during stories. Redis is last: after it each message is looked up in the log, and messages with
	// an unknown outcome are marked, even if they were sent.
	for _, kind := range slices.Concat([]string{"nats", "kafka"}, ours(), []string{"redis"}) {
		t.Run("killed: "+kind, func(t *testing.T) { w.in(t).survives(kind) })
	}
	t.Run("killed: sandbox", func(t *testing.T) {
		w := w.in(t)
		w.kill("sandbox") // with its messages and its documents
		w.ready()
		w.playStories(3, 0, nil)
	})

	t.Run("three replicas share the work", func(t *testing.T) {
		w := w.in(t)
		w.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "sms-sender=3")
		before := w.sent()
		texts := 0
		for who, n := range w.playStories(20, 0, nil) {
			if strings.HasPrefix(who, "sms ") {
				texts += n
			}
		}
		sent := 0
		after := w.sent()
		for id, n := range after {
			if n -= before[id]; n == 0 {
				t.Errorf("one of three replicas has sent none of %d", texts)
			} else {
				sent += n
				t.Logf("a replica has sent %d", n)
			}
		}
		if sent != texts || len(after) != 3 {
			t.Errorf("%d replicas have sent %d of %d texts", len(after), sent, texts)
		}
	})
}

func TestThreeNodes(t *testing.T) {
	w := up(t, nil, base, cluster)
	w.ready()
	js := w.jetStream()
	w.playStories(1, 0, nil)
	w.examine() // it requires the number of replicas of each stream in cluster.yml

	// The server that leads the log.
	stream, err := js.Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	leader := stream.CachedInfo().Cluster.Leader
	if n := len(stream.CachedInfo().Cluster.Replicas); n != 2 {
		t.Fatalf("the log has %d followers", n)
	}
	t.Logf("killing %s", leader)
	w.survives(strings.TrimSuffix(leader, "-1"))
}

func TestComposeWithoutSandbox(t *testing.T) {
	settings := filepath.Join(t.TempDir(), "signrelay.yaml")
	text := `
sources: [{name: acme, provider: clickwrap, webhook: {secrets: [a-token-of-acmes]}}]
shortener: {public_url: "https://sign.acme.example"}
`
	if err := os.WriteFile(settings, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	w := up(t, []string{"SIGNRELAY_SETTINGS=" + settings}, base, realFile)
	w.ready()
	running := map[string]bool{}
	for _, c := range w.containers() {
		running[c.Service] = true
	}
	for _, service := range ours() {
		if !running[service] {
			t.Errorf("%s is missing", service)
		}
	}
	if running["sandbox"] || running["demo-certificate"] {
		t.Error("the sandbox was started")
	}
}

// ours are the services of the flow that run without a profile.
func ours() (names []string) {
	for _, d := range flow.Producers {
		if d.Name != flow.Console {
			names = append(names, d.Name)
		}
	}
	for _, s := range flow.Stages {
		if !slices.Contains(names, s.Program()) {
			names = append(names, s.Program())
		}
	}
	return names
}

// in returns the world for a subtest.
func (w *world) in(t *testing.T) *world {
	here := *w
	here.t = t
	return &here
}

// survives kills a service's container during stories, and requires that nothing is lost or duplicated. Vonage and the mail server respond
// slowly, so that work is in flight.
func (w *world) survives(kind string) {
	w.t.Helper()
	for _, party := range []string{"vonage", "smtp"} {
		w.request(http.MethodPost, "/api/faults", fmt.Sprintf(`{"target":%q,"mode":"slow","count":1000,"delay_ms":400}`, party), nil)
	}
	w.playStories(40, 500*time.Millisecond, func() {
		w.until("a quarter of the messages have arrived", func() error {
			if _, messages := w.inbox(); len(messages) < 60 {
				return fmt.Errorf("%d messages came", len(messages))
			}
			return nil
		})
		w.kill(kind)
		_, messages := w.inbox()
		w.t.Logf("killed %s and started it again while 60 to %d messages had come", kind, len(messages))
	})
	w.request(http.MethodDelete, "/api/faults", "", nil)
	w.ready()
}

// players is the number of stories at the same time.
const players = 8

// playStories plays stories in which no person signs, so that a late message is not out of date, and calls a function meanwhile. Every
// message must arrive once, and log and topic must be complete. It returns the number of messages by person.
func (w *world) playStories(times int, pause time.Duration, meanwhile func()) received {
	w.t.Helper()
	js := w.jetStream()
	w.clear()
	_, markedBefore := w.log(js)
	s := w.story("clickwrap", "resend")

	var playing sync.WaitGroup
	ids, errs := make([][]string, times), make([]error, times)
	for player := range players {
		playing.Go(func() {
			for i := player; i < times; i += players {
				ids[i], errs[i] = w.play(s, pause)
			}
		})
	}
	if meanwhile != nil {
		meanwhile()
	}
	playing.Wait()
	if err := errors.Join(errs...); err != nil {
		w.t.Fatal(err)
	}

	want := s.received(times)
	w.untilNotified(want)
	w.idle(js)
	got, _ := w.inbox()
	again := 0
	for who, n := range got {
		again += n - want[who]
	}
	_, marked := w.log(js)
	if marked -= markedBefore; again > marked {
		w.t.Errorf("%d messages arrived again, of which %d are marked as possible duplicates (-want +got):\n%s", again, marked, cmp.Diff(want, got))
	}
	w.complete(js, slices.Concat(ids...))
	w.t.Logf("%d stories: %d messages, of which %d arrived again; %d are marked as possible duplicates", times, len(s.Messages)*times, again, marked)
	return got
}

// untilNotified waits until every person has at least the expected number of messages.
func (w *world) untilNotified(want received) {
	w.t.Helper()
	w.until("every message has arrived", func() error {
		got, _ := w.inbox()
		for who, n := range want {
			if got[who] < n {
				return fmt.Errorf("%s has %d of %d messages", who, got[who], n)
			}
		}
		return nil
	})
}

// complete requires that the log has each event once, including these events, that Kafka has the same events, and that there is no dead letter.
func (w *world) complete(js jetstream.JetStream, ids []string) {
	w.t.Helper()
	var stored map[string]int
	w.until("log and topic have the same events", func() error { // a late receipt is an event, too
		stored, _ = w.log(js)
		carried := w.topic()
		missing, foreign := 0, 0
		for id := range stored {
			if carried[id] == 0 {
				missing++
			}
		}
		for id := range carried {
			if stored[id] == 0 {
				foreign++
			}
		}
		if missing > 0 || foreign > 0 {
			return fmt.Errorf("of %d events in the log %d are not in Kafka; %d in Kafka are not in the log", len(stored), missing, foreign)
		}
		return nil
	})
	for id, n := range stored {
		if n != 1 {
			w.t.Errorf("event %s is in the log %d times", id, n)
		}
	}
	for _, id := range ids {
		if stored[id] == 0 {
			w.t.Errorf("event %s was accepted and is not in the log", id)
		}
	}
	dlq, err := js.Stream(w.t.Context(), flow.DLQ)
	if err != nil {
		w.t.Fatal(err)
	}
	if n := dlq.CachedInfo().State.Msgs; n > 0 {
		w.t.Errorf("%d dead letters", n)
	}
}

// open presses the button of a short link's page as a signer does, and returns the host of the target. A browser resolves every name under
// .localhost to this machine; here the ports differ, too.
func (w *world) open(link string) (host string) {
	w.t.Helper()
	published := map[string]string{"links.localhost:8083": w.links, "sandbox.localhost:8082": strings.TrimPrefix(w.sandbox, "http://")}
	browser := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			port, known := published[address]
			if !known {
				return nil, fmt.Errorf("%s is not an address of this machine", address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, port)
		},
	}}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, link, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	response, err := browser.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		w.t.Errorf("%s leads to %s, which opens with status %d", link, response.Request.URL, response.StatusCode)
	}
	return response.Request.URL.Host
}

// examine runs the doctor in a container, and returns the number of passed checks.
func (w *world) examine(args ...string) (fine int) {
	w.t.Helper()
	output := w.compose(append([]string{"run", "--rm", "--no-TTY", "signrelay", "doctor", "--json"}, args...)...)
	for line := range strings.Lines(output) {
		var found struct{ Check, Status, Found string }
		if err := json.Unmarshal([]byte(line), &found); err != nil {
			w.t.Fatalf("%v: %s", err, line)
		}
		switch found.Status {
		case "ok":
			fine++
		case "fail":
			w.t.Errorf("%s: %s", found.Check, found.Found)
		}
	}
	return fine
}

// sent returns the number of messages that each SMS sender's container has logged as sent.
func (w *world) sent() map[string]int {
	w.t.Helper()
	counts := map[string]int{}
	for _, c := range w.containers() {
		if c.Service != "sms-sender" {
			continue
		}
		output, err := exec.CommandContext(w.t.Context(), "docker", "logs", c.ID).CombinedOutput()
		if err != nil {
			w.t.Fatalf("%v\n%s", err, output)
		}
		counts[c.ID] = bytes.Count(output, []byte(`"verdict":"done"`))
	}
	return counts
}
