package contract_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/nats-io/nats.go"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/kfake"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

const topic = "signrelay.signing.v1"

// Every event type occurs in a real instance: all samples, all stories, an undelivered text, opened links, and an outside shortener that
// fails. Only the person without an address is written by the test. Every message of the log and every record in Kafka conforms to
// asyncapi.yaml, and every documented type occurs.
func TestEveryEventIsAsDocumented(t *testing.T) {
	t.Parallel()
	kafka := testenv.Kafka(t, kfake.SeedTopics(1, topic))
	bitly := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusUnauthorized) }))
	t.Cleanup(bitly.Close)
	h := testenv.Standalone(t,
		"SIGNRELAY_KAFKA_BROKERS="+kafka.ListenAddrs()[0], "SIGNRELAY_KAFKA_FORMAT=json",
		"SIGNRELAY_SHORTENER_KIND=bitly", "SIGNRELAY_SHORTENER_BITLY_TOKEN=x", "SIGNRELAY_SHORTENER_BITLY_BASE_URL="+bitly.URL)

	h.InjectFault(t, `{"target":"receipts","mode":"fail","count":1}`)
	sendSamples(t, h)
	playStories(t, h)
	openLinks(t, h)
	suppress(t, h)
	replay(t, h)
	remind(t, h)
	resend(t, h)
	order(t, h)
	eraseOne(t, h)

	asyncapi := read(t, "asyncapi.yaml")
	documented := documentedTypes(t, asyncapi)
	d := documents{
		payload: compile(t, closed(asyncapi).(map[string]any), "#/components/schemas/SigningEvent"),
		alone:   compile(t, closed(read(t, "event.schema.json")).(map[string]any), ""),
		record:  headersOf(t, asyncapi, "json"), headers: map[string]*jsonschema.Schema{},
	}
	for _, typ := range documented {
		d.headers[typ] = headersOf(t, asyncapi, typ)
	}
	address := subjectOf(t, asyncapi)

	seen, stored := map[string]bool{}, map[string]*signingv1.SigningEvent{}
	log := event.Log{JS: h.JetStream(t), Stream: flow.Signing}
	look := func() {
		for m, err := range log.Messages(t.Context(), "signing.v1.>", time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
			e, err := event.Decode(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			seen[e.GetType()], stored[e.GetId()] = true, e
			d.checkMessage(t, address, m.Subject, m.Header, e)
		}
	}
	missing := func() []string {
		return slices.DeleteFunc(slices.Clone(documented), func(typ string) bool { return seen[typ] })
	}
	defer func() {
		if never := missing(); len(never) > 0 {
			t.Errorf("no event of these types: %v", never)
		}
	}()
	h.Until(t, "every documented type has occurred", func() bool { look(); return len(missing()) == 0 || t.Failed() })
	h.Processes["signrelay"].Stop() // the bridge has written everything
	d.checkRecords(t, kafka.ListenAddrs()[0], stored)
}

// documents are the schemas that events must conform to.
type documents struct {
	headers        map[string]*jsonschema.Schema // of a message, by type
	record         *jsonschema.Schema            // headers of a record with a JSON value
	payload, alone *jsonschema.Schema            // of the body: in asyncapi.yaml, and in event.schema.json
}

