package operate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/quarantine"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Stuck work is grouped by stage and reason, with the number of different people, and its items are listed by pages that do not move.
func TestStuck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.buried(fmt.Sprint("m", i), fmt.Sprint("d", i), fmt.Sprint("person", i%2))
	}
	w.bury(flow.Enricher, event.SubjectOf("acme", "clickwrap", event.DocumentSent, "d1"), "e1", "undecodable", &signingv1.SigningEvent{
		Id: "e1", Type: event.DocumentSent, Document: &signingv1.Document{Id: "d1"},
	})
	w.quarantined("unreadable")
	groups, err := w.operator.Stuck(t.Context(), operate.Filter{})
	w.must(err)
	if groups.Dead != 6 || groups.Quarantined != 1 || groups.Held != 0 || len(groups.Groups) != 3 {
		t.Fatalf("%+v", groups)
	}
	first := groups.Groups[0]
	if first.Stage != flow.EmailSender || first.Count != 5 || first.People != 2 || first.Fault != outcome.Provider || first.Oldest.After(first.Newest) {
		t.Errorf("%+v", first)
	}
	if undecodable := groups.Groups[1]; undecodable.Fault != outcome.Ours {
		t.Errorf("a dead letter that our own program could not read is the fault of %q", undecodable.Fault)
	}
	page, err := os.ReadFile("../../docs/operate.md")
	w.must(err)
	for _, g := range groups.Groups {
		if !strings.Contains(string(page), "](#"+g.Runbook+")") {
			t.Errorf("docs/operate.md has no heading %s", g.Runbook)
		}
	}

	var keys []string
	filter, after := operate.Filter{What: operate.Dead, Stage: flow.EmailSender}, ""
	for {
		got, err := w.operator.Items(t.Context(), filter, after, 2)
		w.must(err)
		for _, i := range got.Items {
			keys = append(keys, i.Key)
		}
		if len(keys) == 2 { // a dead letter of an earlier page goes
			w.do(operate.Drop, operate.Selection{Keys: keys[:1]})
		}
		if after = got.Next; after == "" {
			break
		}
	}
	if len(keys) != 5 || keys[0] >= keys[1] || keys[3] >= keys[4] {
		t.Errorf("the pages have %v", keys)
	}
	whole, err := json.Marshal(groups)
	w.must(err)
	if strings.Contains(string(whole), "example.com") || strings.Contains(string(whole), "Eric") {
		t.Errorf("the groups name a person: %s", whole)
	}
}

// quarantined stores a quarantined callback.
func (w *world) quarantined(why string) uint64 {
	w.Helper()
	ack, err := w.Env.JS.PublishMsg(w.Context(), &nats.Msg{Subject: flow.QuarantineSubject("acme", "clickwrap", why), Data: []byte("{"), Header: nats.Header{
		quarantine.HeaderSource: {"acme"}, quarantine.HeaderProvider: {"clickwrap"}, quarantine.HeaderReason: {why}, quarantine.HeaderMethod: {"POST"},
	}})
	w.must(err)
	return ack.Sequence
}

