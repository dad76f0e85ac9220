package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

// doctorLine is a line of `signrelay doctor --json`.
type doctorLine struct {
	Check, Status, Found string
	Fix                  string `json:"mend"`
}

// doctorFindings runs `signrelay doctor --json` and returns its findings and its exit status, "" for 0.
func doctorFindings(t *testing.T, h *testenv.Env, flags ...string) (map[string]doctorLine, string) {
	t.Helper()
	out, err := h.Command(t, append([]string{"doctor", "--json"}, flags...)...)
	found := map[string]doctorLine{}
	for line := range strings.Lines(out) {
		var l doctorLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if before := found[l.Check]; before.Status != "fail" {
			found[l.Check] = l
		}
		for _, secret := range []string{"12345", "demo-token", "demo-secret", "sandbox-secret", "sender@"} {
			if strings.Contains(line, secret) {
				t.Errorf("the output has a secret or a person: %s", line)
			}
		}
	}
	return found, exitStatus(err)
}

func exitStatus(err error) string {
	if err == nil {
		return ""
	}
	for n := 1; n < 3; n++ {
		if status := "exit status " + strconv.Itoa(n); strings.Contains(err.Error(), status) {
			return status
		}
	}
	return err.Error()
}

func TestDoctorPassesGoodInstallation(t *testing.T) {
	t.Parallel()
	h := testenv.Separate(t)
	found, status := doctorFindings(t, h, "--ingest-url", h.IngestURL)
	if status != "" {
		t.Errorf("status %q", status)
	}
	warned := 0
	for check, l := range found {
		if l.Status == "warn" {
			warned++
		} else if l.Status != "ok" {
			t.Errorf("%s: %+v", check, l)
		}
	}
	// The doctor cannot see the server's sync interval and free space, and no callback has started the epoch of the
	// dedupe store.
	if found["nats sync_interval"].Status != "warn" || found["room"].Status != "warn" || found["redis epoch"].Status != "warn" || warned != 3 {
		t.Errorf("%d warnings: %+v", warned, found)
	}
	for _, check := range []string{"settings", "permissions", "streams", "redis appendonly", "api clickwrap/demo", "api pleasesign/demo", "api esign-v1/demo",
		"vonage", "smtp", "public_url", "receipts_url", "ingest"} {
		if found[check].Status != "ok" {
			t.Errorf("%s: %+v", check, found[check])
		}
	}
	if n := h.Count(t, "SIGNING", "signing.v1.>"); n != 0 || len(h.Messages(t)) != 0 {
		t.Errorf("the doctor left %d events", n)
	}
	text, err := h.Command(t, "doctor")
	if err != nil || !strings.Contains(text, "ok    streams") || !strings.Contains(text, "fix: set sync_interval: always") {
		t.Errorf("without --json: %v\n%s", err, text)
	}
}

func TestDoctorFindsFaults(t *testing.T) {
	t.Parallel()
	h := testenv.Separate(t)
	path := filepath.Join(h.DataDir, "signrelay.yaml")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.NewReplacer("demo-token", "another-token", `secrets: ["test"]`, "secrets: []").Replace(string(whole))
	if err := os.WriteFile(path+".broken", []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	js := h.JetStream(t)
	if err := js.DeleteConsumer(t.Context(), "SIGNING", "kafka-bridge"); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "QUARANTINE")
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	config.MaxMsgs, config.Discard = 10, jetstream.DiscardNew
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	client := realtest.RedisClient(t, h.Redis.URL)
	if err := client.ConfigSet(t.Context(), "appendonly", "no").Err(); err != nil {
		t.Fatal(err)
	}
	found, status := doctorFindings(t, h, "--config", path+".broken", "--sms.vonage.base_url=http://127.0.0.1:1", "--email.smtp.port=1",
		"--shortener.public_url="+h.SandboxURL, "--ingest-url", h.SandboxURL)
	if status != "exit status 1" {
		t.Errorf("status %q", status)
	}
	for _, check := range []string{"settings", "secrets pleasesign/demo", "api clickwrap/demo", "streams", "redis appendonly", "vonage", "smtp", "public_url", "ingest"} {
		if l := found[check]; l.Status != "fail" || l.Found == "" || l.Fix == "" {
			t.Errorf("%s: %+v", check, l)
		}
	}
	for _, check := range []string{"api pleasesign/demo", "api esign-v1/demo", "receipts_url"} {
		if found[check].Status != "ok" {
			t.Errorf("%s: %+v", check, found[check])
		}
	}
	text, err := h.Command(t, "doctor")
	for _, want := range []string{"consumer kafka-bridge on SIGNING is missing", "stream QUARANTINE: max_msgs is 10, not unlimited", "stream QUARANTINE: discard is DiscardNew, not DiscardOld"} {
		if err == nil || !strings.Contains(text, want) {
			t.Errorf("%v, want %q\n%s", err, want, text)
		}
	}
	for args, want := range map[string]string{
		"doctor now":           "exit status 2",
		"doctor --for=unknown": "exit status 2",
		"doctor --no-such":     "exit status 2",
		"doctor --kill":        "exit status 2",
		"doctor --kill --yes-this-is-a-test --kills=0": "exit status 2",
	} {
		if _, err := h.Command(t, strings.Fields(args)...); exitStatus(err) != want {
			t.Errorf("signrelay %s: %v, want %s", args, err, want)
		}
	}
}

