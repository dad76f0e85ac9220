// Package month plays a month of documents in seconds. The services run with a clock that the test moves from hour to hour, and the test
// publishes the scheduled messages that the NATS server would publish at that time.
package month

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	emailsender "github.com/signrelay/signrelay/services/email-sender"
	"github.com/signrelay/signrelay/services/enricher"
	"github.com/signrelay/signrelay/services/ingest"
	"github.com/signrelay/signrelay/services/reminder"
	"github.com/signrelay/signrelay/services/shortener"
	smssender "github.com/signrelay/signrelay/services/sms-sender"
)

const settings = `
sources:
  - {name: demo, provider: clickwrap, webhook: {secrets: ["12345"]}, api: {base_url: %[1]q, token: t, per_minute: 600000},
     notify: {kinds: [invitation, progress, completed, reminder]}, reminders: {per_minute: 100000}}
sms: {vonage: {api_key: month000, api_secret: s, from: "13175550100", base_url: %[1]q, per_second: 1000,
  signature_secret: month, signature_method: sha256}}
master_key: the-master-key-of-at-least-32-characters
email: {from: no-reply@signrelay.example, smtp: {host: %[2]q, port: %[3]s, tls: none}}
shortener: {public_url: "https://links.example"}
limits: {countries: ["*"], person_per_day: 0, number_per_hour: 0, document: 0, source_per_day: 0}
`

// stand is the services and their world.
type stand struct {
	*servicetest.Bench
	*world
	t      *testing.T
	ingest string
	clock  atomic.Pointer[time.Time]
	later  map[string]*scheduled // by subject

	followers []*follower
	inputs    map[string]uint64 // the sequence of each stage's last input
}

// scheduled is a message that the NATS server would publish later.
type scheduled struct {
	at  time.Time
	msg *nats.Msg // on its target
}

