package operate_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

const user, reason = "ops", "ticket 17"

// world is an installation with an operator. Its senders run only after send.
type world struct {
	*servicetest.Bench
	*testing.T
	operator *operate.Operator
	ahead    atomic.Int64

	mu     sync.Mutex
	refuse func(*notifyv1.Notification) error // nil accepts every message
	sent   map[string]int                     // by the message's id
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Bench: servicetest.New(t, config.Config{Sources: []config.Source{{Name: "acme", Provider: "clickwrap"}}}), T: t, sent: map[string]int{}}
	w.operator = w.another(w.Env.JS)
	return w
}

// another returns the operator's part of another process.
func (w *world) another(js jetstream.JetStream) *operate.Operator {
	return &operate.Operator{JS: js, Ring: keyring.New(nil), Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }}
}

func (w *world) runner() operate.Runner {
	return operate.Runner{Operator: w.operator, Actions: operate.Actions}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// send runs the sender of e-mails.
func (w *world) send() {
	w.Helper()
	links, err := notification.NewLinks("https://s.example.com", "")
	w.must(err)
	w.Start(func(ctx context.Context, env service.Env) error {
		return notification.Sender{Links: links, Vendor: "vendor", Send: func(_ context.Context, n *notifyv1.Notification) (notification.Receipt, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.refuse != nil {
				if err := w.refuse(n); err != nil {
					return notification.Receipt{}, err
				}
			}
			w.sent[n.GetId()]++
			return notification.Receipt{Reference: "ref"}, nil
		}}.Deliver(ctx, env, servicetest.RetrySoon(flow.EmailSender))
	})
}

func (w *world) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse = nil
}

func (w *world) sends() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, times := range w.sent {
		n += times
	}
	return n
}

var anHourAgo = time.Now().Add(-time.Hour)

// invitation returns an invitation of a person by e-mail.
func invitation(id, document, person string) *notifyv1.Notification {
	at := timestamppb.New(anHourAgo)
	return &notifyv1.Notification{
		Id: id, EventId: "cause-" + id, Source: "acme", Provider: "clickwrap", DocumentId: document, DocumentTitle: "NDA",
		Kind: notifyv1.Kind_KIND_INVITATION, Channel: notifyv1.Channel_CHANNEL_EMAIL, OccurredAt: at, RecordedAt: at,
		To: &notifyv1.Person{RecipientId: person, FirstName: "Eric", Email: person + "@example.com"},
	}
}

// order publishes a message for its sender.
func (w *world) order(n *notifyv1.Notification) {
	w.Helper()
	w.Publish(notification.Message(w.Context(), notification.SendSubject(n), n.GetId(), n))
}

// happened stores an event of a document.
func (w *world) happened(eventType, document, person string, change ...func(*signingv1.SigningEvent)) *signingv1.SigningEvent {
	w.Helper()
	e := &signingv1.SigningEvent{
		Source: "acme", Provider: "clickwrap", Type: eventType, OccurredAt: timestamppb.Now(), Verification: signingv1.Verification_VERIFICATION_HMAC,
		Document: &signingv1.Document{Id: document},
	}
	if person != "" {
		e.Recipient = &signingv1.Recipient{Id: person}
	}
	for _, f := range change {
		f(e)
	}
	e.Id = event.OccurrenceID(e, document, person, time.Now().Format(time.RFC3339Nano))
	w.Publish(event.Message(w.Context(), e))
	return e
}

// bury stores a dead letter of a stage, with the server's advisory, and returns its number.
func (w *world) bury(stage, subject, id, why string, content proto.Message) uint64 {
	w.Helper()
	data, err := proto.Marshal(content)
	w.must(err)
	stream := flow.StageNamed(stage).Stream
	place := strconv.Itoa(int(w.ahead.Add(1)))
	ack, err := w.Env.JS.PublishMsg(w.Context(), &nats.Msg{Subject: "dlq.v1." + stage, Data: data, Header: nats.Header{
		"Signrelay-Dlq-Stage": {stage}, "Signrelay-Dlq-Reason": {why}, "Signrelay-Dlq-Fault": {map[string]string{"permanent": "provider"}[why]}, "Signrelay-Dlq-Attempts": {"1"}, "Signrelay-Dlq-Id": {id},
		"Signrelay-Dlq-Stream": {stream}, "Signrelay-Dlq-Sequence": {place}, "Signrelay-Dlq-Subject": {subject},
		"Signrelay-Dlq-Header-Nats-Msg-Id": {id},
	}})
	w.must(err)
	_, err = w.Env.JS.Publish(w.Context(), "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED."+stream+"."+stage,
		fmt.Appendf(nil, `{"consumer":%q,"stream":%q,"stream_seq":%s}`, stage, stream, place))
	w.must(err)
	return ack.Sequence
}

// buried stores the dead letter of an invitation.
func (w *world) buried(id, document, person string) uint64 {
	w.Helper()
	n := invitation(id, document, person)
	return w.bury(flow.EmailSender, notification.SendSubject(n), id, "permanent", n)
}

func (w *world) plan(action operate.Action, s operate.Selection) operate.Plan {
	w.Helper()
	p, err := w.operator.Plan(w.Context(), action, s, user, reason)
	w.must(err)
	return p
}

func (w *world) start(p operate.Plan) operate.Job {
	w.Helper()
	j, err := w.operator.Start(w.Context(), p.Token, user)
	w.must(err)
	return j
}

// do plans, starts and runs an action to its end.
func (w *world) do(action operate.Action, s operate.Selection) (operate.Plan, operate.Job) {
	w.Helper()
	p := w.plan(action, s)
	w.start(p)
	w.must(w.runner().RunOnce(w.Context()))
	return p, w.job(p.ID)
}

func (w *world) job(id string) operate.Job {
	w.Helper()
	j, err := w.operator.Job(w.Context(), id)
	w.must(err)
	return j
}

// events returns the events of a type.
func (w *world) events(eventType string) (all []*signingv1.SigningEvent) {
	w.Helper()
	for m, err := range (event.Log{JS: w.Env.JS, Stream: flow.Signing}).Messages(w.Context(), event.TypeFilter(eventType), time.Time{}) {
		w.must(err)
		e, err := event.Decode(m.Data)
		w.must(err)
		all = append(all, e)
	}
	return all
}

// until waits for a condition.
func (w *world) until(what string, is func() bool) {
	w.Helper()
	end := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(end) {
			w.Fatalf("not in time: %s\nlog:\n%s", what, w.Logged)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-w.Context().Done():
			w.Fatal(what)
		}
	}
}

var errRefused = outcome.Refused(outcome.Provider, "broken", errors.New("refused"))

var dead = operate.Filter{What: operate.Dead}