// A plan's numbers are what then happens: predict, run, compare. Some people have signed meanwhile, some documents have ended, some people do not
// want messages, some messages were sent after all, and the account of a channel may be barred again.
func TestAPlanPredictsWhatLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse = func(*notifyv1.Notification) error { return errRefused }
	w.send()
	const letters = 12
	for i := range letters {
		w.order(invitation(fmt.Sprint("m", i), fmt.Sprint("d", i), fmt.Sprint("p", i)))
	}
	w.until("all are given up", func() bool { return w.Count(flow.DLQ, "dlq.v1.>") == letters })
	w.happened(event.RecipientSigned, "d0", "p0")
	w.happened(event.RecipientDeclined, "d1", "p1")
	w.happened(event.DocumentVoided, "d2", "")
	w.happened(event.DocumentCompleted, "d3", "")
	wishes, err := optout.Open(t.Context(), w.Env.JS, keyring.New(nil))
	w.must(err)
	_, err = wishes.Change(t.Context(), optout.State{Out: true, At: time.Now(), Message: "m"}, optout.Person(event.Signer{Source: "acme", Provider: "clickwrap", Document: "d4", Recipient: "p4"}))
	w.must(err)
	w.happened(event.NotificationSent, "d5", "p5", func(e *signingv1.SigningEvent) {
		e.Notice = &signingv1.Notice{NotificationId: "m5", Kind: "invitation", Channel: "email"}
	})
	w.mend()
	p, j := w.do(operate.Replay, operate.Selection{Filter: dead, Rate: 1000})
	if p.Items != letters || j.Done != letters || j.State != operate.Done {
		t.Fatalf("planned %d of %d, and the job is %+v", p.Items, letters, j)
	}
	w.until("the stage is done with all", func() bool {
		return w.sends()+len(w.events(event.NotificationSuppressed)) == letters-1 // one was sent before
	})
	if p.Messages() != w.sends() || p.People != w.sends() || w.sends() != 6 {
		t.Errorf("the plan says that %d messages leave to %d people; %d left", p.Messages(), p.People, w.sends())
	}
	stays := map[string]int{}
	for _, s := range p.Stays {
		stays[s.Reason] += s.Count
	}
	really := map[string]int{notification.AlreadySent: 1}
	for _, e := range w.events(event.NotificationSuppressed) {
		really[e.GetNotice().GetReason()]++
	}
	if fmt.Sprint(stays) != fmt.Sprint(really) {
		t.Errorf("the plan says that these stay: %v; really %v", stays, really)
	}
	for _, e := range w.events(event.ReplayRequested) {
		if a := e.GetAttributes(); a["by"] != user || a["why"] != reason || a["plan"] != p.ID || a["reason"] == "" {
			t.Errorf("replay.requested has %v", a)
		}
	}
	if all := w.events(event.OperatorActed); len(all) != 1 || all[0].GetAttributes()["action"] != "replay" || all[0].GetAttributes()["count"] != "12" {
		t.Errorf("the log has %v", all)
	}
}

// While the account of a channel is barred, a plan says that its messages would be held again. After the release they leave, as that plan says.
func TestHeldMessagesAreReleasedByAPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse = func(*notifyv1.Notification) error {
		return outcome.NeedsOperator(outcome.Account, "smtp-535", errors.New("535"))
	}
	w.send()
	w.order(invitation("held", "d1", "p1"))
	w.until("it is held", func() bool {
		g, err := w.operator.Stuck(t.Context(), operate.Filter{What: operate.Held})
		w.must(err)
		return g.Held == 1 && g.Groups[0].People == 1 && g.Groups[0].Reason == "smtp-535"
	})
	w.buried("dead", "d2", "p2")
	if p := w.plan(operate.Replay, operate.Selection{Filter: dead}); p.Messages() != 0 || len(p.Held) != 1 || p.Held[0].Reason != "smtp-535" || p.Held[0].Count != 1 {
		t.Errorf("a plan while the account is barred: %+v", p)
	}
	if _, err := w.operator.Plan(t.Context(), operate.Release, operate.Selection{All: true}, user, reason); !errors.As(err, new(*operate.SelectionError)) {
		t.Errorf("a message that is not over a limit can be released alone: %v", err)
	}
	w.mend()
	p, j := w.do(operate.ReleaseChannels, operate.Selection{Channels: []string{"email"}})
	if p.Messages() != 1 || j.Done != 1 {
		t.Errorf("%+v, %+v", p, j)
	}
}

