package operate_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/prices"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func heldByTheAccount(*notifyv1.Notification) error {
	return outcome.NeedsOperator(outcome.Account, "smtp-535", errors.New("535"))
}

var order = operate.Order{By: user, Reason: reason}

// A plan that its own process runs has the words, the items and the events of one that becomes a job.
func TestPrepared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.buried("m1", "d1", "p1"), w.buried("m2", "d2", "p1")
	w.bury(flow.Enricher, event.SubjectOf("acme", "clickwrap", event.DocumentSent, "d3"), "e3", "undecodable", &signingv1.SigningEvent{
		Id: "e3", Type: event.DocumentSent, Document: &signingv1.Document{Id: "d3"},
	})
	p, err := w.operator.Prepare(t.Context(), operate.Replay, operate.Selection{Filter: dead}, order)
	w.must(err)
	if p.Summary() != "2 e-mails to 1 person leave. 1 event goes to the enricher, which asks the provider whether more messages follow." || p.Notes() != nil {
		t.Errorf("%s %v", p.Summary(), p.Notes())
	}
	var rows []string
	for _, r := range p.Rows {
		rows = append(rows, fmt.Sprint(r.Group(), " ", r.Count, " ", r.Text()))
	}
	if got, want := strings.Join(rows, "; "), "enricher 1 document.sent, for the recipients that the provider returns; email-sender 2 invitation by email, to 1 person"; got != want {
		t.Errorf("the rows are %s, want %s", got, want)
	}
	if p.Items != 3 || p.Name(0) != fmt.Sprint("number ", one) {
		t.Errorf("%d items, the first is %s", p.Items, p.Name(0))
	}
	// One of them leaves before its turn.
	w.do(operate.Drop, operate.Selection{Keys: []string{operate.Key(operate.Dead, two)}})
	w.must(p.Begin(t.Context()))
	var outcomes []operate.Outcome
	for i := range p.Items {
		done, err := p.Do(t.Context(), i)
		w.must(err)
		outcomes = append(outcomes, done)
	}
	if want := []operate.Outcome{{}, {Gone: true}, {}}; !reflect.DeepEqual(outcomes, want) {
		t.Errorf("%+v, want %+v", outcomes, want)
	}
	if n := w.Count(flow.Replay, ">"); n != 2 || w.Count(flow.DLQ, ">") != 0 {
		t.Errorf("%d are replayed", n)
	}
	acted := w.events(event.OperatorActed)
	if a := acted[len(acted)-1].GetAttributes(); a["by"] != user || a["reason"] != reason || a["action"] != "replay" || a["count"] != "3" {
		t.Errorf("operator.acted has %v", a)
	}
	if a := w.events(event.ReplayRequested)[0].GetAttributes(); a["by"] != user || a["why"] != reason {
		t.Errorf("replay.requested has %v", a)
	}

	none, err := w.operator.Prepare(t.Context(), operate.Replay, operate.Selection{Keys: []string{operate.Key(operate.Dead, one)}}, order)
	if err != nil || none.Items != 0 || len(none.Missing) != 1 || operate.Number(none.Missing[0]) != one {
		t.Errorf("%+v, %v", none, err)
	}
	for name, wrong := range map[string]operate.Order{"nobody": {Reason: reason}, "no reason": {By: user}, "an address": {By: user, Reason: "a@example.com"}} {
		if _, err := w.operator.Prepare(t.Context(), operate.Replay, operate.Selection{Filter: dead}, wrong); !errors.As(err, new(*operate.SelectionError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A dead letter of which only the server's advisory is left can be dropped, and not replayed.
func TestPreparedNamesWhatIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ack, err := w.Env.JS.Publish(t.Context(), "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.NOTIFY.email-sender", []byte(`{"consumer":"email-sender","stream":"NOTIFY","stream_seq":77}`))
	w.must(err)
	p, err := w.operator.Prepare(t.Context(), operate.Replay, operate.Selection{Filter: dead}, order)
	w.must(err)
	if p.Items != 0 || !reflect.DeepEqual(p.Lost, []string{operate.Key(operate.Dead, ack.Sequence)}) {
		t.Errorf("%+v", p.Plan)
	}
	if _, j := w.do(operate.Drop, operate.Selection{Filter: dead}); j.Done != 1 || w.Count(flow.DLQ, ">") != 0 {
		t.Errorf("%+v", j)
	}
}

// A callback's repair replaces its body or its query, and the result says what was stored.
func TestPreparedCallbacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.quarantined("not-json"), w.quarantined("not-json")
	w.operator.Callback = func(_ context.Context, _ nats.Header, _ []byte, repair operate.CallbackRepair) (string, error) {
		if string(repair.Query) == "a=b" && repair.Body == nil {
			return "stored e1", nil
		}
		return "", &operate.UnreadableError{Err: errors.New("still not JSON")}
	}
	p, err := w.operator.Prepare(t.Context(), operate.ReplayCallbacks, operate.Selection{Keys: []string{operate.Key(operate.Quarantined, second), operate.Key(operate.Quarantined, 99)}}, order)
	w.must(err)
	if len(p.Rows) != 1 || p.Rows[0].Group() != "acme/clickwrap" || p.Rows[0].Text() != "not-json" || len(p.Missing) != 1 {
		t.Errorf("%+v", p.Plan)
	}
	if done, err := p.Do(t.Context(), 0); err != nil || done.Failure != "unreadable" || done.Detail != "still not JSON" {
		t.Errorf("%+v, %v", done, err)
	}
	p, err = w.operator.Prepare(t.Context(), operate.RepairCallback, operate.Selection{Keys: []string{operate.Key(operate.Quarantined, first)}, Query: []byte("a=b")}, order)
	w.must(err)
	if done, err := p.Do(t.Context(), 0); err != nil || done.Detail != "stored e1" || w.Count(flow.Quarantine, ">") != 1 {
		t.Errorf("%+v, %v", done, err)
	}
}

// What a plan says, as text.
func TestWords(t *testing.T) {
	t.Parallel()
	known, err := prices.Parse("EUR", []string{"AU=0.045"})
	if err != nil {
		t.Fatal(err)
	}
	cost := func(texts ...string) *prices.Cost {
		c := new(prices.Cost)
		for _, country := range texts {
			c.Add(known, country, 2)
		}
		return c
	}
	unknown := cost("AU")
	unknown.AddUnknown()
	for name, c := range map[string]struct {
		plan operate.Plan
		want string
	}{
		"nothing leaves": {operate.Plan{Action: operate.Replay}, "No message leaves now."},
		"two channels": {
			operate.Plan{Action: operate.Replay, Leaves: []operate.Leaving{{Channel: "sms", Messages: 3, People: 2, Cost: cost("AU", "AU", "AU")}, {Channel: "email", Messages: 1, People: 1}}},
			"3 texts to 2 people and 1 e-mail to 1 person leave. The texts have 6 parts, about 0.27 EUR.",
		},
		"no price":      {operate.Plan{Leaves: []operate.Leaving{{Channel: "sms", Messages: 1, People: 1, Cost: cost("GB")}}}, "1 text to 1 person leaves. The text has 2 parts."},
		"mixed":         {operate.Plan{Leaves: []operate.Leaving{{Channel: "sms", Messages: 2, People: 1, Cost: cost("GB", "AU")}}}, "2 texts to 1 person leave. The texts have 4 parts, about 0.09 EUR and 2 parts without a price."},
		"not made yet":  {operate.Plan{Leaves: []operate.Leaving{{Channel: "sms", Messages: 2, People: 1, Cost: unknown}}}, "2 texts to 1 person leave. The texts have 2 parts, about 0.09 EUR; the length of 1 text is not known."},
		"events":        {operate.Plan{Events: 2}, "No message leaves now. 2 events go to the enricher, which asks the provider whether more messages follow."},
		"stay":          {operate.Plan{Stays: []operate.Staying{{Channel: "sms", Reason: "signed", Count: 1}, {Channel: "email", Reason: "too-new", Count: 2}}}, "No message leaves now. Not sent: 1 text, because the person has signed since. Not sent: 2 e-mails, because too new."},
		"held":          {operate.Plan{Held: []operate.Staying{{Channel: "sms", Reason: "no-money", Count: 15}}}, "No message leaves now. 15 texts would be held at once: no money. They leave when the cause is fixed."},
		"a large one":   {operate.Plan{Leaves: []operate.Leaving{{Channel: "email", Messages: 12_345, People: 1_412}}, Waits: 1, Unknown: 2, Unforeseen: 2_345}, "12,345 e-mails to 1,412 people leave. 1 message of these waits for the end of the quiet hours. The outcome of 2 is unknown: the stage checks the log first, and marks a message that it sends again as a possible duplicate. Whether 2,345 messages of these still leave was not looked up: a plan looks up 10,000."},
		"drop":          {operate.Plan{Action: operate.Drop}, "They are removed for good. No message leaves for them."},
		"a new channel": {operate.Plan{Leaves: []operate.Leaving{{Channel: "pigeon", Messages: 1, People: 1}}}, "1 message to 1 person leaves."},
	} {
		if got := strings.Join(append([]string{c.plan.Summary()}, c.plan.Notes()...), " "); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
	for _, a := range operate.Actions {
		if verb, noun := a.Words(); verb == "" || noun == "" {
			t.Errorf("%s has no words", a)
		}
	}
}

// text returns a dead letter of a text to that number.
func text(t *testing.T, number uint64, mobile string) stage.DeadLetter {
	t.Helper()
	n := &notifyv1.Notification{
		Id: "n", DocumentId: "a.b", Kind: notifyv1.Kind_KIND_INVITATION, Channel: notifyv1.Channel_CHANNEL_SMS,
		To: &notifyv1.Person{RecipientId: "r1", FirstName: "Eric", Mobile: mobile},
	}
	return stage.DeadLetter{Number: number, Stage: "sms-sender", Reason: "permanent", Input: stage.Input{
		ID: "n", Subject: "notify.v1.send.sms.acme.clickwrap.YS5i", Stream: "NOTIFY", Sequence: number, Data: encoded(t, n),
	}}
}

func TestTheLogRecordsAReplay(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	l := text(t, 1, "+13175551234")
	m, err := operate.ReplayRequested(t.Context(), l, order, at, false)
	if err != nil {
		t.Fatal(err)
	}
	e, err := event.Decode(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "signing.v1.acme.clickwrap.replay.requested.YS5i" || e.GetDocument().GetId() != "a.b" || e.GetRecipient().GetId() != "r1" ||
		!event.Time(e).Equal(at) || e.GetProviderType() != "" || e.GetAttributes()["stage"] != "sms-sender" ||
		e.GetAttributes()["reason"] != "permanent" || e.GetAttributes()["replay"] != "1" || e.GetAttributes()["by"] != user {
		t.Errorf("%s: %v", m.Subject, e)
	}
	if strings.Contains(string(m.Data), "1317") || strings.Contains(string(m.Data), "Eric") {
		t.Error("it contains a number or a name")
	}
	again, err := operate.ReplayRequested(t.Context(), l, order, at.Add(time.Hour), false)
	if err != nil || again.Header.Get("Nats-Msg-Id") != m.Header.Get("Nats-Msg-Id") {
		t.Errorf("the same replay, repeated, is another event: %v", err)
	}
	l.Replays = 1
	second, err := operate.ReplayRequested(t.Context(), l, order, at, false)
	if err != nil || second.Header.Get("Nats-Msg-Id") == m.Header.Get("Nats-Msg-Id") {
		t.Errorf("the second replay is the same event as the first: %v", err)
	}
}

func TestTheLogRecordsTheReplayOfAnUnreadableMessage(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]string{
		"notify.v1.send.email.acme.clickwrap.d1":     "signing.v1.acme.clickwrap.replay.requested.d1",
		"notify.v1.link.acme.clickwrap.d1":           "signing.v1.acme.clickwrap.replay.requested.d1",
		"signing.v1.acme.clickwrap.document.sent.d1": "signing.v1.acme.clickwrap.replay.requested.d1",
		"signing.v1.acme.clickwrap.document.sent._":  "signing.v1.acme.clickwrap.replay.requested._",
		"notify.v1.send.email":                       "signing.v1._._.replay.requested._",
		"elsewhere":                                  "signing.v1._._.replay.requested._",
	} {
		l := stage.DeadLetter{Number: 1, Stage: flow.EmailSender, Input: stage.Input{ID: "g", Subject: subject, Data: []byte("\xff")}}
		m, err := operate.ReplayRequested(t.Context(), l, order, time.Now(), false)
		if err != nil || m.Subject != want {
			t.Errorf("%s: %v, %v; want %s", subject, m, err, want)
		}
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	l := text(t, 2, "+13175551234")
	l.Buried = time.Now()
	for name, c := range map[string]struct {
		which operate.Filter
		want  bool
	}{
		"any":              {operate.Filter{}, true},
		"all four":         {operate.Filter{What: operate.Dead, Stage: "sms-sender", Reason: "permanent", Source: "acme", Since: l.Buried}, true},
		"another kind":     {operate.Filter{What: operate.Held}, false},
		"another stage":    {operate.Filter{Stage: "enricher"}, false},
		"another reason":   {operate.Filter{Reason: "panic"}, false},
		"another source":   {operate.Filter{Source: "other"}, false},
		"another provider": {operate.Filter{Provider: "pleasesign"}, false},
		"another document": {operate.Filter{Document: "a.c"}, false},
		"its document":     {operate.Filter{Document: "a.b"}, true},
		"its channel":      {operate.Filter{Channel: "sms"}, true},
		"another channel":  {operate.Filter{Channel: "email"}, false},
		"beyond a limit":   {operate.Filter{Limit: true}, false},
		"since later":      {operate.Filter{Since: l.Buried.Add(1)}, false},
	} {
		if got := c.which.HasDead(l); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Who asks for a reconciliation, and why, is in the log.
func TestAskReconciliation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.operator.AskReconciliation(t.Context(), "clickwrap", "acme", time.Time{}, operate.Order{By: user}); !errors.As(err, new(*operate.SelectionError)) {
		t.Errorf("without a reason: %v", err)
	}
	state, err := w.Env.JS.KeyValue(t.Context(), flow.State)
	w.must(err)
	if _, err := state.Get(t.Context(), flow.ReconcileAsked("clickwrap", "acme")); err == nil || len(w.events(event.OperatorActed)) != 0 {
		t.Error("a refused request is stored")
	}
	asked, err := w.operator.AskReconciliation(t.Context(), "clickwrap", "acme", anHourAgo, order)
	w.must(err)
	stored, err := state.Get(t.Context(), flow.ReconcileAsked("clickwrap", "acme"))
	if err != nil || !strings.Contains(string(stored.Value()), asked.ID) {
		t.Errorf("the request %s is stored as %v, %v", asked.ID, stored, err)
	}
	all := w.events(event.OperatorActed)
	if len(all) != 1 || all[0].GetSource() != "acme" || all[0].GetAttributes()["action"] != "reconcile" || all[0].GetAttributes()["by"] != user || all[0].GetAttributes()["reason"] != reason {
		t.Errorf("the log has %v", all)
	}
}
