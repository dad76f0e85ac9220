package security

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	clickwrappack "github.com/signrelay/signrelay/libs/providers/clickwrap"
	"github.com/signrelay/signrelay/libs/providers/pack"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// redisThief is a connection to Redis with a stolen password: a service's, or the administrator's.
func redisThief(t *testing.T, h *testenv.Env, user string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(h.Redis.URL)
	if err != nil {
		t.Fatal(err)
	}
	if user != "default" {
		o.Username, o.Password = user, testenv.PasswordOf(user)
	}
	client := redis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// dedupeOf is ingest's dedupe store, as a dead replica of ingest used it.
func dedupeOf(t *testing.T, h *testenv.Env, client *redis.Client) dedupe.Store {
	t.Helper()
	o := dedupe.Options{Namespace: flow.IngestClaims, Lease: time.Millisecond, Remember: time.Hour, Waits: true, Ring: keyring.New([]string{testenv.MasterKey})}
	return dedupe.NewGuard(dedupe.NewRedis(client, o), event.Log{JS: h.JetStream(t), Stream: flow.Signing}, nil, o)
}

// visited is a callback about this document, and the id of its event.
func visited(t *testing.T, document string) (body []byte, id string) {
	t.Helper()
	body = fmt.Appendf(nil, `{"event_type":"activity_visited","activity":"5a26bbf9e623117c2a6eed1b","request":%[1]q,`+
		`"created_time":"2017-07-19T16:15:28.509Z","id":"of-%[1]s"}`, document)
	webhook, err := clickwrappack.Pack.Webhook(clickwrappack.Settings.New("demo").With("webhook.secrets=12345"))
	if err != nil {
		t.Fatal(err)
	}
	r := pack.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/json"}}, Body: body, ReceivedAt: time.Now()}
	events, err := webhook.Normalize(r, signingv1.Verification_VERIFICATION_TOKEN)
	if err != nil || len(events) != 1 {
		t.Fatal(len(events), err)
	}
	return body, events[0].GetId()
}

// An attacker with a Redis password can compute an event's id, and marks it as done or claimed before the callback arrives. Ingest still
// stores the callback, and reports its repetition as a duplicate.
func TestStolenRedisPasswordHidesNoEvent(t *testing.T) {
	t.Parallel()
	h := testenv.Infrastructure(t, testenv.SandboxSettings)
	h.StartService(t, "ingest", "ingest")
	n := 0
	send := func(body []byte) (int, any) {
		status, response := h.Callback(t, http.MethodPost, "/webhooks/clickwrap/demo", nil,
			http.Header{"Content-Type": {"application/json"}, "Pactsafe-Webhook-Token": {"12345"}}, body)
		return status, response["status"]
	}
	stored := func(document string) int { return h.Count(t, flow.Signing, "signing.v1.demo.clickwrap.*.*."+document) }
	accepts := func(what, document string, body []byte) {
		t.Helper()
		if status, output := send(body); status != http.StatusAccepted || stored(document) != 1 {
			t.Errorf("%s: status %d %v, and %d events are stored", what, status, output, stored(document))
		}
		if status, output := send(body); status != http.StatusOK || output != "duplicate" || stored(document) != 1 {
			t.Errorf("%s: the repetition has status %d %v, and %d events are stored", what, status, output, stored(document))
		}
	}
	quiet, _ := visited(t, "untouched")
	accepts("the honest control", "untouched", quiet)

	for _, user := range []string{"ingest", "default"} {
		client := redisThief(t, h, user)
		for what, value := range map[string]string{
			"confirmed": "1", "confirmed with a result": "1x", "claimed by another": "cthief|99999999999999", "pending": "pthief|99999999999999", "text": "x", "zero": "0",
		} {
			n++
			document := fmt.Sprintf("d%d", n)
			body, id := visited(t, document)
			for _, name := range []string{"i:" + id, "i:" + id[:12], "i:" + strings.ToUpper(id)} {
				if err := client.Set(t.Context(), name, value, time.Hour).Err(); err != nil {
					t.Fatal(err)
				}
			}
			accepts(user+" wrote "+what, document, body)
		}
	}
	_, id := visited(t, "untouched")
	log, err := h.JetStream(t).Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := log.GetLastMsgForSubject(t.Context(), "signing.v1.demo.clickwrap.*.*.untouched"); err != nil || m.Header.Get("Nats-Msg-Id") != id {
		t.Errorf("the ids that the test computes are not those of the events: %v", err)
	}
}

// The administrator can write to existing keys: an ingest that dies leaves the keys of its callbacks, and the attacker marks them all as
// confirmed. Each callback is stored when it is repeated.
func TestConfirmationsCannotBeForged(t *testing.T) {
	t.Parallel()
	h := testenv.Infrastructure(t, testenv.SandboxSettings)
	h.StartService(t, "ingest", "ingest")
	post := func(document string) (int, any) {
		body, _ := visited(t, document)
		status, response := h.Callback(t, http.MethodPost, "/webhooks/clickwrap/demo", nil,
			http.Header{"Content-Type": {"application/json"}, "Pactsafe-Webhook-Token": {"12345"}}, body)
		return status, response["status"]
	}
	if status, output := post("honest"); status != http.StatusAccepted {
		t.Fatalf("before: %d %v", status, output)
	}
	client := redisThief(t, h, "default")
	var confirmation string
	h.Until(t, "the callback is confirmed, which follows the response", func() bool {
		for _, k := range client.Keys(t.Context(), "i:*").Val() {
			if value := client.Get(t.Context(), k).Val(); k != "i:probe" && value != "" && !strings.HasPrefix(value, "c") {
				confirmation = value
				client.Del(t.Context(), k) // every other key is of a callback that is not stored
			}
		}
		return confirmation != ""
	})
	for i, value := range []string{"1", confirmation, "10001"} {
		document := fmt.Sprintf("seen-%d", i)
		_, id := visited(t, document)
		// A dead ingest leaves the key of the callback, which the attacker sees.
		memory := dedupeOf(t, h, client)
		if _, err := memory.Claim(t.Context(), "died", id); err != nil {
			t.Fatal(err)
		}
		for _, k := range client.Keys(t.Context(), "i:*").Val() {
			if strings.HasPrefix(client.Get(t.Context(), k).Val(), "c") {
				client.Set(t.Context(), k, value, time.Hour)
			}
		}
		if status, output := post(document); status != http.StatusAccepted || h.Count(t, flow.Signing, "signing.v1.demo.clickwrap.*.*."+document) != 1 {
			t.Errorf("%q: status %d %v, and the log has no event", value, status, output)
		}
	}
}

// No single key stops a source: another service's user cannot write the keys of a source's limits, and the administrator cannot compute their names.
func TestStolenRedisPasswordStopsNoSource(t *testing.T) {
	t.Parallel()
	h := testenv.Separate(t)
	future := strconv.FormatInt(time.Now().Add(24*time.Hour).UnixMicro(), 10)
	names := []string{"signrelay:limit:{api/clickwrap/demo}:next", "signrelay:limit:{api/clickwrap/demo}:paused"}
	for _, user := range []string{"ingest", "shortener", "sms-sender", "email-sender"} {
		for _, name := range names {
			if err := redisThief(t, h, user).Set(t.Context(), name, future, 24*time.Hour).Err(); err == nil || !strings.Contains(err.Error(), "NOPERM") {
				t.Errorf("%s writes %s: %v", user, name, err)
			}
		}
	}
	for _, name := range names {
		if err := redisThief(t, h, "default").Set(t.Context(), name, future, 24*time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
	h.Play(t, "clickwrap", "one-signer")
	h.Until(t, "the messages have arrived", func() bool { return len(h.Messages(t)) > 0 })
}
