package ingest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/ingest"
	ingestsettings "github.com/signrelay/signrelay/services/ingest/settings"
)

const requestSent = `{"type":"webhook","integration":"596f854922d3a615b6dce9f7","sent_to":"https://requestb.in/xy5t8exy",
"event_type":"request_sent","description":"PactSafe sent \"Example Contract\"","site":2,"request":"596f858584281715b3493d0c",
"activity":"5a26bbf9e623117c2a6eed1b","user":45,"updated_time":"2017-07-19T16:15:28.510Z",
"created_time":"2017-07-19T16:15:28.509Z","deliverable":true,"id":"596f85a084281715b349513f"}`

const requestSentSubject = "signing.v1.acme.clickwrap.document.sent.596f858584281715b3493d0c"

func TestAcceptedMeansStoredOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	first := h.post(t, "/webhooks/clickwrap/acme", requestSent)
	if first.status != http.StatusAccepted || first.body["status"] != "accepted" {
		t.Fatalf("first: %d %v", first.status, first.body)
	}
	again := h.post(t, "/webhooks/clickwrap/acme", requestSent)
	if again.status != http.StatusOK || again.body["status"] != "duplicate" {
		t.Fatalf("again: %d %v", again.status, again.body)
	}
	stored := h.stored(t, "signing.v1.>")
	if len(stored) != 1 {
		t.Fatalf("the log holds %d events, want 1", len(stored))
	}
	ids, _ := first.body["ids"].([]any)
	if len(ids) != 1 || ids[0] != stored[0].GetId() {
		t.Errorf("the response has the ids %v, the log %s", ids, stored[0].GetId())
	}
	if got, want := stored[0].GetOccurredAt().AsTime(), time.Date(2017, 7, 19, 16, 15, 28, 509_000_000, time.UTC); !got.Equal(want) {
		t.Errorf("occurred at %v, want the event's own time %v", got, want)
	}
	if stored[0].GetVerification() != signingv1.Verification_VERIFICATION_TOKEN {
		t.Errorf("verification %v", stored[0].GetVerification())
	}
}

func TestRefusalsStoreNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	token := http.Header{"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"}}
	with := func(name, value string) http.Header {
		changed := token.Clone()
		changed.Set(name, value)
		return changed
	}
	without := func(name string) http.Header {
		changed := token.Clone()
		changed.Del(name)
		return changed
	}
	big := strings.Repeat(" ", 1<<20) + requestSent
	for name, c := range map[string]struct {
		method, path string
		header       http.Header
		body         io.Reader
		want         int
	}{
		"no such source":        {"POST", "/webhooks/clickwrap/unknown", token, strings.NewReader(requestSent), 404},
		"no such provider":      {"POST", "/webhooks/docusign/acme", token, strings.NewReader(requestSent), 404},
		"another's source":      {"POST", "/webhooks/pleasesign/acme", token, strings.NewReader(requestSent), 404},
		"method":                {"PUT", "/webhooks/clickwrap/acme", token, strings.NewReader(requestSent), 405},
		"too large":             {"POST", "/webhooks/clickwrap/acme", token, strings.NewReader(big), 413},
		"too large, in chunks":  {"POST", "/webhooks/clickwrap/acme", token, io.MultiReader(strings.NewReader(big)), 413},
		"content type":          {"POST", "/webhooks/clickwrap/acme", with("Content-Type", "text/xml"), strings.NewReader(requestSent), 415},
		"content encoding":      {"POST", "/webhooks/clickwrap/acme", with("Content-Encoding", "gzip"), strings.NewReader(requestSent), 415},
		"wrong token":           {"POST", "/webhooks/clickwrap/acme", with("Pactsafe-Webhook-Token", "54321"), strings.NewReader(requestSent), 401},
		"empty token":           {"POST", "/webhooks/clickwrap/acme", with("Pactsafe-Webhook-Token", ""), strings.NewReader(requestSent), 401},
		"no token":              {"POST", "/webhooks/clickwrap/acme", without("Pactsafe-Webhook-Token"), strings.NewReader(requestSent), 401},
		"token in a cookie":     {"POST", "/webhooks/clickwrap/acme", http.Header{"Cookie": {"Pactsafe-Webhook-Token=12345; pactsafe-webhook-token=12345"}}, strings.NewReader(requestSent), 401},
		"token in the query":    {"POST", "/webhooks/clickwrap/acme?Pactsafe-Webhook-Token=12345&token=12345", without("Pactsafe-Webhook-Token"), strings.NewReader(requestSent), 401},
		"forged HMAC":           {"POST", "/webhooks/pleasesign/plain", http.Header{"X-Pleasesign-Signature": {strings.Repeat("0", 64)}}, strings.NewReader(`{"id":"x"}`), 401},
		"HMAC over other bytes": {"POST", "/webhooks/pleasesign/plain", http.Header{"X-Pleasesign-Signature": {seedSignature}}, strings.NewReader(seedBody + " "), 401},
		"truncated HMAC body":   {"POST", "/webhooks/pleasesign/plain", http.Header{"X-Pleasesign-Signature": {seedSignature}}, strings.NewReader(seedBody[:len(seedBody)-1]), 401},
	} {
		got := h.send(t, c.method, c.path, c.header, c.body)
		if got.status != c.want || got.contentType != "application/problem+json" {
			t.Errorf("%s: %d %s %v, want %d", name, got.status, got.contentType, got.body, c.want)
		}
		if c.want == 405 && got.header.Get("Allow") != "POST, GET" {
			t.Errorf("%s: Allow: %q", name, got.header.Get("Allow"))
		}
	}
	if stored := h.stored(t, "signing.v1.>"); len(stored) != 0 {
		t.Errorf("the log holds %d events", len(stored))
	}
	if n := h.count(t, flow.Quarantine); n != 0 {
		t.Errorf("the quarantine holds %d", n)
	}
	if keys := h.claims(t); len(keys) != 0 {
		t.Errorf("refused callbacks left claims: %v", keys)
	}
	// The control: the seed's own vector is accepted at the same address.
	if got := h.send(t, "POST", "/webhooks/pleasesign/plain", http.Header{"X-Pleasesign-Signature": {seedSignature}}, strings.NewReader(seedBody)); got.status != 202 {
		t.Errorf("the seed's vector: %d %v", got.status, got.body)
	}
}

// The example in PleaseSign's documentation, and the digest that is printed there. The key is "test".
const (
	seedBody      = `{"id":"a366b74dc750a2c58d8179aaf3170f42","event":"document.created","document_id":"PLSDOC6b776e1a931ef27ca87e56b6fb","created_date":1609974510}`
	seedSignature = "2859aa9815835fd023acef531d0cad4156bdc95ddc2208e7ed67db9ac976779c"
)

func TestGETAndPOSTReportTheSameFact(t *testing.T) {
	t.Parallel()
	h := open(t)
	query := "?type=webhook&event_type=request_complete&request=596f858584281715b3493d0c&id=596f85af22d3a615b6dcfe2f&created_time=2017-07-19T16:15:43.520Z"
	header := http.Header{"Pactsafe-Webhook-Token": {"12345"}}
	if got := h.send(t, "GET", "/webhooks/clickwrap/acme"+query, header, nil); got.status != 202 {
		t.Fatalf("GET: %d %v", got.status, got.body)
	}
	completed := `{"event_type":"request_complete","request":"596f858584281715b3493d0c","id":"596f85af22d3a615b6dcfe2f"}`
	if got := h.post(t, "/webhooks/clickwrap/acme", completed); got.status != 200 {
		t.Fatalf("the same fact by POST: %d %v", got.status, got.body)
	}
}

