package e2e

import (
	"context"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// After a whole story and an erasure, no file of the NATS server and of the archive, and no value in Redis has a byte of the document: neither its id nor the names,
// addresses and numbers of its people. A late callback about it is accepted and changes nothing.
func TestNothingIsLeftOfAnErasedStory(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *testenv.Env{
		"one process":       func(t testing.TB) *testenv.Env { return testenv.Standalone(t) },
		"separate services": testenv.Separate,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			document := h.Play(t, "clickwrap", "two-signers")[0]
			h.WaitIdle(t)
			if n := h.Count(t, flow.Signing, event.DocumentFilter(document)); n < 10 {
				t.Fatalf("the story has %d events", n)
			}
			h.Until(t, "the document is archived", func() bool { return h.Count(t, flow.Signing, event.TypeFilter(event.DocumentArchived)) > 0 })
			if output, err := h.Command(t, "erase", document, "--reason", "request 12", "--by", "ops", "--yes"); err != nil {
				t.Fatalf("%v: %s", err, output)
			}
			status, _ := h.Callback(t, http.MethodPost, "/webhooks/clickwrap/demo", nil,
				http.Header{"Content-Type": {"application/json"}, "Pactsafe-Webhook-Token": {"12345"}},
				[]byte(`{"event_type":"request_sent","request":"`+document+`","created_time":"2017-07-19T16:15:28.509Z","id":"596f85a084281715b349513f"}`))
			if status/100 != 2 {
				t.Errorf("a late callback: %d", status)
			}
			h.WaitIdle(t)
			h.Until(t, "the search index has no more events to read", func() bool {
				c, err := h.JetStream(t).Consumer(t.Context(), flow.Signing, flow.Indexer)
				return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
			})
			if n := h.Count(t, flow.Signing, event.DocumentFilter(document)); n != 0 {
				t.Errorf("after the late callback: %d events", n)
			}
			texts := []string{document, "eric.smith@example.com", "sam.lee@example.com", "13175551234", "13175550187", "Eric Smith", "Sam Lee", "E-Waiver"}
			if h.Redis != nil {
				searchRedis(t, h.Redis.URL, texts)
				h.Processes["nats"].Stop()
			} else {
				h.Processes["signrelay"].Stop()
			}
			left, err := erase.SearchFiles(context.Background(), h.DataDir, texts...) // the NATS server's files, the archive and the search index
			if err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// An operator lets the NATS server encrypt its files later, as docs/operate.md says: the server rewrites them at its start and keeps all events. Then no
// file has a byte of a document, whether it was erased or not, and an erasure works as before.
func TestAServerThatEncryptsItsFilesLater(t *testing.T) {
	t.Parallel()
	h := testenv.Infrastructure(t, testenv.SandboxSettings)
	const gone, kept = "GONE7f3a9c5512", "KEPT0b8d1e4421"
	for n, document := range []string{gone, kept, gone} {
		m, err := event.Message(t.Context(), &signingv1.SigningEvent{
			Id: "event-" + strconv.Itoa(n), Source: "demo", Provider: "pleasesign", Type: event.RecipientSigned, OccurredAt: timestamppb.Now(),
			Document: &signingv1.Document{Id: document}, Recipient: &signingv1.Recipient{Id: "r", Email: document + "@example.com"},
		})
		h.Publish(t, m, err)
	}
	files := func() []erase.Left {
		left, err := erase.SearchFiles(t.Context(), filepath.Join(h.DataDir, "nats"), gone, kept)
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	if len(files()) == 0 {
		t.Error("the control: no file has the documents")
	}
	h.EncryptNATS(t)
	if n := h.Count(t, flow.Signing, event.Everything); n != 3 {
		t.Errorf("%d events after the restart", n)
	}
	if output, err := h.Command(t, "erase", gone, "--reason", "request 12", "--by", "ops", "--yes"); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if gone, kept := h.Count(t, flow.Signing, event.DocumentFilter(gone)), h.Count(t, flow.Signing, event.DocumentFilter(kept)); gone != 0 || kept != 1 {
		t.Errorf("%d events of the erased document, %d of the other one", gone, kept)
	}
	h.Processes["nats"].Stop()
	if left := files(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// searchRedis reports the keys that have one of the texts in their name or value.
func searchRedis(t *testing.T, url string, texts []string) {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	keys := client.Scan(t.Context(), 0, "*", 1000).Iterator()
	n := 0
	for keys.Next(t.Context()) {
		n++
		value, err := client.Dump(t.Context(), keys.Val()).Result()
		if err != nil {
			continue // it expired
		}
		for _, text := range texts {
			if strings.Contains(keys.Val(), text) || strings.Contains(value, text) {
				t.Errorf("Redis has %q", text)
			}
		}
		if strings.HasPrefix(keys.Val(), flow.ClaimsOf(flow.SMSSender)+":") {
			t.Errorf("Redis has a confirmation of the SMS sender")
		}
	}
	if n == 0 {
		t.Error("Redis is empty, so the search proves nothing")
	}
}