// A token starts its plan once, for the user who made it, while it holds, and while its items are as the plan saw them. Otherwise nothing is done.
func TestTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		w.buried(fmt.Sprint("m", i), fmt.Sprint("d", i), "p")
	}
	all := operate.Selection{Filter: dead}
	nothing := func(what string) {
		t.Helper()
		if replayed, acted := w.Count(flow.Replay, ">"), w.Count(flow.Signing, event.TypeFilter(event.OperatorActed)); replayed+acted != 0 {
			t.Errorf("%s: %d replays and %d events", what, replayed, acted)
		}
	}
	p := w.plan(operate.Replay, all)
	if _, err := w.operator.Start(t.Context(), p.Token, "another"); !errors.Is(err, operate.ErrOthersPlan) {
		t.Errorf("another user: %v", err)
	}
	if _, err := w.operator.Start(t.Context(), p.Token+"x", user); !errors.Is(err, operate.ErrNoPlan) {
		t.Errorf("another token: %v", err)
	}
	if _, err := w.operator.Start(t.Context(), p.ID, user); !errors.Is(err, operate.ErrNoPlan) {
		t.Errorf("the id of the plan in place of its token: %v", err)
	}
	w.ahead.Add(int64(operate.PlanHolds + time.Second))
	if _, err := w.operator.Start(t.Context(), p.Token, user); !errors.Is(err, operate.ErrNoPlan) {
		t.Errorf("after %s: %v", operate.PlanHolds, err)
	}
	p = w.plan(operate.Replay, all)
	stream, err := w.Env.JS.Stream(t.Context(), flow.DLQ)
	w.must(err)
	w.must(stream.DeleteMsg(t.Context(), 1))
	_, err = w.operator.Start(t.Context(), p.Token, user)
	if changed := new(operate.ChangedError); !errors.As(err, &changed) || err.Error() != "The plan does not hold any more: 1 of 3 left since. Nothing was done." {
		t.Errorf("an item that left: %v", err)
	}
	nothing("a refused start")
	w.must(w.runner().RunOnce(t.Context()))
	nothing("a refused start, and a runner")

	p = w.plan(operate.Replay, all)
	w.start(p)
	if _, err := w.operator.Start(t.Context(), p.Token, user); !errors.Is(err, operate.ErrPlanStarted) {
		t.Errorf("a token again: %v", err)
	}
	w.must(w.runner().RunOnce(t.Context()))
	if _, err := w.operator.Start(t.Context(), p.Token, user); !errors.Is(err, operate.ErrPlanStarted) {
		t.Errorf("a token again after the end of its job: %v", err)
	}
	if n := w.Count(flow.Replay, ">"); n != 2 {
		t.Errorf("%d are replayed, want 2", n)
	}
	if left := w.Count("KV_"+flow.Jobs, "$KV.JOBS.work.>"); w.job(p.ID).State != operate.Done {
		t.Errorf("the job is not done, with %d works", left)
	}
}

