package kafka_test

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/subscribe"
)

// Every kcat command of docs/subscribe.md shows what the page says. What follows the topic shows an event that comes later.
func TestThePagesKcat(t *testing.T) {
	t.Parallel()
	if path, err := exec.LookPath("kcat"); err != nil {
		realtest.Missing(t, "not run: install the package kcat: %v", err)
	} else {
		t.Logf("with %s", path)
	}
	broker := newBroker(t)
	r := &reading{bridged: setup(t, broker, ", create_topic: true"), broker: broker}
	r.StartService(t, "kafka-bridge", "bridge")
	stored := 0
	store := func() {
		t.Helper()
		e := anEvent(stored, []string{"other", "PLSDOC1970"}[stored%2])
		e.Attributes = map[string]string{"number": strconv.Itoa(stored)}
		r.store(t, e)
		stored++
	}
	for range 10 {
		store()
	}
	r.untilRead(10)

	shell := subscribe.NewShell(t)
	here := strings.NewReplacer("kafka:9092", broker.addr, "kcat ", "stdbuf -o0 kcat ") // as to a screen, which a pipe is not
	for _, line := range subscribe.Commands(t, "kcat") {
		command := here.Replace(line)
		_, what, _ := strings.Cut(line, "signrelay.signing.v1 ")
		switch {
		case strings.HasPrefix(what, "-o end"):
			said := shell.Follow(command, []string{"PLSDOC1970 ", "ce_type=signrelay.recipient.opened.v1"}, store)
			hides(t, line, said, "event-000009")
		case strings.HasPrefix(what, "-o s@1700000000000"):
			shell.Follow(command, []string{"ce_id=event-000000", "ce_id=event-000009"}, func() {})
		case strings.HasPrefix(what, "-o beginning -e"):
			said := shell.Run(command)
			if strings.Count(said, "\n") < 5 || !strings.Contains(said, "ce_id=event-000009") {
				t.Errorf("%s:\n%s", line, said)
			}
			hides(t, line, said, "other", "event-000008")
		case strings.HasPrefix(what, "-o beginning -c 1"):
			shell.WithPython()
			said := shell.Run(command)

			if !strings.Contains(said, `id: "event-0000`) || !strings.Contains(said, `type: "recipient.opened"`) {
				t.Errorf("%s:\n%s", line, said)
			}
		case strings.Contains(line, " -G billing "):
			shell.Follow(command, []string{"event-000000", "event-000009"}, func() {})
		default:
			t.Errorf("nobody knows what this is to show: %s", line)
		}
	}
}

func hides(t *testing.T, line, said string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(said, text) {
			t.Errorf("%s: shows %q:\n%s", line, text, said)
		}
	}
}