func start(t *testing.T, begin time.Time) *stand {
	t.Helper()
	s := &stand{t: t, later: map[string]*scheduled{}, inputs: map[string]uint64{}}
	s.clock.Store(&begin)
	now := func() time.Time { return *s.clock.Load() }
	s.world = newWorld(t, now)
	host, port, err := net.SplitHostPort(s.mail.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cfg, _ := servicetest.Load(t, fmt.Sprintf(settings, s.api.URL, host, port), nil)
	s.Bench = servicetest.New(t, cfg)
	s.Env.Now = now
	metrics := s.Env.Metrics
	for name, run := range map[string]func(context.Context, service.Env) error{
		"ingest": ingest.Run, "enricher": enricher.Run, "shortener": shortener.Run, "sms-sender": smssender.Run, "email-sender": emailsender.Run,
		"reminder": reminder.Run,
	} {
		s.Env.Metrics = prometheus.WrapRegistererWith(prometheus.Labels{"component": name}, metrics)
		s.Start(run)
	}
	s.ingest = s.Listen()
	for _, name := range streams {
		s.followers = append(s.followers, s.follow(name))
	}
	return s
}

// callback reports an event of the provider.
func (s *stand) callback(kind, document, signer string) {
	s.t.Helper()
	at := s.now().UTC().Format(time.RFC3339)
	body := fmt.Sprintf(`{"event_type":%q,"request":%q,"signer":%q,"activity":"%[1]s-%[2]s-%[3]s","id":"%[1]s-%[2]s-%[3]s","created_time":%[4]q}`, kind, document, signer, at)
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.ingest+"/webhooks/clickwrap/demo", bytes.NewReader([]byte(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Pactsafe-Webhook-Token", "12345")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		s.t.Fatalf("%s of %s: status %d", kind, document, resp.StatusCode)
	}
}

// reply sends a person's text to the SMS sender, as Vonage does.
func (s *stand) reply(p person, text string) {
	s.t.Helper()
	now := s.now().UTC()
	form := url.Values{
		"msisdn": {strings.TrimPrefix(p.number, "+")}, "to": {"13175550100"}, "messageId": {text + p.id()}, "text": {text}, "type": {"text"},
		"message-timestamp": {now.Format(time.DateTime)}, "timestamp": {strconv.FormatInt(time.Now().Unix(), 10)}, "nonce": {p.id()},
	}
	mac := hmac.New(sha256.New, []byte("month"))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		fmt.Fprintf(mac, "&%s=%s", name, form.Get(name))
	}
	form.Set("sig", hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.PostForm(s.ingest+"/inbound/vonage/demo", form) // one listener has all routes
	if err != nil {
		s.t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s of %s: status %d %s", text, p.id(), resp.StatusCode, body)
	}
}

// settle waits until all stages have done all their work. The server adds a message to a consumer a moment after it confirms the message. So a
// stage is done if it got the last message on its subjects, and has none pending and none in flight.
func (s *stand) settle() {
	s.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for s.busy() || s.read() { // a stage publishes its outputs before it is done
		if time.Now().After(deadline) {
			s.t.Fatalf("the stages still work after a minute; the log ends with:\n%s", tail(s.Logged.String()))
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *stand) busy() bool {
	s.t.Helper()
	for _, place := range stages {
		consumer, err := s.Env.JS.Consumer(s.t.Context(), place.Stream, place.Name)
		if err != nil {
			s.t.Fatal(err)
		}
		is := consumer.CachedInfo()
		if is.NumPending > 0 || is.NumAckPending > 0 || is.Delivered.Stream < s.inputs[place.Name] {
			return true
		}
	}
	return false
}

func tail(text string) string { return text[max(0, len(text)-4000):] }

// stages are those that run, and streams the streams that they read.
var (
	stages  = slices.DeleteFunc(slices.Clone(flow.Stages), func(place flow.Stage) bool { return place.Optional })
	streams = func() []string {
		var names []string
		for _, place := range stages {
			names = append(names, place.Stream)
		}
		return slices.Compact(slices.Sorted(slices.Values(names)))
	}()
)

// follower reads a stream from its beginning.
type follower struct {
	stream   jetstream.Stream
	consumer jetstream.Consumer
	seen     uint64 // the last sequence
}

func (s *stand) follow(name string) *follower {
	s.t.Helper()
	stream, err := s.Env.JS.Stream(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(s.t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		s.t.Fatal(err)
	}
	return &follower{stream: stream, consumer: consumer}
}

// read reads what the streams got since the last call, and reports whether there was anything.
func (s *stand) read() (found bool) {
	s.t.Helper()
	for _, f := range s.followers {
		is, err := f.stream.Info(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		for last := is.State.LastSeq; f.seen < last; {
			found = true
			batch, err := f.consumer.FetchNoWait(1000)
			if err != nil {
				s.t.Fatal(err)
			}
			before := f.seen
			for m := range batch.Messages() {
				is, err := m.Metadata()
				if err != nil {
					s.t.Fatal(err)
				}
				f.seen = is.Sequence.Stream
				s.take(m, is)
			}
			if batch.Error() != nil {
				s.t.Fatal(batch.Error())
			}
			if f.seen == before {
				if _, err := f.stream.GetMsg(s.t.Context(), last); errors.Is(err, jetstream.ErrMsgNotFound) { // it was replaced
					f.seen = last
				}
			}
		}
	}
	return found
}

// take notes the last input of each stage, and a schedule, or the end of one: a message on the same subject.
func (s *stand) take(m jetstream.Msg, is *jetstream.MsgMetadata) {
	for _, place := range stages {
		if place.Stream == is.Stream && slices.ContainsFunc(place.Consumes, func(filter string) bool { return server.SubjectMatchesFilter(m.Subject(), filter) }) {
			s.inputs[place.Name] = is.Sequence.Stream
		}
	}
	at, scheduledFor := flow.ScheduledAt(m.Headers())
	if !scheduledFor {
		delete(s.later, m.Subject())
		return
	}
	if m.Headers().Get("Signrelay-Times") != "" { // senders give the time by the clock of the server
		at = at.Add(s.now().Sub(is.Timestamp)).Round(time.Minute)
	}
	s.later[m.Subject()] = &scheduled{at, flow.DueMessage(m)}
}

// fire publishes the messages that are due by now, as the server does, and reports whether there was one.
func (s *stand) fire() bool {
	s.t.Helper()
	s.read()
	fired := false
	for subject, one := range s.later {
		if one.at.After(s.now()) {
			continue
		}
		if _, err := s.Env.JS.PublishMsg(s.t.Context(), one.msg); err != nil {
			s.t.Fatal(err)
		}
		delete(s.later, subject)
		fired = true
	}
	return fired
}

// TestAMonth compares the messages of a month with those of a model that knows only the documentation.
func TestAMonth(t *testing.T) {
	t.Parallel()
	count := 40
	if os.Getenv("SIGNRELAY_TEST_FAULTS") == "all" {
		count = 1000
	}
	// The server must not publish a schedule by itself, so the month begins tomorrow.
	begin := time.Now().Add(24 * time.Hour).UTC().Truncate(24 * time.Hour)
	documents := history(t, count, rand.New(rand.NewPCG(1, uint64(count))))
	s := start(t, begin)
	for _, d := range documents {
		s.add(d.people)
	}
	for hour := range hours {
		at := begin.Add(time.Duration(hour) * slot)
		s.clock.Store(&at)
		happened, replied := false, false
		for _, d := range documents {
			for i, p := range d.people {
				if d.stops[i] == hour {
					s.reply(p, "Stop!")
					replied = true
				}
				if d.starts[i] == hour {
					s.reply(p, "START")
					replied = true
				}
			}
		}
		for _, d := range documents {
			switch who := slices.Index(d.signs[:], hour); {
			case d.sent == hour:
				s.callback("request_sent", d.id, "")
			case d.expires == hour:
				s.callback("request_expired", d.id, "")
			case who >= 0:
				s.sign(d.id, who)
				s.callback("request_signed", d.id, d.people[who].id())
				if d.completes == hour {
					s.callback("request_complete", d.id, "")
				}
			default:
				continue
			}
			happened = true
		}
		if happened || replied {
			s.settle()
		}
		for s.fire() {
			s.settle()
		}
	}
	s.compare(expected(begin, documents))
}

// timeline logs what the log says about a document.
func (s *stand) timeline(document string) {
	s.t.Helper()
	for m, err := range (event.Log{JS: s.Env.JS, Stream: flow.Signing}).Messages(s.t.Context(), event.DocumentFilter(document), time.Time{}) {
		if err != nil {
			s.t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Logf("%s %s %s %s %s %v", event.Time(e).Format("02 Jan 15:04"), e.GetType(), e.GetRecipient().GetId(), e.GetNotice().GetKind(), e.GetNotice().GetReason(), e.GetAttributes())
	}
}

// compare requires that exactly the messages of the list left.
func (s *stand) compare(want []message) {
	s.t.Helper()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, text := range s.odd {
		s.t.Errorf("a message of no known kind left: %.200s", text)
	}
	left := map[message]int{}
	for _, m := range want {
		left[m]++
	}
	for _, m := range s.sent {
		left[m]--
	}
	wrong := 0
	for m, n := range left {
		if n == 0 {
			continue
		}
		if wrong++; wrong <= 20 {
			s.t.Errorf("%d times too few (-: too often): %v", n, m)
		}
		if wrong <= 3 {
			s.timeline(m.document)
		}
	}
	s.t.Logf("%d messages left, the model has %d, %d differ", len(s.sent), len(want), wrong)
}
