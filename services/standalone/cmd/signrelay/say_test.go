package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/printable"
	"github.com/signrelay/signrelay/libs/realtest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/ingest"
)

// hostile is an id that would clear the screen, set the window's title, reverse the direction of the text and add a line.
const hostile = "d\x1b[2J\x1b]0;owned\a\u202e\u009b31m\r\n2026-01-01T00:00:00Z  document.completed\x7f\u2028"

func stored(t *testing.T) (url string, publish func(*nats.Msg)) {
	t.Helper()
	broker := realtest.NATS(t)
	_, js := broker.Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	return broker.URL, func(m *nats.Msg) {
		t.Helper()
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func runOne(t *testing.T, url string, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if status := dispatch(t.Context(), append(args, "--nats.url", url), nil, os.Stdin, &out, &errs); status != 0 {
		t.Errorf("%v: status %d: %s", args, status, errs.String())
	}
	return out.String(), errs.String()
}

// A provider, or a person who can create an id there, cannot control the terminal through the ids and details in a listing.
func TestListingsEscapeControlCharacters(t *testing.T) {
	t.Parallel()
	url, publish := stored(t)
	e := &signingv1.SigningEvent{
		Id: "id" + hostile, Source: "acme", Provider: "clickwrap", Type: "document.sent", OccurredAt: timestamppb.Now(), ReceivedAt: timestamppb.Now(),
		Document: &signingv1.Document{Id: hostile}, Recipient: &signingv1.Recipient{Id: hostile},
		Notice: &signingv1.Notice{Kind: "invitation", Channel: "sms", Reason: hostile},
	}
	m, err := event.Message(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	m.Header.Set("Nats-Msg-Id", "1") // NATS rejects the hostile id in a header
	m.Header.Del("ce-id")
	publish(m)
	withHeader := func(subject string, data []byte, header map[string]string) *nats.Msg {
		m := nats.NewMsg(subject)
		m.Data = data
		for name, value := range header {
			m.Header.Set(name, value)
		}
		return m
	}
	inHeader := strings.NewReplacer("\r", "", "\n", "").Replace(hostile)
	publish(withHeader("quarantine.v1.acme.clickwrap.not-json", []byte("{"+hostile), map[string]string{
		ingest.HeaderSource: "acme", ingest.HeaderProvider: "clickwrap", ingest.HeaderReason: "not-json", ingest.HeaderDetail: inHeader,
	}))

	for _, args := range [][]string{
		{"timeline", hostile},
		{"tail", "--no-follow"},
		{"tail", "--no-follow", "--json"},
		{"timeline", hostile, "--json"},
		{"quarantine", "list"},
		{"quarantine", "list", "--json"},
		{"quarantine", "show", "1"},
	} {
		stdout, stderr := runOne(t, url, args...)
		want := 1
		if args[1] == "show" {
			want = strings.Count(stdout, "\n") // a body has lines of its own
		}
		if output := stdout + stderr; strings.ContainsFunc(strings.NewReplacer("\n", "", "\r", "").Replace(output), printable.Hidden) || strings.Count(output, "\n") != want || !strings.Contains(output, "owned") {
			t.Errorf("%q prints %q", args, output)
		}
	}
	// The JSON still contains the id unchanged.
	line, _ := runOne(t, url, "timeline", hostile, "--json")
	var again signingv1.SigningEvent
	if err := protojson.Unmarshal([]byte(line), &again); err != nil || again.GetDocument().GetId() != hostile {
		t.Errorf("%v: %q", err, again.GetDocument().GetId())
	}
	if body, _ := runOne(t, url, "quarantine", "show", "1", "--body"); body != "{"+hostile {
		t.Errorf("unchanged it is %q", body)
	}
}

func TestEscapedCharacters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"PLSDOC1970 Zoë 李小龍": "PLSDOC1970 Zoë 李小龍", "\x1b[31m": `\x1b[31m`, "a\nb\tc": `a\x0ab\x09c`, "\u202e": `\u202e`, "\xff\xfe": `\xff\xfe`,
		"\u009b": `\x9b`, "\U000e0001": `\U000e0001`, "\ufffd": "\ufffd", "🇩🇪": "🇩🇪",
	} {
		if got := printable.Line(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if err := quick.Check(func(text string) bool {
		line, err := json.Marshal(text)
		if err != nil {
			return false
		}
		shown := printable.JSON(line)
		var again, once string
		same := json.Unmarshal(shown, &again) == nil && json.Unmarshal(line, &once) == nil && again == once
		return same && !strings.ContainsFunc(string(shown), printable.Hidden) && !strings.ContainsFunc(printable.Line(text), printable.Hidden)
	}, &quick.Config{MaxCount: 10_000}); err != nil {
		t.Error(err)
	}
}

// A timeline lists a document's events in the order in which they happened, with the time of receipt beside them.
func TestATimelineIsOrderedByTime(t *testing.T) {
	t.Parallel()
	url, publish := stored(t)
	at := func(hour int) *timestamppb.Timestamp {
		return timestamppb.New(time.Date(2026, 3, 1, hour, 0, 0, 0, time.UTC))
	}
	for _, e := range []*signingv1.SigningEvent{
		{Id: "late", Type: "document.completed", OccurredAt: at(5), ReceivedAt: at(6)},
		{Id: "early", Type: "document.sent", OccurredAt: at(1), ReceivedAt: at(7)}, // a retried callback
		{Id: "same1", Type: "recipient.signed", OccurredAt: at(4), ReceivedAt: at(8)},
		{Id: "same2", Type: "recipient.opened", OccurredAt: at(4), ReceivedAt: at(8)},
		{Id: "timeless", Type: "other.recorded", ReceivedAt: at(3)},
		{Id: "ours", Type: "notification.sent", OccurredAt: at(2)}, // it arrives when it is stored
	} {
		e.Source, e.Provider, e.Document = "acme", "clickwrap", &signingv1.Document{Id: "d1"}
		m, err := event.Message(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		publish(m)
	}
	order := []string{"early", "ours", "timeless", "same1", "same2", "late"}
	text, _ := runOne(t, url, "timeline", "d1")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	asJSON, _ := runOne(t, url, "timeline", "d1", "--json")
	objects := strings.Split(strings.TrimSpace(asJSON), "\n")
	if len(lines) != len(order) || len(objects) != len(order) {
		t.Fatalf("%d lines, %d objects", len(lines), len(objects))
	}
	for i, id := range order {
		if !strings.Contains(lines[i], "  "+id) || !strings.Contains(objects[i], `"`+id+`"`) {
			t.Errorf("place %d: %s, %s; want %s", i, lines[i], objects[i], id)
		}
	}
	if !strings.HasPrefix(lines[0], "2026-03-01T01:00:00Z  arrived 2026-03-01T07:00:00Z  document.sent") {
		t.Errorf("the first line: %s", lines[0])
	}
	if !strings.HasPrefix(lines[1], "2026-03-01T02:00:00Z  arrived "+time.Now().UTC().Format("2006-01-")) {
		t.Errorf("our own event: %s", lines[1])
	}
}

func TestSinceAcceptsANegativeDuration(t *testing.T) {
	t.Parallel()
	url, publish := stored(t)
	m, err := event.Message(t.Context(), &signingv1.SigningEvent{Id: "one", Source: "acme", Provider: "clickwrap", Type: "document.sent", ReceivedAt: timestamppb.Now()})
	if err != nil {
		t.Fatal(err)
	}
	publish(m)
	for _, since := range []string{"5m", "-5m", "-1h30m", "7d", "1d12h", "-1d12h"} {
		if text, _ := runOne(t, url, "tail", "--no-follow", "--since", since); !strings.Contains(text, "document.sent") {
			t.Errorf("--since %s shows %q", since, text)
		}
	}
	if text, _ := runOne(t, url, "tail", "--no-follow", "--since", "1ns"); text != "" {
		t.Errorf("--since 1ns shows %q", text)
	}
}