func TestAnUnreadableCallbackIsQuarantinedUnchangedAndReplayed(t *testing.T) {
	t.Parallel()
	h := open(t)
	for broken, reason := range map[string]string{
		"this is no JSON\r\n":   "not-json",
		"{\"id\":\"\x00\xff\"}": "not-text",
		`{"event_type":"request_sent","request":"596f858584281715b3493d0c", "x":  1}`: "id-missing",
	} {
		got := h.post(t, "/webhooks/clickwrap/acme", broken)
		if got.status != 202 || got.body["status"] != "quarantined" || got.body["reason"] != reason {
			t.Fatalf("%q: %d %v, want quarantined for %s", broken, got.status, got.body, reason)
		}
		log := event.Log{JS: h.js, Stream: flow.Quarantine}
		var kept *jetstream.RawStreamMsg
		for m, err := range log.Messages(t.Context(), "quarantine.v1.acme.clickwrap."+reason, time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
			kept = m
		}
		if kept == nil || string(kept.Data) != broken {
			t.Fatalf("kept %v, want %q", kept, broken)
		}
		if text := fmt.Sprint(kept.Header); strings.Contains(text, "12345") {
			t.Errorf("the source's secret is in the quarantine: %s", text)
		}
		if _, err := ingest.Replay(t.Context(), h.env, kept.Header, kept.Data, ingest.Repair{}); err == nil {
			t.Error("an unreadable callback was stored as an event")
		}
		replayed, err := ingest.Replay(t.Context(), h.env, kept.Header, kept.Data, body(requestSent))
		if err != nil || len(replayed.IDs) != 1 {
			t.Errorf("replay of a repaired body: %v, %v", replayed, err)
		}
	}
	// Content that an operator wrote has no verification.
	if stored := h.stored(t, requestSentSubject); len(stored) != 1 || stored[0].GetVerification() != signingv1.Verification_VERIFICATION_NONE ||
		stored[0].GetAttributes()[ingest.RepairedAttribute] != "true" {
		t.Errorf("the log holds %v", stored)
	}
}

// On GET the query is content: its unreadable parts must not be lost.
func TestAnUnreadableQueryIsQuarantinedUnchanged(t *testing.T) {
	t.Parallel()
	h := open(t)
	query := "event_type=activity_visited&id=abc1&request=r1&description=100%&custom_data.x=1;2&tag=ok"
	header := http.Header{"Pactsafe-Webhook-Token": {"12345"}, "X-Original-Uri": {"/x?token=12345"}}
	if got := h.send(t, "GET", "/webhooks/clickwrap/acme?"+query, header, nil); got.status != 202 || got.body["reason"] != "not-a-query" {
		t.Fatalf("%d %v", got.status, got.body)
	}
	for m, err := range (event.Log{JS: h.js, Stream: flow.Quarantine}).Messages(t.Context(), "quarantine.v1.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, kept := ingest.KeptContent(m.Header, m.Data); kept != query {
			t.Errorf("kept %q, want %q", kept, query)
		}
		if text := fmt.Sprint(m.Header); strings.Contains(text, "activity_visited") {
			t.Errorf("the query is in the headers: %s", text)
		}
		if text := fmt.Sprint(m.Header); strings.Contains(text, "12345") {
			t.Errorf("the source's secret is in the quarantine: %s", text)
		}
	}
	if n := h.count(t, flow.Quarantine); n != 1 {
		t.Errorf("the quarantine holds %d, want 1", n)
	}
}

// Request headers that are too large for the broker must not make an authentic callback fail forever.
func TestHugeHeadersAndIdsAreStored(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := strings.Repeat("\u00e9", 11_500)
	if got := h.post(t, "/webhooks/clickwrap/acme", `{"event_type":"request_sent","id":"e","request":"`+id+`"}`); got.status != 202 || got.body["status"] != "accepted" {
		t.Errorf("a huge id: %d %v", got.status, got.body)
	}
	header := http.Header{"Pactsafe-Webhook-Token": {"12345"}, "X-Noise": {strings.Repeat("<", 30_000)}}
	if got := h.send(t, "POST", "/webhooks/clickwrap/acme", header, strings.NewReader("no JSON")); got.status != 202 || got.body["status"] != "quarantined" {
		t.Errorf("huge headers: %d %v", got.status, got.body)
	}
}

