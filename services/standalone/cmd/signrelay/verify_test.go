package main

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/providers/pleasesign"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// reported stores the events of a PleaseSign callback to the source demo, of which the first one carries it. change may change the callback.
func (w *installation) reported(body string, change func(*signingv1.Callback), without ...string) {
	w.Helper()
	p, _ := providers.ByName("pleasesign")
	webhook, err := p.Webhook(providers.NewSource("pleasesign", "demo", "webhook.secrets=test"))
	if err != nil {
		w.Fatal(err)
	}
	signature := pleasesign.Sign("test", []byte(body))
	r := pack.Request{Method: "POST", Header: map[string][]string{"X-Pleasesign-Signature": {signature}}, Body: []byte(body), ReceivedAt: time.Now()}
	v, err := webhook.Verify(r)
	if err != nil {
		w.Fatal(err)
	}
	events, err := webhook.Normalize(r, v.By)
	if err != nil {
		w.Fatal(err)
	}
	kept := &signingv1.Callback{
		Id: event.CallbackID("demo", "pleasesign", "POST", "", "", r.Body), Key: v.Key.Setting, KeyFingerprint: v.Key.Fingerprint, Method: "POST",
		Path: "/webhooks/pleasesign/demo", Headers: []*signingv1.Header{{Name: "X-Pleasesign-Signature", Value: signature}}, Body: r.Body,
	}
	if change != nil {
		change(kept)
	}
	for i, e := range events {
		if e.Callback = kept; i > 0 {
			e.Callback = &signingv1.Callback{Id: kept.GetId()}
		}
		if len(without) > 0 && without[0] == e.GetType() {
			continue
		}
		m, err := event.Message(w.Context(), e)
		if err != nil {
			w.Fatal(err)
		}
		if _, err := w.js.PublishMsg(w.Context(), m); err != nil {
			w.Fatal(err)
		}
	}
}

const void = `{"id":"v1","event":"document.void","document_id":"D1","recipient_id":"R1","void_date":1531228693,"note":"a secret note"}`

