package kafka_test

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/subscribe"
)

// Every kcat command of docs/subscribe.md shows the output that the page describes. A command that follows the topic shows a later event.
func TestKcatCommandsOfThePage(t *testing.T) {
	t.Parallel()
	if path, err := exec.LookPath("kcat"); err != nil {
		realtest.Missing(t, "not run: install the package kcat: %v", err)
	} else {
		t.Logf("with %s", path)
	}
	broker := sharedBroker(t)
	broker.topic = topic // as in the commands
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
	here := strings.NewReplacer("kafka:9092", broker.addr, "kcat ", "stdbuf -o0 kcat ") // a line-buffered output, as on a terminal
	for _, line := range subscribe.Commands(t, "kcat") {
		command := here.Replace(line)
		_, what, _ := strings.Cut(line, "signrelay.signing.v1 ")
		switch {
		case strings.HasPrefix(what, "-o end"):
			output := shell.Follow(command, []string{"PLSDOC1970 ", "ce_type=signrelay.recipient.opened.v1"}, store)
			hides(t, line, output, "event-000009")
		case strings.HasPrefix(what, "-o s@1700000000000"):
			shell.Follow(command, []string{"ce_id=event-000000", "ce_id=event-000009"}, func() {})
		case strings.HasPrefix(what, "-o beginning -e"):
			output := shell.Run(command)
			if strings.Count(output, "\n") < 5 || !strings.Contains(output, "ce_id=event-000009") {
				t.Errorf("%s:\n%s", line, output)
			}
			hides(t, line, output, "other", "event-000008")
		case strings.HasPrefix(what, "-o beginning -c 1"):
			shell.WithPython()
			output := shell.Run(command)

			if !strings.Contains(output, `id: "event-0000`) || !strings.Contains(output, `type: "recipient.opened"`) {
				t.Errorf("%s:\n%s", line, output)
			}
		case strings.Contains(line, " -G billing "):
			shell.Follow(command, []string{"event-000000", "event-000009"}, func() {})
		default:
			t.Errorf("this test does not know the output of: %s", line)
		}
	}
}

func hides(t *testing.T, line, output string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(output, text) {
			t.Errorf("%s: shows %q:\n%s", line, text, output)
		}
	}
}
