package permissions_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// apart starts every service as a process and a user of its own, with a Kafka for the bridge.
func apart(t *testing.T) *testenv.Env {
	t.Helper()
	kafka := testenv.Kafka(t)
	h := testenv.Guarded(t, func(h *testenv.Env) string {
		return testenv.AroundTheSandbox(h) +
			fmt.Sprintf("kafka: {brokers: [%q], create_topic: true, replication_factor: 1, partitions: 3}\n", kafka.ListenAddrs()[0])
	})
	for _, name := range append(testenv.Services, flow.KafkaBridge) {
		h.StartService(t, name, name, testenv.As(name)...)
	}
	return h
}

// refusals are what the server's log says that it has refused.
func refusals(h *testenv.Env) []string {
	return regexp.MustCompile(`.*Violation.*`).FindAllString(h.Processes["nats"].Output(), -1)
}

// Stories, receipts, links, an outage of Redis, a dead letter, commands, and an orderly end: each service has all the permissions
// that it needs, and asks for no others.
func TestEachServiceAsItself(t *testing.T) {
	t.Parallel()
	h := apart(t)
	h.Play(t, "clickwrap", "two-signers")
	h.Play(t, "pleasesign", "two-signers")
	h.Play(t, "esign-v1", "one-signer")
	h.Until(t, "all messages have come", func() bool { return len(h.Messages(t)) == 24 })
	h.Until(t, "all texts have receipts", func() bool { return h.Count(t, flow.Signing, "signing.v1.*.*.notification.delivered.>") == 12 })

	// A link opens, and the log hears of it.
	for _, m := range h.Messages(t) {
		if link := regexp.MustCompile(`http://\S+/l/\w+`).FindString(m.Text); link != "" {
			open(t, link)
			break
		}
	}
	h.Until(t, "the log has link.opened", func() bool { return h.Count(t, flow.Signing, "signing.v1.*.*.link.opened.>") == 1 })

	// While Redis is away, ingest marks a gap; what comes again is then looked up in the log.
	callback := func(at string) (int, any) {
		status, answer := h.Callback(t, http.MethodPost, "/webhooks/clickwrap/demo", nil,
			http.Header{"Content-Type": {"application/json"}, "Pactsafe-Webhook-Token": {"12345"}},
			[]byte(`{"event_type":"activity_visited","activity":"5a26bbf9e623117c2a6eed1b","created_time":"2017-07-19T16:15:28.509Z","id":"`+at+`"}`))
		return status, answer["status"]
	}
	h.Redis.Stop()
	if status, said := callback("596f85a084281715b349513f"); status != http.StatusAccepted {
		t.Errorf("without Redis: %d %v", status, said)
	}
	h.Redis.Start()
	h.Until(t, "what came without Redis is known", func() bool {
		status, said := callback("596f85a084281715b349513f")
		return status == http.StatusOK && said == "duplicate"
	})
	if n := h.Count(t, "KV_"+flow.State, "$KV.STATE.dedupe.gap"); n != 1 {
		t.Errorf("%d gaps are marked", n)
	}
	if status, said := h.Callback(t, http.MethodPost, "/webhooks/clickwrap/demo", nil,
		http.Header{"Content-Type": {"application/json"}, "Pactsafe-Webhook-Token": {"12345"}}, []byte(`[]`)); said["status"] != "quarantined" {
		t.Errorf("what nobody can read: %d %v", status, said)
	}

	// A letter is given up, and the operator sends it back.
	h.Until(t, "the sender is well", func() bool { return h.Ready(t, "email-sender") == http.StatusOK })
	h.Fault(t, `{"target":"smtp","mode":"550"}`)
	n := &notifyv1.Notification{
		Id: "n1", EventId: "e1", Source: "demo", Provider: "clickwrap", DocumentId: "d1", DocumentTitle: "Offer", SenderName: "PactSafe", Locale: "en",
		Kind: notifyv1.Kind_KIND_UNDELIVERABLE, Channel: notifyv1.Channel_CHANNEL_EMAIL,
		To: &notifyv1.Person{RecipientId: "r1", FirstName: "Eric", LastName: "Smith", Email: "eric.smith@example.com"},
	}
	h.Cause(t, n)
	m, err := notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n)
	h.Publish(t, m, err)
	h.Until(t, "the letter is given up", func() bool { return h.Count(t, flow.DLQ, "dlq.v1.email-sender") == 1 })
	for _, command := range [][]string{
		{"dlq", "replay", "--all", "--yes"}, {"dlq", "list"}, {"quarantine", "list"}, {"timeline", "d1"}, {"tail", "--no-follow"},
	} {
		if said, err := h.Command(t, command...); err != nil {
			t.Errorf("%v: %v\n%s", command, err, said)
		}
	}
	h.Until(t, "the letter has arrived", func() bool { return h.Count(t, flow.Signing, "signing.v1.*.*.notification.sent.d1") == 1 })
	bridge, err := h.JetStream(t).Consumer(t.Context(), flow.Signing, flow.KafkaBridge)
	if err != nil {
		t.Fatal(err)
	}
	h.Until(t, "the bridge has carried all of it", func() bool {
		is, err := bridge.Info(t.Context())
		return err == nil && is.NumPending+uint64(is.NumAckPending) == 0 && is.AckFloor.Consumer > 0
	})

	// The doctor says the same of each. It tries what it may not do, too.
	for _, u := range flow.Users() {
		said, _ := h.CommandWith(t, testenv.As(u.Name), "doctor")
		if !strings.Contains(said, "ok    permissions  ") || strings.Contains(said, "permissions beyond") {
			t.Errorf("doctor of %s:\n%s", u.Name, said)
		}
	}

	for _, refusal := range redisRefusals(t, h.Redis) {
		t.Error("Redis has refused to " + refusal)
	}

	for _, name := range append(testenv.Services, flow.KafkaBridge) {
		if status := h.Processes[name].Stop(); status != 0 {
			t.Errorf("%s ended with %d", name, status)
		}
	}
	if connect(t, h, "ingest").mayHear("last.words") {
		t.Error("ingest may listen")
	}
	h.Until(t, "the server's log has all that it refused", func() bool { return strings.Contains(strings.Join(refusals(h), " "), "last.words") })
	for _, refusal := range refusals(h) {
		if !strings.Contains(refusal, "last.words") && !strings.Contains(refusal, "doctor") && !strings.Contains(refusal, "1.0.0.0.0") {
			t.Error(refusal)
		}
	}
}

// open opens a link as a phone does.
func open(t *testing.T, link string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Mobile/15E148 Safari/604.1")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if page, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d\n%s", link, resp.StatusCode, page)
	}
}