func TestVerifyChecksEachCallbackOnce(t *testing.T) {
	t.Parallel()
	w := newInstallation(t)
	w.reported(void, nil)
	w.reported(strings.Replace(void, "D1", "D2", 1), func(c *signingv1.Callback) { c.Body = []byte(strings.Replace(void, "D1", "D9", 1)) })

	status, stdout, stderr := w.run("verify D1")
	if status != 0 || strings.Count(stdout, "\n") != 1 || !strings.Contains(stdout, "  verified ") || !strings.Contains(stdout, "the same key as then, webhook.secrets[0] sha256:") ||
		!strings.Contains(stdout, "document.declined") || !strings.Contains(stdout, "recipient.declined") {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
	var of struct {
		Result string
		Events []string
	}
	status, stdout, stderr = w.run("verify --json D2")
	if err := json.Unmarshal([]byte(stdout), &of); err != nil || status != 1 || of.Result != "does-not-verify" || len(of.Events) != 2 || !strings.Contains(stderr, "1 of 1 callback") {
		t.Errorf("%d %s %s %v", status, stdout, stderr, err)
	}
	for _, id := range of.Events { // the second one names the callback that the first one carries
		if status, stdout, _ := w.run("verify " + id); status != 1 || !strings.Contains(stdout, id) {
			t.Errorf("%s: %d %s", id, status, stdout)
		}
	}
	if status, _, stderr := w.run("verify unknown"); status != 1 || !strings.Contains(stderr, "no callback") {
		t.Errorf("%d %s", status, stderr)
	}
}

func TestRenormalizeShowsAndThenStores(t *testing.T) {
	t.Parallel()
	w := newInstallation(t)
	w.reported(void, nil, event.RecipientDeclined)
	w.reported(strings.Replace(void, "D1", "D2", 1), nil)
	count := func() int { return len(w.subjects(flow.Signing)) }
	for line, want := range map[string]struct {
		status int
		says   string
	}{
		"renormalize --dry-run":                             {2, "--since"},
		"renormalize --since 1h":                            {1, "pass --yes"},
		"renormalize --since 1h --dry-run":                  {0, "2 callbacks compared, 1 missing"},
		"renormalize --since 1h --dry-run --source demo":    {0, "2 callbacks compared, 1 missing"},
		"renormalize --since 1h --dry-run --source another": {0, "0 callbacks compared, no differences"},
	} {
		status, stdout, stderr := w.run(line)
		if status != want.status || !strings.Contains(stderr, want.says) || strings.Contains(stdout+stderr, "secret note") || count() != 3 {
			t.Errorf("%s: %d\n%s%s", line, status, stdout, stderr)
		}
	}
	if _, stdout, _ := w.run("renormalize --since 1h --dry-run --json"); !strings.Contains(stdout, "secret note") || strings.Contains(stdout, base64.StdEncoding.EncodeToString([]byte(void))) {
		t.Errorf("JSON: %s", stdout)
	}
	if status, stdout, stderr := w.run("renormalize --since 1h --json"); status != 1 || !strings.Contains(stderr, "pass --yes") || count() != 3 || len(jsonLines(t, stdout)) != 1 {
		t.Errorf("without --yes: %d %s %s", status, stdout, stderr)
	}
	if status, stdout, stderr := w.run("renormalize --since 1h --yes"); status != 0 || !strings.Contains(stdout, "(1 of 1): stored ") || count() != 5 {
		t.Errorf("%d %s %s, %d events", status, stdout, stderr, count())
	}
	if status, _, stderr := w.run("renormalize --since 1h --yes"); status != 0 || !strings.Contains(stderr, "no differences") || count() != 5 {
		t.Errorf("again: %d %s, %d events", status, stderr, count())
	}
}

// With --json, stdout has objects only: the differences, and then what was stored. The plan and the progress are on stderr.
func TestRenormalizeStoresWithJSON(t *testing.T) {
	t.Parallel()
	w := newInstallation(t)
	w.reported(strings.Replace(void, "D1", "D2", 1), nil, event.RecipientDeclined)
	w.reported(strings.Replace(void, "D1", "D3", 1), nil, event.RecipientDeclined)
	status, stdout, stderr := w.run("renormalize --since 1h --json --yes")
	var kinds, stored int
	for _, line := range jsonLines(t, stdout) {
		switch {
		case line["kind"] == "missing" && line["new"] == true:
			kinds++
		case line["processed"] == true && line["number"] != nil:
			stored += len(line["stored"].([]any))
		default:
			t.Errorf("an object: %v", line)
		}
	}
	if status != 0 || kinds == 0 || kinds != stored || !strings.Contains(stderr, "To process again: 2 callbacks") || !strings.Contains(stderr, "(2 of 2)") {
		t.Errorf("%d, %d missing, %d stored: %s%s", status, kinds, stored, stdout, stderr)
	}
	if status, stdout, stderr := w.run("renormalize --since 1h --json --yes"); status != 0 || stdout != "" || !strings.Contains(stderr, "no differences") {
		t.Errorf("again: %d %s %s", status, stdout, stderr)
	}
}

// jsonLines reads an output that has one object a line.
func jsonLines(t *testing.T, output string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(output) {
		var is map[string]any
		if err := json.Unmarshal([]byte(line), &is); err != nil {
			t.Errorf("the line %q is no object: %v", line, err)
		}
		all = append(all, is)
	}
	return all
}

func TestCallbacksArePrintedOnlyOnRequest(t *testing.T) {
	t.Parallel()
	w := newInstallation(t)
	w.reported(void, nil)
	raw := base64.StdEncoding.EncodeToString([]byte(void))
	for line, want := range map[string]bool{
		"timeline D1": false, "timeline --json D1": false, "timeline --json --callbacks D1": true,
		"tail --no-follow --json": false, "tail --no-follow --json --callbacks": true,
	} {
		if status, stdout, stderr := w.run(line); status != 0 || strings.Contains(stdout, raw) != want {
			t.Errorf("%s: %d %s %s", line, status, stdout, stderr)
		}
	}
}