func TestSelections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buried("m", "d", "p")
	key := []string{fmt.Sprintf("dead.%020d", 1)}
	for name, c := range map[string]struct {
		action operate.Action
		s      operate.Selection
		by     string
		why    string
	}{
		"nothing":                   {operate.Replay, operate.Selection{}, user, reason},
		"keys and a filter":         {operate.Replay, operate.Selection{Keys: key, Filter: dead}, user, reason},
		"another kind":              {operate.ReplayCallbacks, operate.Selection{Filter: dead}, user, reason},
		"no reason":                 {operate.Replay, operate.Selection{All: true}, user, " "},
		"no user":                   {operate.Replay, operate.Selection{All: true}, "", reason},
		"an address as the reason":  {operate.Replay, operate.Selection{All: true}, user, "for eric@example.com"},
		"an unknown action":         {"explode", operate.Selection{All: true}, user, reason},
		"a rate":                    {operate.Replay, operate.Selection{All: true, Rate: 1001}, user, reason},
		"none matches":              {operate.Replay, operate.Selection{Filter: operate.Filter{Stage: "enricher"}}, user, reason},
		"a repair without content":  {operate.Repair, operate.Selection{Keys: key}, user, reason},
		"no document":               {operate.Resend, operate.Selection{}, user, reason},
		"a key that does not exist": {operate.Drop, operate.Selection{Keys: []string{fmt.Sprintf("dead.%020d", 99)}}, user, reason},
	} {
		if _, err := w.operator.Plan(t.Context(), c.action, c.s, c.by, c.why); !errors.As(err, new(*operate.SelectionError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A dropped dead letter is an event of its document, and is gone with its advisory.
func TestDrop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.buried("m", "d", "p")
	w.quarantined("unreadable")
	_, j := w.do(operate.Drop, operate.Selection{All: true})
	_, callbacks := w.do(operate.DropCallbacks, operate.Selection{All: true})
	if j.Done != 1 || callbacks.Done != 1 || w.Count(flow.DLQ, ">") != 0 || w.Count(flow.Quarantine, ">") != 0 || w.Count(flow.Replay, ">") != 0 {
		t.Errorf("%+v, %+v", j, callbacks)
	}
	var dropped []string
	for _, e := range w.events(event.OperatorActed) {
		a := e.GetAttributes()
		if a["by"] != user || a["reason"] != reason || a["plan"] == "" {
			t.Errorf("%v", a)
		}
		dropped = append(dropped, a["action"]+" "+e.GetDocument().GetId())
	}
	if got := strings.Join(dropped, ","); strings.Count(got, "drop ") != 2 || !strings.Contains(got, "drop d") || strings.Count(got, "drop-callbacks") != 2 {
		t.Errorf("the log has %s", got)
	}
}

func TestQuarantinedCallbacksAreReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.quarantined("unreadable")
	w.quarantined("unreadable")
	w.operator.Callback = func(_ context.Context, h nats.Header, _ []byte, _ operate.CallbackRepair) (string, error) {
		if h.Get(quarantine.HeaderSource) != "acme" {
			t.Error("not the stored header")
		}
		if w.ahead.Add(1) == 1 {
			return "", &operate.UnreadableError{Err: errors.New("still")}
		}
		return "stored e1", nil
	}
	_, j := w.do(operate.ReplayCallbacks, operate.Selection{Filter: operate.Filter{What: operate.Quarantined}})
	if j.Done != 1 || j.Failed != 1 || j.Failures["unreadable"] != 1 || w.Count(flow.Quarantine, ">") != 1 {
		t.Errorf("%+v", j)
	}
}

// A repaired dead letter must be readable and keep its id. The plan shows the difference, and the stage gets the new content.
func TestRepair(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	number := w.buried("m", "d", "p")
	key := []string{fmt.Sprintf("dead.%020d", number)}
	n := invitation("m", "d", "p")
	text, err := operate.Readable(notification.SendSubject(n), encoded(t, n))
	w.must(err)
	body, err := operate.Encoded(notification.SendSubject(n), strings.Replace(text, "p@example.com", "q@example.com", 1))
	w.must(err)
	for name, wrong := range map[string][]byte{
		"not readable":     []byte("\xff"),
		"another id":       encoded(t, invitation("m2", "d", "p")),
		"another document": encoded(t, invitation("m", "d2", "p")),
	} {
		if _, err := w.operator.Plan(t.Context(), operate.Repair, operate.Selection{Keys: key, Body: wrong}, user, reason); !errors.As(err, new(*operate.SelectionError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, j := w.do(operate.Repair, operate.Selection{Keys: key, Body: body})
	if diff := strings.Join(p.Diff, "\n"); !strings.Contains(diff, "q@example.com") || len(p.Diff) > 4 || j.Done != 1 {
		t.Errorf("the difference is\n%s\n%+v", diff, j)
	}
	stream, err := w.Env.JS.Stream(t.Context(), flow.Replay)
	w.must(err)
	m, err := stream.GetMsg(t.Context(), 1)
	w.must(err)
	if string(m.Data) != string(body) || w.events(event.ReplayRequested)[0].GetAttributes()["repaired"] != "true" {
		t.Error("the stage does not get the repaired content")
	}
}

func encoded(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// An invitation is sent again only to a person who may still sign.
func TestResend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := &operate.Document{Source: "acme", Provider: "clickwrap", ID: "d"}
	for _, person := range []string{"waits", "signed"} {
		w.happened(event.NotificationRequested, "d", person, func(e *signingv1.SigningEvent) {
			e.Notice = &signingv1.Notice{NotificationId: person, Kind: "invitation", Channel: "email"}
		})
	}
	w.happened(event.RecipientSigned, "d", "signed")
	for person, want := range map[string]string{"signed": event.OverSigned, "stranger": operate.NotListed} {
		_, err := w.operator.Plan(t.Context(), operate.Resend, operate.Selection{Document: d, Recipient: person}, user, reason)
		if refused := new(operate.RefusedError); !errors.As(err, &refused) || refused.Reason != want {
			t.Errorf("%s: %v, want %s", person, err, want)
		}
	}
	selection := operate.Selection{Document: d, Recipient: "waits"}
	p, _ := w.do(operate.Resend, selection)
	if len(p.Leaves) != 1 || p.Leaves[0].Channel != "email" || p.Messages() != 1 {
		t.Errorf("%+v", p)
	}
	w.do(operate.Resend, selection)
	asked := w.events(event.ResendRequested)
	if len(asked) != 2 || asked[0].GetId() == asked[1].GetId() || asked[0].GetAttributes()["channels"] != "email" || asked[0].GetRecipient().GetId() != "waits" {
		t.Fatalf("%v", asked)
	}
	late := w.plan(operate.Resend, selection)
	w.happened(event.DocumentVoided, "d", "", func(e *signingv1.SigningEvent) { e.OccurredAt = timestamppb.New(time.Now()) })
	if _, err := w.operator.Start(t.Context(), late.Token, user); !errors.As(err, new(*operate.ChangedError)) {
		t.Errorf("the document ended after the plan: %v", err)
	}
}

// A person whom the provider invites gets the provider's own message once more, not more often than the provider accepts it.
func TestResendByTheProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := &operate.Document{Source: "acme", Provider: "pleasesign", ID: "d"}
	invited := func(person string, at time.Time) {
		w.happened(event.RecipientSent, "d", person, func(e *signingv1.SigningEvent) { e.Provider, e.OccurredAt = "pleasesign", timestamppb.New(at) })
	}
	now := time.Now().Truncate(time.Second)
	invited("early", now.Add(-31*time.Minute))
	invited("late", now.Add(-29*time.Minute))
	p, _ := w.do(operate.Resend, operate.Selection{Document: d, Recipient: "early"})
	if asked := w.events(event.ResendRequested); !p.AtProvider || len(asked) != 1 || asked[0].GetAttributes()["channels"] != event.ByProvider || asked[0].GetId() != p.Order() {
		t.Errorf("%+v: %v", p, asked)
	}
	if got := p.Summary(); got != "The provider sends its own message to 1 person once more." {
		t.Errorf("%q", got)
	}
	for name, c := range map[string]struct {
		of     operate.Selection
		reason string
		says   string
	}{
		"too soon": {
			operate.Selection{Document: d, Recipient: "late"}, operate.TooSoon,
			now.Add(time.Minute + time.Minute - time.Nanosecond).UTC().Format("15:04 UTC"),
		},
		"an API without it": {
			operate.Selection{Document: &operate.Document{Source: "acme", Provider: "clickwrap", ID: "d"}, Recipient: "p", Channels: []string{event.ByProvider}},
			operate.NotSupported, "Clickwrap sends no message on request",
		},
	} {
		w.happened(event.RecipientSent, "d", "p")
		_, err := w.operator.Plan(t.Context(), operate.Resend, c.of, user, reason)
		if refused := new(operate.RefusedError); !errors.As(err, &refused) || refused.Reason != c.reason || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s", name, err, c.says)
		}
	}
	mixed := operate.Selection{Document: d, Recipient: "early", Channels: []string{"sms", event.ByProvider}}
	if _, err := w.operator.Plan(t.Context(), operate.Resend, mixed, user, reason); !errors.As(err, new(*operate.SelectionError)) {
		t.Errorf("the provider and a channel: %v", err)
	}
}

// A correction is one event with the details, by whom and why. The plan and the job have the details only until the job ends.
func TestCorrect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := &operate.Document{Source: "acme", Provider: "pleasesign", ID: "d"}
	own := &operate.Document{Source: "acme", Provider: "clickwrap", ID: "d"}
	for _, d := range []*operate.Document{at, own} {
		for _, person := range []string{"waits", "signed"} {
			w.happened(event.RecipientSent, "d", person, func(e *signingv1.SigningEvent) {
				e.Provider = d.Provider
				e.Recipient.FirstName, e.Recipient.LastName, e.Recipient.Email = "Jayne", "Doe", "jayne@example.com"
			})
		}
	}
	w.happened(event.RecipientSigned, "d", "signed", func(e *signingv1.SigningEvent) { e.Provider = at.Provider })
	to := &pack.Details{FirstName: "Jane", LastName: "Doe", Email: "jane@example.com", Mobile: "+61491570313"}
	was := &pack.Details{FirstName: "Jayne", LastName: "Doe", Email: " jayne@example.com"}
	for name, c := range map[string]struct {
		of     operate.Selection
		reason string // empty for a mistake in the selection
	}{
		"signed":          {operate.Selection{Document: at, Recipient: "signed", Details: to}, event.OverSigned},
		"a stranger":      {operate.Selection{Document: at, Recipient: "stranger", Details: to}, operate.NotListed},
		"nothing changed": {operate.Selection{Document: at, Recipient: "waits", Details: was}, operate.Unchanged},
		"no person":       {operate.Selection{Document: at, Details: to}, ""},
		"no details":      {operate.Selection{Document: at, Recipient: "waits"}, ""},
		"no last name":    {operate.Selection{Document: at, Recipient: "waits", Details: &pack.Details{FirstName: "Jane", Email: "jane@example.com"}}, ""},
		"not for this provider": {
			operate.Selection{Document: at, Recipient: "waits", Details: &pack.Details{FirstName: "Jane", LastName: "Doe", Email: "jane@example.com", Mobile: "+13175551234"}}, "",
		},
	} {
		_, err := w.operator.Plan(t.Context(), operate.Correct, c.of, user, reason)
		refused := new(operate.RefusedError)
		if c.reason == "" && !errors.As(err, new(*operate.SelectionError)) || c.reason != "" && (!errors.As(err, &refused) || refused.Reason != c.reason) {
			t.Errorf("%s: %v", name, err)
		}
	}

	p, j := w.do(operate.Correct, operate.Selection{Document: at, Recipient: "waits", Details: to})
	asked := w.events(event.CorrectionRequested)
	if len(asked) != 1 || asked[0].GetId() != j.OrderOf() || asked[0].GetAttributes()["by"] != user || asked[0].GetAttributes()["reason"] != reason {
		t.Fatalf("%v", asked)
	}
	if who := asked[0].GetRecipient(); who.GetId() != "waits" || who.GetFirstName() != "Jane" || who.GetEmail() != to.Email || who.GetMobile() != to.Mobile {
		t.Errorf("%v", who)
	}
	if !p.AtProvider || !strings.HasPrefix(p.Summary(), "The provider corrects the person") {
		t.Errorf("%+v: %s", p, p.Summary())
	}
	if p := w.plan(operate.Correct, operate.Selection{Document: own, Recipient: "waits", Details: to}); p.AtProvider || !strings.HasPrefix(p.Summary(), "The messages of Signrelay go") {
		t.Errorf("%+v: %s", p, p.Summary())
	}
	changed := w.plan(operate.Correct, operate.Selection{Document: own, Recipient: "waits", Details: to})
	w.happened(event.RecipientSigned, "d", "waits")
	if _, err := w.operator.Start(t.Context(), changed.Token, user); !errors.As(err, new(*operate.ChangedError)) {
		t.Errorf("the person signed after the plan: %v", err)
	}
}

// What became of an order is said in one sentence. The provider's explanation is only for a reader of personal data.
func TestOutcomeWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := operate.Document{Source: "acme", Provider: "clickwrap", ID: "d"}
	outcome := func(typ string, attributes ...string) func(string) {
		return func(order string) {
			w.happened(typ, "d", "p", func(e *signingv1.SigningEvent) {
				e.Attributes = map[string]string{event.AttributeOrder: order}
				for i := 0; i < len(attributes); i += 2 {
					e.Attributes[attributes[i]] = attributes[i+1]
				}
			})
		}
	}
	notice := func(typ, channel, reason string) func(string) {
		return func(order string) {
			w.happened(typ, "d", "p", func(e *signingv1.SigningEvent) {
				e.Notice = &signingv1.Notice{NotificationId: channel, Kind: "invitation", Channel: channel, Reason: reason, EventId: order}
			})
		}
	}
	outcome(event.RecipientCorrected, "scope", event.AtProvider)("another order")
	if all, err := w.operator.Outcome(t.Context(), d, "order"); err != nil || len(all) != 0 {
		t.Fatalf("the outcome of another order counts: %v, %v", all, err)
	}
	refused := outcome(event.CorrectionRefused, "reason", "refused", "message", "jane@example.com is unknown.")
	notMade, made := notice(event.NotificationSuppressed, "sms", "no-address"), notice(event.NotificationRequested, "email", "")
	for n, c := range []struct {
		happens []func(order string)
		want    string
		done    bool
	}{
		{nil, "", false},
		{[]func(string){notMade}, "The invitation is not sent again: not by text (no address).", false},
		{[]func(string){notMade, made}, "The invitation is on its way once more by e-mail. Not by text (no address).", true},
		{[]func(string){refused}, "The person is not corrected: PleaseSign did not accept it.", false},
		{[]func(string){outcome(event.ResendRefused, "reason", "provider-silent")}, "The invitation is not sent again: PleaseSign sends no messages to the person.", false},
		{[]func(string){outcome(event.RecipientResent)}, "PleaseSign sent its message to the person once more.", true},
		{[]func(string){outcome(event.RecipientCorrected, "scope", event.AtProvider)}, "The person is corrected at PleaseSign. The new invitation is on its way.", true},
		{[]func(string){outcome(event.RecipientCorrected, "scope", event.OwnMessages)}, "The person is corrected for the messages of Signrelay, not at PleaseSign. The new invitation is on its way.", true},
	} {
		order := fmt.Sprint("order ", n)
		for _, f := range c.happens {
			f(order)
		}
		all, err := w.operator.Outcome(t.Context(), d, order)
		w.must(err)
		if text, done := operate.OutcomeWords(all, "PleaseSign", false); text != c.want || done != c.done {
			t.Errorf("%q, %v, want %q", text, done, c.want)
		}
		if text, _ := operate.OutcomeWords(all, "PleaseSign", true); strings.Contains(c.want, "accept it") && !strings.HasSuffix(text, "accept it: jane@example.com is unknown.") {
			t.Errorf("%q", text)
		}
	}
}