// While a callback was in quarantine for longer than the dedupe store keeps ids, another callback may have reported the same fact.
func TestALateReplaySearchesTheWholeLog(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.warm(t)
	if got := h.post(t, "/webhooks/clickwrap/acme", "no JSON"); got.body["status"] != "quarantined" {
		t.Fatalf("%d %v", got.status, got.body)
	}
	var kept *jetstream.RawStreamMsg
	for m, err := range (event.Log{JS: h.js, Stream: flow.Quarantine}).Messages(t.Context(), "quarantine.v1.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		kept = m
	}
	h.post(t, "/webhooks/clickwrap/acme", requestSent)
	h.closeDuplicateWindow(t)
	if err := h.client.Del(t.Context(), "i:"+h.stored(t, requestSentSubject)[0].GetId()).Err(); err != nil { // its id expired in the dedupe store
		t.Fatal(err)
	}
	if _, err := ingest.Replay(t.Context(), h.env, kept.Header, kept.Data, body(requestSent)); err != nil {
		t.Fatal(err)
	}
	if stored := h.stored(t, requestSentSubject); len(stored) != 1 {
		t.Errorf("the log holds the event %d times, want once", len(stored))
	}
}

// After a gap of the dedupe store, one search of the log serves a whole batch, for any number of similar events in the log.
func TestABatchAfterAGapNeedsOneSearch(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.warm(t)
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	items := func(from, to int) io.Reader {
		var list []string
		for i := from; i < to; i++ {
			list = append(list, fmt.Sprintf(`{"timestamp":%q,"name":"status","value":"15","resource_uri":"/api/v1/signer/s%d/"}`,
				time.Now().UTC().Format("2006-01-02T15:04:05"), i))
		}
		return strings.NewReader("signed=x&data=" + url.QueryEscape("["+strings.Join(list, ",")+"]"))
	}
	for from := 0; from < 3000; from += 1000 {
		if got := h.send(t, "POST", "/webhooks/esign-v1/old/all?token=demo", form, items(from, from+1000)); got.status != 202 {
			t.Fatalf("%d %v", got.status, got.body)
		}
	}
	if err := h.env.Gaps.Mark(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.send(t, "POST", "/webhooks/esign-v1/old/all?token=demo", form, items(3000, 3300)); got.status != 202 {
		t.Errorf("300 new items after a gap: %d %v", got.status, got.body)
	}
}

func TestWithoutNATSTheResponseIs503AndNoClaimRemains(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.warm(t)
	h.broker.Stop()
	// Until the client notices the outage, a publish may use the dying connection: then its outcome is unknown, and its claim stays pending.
	h.until(t, "the client notices", func() bool { return !h.env.NATS.IsConnected() })
	got := h.post(t, "/webhooks/clickwrap/acme", requestSent)
	if got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Fatalf("%d %v, Retry-After %q", got.status, got.body, got.header.Get("Retry-After"))
	}
	if keys := h.claims(t); len(keys) != 1 {
		t.Errorf("the dedupe store holds %v, want the events from before the outage and no claim", keys)
	}
	h.broker.Start()
	h.until(t, "the provider's retry is accepted", func() bool {
		return h.post(t, "/webhooks/clickwrap/acme", requestSent).status == 202
	})
	if stored := h.stored(t, requestSentSubject); len(stored) != 1 {
		t.Errorf("the log holds the event %d times, want once", len(stored))
	}
}

func TestWithoutRedisCallbacksAreStoredOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.warm(t)
	h.redis.Stop()
	if got := h.post(t, "/webhooks/clickwrap/acme", requestSent); got.status != 202 {
		t.Fatalf("without Redis: %d %v", got.status, got.body)
	}
	counted := `
		# HELP signrelay_ingest_unremembered_total Events accepted while the dedupe store was away.
		# TYPE signrelay_ingest_unremembered_total counter
		signrelay_ingest_unremembered_total 1
	`
	if err := testutil.GatherAndCompare(h.registry(t), strings.NewReader(counted), "signrelay_ingest_unremembered_total"); err != nil {
		t.Error(err)
	}
	if got := h.post(t, "/webhooks/clickwrap/acme", requestSent); got.status != 200 {
		t.Fatalf("again without Redis: %d %v", got.status, got.body)
	}
	h.redis.Start()
	// Redis does not have the event, and the stream's own duplicate window is over.
	h.closeDuplicateWindow(t)
	h.until(t, "Redis can be reached again", func() bool { return h.client.Ping(t.Context()).Err() == nil })
	if got := h.post(t, "/webhooks/clickwrap/acme", requestSent); got.status != 200 {
		t.Errorf("a retry after Redis came back: %d %v, want 200 duplicate", got.status, got.body)
	}
	if stored := h.stored(t, requestSentSubject); len(stored) != 1 {
		t.Errorf("the log holds the event %d times, want once", len(stored))
	}
}

func TestAnEmptiedRedisIsDetected(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.post(t, "/webhooks/clickwrap/acme", requestSent)
	h.closeDuplicateWindow(t)
	if err := h.client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if got := h.post(t, "/webhooks/clickwrap/acme", requestSent); got.status != 200 {
		t.Errorf("%d %v, want 200 duplicate", got.status, got.body)
	}
	if stored := h.stored(t, "signing.v1.>"); len(stored) != 1 {
		t.Errorf("the log holds %d events, want 1", len(stored))
	}
}

// A process that dies leaves its claim. An hour later, the retry publishes only if the dead process had not published.
func TestTheLogDecidesAnExpiredClaim(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		published bool
		want      int
	}{
		"died between publish and confirm": {true, 200},
		"died between claim and publish":   {false, 202},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			id := h.idOf(t, requestSent)
			if c.published {
				h.post(t, "/webhooks/clickwrap/acme", requestSent)
				h.closeDuplicateWindow(t)
			}
			// The dead process left its claim, whose lease is over.
			if err := h.client.Set(t.Context(), "i:"+id, "cdead|1", time.Hour).Err(); err != nil {
				t.Fatal(err)
			}
			if got := h.post(t, "/webhooks/clickwrap/acme", requestSent); got.status != c.want {
				t.Errorf("the retry: %d %v, want %d", got.status, got.body, c.want)
			}
			if stored := h.stored(t, "signing.v1.>"); len(stored) != 1 {
				t.Errorf("the log holds %d events, want 1", len(stored))
			}
		})
	}
}

func TestAClaimHeldByAnotherRequestIs503(t *testing.T) {
	t.Parallel()
	h := open(t)
	id := h.idOf(t, requestSent)
	h.post(t, "/webhooks/clickwrap/acme", strings.ReplaceAll(requestSent, "5a26bbf9e623117c2a6eed1b", "other")) // begins the epoch
	held := dedupe.NewRedis(h.client, dedupe.Options{Namespace: "i", Lease: time.Minute, Remember: time.Hour})
	other := dedupe.NewGuard(held, event.Log{JS: h.js, Stream: flow.Signing}, h.env.Gaps, dedupe.Options{Remember: time.Hour})
	if _, err := other.Claim(t.Context(), "other", id); err != nil {
		t.Fatal(err)
	}
	if got := h.post(t, "/webhooks/clickwrap/acme", requestSent); got.status != 503 {
		t.Errorf("%d %v, want 503", got.status, got.body)
	}
	if err := other.Release(t.Context(), "other", dedupe.Undone, id); err != nil {
		t.Fatal(err)
	}
	if got := h.post(t, "/webhooks/clickwrap/acme", requestSent); got.status != 202 {
		t.Errorf("after its release: %d %v", got.status, got.body)
	}
}

