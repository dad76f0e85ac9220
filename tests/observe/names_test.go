package observe_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// endings lists the endings of our metrics' names, by type. A gauge ends in its unit or in the noun that it counts, or is an adjective
// (docs/adr/0009).
var endings = map[string]*regexp.Regexp{
	"counter":   regexp.MustCompile(`_total$`),
	"histogram": regexp.MustCompile(`_(seconds|bytes)$`),
	"gauge":     regexp.MustCompile(`_(seconds|bytes|messages|events|checks|replicas|circuits|documents|nights|info)$|^signrelay_(ready|ingest_without_memory)$`),
}

// labels lists the labels that our metrics may have. Each has few values: names in the settings, or constants in the code.
var labels = []string{
	"component", "service", "version", "check", "degrades", // the program
	"source", "provider", "channel", "kind", "type", "stage", "stream", "shortener", "vendor", "to", "via", "alert",
	"outcome", "reason", "status", "fault", "domain",
	"le", // of histograms
}

var (
	typeLine   = regexp.MustCompile(`(?m)^# TYPE (signrelay_\S+) (\S+)$`)
	sampleLine = regexp.MustCompile(`(?m)^signrelay_[a-z_]+(?:\{(.*)\})? \S+$`)
	label      = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="(?:[^"\\]|\\.)*"`)
)

// After stories and failures, all metrics have proper names, and no label has an id as its value, because Prometheus would then keep one more series for each document.
func TestMetricsAreNamedAlikeAndBounded(t *testing.T) {
	t.Parallel()
	h := testenv.Separate(t)
	kafka := testenv.Kafka(t, kfake.SeedTopics(1, "signrelay.signing.v1"))
	h.StartService(t, "kafka-bridge", "kafka-bridge", "SIGNRELAY_KAFKA_BROKERS="+kafka.ListenAddrs()[0])
	h.InjectFault(t, `{"target":"vonage","mode":"7","count":1}`) // a barred number: the message becomes a dead letter
	if status, _ := h.Callback(t, "POST", "/webhooks/clickwrap/demo", nil, nil, []byte("{}")); status != 401 {
		t.Errorf("an unsigned callback got status %d", status)
	}
	var documents []string
	for _, provider := range []string{"clickwrap", "pleasesign", "esign-v1"} {
		documents = append(documents, h.Play(t, provider, "two-signers")...)
	}
	h.WaitIdle(t)
	h.Until(t, "Kafka has all events", func() bool {
		c, err := h.JetStream(t).Consumer(t.Context(), flow.Signing, flow.KafkaBridge)
		return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
	})
	link := regexp.MustCompile(`http://\S+/l/\S+`).FindString(texts(h.Messages(t)))
	if status, _ := get(t, link); status != 200 {
		t.Errorf("a link of the story got status %d", status)
	}
	ids := idsOf(t, h)
	for _, d := range documents {
		if !slices.Contains(ids, d) {
			t.Errorf("document %s has no event", d)
		}
	}
	if len(documents) < 3 || len(ids) < 20 {
		t.Fatalf("only %d documents and %d ids to look for", len(documents), len(ids))
	}

	for name, p := range h.Processes {
		if name == "nats" || name == "sandbox" { // NATS has its own metrics, and the sandbox replaces outside parties
			continue
		}
		_, body := get(t, p.AdminURL()+"/metrics")
		text := string(body)
		types, samples := typeLine.FindAllStringSubmatch(text, -1), sampleLine.FindAllStringSubmatch(text, -1)
		if len(types) < 3 || len(samples) < len(types) {
			t.Errorf("%s reports only %d metrics, %d samples", name, len(types), len(samples))
		}
		for _, m := range types {
			if is := endings[m[2]]; is == nil || !is.MatchString(m[1]) {
				t.Errorf("%s: %s is not a name for a %s", name, m[1], m[2])
			}
		}
		for _, s := range samples {
			for _, l := range label.FindAllStringSubmatch(s[1], -1) {
				if !slices.Contains(labels, l[1]) {
					t.Errorf("%s: label %s is not in the list of labels: %s", name, l[1], s[0])
				}
			}
		}
		for _, id := range ids {
			if i := strings.Index(text, id); i >= 0 {
				t.Errorf("%s has the id %s in a label: …%s…", name, id, text[max(0, i-100):min(len(text), i+100)])
			}
		}
	}
}

// idsOf returns the ids of all events, their documents and their people, and of all messages.
func idsOf(t *testing.T, h *testenv.Env) (ids []string) {
	t.Helper()
	for m, err := range (event.Log{JS: h.JetStream(t), Stream: flow.Signing}).Messages(t.Context(), "signing.v1.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.GetId(), e.GetDocument().GetId(), e.GetRecipient().GetId())
	}
	for m, err := range (event.Log{JS: h.JetStream(t), Stream: flow.Notify}).Messages(t.Context(), "notify.v1.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.Header.Get("Nats-Msg-Id"))
	}
	slices.Sort(ids)
	return slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return id == "" })
}
