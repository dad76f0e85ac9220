package examples

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/tests/testenv"
)

// CloudEvent is an event as the CloudEvents SDK for Python returns it.
type CloudEvent struct {
	SpecVersion     string `json:"specversion"`
	ID              string `json:"id"`
	Source          string `json:"source"`
	Type            string `json:"type"`
	Subject         string `json:"subject"`
	Time            string `json:"time"`
	DataContentType string `json:"datacontenttype"`
	DataSchema      string `json:"dataschema"`
	Data            []byte `json:"data"`
}

// InPython reads events with the CloudEvents SDK for Python; where has the arguments of cloudevents_reader.py.
func InPython(t *testing.T, where ...string) (events []CloudEvent) {
	t.Helper()
	python, env := Python(t)
	reader := filepath.Join(testenv.Root(), "tests", "examples", "cloudevents_reader.py")
	cmd := exec.CommandContext(t.Context(), python, append([]string{reader}, where...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	cmd.Stderr = t.Output()
	output, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(output)) {
		var e CloudEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}