// An event that is too large for the broker would get 503 forever, so its callback is quarantined unchanged.
func TestAnEventTooLargeForTheBrokerIsQuarantined(t *testing.T) {
	t.Parallel()
	h := open(t)
	deep := strings.Repeat(`{"`+strings.Repeat("n", 400)+`":`, 30) + "[" + strings.Repeat("1,", 100_000) + "1]" + strings.Repeat("}", 30)
	var wide strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&wide, `,"f%d":%d`, i, i)
	}
	wideAndDeep := strings.Replace(deep, "[", `{"x":[`, 1)
	wideAndDeep = strings.Replace(wideAndDeep, "1]", "1]"+wide.String()+"}", 1)
	got := h.post(t, "/webhooks/clickwrap/acme", `{"event_type":"request_sent","request":"r","id":"e","extra":`+wideAndDeep+`}`)
	if got.status != 202 || got.body["status"] != "quarantined" {
		t.Errorf("%d %v, want quarantined", got.status, got.body)
	}
	if n := h.count(t, flow.Quarantine); n != 1 {
		t.Errorf("the quarantine holds %d, want 1", n)
	}
}

func TestABatchWithoutChangesIsAccepted(t *testing.T) {
	t.Parallel()
	h := open(t)
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	got := h.send(t, "POST", "/webhooks/esign-v1/old/all?token=demo", form, strings.NewReader("data=[]&signed=x"))
	if got.status != 202 || got.body["status"] != "accepted" {
		t.Errorf("%d %v", got.status, got.body)
	}
	if n := h.count(t, flow.Quarantine); n != 0 {
		t.Errorf("the quarantine holds %d", n)
	}
}

// The same callback ten times concurrently is one event.
func TestTenConcurrentCopiesAreOneEvent(t *testing.T) {
	t.Parallel()
	h := open(t)
	statuses := make(chan int, 10)
	for range 10 {
		go func() { statuses <- h.post(t, "/webhooks/clickwrap/acme", requestSent).status }()
	}
	counts := map[int]int{}
	for range 10 {
		counts[<-statuses]++
	}
	if counts[202] != 1 || counts[202]+counts[200]+counts[503] != 10 {
		t.Errorf("responses %v, want one 202, and 200 or 503 for the others", counts)
	}
	if stored := h.stored(t, "signing.v1.>"); len(stored) != 1 {
		t.Errorf("the log holds %d events, want 1", len(stored))
	}
}

// Unfinished bodies occupy no in-flight slot, for any announced length. A second slot is for a callback whose response has just been read, and whose
// handler has not ended yet.
func TestUnfinishedBodiesOccupyNoSlot(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *config.Config) { ingestsettings.Section.In(c).MaxInFlight = 2 })
	large := requestSent + strings.Repeat(" ", 100<<10)
	slow := begin(t, h, large[:len(large)/2], len(large))
	for range 300 {
		begin(t, h, "{", 1<<20)
	}
	begin(t, h, `{"event_type":`, 100)
	for i, behind := range []string{"", strings.Repeat(" ", 100<<10), strings.Repeat(" ", 900<<10)} {
		if got := h.post(t, "/webhooks/clickwrap/acme", fmt.Sprintf(`{"event_type":"test_event","id":"y%d"}`, i)+behind); got.status != 202 {
			t.Errorf("a callback with %d blanks meanwhile: %d %v", len(behind), got.status, got.body)
		}
	}
	if _, err := io.WriteString(slow, large[len(large)/2:]); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		t.Errorf("the first: %s", response.Status)
	}
}

