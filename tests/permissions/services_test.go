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

// apart starts every service as a process with a user of its own, and a Kafka for the bridge.
func apart(t *testing.T) *testenv.Env {
	t.Helper()
	kafka := testenv.Kafka(t)
	h := testenv.WithAccounts(t, func(h *testenv.Env) string {
		return testenv.SandboxSettings(h) +
			fmt.Sprintf("kafka: {brokers: [%q], create_topic: true, replication_factor: 1, partitions: 3}\n", kafka.ListenAddrs()[0])
	})
	for _, name := range append(testenv.Services, flow.KafkaBridge) {
		h.StartService(t, name, name, testenv.NATSUser(name)...)
	}
	return h
}

// refusals are the refusals in the server's log.
func refusals(h *testenv.Env) []string {
	return regexp.MustCompile(`.*Violation.*`).FindAllString(h.Processes["nats"].Output(), -1)
}

// Stories, receipts, links, an outage of Redis, a dead letter, commands, and a shutdown: each service has all the permissions that it
// needs, and tries nothing else.
func TestServicesUseOnlyTheirPermissions(t *testing.T) {
	t.Parallel()
	h := apart(t)
	h.Play(t, "clickwrap", "two-signers")
	h.Play(t, "pleasesign", "two-signers")
	h.Play(t, "esign-v1", "one-signer")
	h.Until(t, "all messages have arrived", func() bool { return len(h.Messages(t)) == 24 })
	h.Until(t, "all texts have receipts", func() bool { return h.Count(t, flow.Signing, "signing.v1.*.*.notification.delivered.>") == 12 })

	// A link opens, and the log has the event.
	for _, m := range h.Messages(t) {
		if link := regexp.MustCompile(`http://\S+/l/\w+`).FindString(m.Text); link != "" {
			open(t, link)
			break
		}
	}
	h.Until(t, "the log has link.opened", func() bool { return h.Count(t, flow.Signing, "signing.v1.*.*.link.opened.>") == 1 })

	// During an outage of Redis, ingest marks a gap. Callbacks from it that come again are looked up in the log.
	callback := func(at string) (int, any) {
		status, response := h.Callback(t, http.MethodPost, "/webhooks/clickwrap/demo", nil,
			http.Header{"Content-Type": {"application/json"}, "Pactsafe-Webhook-Token": {"12345"}},
			[]byte(`{"event_type":"activity_visited","activity":"5a26bbf9e623117c2a6eed1b","created_time":"2017-07-19T16:15:28.509Z","id":"`+at+`"}`))
		return status, response["status"]
	}
	h.Redis.Stop()
	if status, output := callback("596f85a084281715b349513f"); status != http.StatusAccepted {
		t.Errorf("without Redis: %d %v", status, output)
	}
	h.Redis.Start()
	h.Until(t, "the callbacks from the outage are known", func() bool {
		status, output := callback("596f85a084281715b349513f")
		return status == http.StatusOK && output == "duplicate"
	})
	if n := h.Count(t, "KV_"+flow.State, "$KV.STATE.dedupe.gap"); n != 1 {
		t.Errorf("%d gaps are marked", n)
	}
	if status, output := h.Callback(t, http.MethodPost, "/webhooks/clickwrap/demo", nil,
		http.Header{"Content-Type": {"application/json"}, "Pactsafe-Webhook-Token": {"12345"}}, []byte(`[]`)); output["status"] != "quarantined" {
		t.Errorf("an unreadable callback: %d %v", status, output)
	}

	// An e-mail becomes a dead letter, and the operator replays it.
	h.Until(t, "the sender is ready", func() bool { return h.Ready(t, "email-sender") == http.StatusOK })
	h.InjectFault(t, `{"target":"smtp","mode":"550"}`)
	n := &notifyv1.Notification{
		Id: "n1", EventId: "e1", Source: "demo", Provider: "clickwrap", DocumentId: "d1", DocumentTitle: "Offer", SenderName: "PactSafe", Locale: "en",
		Kind: notifyv1.Kind_KIND_UNDELIVERABLE, Channel: notifyv1.Channel_CHANNEL_EMAIL,
		To: &notifyv1.Person{RecipientId: "r1", FirstName: "Eric", LastName: "Smith", Email: "eric.smith@example.com"},
	}
	h.PublishCause(t, n)
	m, err := notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n)
	h.Publish(t, m, err)
	h.Until(t, "the dead letter is stored", func() bool { return h.Count(t, flow.DLQ, "dlq.v1.email-sender") == 1 })
	for _, command := range [][]string{
		{"dlq", "replay", "--all", "--yes"}, {"dlq", "list"}, {"quarantine", "list"}, {"timeline", "d1"}, {"tail", "--no-follow"},
	} {
		if output, err := h.Command(t, command...); err != nil {
			t.Errorf("%v: %v\n%s", command, err, output)
		}
	}
	h.Until(t, "the e-mail has been sent", func() bool { return h.Count(t, flow.Signing, "signing.v1.*.*.notification.sent.d1") == 1 })
	bridge, err := h.JetStream(t).Consumer(t.Context(), flow.Signing, flow.KafkaBridge)
	if err != nil {
		t.Fatal(err)
	}
	h.Until(t, "the bridge has written everything", func() bool {
		is, err := bridge.Info(t.Context())
		return err == nil && is.NumPending+uint64(is.NumAckPending) == 0 && is.AckFloor.Consumer > 0
	})

	// The doctor reports the same for each service. It also tries forbidden requests.
	for _, u := range flow.Users() {
		output, _ := h.CommandWith(t, testenv.NATSUser(u.Name), "doctor")
		if !strings.Contains(output, "ok    permissions  ") || strings.Contains(output, "permissions beyond") {
			t.Errorf("doctor of %s:\n%s", u.Name, output)
		}
	}

	for _, refusal := range redisRefusals(t, h.Redis) {
		t.Error("Redis refused " + refusal)
	}

	for _, name := range append(testenv.Services, flow.KafkaBridge) {
		if status := h.Processes[name].Stop(); status != 0 {
			t.Errorf("%s ended with %d", name, status)
		}
	}
	if connect(t, h, "ingest").maySubscribe("last.words") {
		t.Error("ingest may subscribe")
	}
	h.Until(t, "the server's log has every refusal", func() bool { return strings.Contains(strings.Join(refusals(h), " "), "last.words") })
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
