package main

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// `index rebuild` makes the index from the log, and `index status` reports in JSON what it has and how far it is behind.
func TestIndexIsRebuiltFromTheLog(t *testing.T) {
	t.Parallel()
	url, publish := stored(t)
	document := func(n int) {
		e := &signingv1.SigningEvent{
			Id: "id-" + strconv.Itoa(n), Source: "acme", Provider: "clickwrap", Type: event.DocumentSent, OccurredAt: timestamppb.Now(),
			Document: &signingv1.Document{Id: "d" + strconv.Itoa(n)}, Recipient: &signingv1.Recipient{Id: "r"},
		}
		m, err := event.Message(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		publish(m)
	}
	at := "sqlite://" + filepath.ToSlash(filepath.Join(t.TempDir(), "index.db"))
	status := func() (s indexStatus) {
		t.Helper()
		text, _ := runOne(t, url, "index", "status", "--json", "--index.url", at)
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return s
	}
	document(1)
	document(2)
	runOne(t, url, "index", "rebuild", "--index.url", at)
	if s := status(); s.Documents != 2 || s.Position != 2 || s.LogLast != 2 || s.LagEvents != 0 || s.LagSeconds != 0 {
		t.Errorf("after the rebuild: %+v", s)
	}
	document(3)
	if s := status(); s.Documents != 2 || s.Position != 2 || s.LogLast != 3 || s.LagEvents != 1 || s.LagSeconds <= 0 {
		t.Errorf("one event behind: %+v", s)
	}
	runOne(t, url, "index", "rebuild", "--index.url", at)
	if s := status(); s.Documents != 3 || s.LagEvents != 0 {
		t.Errorf("after the second rebuild: %+v", s)
	}
}