func (d documents) checkMessage(t *testing.T, address *regexp.Regexp, subject string, header nats.Header, e *signingv1.SigningEvent) {
	t.Helper()
	parts := address.FindStringSubmatch(subject)
	if parts == nil {
		t.Errorf("subject %s is not as documented", subject)
		return
	}
	tokens := map[string]string{}
	for i, name := range address.SubexpNames() {
		tokens[name] = parts[i]
	}
	if got, want := tokens["source"]+" "+tokens["provider"]+" "+tokens["entity"]+"."+tokens["action"], e.GetSource()+" "+e.GetProvider()+" "+e.GetType(); got != want {
		t.Errorf("subject %s, want %s", subject, want)
	}
	schema := d.headers[e.GetType()]
	if schema == nil {
		t.Errorf("asyncapi.yaml has no type %s", e.GetType())
		return
	}
	values := map[string]any{}
	for name := range header {
		if !strings.HasPrefix(name, "Nats-") || name == "Nats-Msg-Id" { // the server adds these when a message is read
			values[name] = header.Get(name)
		}
	}
	if err := schema.Validate(values); err != nil {
		t.Errorf("headers of %s: %v", e.GetType(), err)
	}
	if values["ce-id"] != e.GetId() || values["Nats-Msg-Id"] != e.GetId() {
		t.Errorf("%s has one id in its headers and another in its body", e.GetType())
	}
	text, err := protojson.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	d.checkBody(t, text)
}

