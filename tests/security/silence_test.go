package security

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/signrelay/signrelay/libs/realtest"
)

// All people of the story, with the texts that only they may read.
var personal = []string{
	"Thessaly", "Quillfeather", "thessaly.q@signer.example", "13175550177", "sign.provider.example/s/7f3e9a", // Clickwrap's
	"Bartholomew", "Ravensworth", "bart.r@signer.example", "61491570157", "signingurl-4c1d", // PleaseSign's
	"Philippa", "Umberland", "pippa.u@signer.example", "447700900177", "newlink-88e2", // the eSignature API's
	"deed.of.q@owner.example", "61491570156", "Ottoline", "ottoline.v@signer.example", "447700900178", // ids, and a query
}

// Ids that a person has chosen at the provider.
var personalIDs = []string{"deed.of.q@owner.example", "61491570156", "+447700900178", "Ottoline Vexley"}

// Titles of documents may contain texts that only their people should read.
var titles = []string{"Termination-of-Quillfeather", "Custody-of-Ravensworth", "Debt-of-Umberland"}

// wholeStory has every case that could leak a text: messages on both channels, opened links, a receipt, an unreadable callback, a refused
// one, an API that fails, and a text that becomes a dead letter.
func wholeStory(t *testing.T, s *stand) {
	const source = "story"
	s.world.respondJSON("/v1.1/requests/story-cw", clickwrapRequest(titles[0], signer{
		ID: "cw1", First: "Thessaly", Last: "Quillfeather", Email: "thessaly.q@signer.example", Mobile: "+13175550177",
		SigningURL: "https://sign.provider.example/s/7f3e9a",
	}, signer{ID: "cw2", First: "Other", Email: "other@signer.example"}))
	s.world.respondJSON("/document/story-ps", pleasesignDocument(titles[1], person{
		ID: "ps1", First: "Bartholomew", Last: "Ravensworth", Email: "bart.r@signer.example", Mobile: "61491570157",
	}))
	s.world.respondJSON("/recipient/ps1/signingurl", map[string]string{"url": "https://sign.provider.example/signingurl-4c1d"})
	s.world.respondJSON("/api/v1/document/story-es/", esignDocument(titles[2], party{
		ID: "es1", First: "Philippa", Last: "Umberland", Email: "pippa.u@signer.example", Tel: "+447700900177",
	}))
	s.world.response("/api/v1/signer/es1/new-link/", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Location", "https://sign.provider.example/newlink-88e2")
		rw.WriteHeader(http.StatusCreated)
	})
	about := `"first_name":"Bartholomew","last_name":"Ravensworth","email":"bart.r@signer.example","mobile":"61491570157",`
	s.accepts(t, "clickwrap", clickwrap(source, clickwrapSent("story-cw")))
	s.accepts(t, "pleasesign", pleasesign(source, strings.Replace(pleasesignSent("story-ps"), "{", "{"+about, 1)))
	s.accepts(t, "esign", s.esignAll(source, esignSent("story-es")))
	for document, messages := range map[string]int{"story-cw": 3, "story-ps": 2, "story-es": 2} {
		s.settled(t, document, messages)
	}
	s.accepts(t, "signed", clickwrap(source, `{"event_type":"request_signed","request":"story-cw","signer":"cw1","id":"e2","description":"Thessaly Quillfeather signed"}`))
	s.settled(t, "story-cw", 4)

	for title, address := range map[string]string{titles[0]: "7f3e9a", titles[1]: "signingurl-4c1d", titles[2]: "newlink-88e2"} {
		texts := s.world.textsWith(title)
		if len(texts) == 0 {
			t.Fatalf("no text about %s", title)
		}
		link := regexp.MustCompile(`http\S+`).FindString(texts[0]["text"])
		if a := s.click(t, link); !strings.Contains(a.header.Get("Location"), address) {
			t.Errorf("the link leads to %d %q", a.status, a.header.Get("Location"))
		}
		sent := signedReceipt(receipt(texts[0]["client-ref"]))
		if a, err := call(http.MethodPost, "http://"+s.Address("SIGNRELAY_RECEIPTS_ADDR")+"/receipts/vonage/story",
			http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, strings.NewReader(form(sent))); err != nil || a.status != http.StatusOK {
			t.Errorf("the receipt: %d %v", a.status, err)
		}
	}

	for i, id := range personalIDs {
		for _, other := range personalIDs {
			s.accepts(t, "a document and a person with personal ids", clickwrap(source, fmt.Sprintf(`{"event_type":"activity_visited","request":%q,"signer_id":%q,"id":"ids-%d-%[2]s"}`, id, other, i)))
			s.accepts(t, "the same of PleaseSign", pleasesign(source, fmt.Sprintf(`{"event":"recipient.opened","document_id":%q,"id":"ids-%d-%[3]s","recipient_id":%[3]q}`, id, i, other)))
		}
	}
	s.accepts(t, "a person alone", s.esignAll(source, `[{"timestamp":"2026-01-02T03:04:05","name":"status","value":"15","resource_uri":"/api/v1/signer/ottoline.v@signer.example/"}]`))
	byGET := clickwrap(source, "")
	byGET.method, byGET.query = http.MethodGet, "event_type=activity_visited&id=q1&email=ottoline.v@signer.example&name=Ottoline&mobile=447700900178&x=100%"
	byGET.header.Set("X-Original-Uri", "/?"+byGET.query)
	if a := s.send(t, byGET); a.fields["status"] != "quarantined" {
		t.Errorf("a query that cannot be read: %d %s", a.status, a.text)
	}

	// Failures are logged.
	forged := pleasesign(source, "{"+about+`"id":"x"}`)
	forged.header.Set("X-Pleasesign-Signature", hmacOf("another", "x"))
	s.refuses(t, "a forged callback", forged, http.StatusUnauthorized)
	unreadable := pleasesign(source, "{"+about)
	if a := s.send(t, unreadable); a.fields["status"] != "quarantined" {
		t.Errorf("a callback cut in two: %d %s", a.status, a.text)
	}
	inPath := clickwrap("thessaly.q@signer.example", clickwrapSent("x"))
	s.refuses(t, "an address for a source", inPath, http.StatusNotFound)
	s.world.response("/v1.1/requests/story-fails", func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(rw, `{"error":"Thessaly Quillfeather <thessaly.q@signer.example> has no 13175550177"}`)
	})
	s.accepts(t, "a document that its API fails on", clickwrap(source, clickwrapSent("story-fails")))
	s.Until(t, "its input is a dead letter", func() bool { return s.buried(t, "enricher", "story-fails") == 1 })
	s.world.response("/v1.1/requests/story-babble", func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, `{"signers": "Thessaly Quillfeather", thessaly.q@signer.example`)
	})
	s.accepts(t, "a document whose API writes names into its error", clickwrap(source, clickwrapSent("story-babble")))
	s.Until(t, "it is requested twice", func() bool { return len(s.world.requestsAbout("story-babble")) >= 2 })
	if a := s.click(t, s.links()+"thessalyquillf"); a.status != http.StatusNotFound {
		t.Errorf("a made-up link: %d", a.status)
	}
}

