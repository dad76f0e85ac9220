// Package compose_test looks at the Dockerfile and the compose files, and with a Docker engine at hand (make compose-test) brings
// them up for real: stories are told through the public doors while containers are killed.
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

func TestForReal(t *testing.T) {
	w := up(t, nil, base)
	w.ready()

	t.Run("a story of each provider reaches the inbox", func(t *testing.T) {
		w := w.in(t)
		js := w.jetStream()
		w.clear()
		want := told{}
		for _, provider := range []string{"clickwrap", "pleasesign", "esign-v1"} {
			s := w.story(provider, "two-signers")
			if _, err := w.play(s, 2*time.Second); err != nil {
				t.Fatal(err)
			}
			for who, n := range s.told(1) {
				want[who] += n
			}
		}
		w.untilTold(want)
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
		if opened == 0 || led == 0 { // a link to what is signed already ends at our own page, which says so
			t.Errorf("of %d links in messages %d lead to the provider's page", opened, led)
		}
	})

	t.Run("the doctor finds nothing to mend", func(t *testing.T) {
		w := w.in(t)
		fine := w.examine("--nats-monitor", "http://nats:8222", "--ingest-url", "http://ingest:8080")
		if fine < 20 {
			t.Errorf("only %d checks were well", fine)
		}
		for _, service := range ours() {
			w.examine("--nats.user", service, "--for", service)
		}
	})

	// Everything of which there is one, while stories are under way. Redis is last: from then on each message is looked up in
	// the log, and one that nobody can know of is marked, though nothing happened to it.
	for _, kind := range slices.Concat([]string{"nats", "kafka"}, ours(), []string{"redis"}) {
		t.Run("killed: "+kind, func(t *testing.T) { w.in(t).survives(kind) })
	}
	t.Run("killed: sandbox", func(t *testing.T) {
		w := w.in(t)
		w.kill("sandbox") // with its inbox and its documents
		w.ready()
		w.tell(3, 0, nil)
	})

	t.Run("three share the work", func(t *testing.T) {
		w := w.in(t)
		w.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "sms-sender=3")
		before := w.sent()
		texts := 0
		for who, n := range w.tell(20, 0, nil) {
			if strings.HasPrefix(who, "sms ") {
				texts += n
			}
		}
		sent := 0
		after := w.sent()
		for id, n := range after {
			if n -= before[id]; n == 0 {
				t.Errorf("a replica of three has sent nothing of %d", texts)
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
	w.tell(1, 0, nil)
	w.examine() // which wants as many copies of each stream as cluster.yml says

	// The one that leads the log.
	stream, err := js.Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	leader := stream.CachedInfo().Cluster.Leader
	if n := len(stream.CachedInfo().Cluster.Replicas); n != 2 {
		t.Fatalf("the log has %d copies besides its leader's", n)
	}
	t.Logf("killing %s", leader)
	w.survives(strings.TrimSuffix(leader, "-1"))
}

func TestWithoutTheSandbox(t *testing.T) {
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

// ours are the flow's own services.
func ours() (names []string) {
	for _, d := range flow.Producers {
		names = append(names, d.Name)
	}
	for _, s := range flow.Stages {
		names = append(names, s.Name)
	}
	return names
}

// in is the world, seen by a part of the test.
func (w *world) in(t *testing.T) *world {
	here := *w
	here.t = t
	return &here
}

// survives kills a service's container while stories are told, and nothing is lost or doubled. Vonage and the mail server take
// their time meanwhile, so that there is work in hand.
func (w *world) survives(kind string) {
	w.t.Helper()
	for _, party := range []string{"vonage", "smtp"} {
		w.ask(http.MethodPost, "/api/faults", fmt.Sprintf(`{"target":%q,"mode":"slow","count":1000,"delay_ms":400}`, party), nil)
	}
	w.tell(40, 500*time.Millisecond, func() {
		w.until("a quarter of them have been told", func() error {
			if _, messages := w.inbox(); len(messages) < 60 {
				return fmt.Errorf("%d messages came", len(messages))
			}
			return nil
		})
		w.kill(kind)
		_, messages := w.inbox()
		w.t.Logf("killed %s and started it again while 60 to %d messages had come", kind, len(messages))
	})
	w.ask(http.MethodDelete, "/api/faults", "", nil)
	w.ready()
}

// players play at the same time.
const players = 8

// tell plays stories in which nobody signs, so that no message loses its point however late it comes, and meanwhile does
// something. All must be told once, with the log and the topic complete. It returns who was told how often.
func (w *world) tell(times int, pause time.Duration, meanwhile func()) told {
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

	want := s.told(times)
	w.untilTold(want)
	w.idle(js)
	got, _ := w.inbox()
	again := 0
	for who, n := range got {
		again += n - want[who]
	}
	_, marked := w.log(js)
	if marked -= markedBefore; again > marked {
		w.t.Errorf("%d messages came once more, of which %d are marked as possible duplicates (-want +got):\n%s", again, marked, cmp.Diff(want, got))
	}
	w.complete(js, slices.Concat(ids...))
	w.t.Logf("%d stories: %d messages, of which %d came once more; %d are marked as possible duplicates", times, len(s.Messages)*times, again, marked)
	return got
}

// untilTold waits until everybody was told at least as often as he should be.
func (w *world) untilTold(want told) {
	w.t.Helper()
	w.until("everybody was told", func() error {
		got, _ := w.inbox()
		for who, n := range want {
			if got[who] < n {
				return fmt.Errorf("%s was told %d of %d times", who, got[who], n)
			}
		}
		return nil
	})
}

// complete wants each event once in the log, these among them, and the same events in Kafka; and nothing given up.
func (w *world) complete(js jetstream.JetStream, ids []string) {
	w.t.Helper()
	var stored map[string]int
	w.until("log and topic hold the same events", func() error { // a late receipt is an event, too
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
			return fmt.Errorf("of %d events in the log %d are not in Kafka; %d there are not in the log", len(stored), missing, foreign)
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
		w.t.Errorf("%d were given up", n)
	}
}

// open presses the button of a short link's page as a signer does, and returns whose page that leads to. A browser takes every name
// under .localhost for this machine; here the ports are others, too.
func (w *world) open(link string) (host string) {
	w.t.Helper()
	doors := map[string]string{"links.localhost:8083": w.links, "sandbox.localhost:8082": strings.TrimPrefix(w.sandbox, "http://")}
	browser := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			door, known := doors[address]
			if !known {
				return nil, fmt.Errorf("%s is none of this machine's doors", address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, door)
		},
	}}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, link, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := browser.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		w.t.Errorf("%s leads to %s, which opens with status %d", link, answer.Request.URL, answer.StatusCode)
	}
	return answer.Request.URL.Host
}

// examine runs the doctor in a container; it returns how many checks were well.
func (w *world) examine(args ...string) (fine int) {
	w.t.Helper()
	said := w.compose(append([]string{"run", "--rm", "--no-TTY", "signrelay", "doctor", "--json"}, args...)...)
	for line := range strings.Lines(said) {
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

// sent counts what each of the SMS senders' containers says that it has done.
func (w *world) sent() map[string]int {
	w.t.Helper()
	counts := map[string]int{}
	for _, c := range w.containers() {
		if c.Service != "sms-sender" {
			continue
		}
		said, err := exec.CommandContext(w.t.Context(), "docker", "logs", c.ID).CombinedOutput()
		if err != nil {
			w.t.Fatalf("%v\n%s", err, said)
		}
		counts[c.ID] = bytes.Count(said, []byte(`"verdict":"done"`))
	}
	return counts
}