// begin writes a callback's head and the beginning of its body to the connection. A client library would send nothing until its buffer is
// full.
func begin(t *testing.T, h *harness, body string, length int) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := fmt.Fprintf(conn, "POST /webhooks/clickwrap/acme HTTP/1.1\r\nHost: x\r\nPactsafe-Webhook-Token: 12345\r\n"+
		"Content-Length: %d\r\n\r\n%s", length, body); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestTooManyInFlightIs503(t *testing.T) {
	t.Parallel()
	h := open(t, func(c *config.Config) { ingestsettings.Section.In(c).MaxInFlight = 1 })
	h.warm(t)
	statuses := make(chan int, 2)
	h.until(t, "one of two at once is refused", func() bool {
		// A slow dedupe store keeps the first callback in flight.
		if err := h.client.Do(t.Context(), "CLIENT", "PAUSE", "300", "WRITE").Err(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			go func() { statuses <- h.post(t, "/webhooks/clickwrap/acme", requestSent).status }()
		}
		one, other := <-statuses, <-statuses
		return min(one, other) < 300 && max(one, other) == 503
	})
	if stored := h.stored(t, requestSentSubject); len(stored) != 1 {
		t.Errorf("the log holds the event %d times, want once", len(stored))
	}
}

func TestTheSameFactByBothV1CallbacksIsOneEvent(t *testing.T) {
	t.Parallel()
	h := open(t)
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	all := `data=` + url.QueryEscape(`[{"timestamp":"2018-03-20T07:09:52","name":"status","value":"40","resource_uri":"/api/v1/signer/s1/"},`+
		`{"timestamp":"2018-03-20T07:09:52","name":"status","value":"30","resource_uri":"/api/v1/document/d1/"}]`) + `&signed=x`
	signed := "resource_uri=" + url.QueryEscape("/api/v1/document/d1/") + "&group=" + url.QueryEscape("/api/v1/group/g/") + "&name=Lease&uuid=d1&tag=t"
	if got := h.send(t, "POST", "/webhooks/esign-v1/old/signed?token=demo", form, strings.NewReader(signed)); got.status != 202 {
		t.Fatalf("signed: %d %v", got.status, got.body)
	}
	if got := h.send(t, "POST", "/webhooks/esign-v1/old/all?token=demo", form, strings.NewReader(all)); got.status != 202 {
		t.Fatalf("all: %d %v", got.status, got.body)
	}
	if stored := h.stored(t, "signing.v1.*.*.document.completed.>"); len(stored) != 1 {
		t.Errorf("document.completed is in the log %d times, want once", len(stored))
	}
	if stored := h.stored(t, "signing.v1.*.*.recipient.signed.>"); len(stored) != 1 {
		t.Errorf("recipient.signed is in the log %d times, want once", len(stored))
	}
}

// --- the set-up ---

type harness struct {
	env    service.Env
	js     jetstream.JetStream
	broker *realtest.Broker
	redis  *realtest.RedisServer
	client redis.UniversalClient
	logged *servicetest.Logged
	url    string
	admin  string
}

func open(t *testing.T, changes ...func(*config.Config)) *harness {
	t.Helper()
	return openWith(t, ingest.Run, changes...)
}

func openWith(t *testing.T, run func(context.Context, service.Env) error, changes ...func(*config.Config)) *harness {
	t.Helper()
	cfg := config.Default()
	cfg.Sources = []config.Source{
		providers.NewSource("clickwrap", "acme", "webhook.secrets=12345"),
		providers.NewSource("pleasesign", "plain", "webhook.secrets=test"),
		providers.NewSource("esign-v1", "old", "webhook.token=demo"),
	}
	for _, change := range changes {
		change(&cfg)
	}
	b := servicetest.New(t, cfg)
	h := &harness{js: b.Env.JS, broker: b.Broker, redis: realtest.Redis(t), logged: b.Logged}
	var err error
	if h.client, err = service.ConnectRedis(config.Redis{URL: h.redis.URL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.client.Close() })
	b.Env.Claims = func(o dedupe.Options) dedupe.Store {
		return dedupe.NewGuard(dedupe.NewRedis(h.client, o), event.Log{JS: h.js, Stream: flow.Signing}, b.Env.Gaps, o)
	}
	b.Start(run)
	h.env, h.url = b.Env, b.Listen()
	return h
}

type reply struct {
	status      int
	contentType string
	header      http.Header
	body        map[string]any
}