// silence looks for every personal text, secret and link of the story in everything that is not a payload: each process's output and
// metrics, the subjects and headers of every stream, Redis, and the responses to strangers.
func silence(t *testing.T, s *stand) {
	secrets := []string{clickwrapAPIToken, pleasesignAPIKey, pleasesignAPISecret, esignAPISecret, vonageSecret, receiptSecret}
	for _, name := range append(sources, "plain") {
		secrets = append(secrets, token(name))
	}
	var codes []string
	s.each(t, "NOTIFY", "notify.v1.send.>", func(m *jetstream.RawStreamMsg) {
		codes = append(codes, regexp.MustCompile(regexp.QuoteMeta(s.links())+`[a-z2-7]{14}`).FindAllString(string(m.Data), -1)...)
	})
	for i := range codes {
		codes[i] = strings.TrimPrefix(codes[i], s.links())
	}
	if len(codes) < 5 {
		t.Errorf("only %d links to look for", len(codes))
	}
	secretTexts := append(append(append([]string{}, personal...), titles...), append(secrets, codes...)...)

	quiet := func(where, text string) {
		for _, secretText := range secretTexts {
			if i := strings.Index(strings.ToLower(text), strings.ToLower(secretText)); i >= 0 {
				t.Errorf("%s contains %q: …%s…", where, secretText, text[max(0, i-200):min(len(text), i+200)])
			}
		}
	}
	for name, p := range s.Processes {
		if output := p.Output(); name == "nats" || strings.Contains(output, `"level":"INFO"`) {
			quiet("the output of "+name, output)
		} else {
			t.Errorf("%s printed nothing", name)
		}
		if name != "nats" {
			quiet("the metrics of "+name, s.metrics(t, name))
		}
	}
	payloads := ""
	for _, stream := range []string{"SIGNING", "NOTIFY", "QUARANTINE", "DLQ"} {
		s.each(t, stream, ">", func(m *jetstream.RawStreamMsg) {
			quiet("a subject of "+stream, m.Subject)
			quiet("the headers of "+stream, fmt.Sprint(m.Header))
			payloads += string(m.Data)
		})
	}
	quiet("Redis", s.remembered(t))
	quiet("Kafka's keys and headers", s.keysInKafka(t))
	for _, args := range [][]string{
		{"tail", "--no-follow"}, {"timeline", personalIDs[0]}, {"quarantine", "list"}, {"quarantine", "list", "--json"}, {"dlq", "list"}, {"dlq", "list", "--json"}, {"held", "list"},
	} {
		output, err := s.Command(t, args...)
		if err != nil || output == "" && args[0] != "held" {
			t.Errorf("%q: %v: %s", args, err, output)
		}
		if args[0] == "timeline" {
			output = strings.ReplaceAll(output, personalIDs[0], "") // the argument of the command
		}
		quiet(strings.Join(args, " "), output)
	}
	s.responses.mutex.Lock()
	for _, text := range s.responses.texts {
		quiet("a response", text)
	}
	s.responses.mutex.Unlock()

	// The control: every text was in a payload.
	for _, text := range append(personal[:4], titles...) {
		if !strings.Contains(payloads, text) {
			t.Errorf("no payload contains %q", text)
		}
	}
}

