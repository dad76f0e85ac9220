package ingest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/ingest"
)

// signed returns an item of a batch: a signer has signed.
func signed(signer string) string {
	return fmt.Sprintf(`{"timestamp":"2018-03-20T07:09:52","name":"status","value":"40","resource_uri":"/api/v1/signer/%s/"}`, signer)
}

// all sends a batch to the eSignature API's callback `all`. Further form fields may follow the data.
func (h *harness) all(t *testing.T, data string) reply {
	t.Helper()
	data, more, _ := strings.Cut(data, "&")
	form := "data=" + url.QueryEscape(data) + "&" + more
	return h.send(t, "POST", "/webhooks/esign-v1/old/all?token=demo", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, strings.NewReader(form))
}

const noResource = `{"timestamp":"x","name":"status","value":"40"}`

// The good items of a batch are stored in their order. The quarantine has each bad item separately, with its index and its bytes. The
// batch gets the same response at each retry, and nothing is stored twice.
func TestABadItemIsQuarantinedAlone(t *testing.T) {
	t.Parallel()
	h := open(t)
	batch := "[" + strings.Join([]string{signed("g0"), noResource, signed("g2"), "null", noResource, signed("g5"), signed("g0")}, ",") + "]"
	first := h.all(t, batch)
	ids, _ := first.body["ids"].([]any)
	if first.status != 202 || first.body["status"] != "accepted" || len(ids) != 3 {
		t.Fatalf("%d %v", first.status, first.body)
	}
	places := []any{
		map[string]any{"item": 1.0, "reason": "resource-missing"}, map[string]any{"item": 3.0, "reason": "not-json"},
		map[string]any{"item": 4.0, "reason": "resource-missing"},
	}
	if diff := cmp.Diff(places, first.body["quarantined"]); diff != "" {
		t.Error(diff)
	}
	for i, e := range h.stored(t, "signing.v1.>") {
		if e.GetRecipient().GetId() != []string{"g0", "g2", "g5"}[i] || e.GetId() != ids[i] || e.GetVerification() != signingv1.Verification_VERIFICATION_TOKEN {
			t.Errorf("event %d: %v", i, e)
		}
	}
	holds := func() {
		t.Helper()
		var kept []string
		for _, m := range h.quarantined(t) {
			kept = append(kept, m.Header.Get(ingest.HeaderItem)+" "+m.Header.Get(ingest.HeaderReason)+" "+string(m.Data))
			if text := fmt.Sprint(m.Header); strings.Contains(text, "demo") {
				t.Errorf("the source's token is in the quarantine: %s", text)
			}
		}
		if diff := cmp.Diff([]string{"1 resource-missing " + noResource, "3 not-json null", "4 resource-missing " + noResource}, kept); diff != "" {
			t.Error(diff)
		}
	}
	holds()

	again := func(when string) {
		t.Helper()
		if got := h.all(t, batch); cmp.Diff(first.body, got.body) != "" || got.status != first.status {
			t.Errorf("%s: %d %s", when, got.status, cmp.Diff(first.body, got.body))
		}
		holds()
	}
	again("at once")
	h.closeDuplicateWindow(t)
	again("when the streams' duplicate window is over")
	if err := h.client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	again("when the dedupe store is empty")
	h.redis.Stop()
	again("without the dedupe store")
	if n := len(h.stored(t, "signing.v1.>")); n != 3 {
		t.Errorf("the log holds %d events, want 3", n)
	}

	// The same bytes in another batch may report another fact.
	h.redis.Start()
	if h.all(t, "["+signed("g9")+","+noResource+"]"); h.count(t, flow.Quarantine) != 4 {
		t.Errorf("the quarantine holds %d, want 4", h.count(t, flow.Quarantine))
	}
}

// A batch without any readable item is quarantined unchanged.
func TestABatchOfBadItemsIsQuarantinedWhole(t *testing.T) {
	t.Parallel()
	h := open(t)
	for i, batch := range []string{"[" + noResource + "]", "[null,5," + noResource + "]", "[" + signed("s") + ",", "{}"} {
		if got := h.all(t, batch); got.status != 202 || got.body["status"] != "quarantined" || got.body["ids"] != nil {
			t.Errorf("%s: %d %v", batch, got.status, got.body)
		}
		kept := h.quarantined(t)
		if len(kept) != i+1 || kept[i].Header.Get(ingest.HeaderItem) != "" || !strings.Contains(string(kept[i].Data), "data="+url.QueryEscape(batch)) {
			t.Errorf("%s: the quarantine holds %v", batch, kept)
		}
	}
	if n := h.count(t, flow.Signing); n != 0 {
		t.Errorf("the log holds %d", n)
	}
}