// A hold, its end and an erasure are events of their document, and an erasure of a held document is refused.
func TestDocuments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.happened(event.DocumentSent, "d", "")
	of := operate.Selection{Document: &operate.Document{Source: "acme", Provider: "clickwrap", ID: "d"}}
	if _, j := w.do(operate.HoldDocument, of); j.Done != 1 || len(w.events(event.DocumentHeld)) != 1 {
		t.Errorf("%+v", j)
	}
	_, err := w.operator.Plan(t.Context(), operate.Erase, of, user, reason)
	if refused := new(operate.RefusedError); !errors.As(err, &refused) || refused.Reason != operate.UnderHold {
		t.Errorf("a held document: %v", err)
	}
	w.do(operate.ReleaseDocument, of)
	if released := w.events(event.DocumentReleased); len(released) != 1 || released[0].GetAttributes()["by"] != user {
		t.Errorf("%v", released)
	}
	if p := w.plan(operate.Erase, of); len(p.Places) == 0 || p.Places[0].Name != flow.Signing {
		t.Errorf("%+v", p.Places)
	}
	_, err = w.operator.Plan(t.Context(), operate.ArchiveAgain, of, user, reason)
	if refused := new(operate.RefusedError); !errors.As(err, &refused) || refused.Reason != operate.NotCompleted {
		t.Errorf("a document that is not completed: %v", err)
	}
	w.happened(event.DocumentCompleted, "d", "")
	for range 2 {
		w.do(operate.ArchiveAgain, of)
	}
	if n := w.Count(flow.Replay, "replay.v1.archiver.>"); n != 2 {
		t.Errorf("the archiver gets the document %d times, want 2", n)
	}
}