// proved is the output line of `signrelay doctor --kill --json`.
type proved struct {
	Sent, Kills, Refused, Unanswered, Accepted, Lost, Doubled int

	StoredOnce int `json:"stored_once"`
}

// Ingest and NATS are killed and restarted while the doctor sends callbacks.
func TestDoctorProvesThatNothingIsLost(t *testing.T) {
	t.Parallel()
	h := testenv.Separate(t)
	victim := filepath.Join(t.TempDir(), "victim")
	aim := func(name string) {
		t.Helper()
		next := victim + ".next" // so that the command reads the whole number
		if err := os.WriteFile(next, fmt.Appendln(nil, h.Processes[name].PID()), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, victim); err != nil {
			t.Fatal(err)
		}
	}
	aim("ingest")
	type ended struct {
		out string
		err error
	}
	done := make(chan ended, 1)
	go func() {
		out, err := h.Command(t, "doctor", "--json", "--kill", "--yes-this-is-a-test", "--callbacks=60", "--every=50ms", "--kills=2",
			// On a busy machine the second command may begin before the first has ended. So it waits until there is a victim for it.
			"--kill-command=while [ ! -e "+victim+" ]; do sleep 0.05; done; pid=$(cat "+victim+"); rm "+victim+"; kill -9 $pid; while [ ! -e "+victim+" ]; do sleep 0.05; done")
		done <- ended{out, err}
	}()
	for _, name := range []string{"ingest", "nats"} {
		select {
		case <-h.Processes[name].Ended():
		case is := <-done:
			t.Fatalf("the doctor ended before it killed %s: %v\n%s", name, is.err, is.out)
		}
		h.Processes[name].Start()
		aim("nats")
	}
	is := <-done
	if is.err != nil {
		t.Fatalf("%v\n%s", is.err, is.out)
	}
	var got proved
	if err := json.Unmarshal([]byte(is.out), &got); err != nil {
		t.Fatalf("%v: %s", err, is.out)
	}
	if got.Sent != 60 || got.Kills != 2 || got.Accepted != 60 || got.StoredOnce != 60 || got.Lost+got.Doubled != 0 || got.Refused+got.Unanswered == 0 {
		t.Errorf("%+v", got)
	}
	h.WaitIdle(t)
	if n := h.Count(t, "SIGNING", "signing.v1.*.*.endpoint.tested.>"); n != 60 {
		t.Errorf("the log holds %d test events", n)
	}
	if messages := h.Messages(t); len(messages) != 0 {
		t.Errorf("messages were sent: %+v", messages)
	}

	text, err := h.Command(t, "doctor", "--kill", "--yes-this-is-a-test", "--callbacks=10", "--every=1ms")
	if err != nil || !strings.Contains(text, "proves little") {
		t.Errorf("without a kill: %v\n%s", err, text)
	}

	// A source without a test name may belong to a real account: the doctor sends nothing.
	path := filepath.Join(h.DataDir, "signrelay.yaml")
	settings, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".real", []byte(strings.Replace(string(settings), "name: demo", "name: acme", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	before := h.Count(t, "SIGNING", "signing.v1.>")
	if _, err := h.Command(t, "doctor", "--config", path+".real", "--kill", "--yes-this-is-a-test"); exitStatus(err) != "exit status 1" || !strings.Contains(err.Error(), "not an installation for tests") {
		t.Errorf("with a source without a test name: %v", err)
	}
	if after := h.Count(t, "SIGNING", "signing.v1.>"); after != before {
		t.Errorf("%d events were stored", after-before)
	}
}
