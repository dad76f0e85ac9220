package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/ingest"
)

// commandLine runs the program, and returns its exit status and its output.
func commandLine(t *testing.T, environ []string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = dispatch(t.Context(), args, environ, os.Stdin, &out, &errs)
	return status, out.String(), errs.String()
}

// newKey makes a key with the command, and returns its file and its fingerprint.
func newKey(t *testing.T) (path, fingerprint, public string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "evidence.pem")
	status, stdout, stderr := commandLine(t, nil, "evidence", "key", path)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if status != 0 || len(lines) < 2 {
		t.Fatalf("%d: %s%s", status, stdout, stderr)
	}
	return path, lines[len(lines)-1], strings.Join(lines[:len(lines)-1], "\n") + "\n"
}

// publishLife stores the events of a document d1, and one of another document.
func publishLife(t *testing.T, publish func(*nats.Msg)) {
	t.Helper()
	internal, rsa := signingv1.Verification_VERIFICATION_INTERNAL, signingv1.Verification_VERIFICATION_RSA
	document := &signingv1.Document{Id: "d1-596f8585", Title: "Statement of Work"}
	for i, e := range []*signingv1.SigningEvent{
		{Type: event.DocumentSent, Document: document, Verification: rsa},
		{Type: event.DocumentSent, Document: &signingv1.Document{Id: "other-document"}, Verification: rsa},
		{Type: event.NotificationSent, Document: document, Recipient: &signingv1.Recipient{Id: "signer-1"}, Verification: internal, Notice: &signingv1.Notice{NotificationId: "n1", Kind: "invitation", Channel: "sms"}},
		{Type: event.RecipientSigned, Recipient: &signingv1.Recipient{Id: "signer-1", FirstName: "Amelia", LastName: "Clarke"}, Verification: rsa},
		{Type: event.RecipientSigned, Recipient: &signingv1.Recipient{Id: "signer-of-another-document"}, Verification: rsa},
		{Type: event.DocumentCompleted, Document: document, Verification: rsa},
	} {
		e.Id, e.Source, e.Provider, e.OccurredAt = fmt.Sprintf("%026d", i), "legal", "esign-v1", timestamppb.New(time.Date(2026, 3, 1, i, 0, 0, 0, time.UTC))
		m, err := event.Message(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		publish(m)
	}
	quarantined := nats.NewMsg(flow.QuarantineSubject("legal", "esign-v1", "not-json"))
	quarantined.Data = []byte(`{"document":"d1-596f8585","broken`)
	for name, value := range map[string]string{ingest.HeaderSource: "legal", ingest.HeaderProvider: "esign-v1", ingest.HeaderReason: "not-json", ingest.HeaderMethod: "POST"} {
		quarantined.Header.Set(name, value)
	}
	publish(quarantined)
}

// An operator makes a key and a file, and a person without an account, settings or network verifies it.
func TestAnEvidenceFileIsMadeAndVerified(t *testing.T) {
	t.Parallel()
	url, publish := stored(t)
	publishLife(t, publish)
	key, fingerprint, public := newKey(t)
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	environ := []string{"SIGNRELAY_EVIDENCE_KEY_FILE=" + key}
	folder := t.TempDir()
	first, second := filepath.Join(folder, "1.zip"), filepath.Join(folder, "2.zip")
	var files [][]byte
	for _, path := range []string{first, second} {
		status, stdout, stderr := commandLine(t, environ, "evidence", "d1-596f8585", "--out", path, "--nats.url", url)
		if status != 0 || !strings.Contains(stdout, "4 events of document d1-596f8585") || !strings.Contains(stdout, fingerprint) {
			t.Fatalf("%d: %s%s", status, stdout, stderr)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, data)
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("the same log gave two different files")
	}
	if info, err := os.Stat(first); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the evidence file: %v, %v", info, err)
	}
	for _, want := range []string{"Amelia", "d1-596f8585", "unprocessed/000001-quarantined.json"} {
		if !bytes.Contains(files[0], []byte(want)) {
			t.Errorf("the file has no %s", want)
		}
	}
	for _, other := range []string{"other-document", "signer-of-another-document", key} {
		if bytes.Contains(files[0], []byte(other)) {
			t.Errorf("the file has %s", other)
		}
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 2 {
		t.Errorf("the folder has %v, %v", left, err)
	}

	pem := filepath.Join(folder, "public-key.pem")
	if err := os.WriteFile(pem, []byte(public), 0o600); err != nil {
		t.Fatal(err)
	}
	offline := []string{"SIGNRELAY_CONFIG=/does/not/exist", "SIGNRELAY_NATS_URL=nonsense", "SIGNRELAY_UNKNOWN=1"}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "Compare the fingerprint"},
		{[]string{"--key", fingerprint}, "This is the key that you gave"},
		{[]string{"--key", pem}, "This is the key that you gave"},
	} {
		status, stdout, stderr := commandLine(t, offline, append([]string{"evidence", "verify", first}, c.args...)...)
		if status != 0 || !strings.Contains(stdout, "is valid") || !strings.Contains(stdout, c.want) || !strings.Contains(stdout, fingerprint) {
			t.Errorf("%v: %d: %s%s", c.args, status, stdout, stderr)
		}
	}
	status, stdout, _ := commandLine(t, offline, "evidence", "verify", "--json", first)
	var got map[string]any
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || status != 0 || got["events"] != 4.0 || got["id"] != "d1-596f8585" || got["trusted"] != false {
		t.Errorf("%d, %v: %s", status, err, stdout)
	}

	files[0][len(files[0])/2] ^= 1
	if err := os.WriteFile(second, files[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := commandLine(t, offline, "evidence", "verify", second); status != 1 || !strings.Contains(stderr, "is NOT valid. The first part that does not fit: ") {
		t.Errorf("a changed file: %d: %s", status, stderr)
	}
	_, another, _ := newKey(t)
	if status, _, stderr := commandLine(t, offline, "evidence", "verify", first, "--key", another); status != 1 || !strings.Contains(stderr, "another key") {
		t.Errorf("another key: %d: %s", status, stderr)
	}
	if status, _, stderr := commandLine(t, environ, "evidence", "d1-596f8585", "--out", first, "--nats.url", url); status != 1 || !strings.Contains(stderr, "exists") {
		t.Errorf("the file exists: %d: %s", status, stderr)
	}
	if status, _, stderr := commandLine(t, environ, "evidence", "d9", "--out", first+"x", "--nats.url", url); status != 1 || !strings.Contains(stderr, "no events") {
		t.Errorf("an unknown document: %d: %s", status, stderr)
	}
	if status, _, stderr := commandLine(t, nil, "evidence", "d1-596f8585", "--out", first+"x", "--nats.url", url); status != 1 || !strings.Contains(stderr, "SIGNRELAY_EVIDENCE_KEY_FILE") {
		t.Errorf("without a key: %d: %s", status, stderr)
	}
}

// Two accounts may have documents with the same id. A file is about one of them.
func TestADocumentOfTwoSourcesIsNotMixed(t *testing.T) {
	t.Parallel()
	url, publish := stored(t)
	for i, source := range []string{"acme", "legal"} {
		m, err := event.Message(t.Context(), &signingv1.SigningEvent{
			Id: strconv.Itoa(i), Source: source, Provider: "clickwrap", Type: event.DocumentSent, Document: &signingv1.Document{Id: "same"}, ReceivedAt: timestamppb.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		publish(m)
	}
	key, _, _ := newKey(t)
	environ := []string{"SIGNRELAY_EVIDENCE_KEY_FILE=" + key}
	out := filepath.Join(t.TempDir(), "evidence.zip")
	args := []string{"evidence", "same", "--out", out, "--nats.url", url}
	if status, _, stderr := commandLine(t, environ, args...); status != 2 || !strings.Contains(stderr, "--source acme --provider clickwrap, --source legal --provider clickwrap") {
		t.Errorf("%d: %s", status, stderr)
	}
	if status, stdout, stderr := commandLine(t, environ, append(args, "--source", "legal")...); status != 0 || !strings.Contains(stdout, "1 event ") {
		t.Errorf("%d: %s%s", status, stdout, stderr)
	}
}

func TestEvidenceRefusesWrongUse(t *testing.T) {
	t.Parallel()
	key, _, _ := newKey(t)
	bad := filepath.Join(t.TempDir(), "bad.pem")
	if err := os.WriteFile(bad, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status int
		args   []string
		want   string
	}{
		{2, []string{"evidence"}, "want a document's id"},
		{2, []string{"evidence", "d1"}, "--out is missing"},
		{2, []string{"evidence", "verify"}, "want an evidence file"},
		{2, []string{"evidence", "verify", "a", "b"}, "want an evidence file"},
		{2, []string{"evidence", "verify", "a", "--key", "sha256:12"}, "want a fingerprint"},
		{2, []string{"evidence", "verify", "a", "--key", key}, "it is a private key"},
		{2, []string{"evidence", "verify", "a", "--key", bad}, "want one PEM block"},
		{1, []string{"evidence", "verify", bad + "x"}, "no such file"},
		{1, []string{"evidence", "verify", filepath.Dir(bad)}, "is not a file"},
		{1, []string{"evidence", "verify", bad}, "is NOT valid. The first part that does not fit: the end of the archive"},
		{1, []string{"evidence", "key"}, "evidence.key is empty"},
		{1, []string{"evidence", "key", key}, "file exists"},
	} {
		if status, _, stderr := commandLine(t, nil, c.args...); status != c.status || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: %d: %s; want %d: %s", c.args, status, stderr, c.status, c.want)
		}
	}
	status, stdout, stderr := commandLine(t, []string{"SIGNRELAY_EVIDENCE_KEY_FILE=" + bad}, "config", "check")
	if status != 1 || !strings.Contains(stdout+stderr, "evidence.key: want one PEM block") {
		t.Errorf("config check: %d: %s%s", status, stdout, stderr)
	}
}