// keysInKafka returns all keys and headers of the topic's records.
func (s *stand) keysInKafka(t *testing.T) string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka), kgo.ConsumeTopics("signrelay.signing.v1"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var all strings.Builder
	want, found := s.stored(t, "signing.v1.>")-s.Count(t, "DLQ", "dlq.v1.kafka-bridge"), 0 // an event can be too large for Kafka
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for found < want && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			found++
			fmt.Fprintf(&all, "%s %v\n", r.Key, func() (texts []string) {
				for _, h := range r.Headers {
					texts = append(texts, h.Key+"="+string(h.Value))
				}
				return texts
			}())
		})
	}
	if found < want {
		t.Errorf("Kafka has %d records of %d", found, want)
	}
	return all.String()
}

// metrics returns the metrics of a process.
func (s *stand) metrics(t *testing.T, process string) string {
	t.Helper()
	a, err := call(http.MethodGet, s.Processes[process].AdminURL()+"/metrics", nil, nil)
	if err != nil || a.status != http.StatusOK || !strings.Contains(a.text, "go_goroutines") {
		t.Fatalf("the metrics of %s: %d %v", process, a.status, err)
	}
	return a.text
}

// gauge returns a metric of a process without labels.
func (s *stand) gauge(t *testing.T, process, name string) float64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(s.metrics(t, process))
	if found == nil {
		t.Fatalf("%s has no metric %s", process, name)
	}
	figure, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return figure
}

// remembered returns all keys and values in Redis.
func (s *stand) remembered(t *testing.T) string {
	t.Helper()
	client := realtest.RedisClient(t, s.Redis.URL)
	var all strings.Builder
	keys := client.Scan(t.Context(), 0, "*", 1000).Iterator()
	found := 0
	for ; keys.Next(t.Context()); found++ {
		fmt.Fprintln(&all, keys.Val(), client.Get(t.Context(), keys.Val()).Val())
	}
	if err := keys.Err(); err != nil || found < 10 {
		t.Errorf("%d keys in Redis: %v", found, err)
	}
	return all.String()
}