// 2xx means that the whole batch is stored: if its bad item could not be quarantined, the provider must send the batch again.
func TestABatchIsAcceptedOnlyIfItsBadItemsAreQuarantined(t *testing.T) {
	t.Parallel()
	h := open(t)
	s, err := h.js.Stream(t.Context(), flow.Quarantine)
	if err != nil {
		t.Fatal(err)
	}
	settings := s.CachedInfo().Config
	if err := h.js.DeleteStream(t.Context(), flow.Quarantine); err != nil {
		t.Fatal(err)
	}
	batch := "[" + signed("g0") + "," + noResource + "," + signed("g2") + "]"
	if got := h.all(t, batch); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Fatalf("%d %v", got.status, got.body)
	}
	if _, err := h.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: settings.Name, Subjects: settings.Subjects, AllowDirect: true}); err != nil {
		t.Fatal(err)
	}
	if got := h.all(t, batch); got.status != 202 || got.body["status"] != "accepted" || got.body["quarantined"] == nil {
		t.Errorf("%d %v", got.status, got.body)
	}
	if in, out := len(h.stored(t, "signing.v1.>")), len(h.quarantined(t)); in != 2 || out != 1 {
		t.Errorf("%d events and %d in quarantine, want 2 and 1", in, out)
	}
}

// A quarantined item is replayed by itself: repaired, or unchanged by a version that can read it. Unchanged, it keeps its verification.
func TestAQuarantinedItemIsReplayed(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.all(t, "["+signed("g0")+","+noResource+"]")
	kept := h.quarantined(t)[0]
	if _, err := ingest.Replay(t.Context(), h.env, kept.Header, kept.Data, ingest.Repair{}); err == nil {
		t.Error("an unreadable item was stored as an event")
	}
	replayed, err := ingest.Replay(t.Context(), h.env, kept.Header, kept.Data, body(signed("g1")))
	if err != nil || len(replayed.IDs) != 1 {
		t.Fatal(replayed, err)
	}
	// For a callback that an earlier version could not read, the stored bytes are those of the provider.
	replayed, err = ingest.Replay(t.Context(), h.env, kept.Header, []byte(signed("g2")), ingest.Repair{})
	if err != nil || len(replayed.IDs) != 1 {
		t.Fatal(replayed, err)
	}
	want := []signingv1.Verification{signingv1.Verification_VERIFICATION_TOKEN, signingv1.Verification_VERIFICATION_NONE, signingv1.Verification_VERIFICATION_TOKEN}
	for i, e := range h.stored(t, "signing.v1.>") {
		if e.GetVerification() != want[i] || e.GetRecipient().GetId() != fmt.Sprintf("g%d", i) {
			t.Errorf("event %d: %v", i, e)
		}
	}
}

// Large batches that arrive at once are stored, also by a log that writes each message through to the disk. On a slow disk, a batch may need
// more time than one response may take. Then the provider sends it again, and each attempt stores more of it.
func TestLargeBatchesAtOnceAreStored(t *testing.T) {
	t.Parallel()
	const batches, items, attempts = 3, 2000, 10
	broker := realtest.NATSWith(t, func(o *server.Options) { o.SyncAlways = true })
	cfg := parts(t, broker, realtest.Redis(t))
	cfg.Sources = []config.Source{providers.NewSource("esign-v1", "old", "webhook.token=demo")}
	h := host(t, cfg, new(servicetest.Logged))
	_, h.js = broker.Connect()
	failures := make(chan string, batches)
	for batch := range batches {
		all := make([]string, items)
		for i := range all {
			all[i] = strings.Replace(signed(fmt.Sprintf("b%di%d", batch, i)), "2018-03-20T07:09:52", time.Now().UTC().Format("2006-01-02T15:04:05"), 1)
		}
		body := "[" + strings.Join(all, ",") + "]"
		go func() {
			stored := uint64(0)
			for range attempts {
				got := h.all(t, body)
				if got.status == 202 || got.status == 200 { // 200 if an earlier attempt stored the last item too
					failures <- ""
					return
				}
				before := stored
				if stored = h.count(t, flow.Signing); got.status != 503 || stored <= before {
					failures <- fmt.Sprintf("status %d %v with %d events in the log, %d before", got.status, got.body["detail"], stored, before)
					return
				}
			}
			failures <- fmt.Sprintf("the batch was not stored in %d attempts", attempts)
		}()
	}
	for range batches {
		if failure := <-failures; failure != "" {
			t.Error(failure)
		}
	}
	if n := h.count(t, flow.Signing); n != batches*items {
		t.Errorf("the log holds %d events, want %d", n, batches*items)
	}
}