func (d documents) checkBody(t *testing.T, text []byte) {
	t.Helper()
	for name, schema := range map[string]*jsonschema.Schema{"asyncapi.yaml": d.payload, "event.schema.json": d.alone} {
		if err := schema.Validate(parse(t, text)); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// checkRecords reads the topic until it has every stored event.
func (d documents) checkRecords(t *testing.T, broker string, stored map[string]*signingv1.SigningEvent) {
	t.Helper()
	consumer, err := sarama.NewConsumer([]string{broker}, sarama.NewConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = consumer.Close() }()
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = partition.Close() }()
	for waiting := maps.Clone(stored); len(waiting) > 0; {
		select {
		case r := <-partition.Messages():
			var e struct {
				ID                  string
				Document, Recipient struct{ ID string }
			}
			if err := json.Unmarshal(r.Value, &e); err != nil {
				t.Fatal(err)
			}
			delete(waiting, e.ID)
			d.checkBody(t, r.Value)
			headers := map[string]any{}
			for _, h := range r.Headers {
				headers[string(h.Key)] = string(h.Value)
			}
			if err := d.record.Validate(headers); err != nil || headers["ce_id"] != e.ID {
				t.Errorf("headers of a record: %v", err)
			}
			if key := event.Public(first(e.Document.ID, e.Recipient.ID, e.ID)); key != string(r.Key) {
				t.Errorf("the key of %s is %s, and %s in the document", e.ID, r.Key, key)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%d events are not in Kafka", len(waiting))
		}
	}
}

// replay makes a stage write a dead letter for an undecodable message, and replays it as an operator does.
func replay(t *testing.T, h *testenv.Env) {
	t.Helper()
	m := nats.NewMsg("notify.v1.send.sms.demo.clickwrap.d1")
	m.Data = []byte("no notification")
	m.Header.Set("Nats-Msg-Id", "unreadable")
	h.Publish(t, m, nil)
	h.Until(t, "there is a dead letter", func() bool { return h.Count(t, flow.DLQ, "dlq.v1.sms-sender") > 0 })
	if output, err := h.Command(t, "dlq", "replay", "--all", "--yes"); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

// remind makes a reminder due that the stories scheduled for a later day.
func remind(t *testing.T, h *testenv.Env) {
	t.Helper()
	document := h.Play(t, "clickwrap", "resend")[0] // it stays unsigned
	h.Until(t, "a reminder is scheduled", func() bool {
		list, err := h.Command(t, "reminders", "list", "--json", document)
		return err == nil && list != ""
	})
	if output, err := h.Command(t, "reminders", "now", "--yes", document); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

// order lets PleaseSign write to a person twice within 30 minutes, which it refuses, and corrects a person who is not on the document.
func order(t *testing.T, h *testenv.Env) {
	t.Helper()
	document := h.Play(t, "pleasesign", "bounced")[0]
	mia := ""
	h.Until(t, "PleaseSign's e-mail has bounced", func() bool {
		for stored, err := range (event.Log{JS: h.JetStream(t), Stream: flow.Signing}).Document(
			t.Context(), event.Signer{Source: "demo", Provider: "pleasesign", Document: document}, []string{event.RecipientUndeliverable}) {
			if err == nil {
				mia = stored.Event.GetRecipient().GetId()
			}
		}
		return mia != ""
	})
	for i, o := range []struct {
		typ, person string
		attributes  map[string]string
	}{
		{event.ResendRequested, mia, map[string]string{event.AttributeChannels: event.ByProvider}},
		{event.ResendRequested, mia, map[string]string{event.AttributeChannels: event.ByProvider}},
		{event.CorrectionRequested, "nobody", nil},
	} {
		m, err := event.Message(t.Context(), &signingv1.SigningEvent{
			Id: event.DerivedID("", fmt.Sprint(o.typ, i), t.Name()), Source: "demo", Provider: "pleasesign", Type: o.typ, OccurredAt: timestamppb.Now(),
			Verification: signingv1.Verification_VERIFICATION_INTERNAL, Document: &signingv1.Document{Id: document}, Attributes: o.attributes,
			Recipient: &signingv1.Recipient{Id: o.person, FirstName: "Mia", LastName: "Kelly", Email: "mia@example.com"},
		})
		h.Publish(t, m, err)
	}
}

// eraseOne holds a document and releases it, and erases another one.
func eraseOne(t *testing.T, h *testenv.Env) {
	t.Helper()
	held, gone := h.Play(t, "pleasesign", "declined")[0], h.Play(t, "pleasesign", "declined")[0]
	for _, line := range [][]string{{"hold", "add", held}, {"hold", "remove", held}, {"erase", gone}} {
		if output, err := h.Command(t, append(line, "--reason", "request 12", "--by", "ops", "--yes")...); err != nil {
			t.Errorf("%v: %v: %s", line, err, output)
		}
	}
}

func first(texts ...string) string {
	return texts[slices.IndexFunc(texts, func(s string) bool { return s != "" })]
}

// subjectOf is the documented address as a regular expression with a group for each parameter.
func subjectOf(t *testing.T, asyncapi map[string]any) *regexp.Regexp {
	t.Helper()
	channel := at(t, asyncapi, "channels", "log")
	expression := regexp.QuoteMeta(at(t, channel, "address").(string))
	for name := range at(t, channel, "parameters").(map[string]any) {
		expression = strings.Replace(expression, `\{`+name+`\}`, `(?P<`+name+`>[A-Za-z0-9_-]+)`, 1)
	}
	if strings.Contains(expression, "{") {
		t.Fatalf("the address has an undocumented parameter: %s", expression)
	}
	return regexp.MustCompile("^" + expression + "$")
}

func sendSamples(t *testing.T, h *testenv.Env) {
	t.Helper()
	for _, p := range providers.All {
		names, err := fs.Glob(p.Samples, "*.http")
		if err != nil || len(names) == 0 {
			t.Fatalf("%s has no samples: %v", p.Name, err)
		}
		for _, name := range names {
			if out, err := h.Command(t, "send", p.Name, strings.TrimSuffix(name, ".http"), "--url", h.IngestURL); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	}
}

func playStories(t *testing.T, h *testenv.Env) {
	t.Helper()
	var stories []struct {
		Provider, Story string
		MovesClock      bool `json:"moves_clock"`
	}
	response := call(t, http.MethodGet, h.SandboxURL+"/api/stories", nil, "")
	if err := json.Unmarshal(response.body, &stories); err != nil || len(stories) == 0 {
		t.Fatalf("%d stories: %v", len(stories), err)
	}
	for _, s := range stories {
		if s.MovesClock { // the later stories would have times in the future
			continue
		}
		// The pause lets the enricher ask the sandbox before a document changes again, so that its people are notified.
		order := fmt.Sprintf(`{"provider":%q,"story":%q,"pause_ms":100}`, s.Provider, s.Story)
		if response := call(t, http.MethodPost, h.SandboxURL+"/api/play", asJSON, order); response.status != http.StatusOK {
			t.Fatalf("%s: %d %s", order, response.status, response.body)
		}
	}
}

// suppress stores the events that no story causes, as the enricher and a sender would. In the stories, each person can be reached, and the
// operator has nothing to fix.
func suppress(t *testing.T, h *testenv.Env) {
	t.Helper()
	unreachable := &notifyv1.Notification{
		Id: event.DerivedID("", flow.Enricher, t.Name()), Source: "demo", Provider: "clickwrap", DocumentId: "unreached",
		Kind: notifyv1.Kind_KIND_INVITATION, To: &notifyv1.Person{RecipientId: "p1"},
	}
	m, err := event.Message(t.Context(), notification.Suppressed(unreachable, flow.Enricher, time.Now(), "no-address"))
	h.Publish(t, m, err)
	m, err = event.Message(t.Context(), notification.Deferred(unreachable, flow.SMSSender, time.Now(), "quota-exceeded", outcome.Operator, ""))
	h.Publish(t, m, err)
	for _, typ := range []string{event.RecipientOptedOut, event.RecipientOptedIn, event.RecipientReplied} {
		m, err := event.Message(t.Context(), &signingv1.SigningEvent{
			Id: event.DerivedID("", typ, t.Name()), Source: "demo", Provider: "clickwrap", Type: typ, OccurredAt: timestamppb.Now(),
			Verification: signingv1.Verification_VERIFICATION_INTERNAL, Recipient: &signingv1.Recipient{Mobile: "+13175551234"},
		})
		h.Publish(t, m, err)
	}
}

var shortLink = regexp.MustCompile(`https?://\S+/l/[a-z2-7]{14}[se]`)

func openLinks(t *testing.T, h *testenv.Env) {
	t.Helper()
	h.Until(t, "links have arrived", func() bool { return len(links(t, h)) >= 5 })
	for _, link := range links(t, h) {
		call(t, http.MethodGet, link, http.Header{"User-Agent": {"WhatsApp/2.23.20"}}, "")
		call(t, http.MethodPost, link, http.Header{"User-Agent": {phone}}, "")
	}
}

func links(t *testing.T, h *testenv.Env) []string {
	t.Helper()
	var found []string
	for _, m := range h.Messages(t) {
		found = append(found, shortLink.FindAllString(m.Text, -1)...)
	}
	return found
}

const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"

// observed is a response.
type observed struct {
	status int
	header http.Header
	body   []byte
}

// call sends a request and follows no redirect.
func call(t *testing.T, method, target string, header http.Header, body string) observed {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	return send(t, req)
}

func send(t *testing.T, req *http.Request) observed {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return observe(t, resp)
}

func observe(t *testing.T, resp *http.Response) observed {
	t.Helper()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return observed{status: resp.StatusCode, header: resp.Header, body: text.Bytes()}
}

// resend sends an invitation again by a plan, to the first person in the log who may still get one.
func resend(t *testing.T, h *testenv.Env) {
	t.Helper()
	js := h.JetStream(t)
	operator := &operate.Operator{JS: js, Ring: keyring.New(nil)}
	var plan operate.Plan
	h.Until(t, "a person may get an invitation again", func() bool {
		for m, err := range (event.Log{JS: js, Stream: flow.Signing}).Messages(t.Context(), event.TypeFilter(event.NotificationRequested), time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
			e, err := event.Decode(m.Data)
			if err != nil || e.GetRecipient().GetId() == "" || e.GetNotice().GetKind() != "invitation" {
				continue
			}
			if plan, err = operator.Plan(t.Context(), operate.Resend, operate.Selection{
				Document:  &operate.Document{Source: e.GetSource(), Provider: e.GetProvider(), ID: e.GetDocument().GetId()},
				Recipient: e.GetRecipient().GetId(),
			}, "ops", "ticket 1"); err == nil {
				return true
			}
		}
		return false
	})
	if _, err := operator.Start(t.Context(), plan.Token, "ops"); err != nil {
		t.Fatal(err)
	}
	if err := (operate.Runner{Operator: operator, Actions: operate.ConsoleActions}).RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
}