func (h *harness) post(t *testing.T, path, body string) reply {
	t.Helper()
	return h.send(t, "POST", path, http.Header{"Pactsafe-Webhook-Token": {"12345"}, "Content-Type": {"application/json"}}, strings.NewReader(body))
}

func (h *harness) send(t *testing.T, method, path string, header http.Header, body io.Reader) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, body)
	if err != nil {
		t.Error(err)
		return reply{}
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return reply{}
	}
	defer func() { _ = resp.Body.Close() }()
	r := reply{status: resp.StatusCode, contentType: resp.Header.Get("Content-Type"), header: resp.Header}
	if err := json.NewDecoder(resp.Body).Decode(&r.body); err != nil {
		t.Errorf("%s %s: status %d without JSON: %v", method, path, r.status, err)
	}
	return r
}

func (h *harness) stored(t *testing.T, filter string) []*signingv1.SigningEvent {
	t.Helper()
	var events []*signingv1.SigningEvent
	for m, err := range (event.Log{JS: h.js, Stream: flow.Signing}).Messages(t.Context(), filter, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func (h *harness) count(t *testing.T, stream string) uint64 {
	t.Helper()
	s, err := h.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// registry returns the registry of ingest's metrics.
func (h *harness) registry(t *testing.T) *prometheus.Registry {
	t.Helper()
	registry, ok := h.env.Metrics.(*prometheus.Registry)
	if !ok {
		t.Fatalf("%T", h.env.Metrics)
	}
	return registry
}

// claims returns the keys of ingest's dedupe store.
func (h *harness) claims(t *testing.T) []string {
	t.Helper()
	keys, err := h.client.Keys(t.Context(), "i:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// warm stores another event, so that the dedupe store has its epoch, as in an existing installation.
func (h *harness) warm(t *testing.T) {
	t.Helper()
	if got := h.post(t, "/webhooks/clickwrap/acme", `{"event_type":"test_event","id":"warm"}`); got.status != 202 {
		t.Fatalf("warm: %d %v", got.status, got.body)
	}
}

// idOf stores a callback in a separate environment, and returns its event's id.
func (h *harness) idOf(t *testing.T, body string) string {
	t.Helper()
	reply := open(t).post(t, "/webhooks/clickwrap/acme", body)
	ids, _ := reply.body["ids"].([]any)
	if len(ids) != 1 {
		t.Fatalf("ids of %s: %v", body, reply.body)
	}
	id, _ := ids[0].(string)
	return id
}

// closeDuplicateWindow makes the stream forget its ids, as it does after two minutes.
func (h *harness) closeDuplicateWindow(t *testing.T) {
	t.Helper()
	s, err := h.js.Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	shorten := func() error {
		// The server checks its ids when the setting changes, sometimes a moment before it uses the new value: then it checks again only
		// after the old window. So each change has another value; 100 ms is the shortest that the server accepts.
		cfg.Duplicates = 100*time.Millisecond + (cfg.Duplicates+time.Millisecond)%(2*time.Millisecond)
		_, err := h.js.UpdateStream(t.Context(), cfg)
		return err
	}
	if err := shorten(); err != nil {
		t.Fatal(err)
	}
	probe := &nats.Msg{Subject: "signing.v1.probe.probe.probe.probe._", Header: nats.Header{"Nats-Msg-Id": {"probe"}}}
	ack, err := h.js.PublishMsg(t.Context(), probe)
	if err != nil {
		t.Fatal(err)
	}
	h.until(t, "the window is over", func() bool {
		ack, err = h.js.PublishMsg(t.Context(), probe)
		over := err == nil && !ack.Duplicate
		if !over {
			if err := shorten(); err != nil {
				t.Fatal(err)
			}
		}
		return over
	})
	if err := s.Purge(t.Context(), jetstream.WithPurgeSubject(probe.Subject)); err != nil {
		t.Fatal(err)
	}
}

func (h *harness) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if holds() {
			return
		}
		select {
		case <-t.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("not within 30 s: %s", what)
}
