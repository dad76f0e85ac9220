package operate_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
)

// listed returns everything that an operator lists, as text without the time of the look.
func (w *world) listed(o *operate.Operator, f operate.Filter) string {
	w.Helper()
	groups, page, err := o.List(w.Context(), f, "", operate.MostOnPage)
	w.must(err)
	groups.At = anHourAgo
	text, err := json.MarshalIndent([]any{groups, page}, "", " ")
	w.must(err)
	return string(text)
}

// An operator that keeps what it has read lists the same as one that reads all: dead letters come in, with and without the server's advisory and stored
// twice, and leave in each way.
func TestWhatIsKeptIsWhatIsStuck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keeps, plain := w.another(w.Env.JS), w.another(w.Env.JS)
	keeps.Remember = true
	random := rand.New(rand.NewPCG(1, 2))
	var dead, callbacks []uint64
	advisory := func(sequence int) {
		_, err := w.Env.JS.Publish(t.Context(), "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.NOTIFY."+flow.EmailSender,
			fmt.Appendf(nil, `{"consumer":%q,"stream":"NOTIFY","stream_seq":%d}`, flow.EmailSender, sequence))
		w.must(err)
	}
	remove := func(stream string, number uint64) {
		s, err := w.Env.JS.Stream(t.Context(), stream)
		w.must(err)
		w.must(s.DeleteMsg(t.Context(), number))
	}
	actions := []func(n int){
		func(n int) {
			dead = append(dead, w.buried(fmt.Sprint("m", n), fmt.Sprint("d", n%7), fmt.Sprint("p", n%3)))
		},
		func(n int) {
			dead = append(dead, w.buried(fmt.Sprint("m", n), fmt.Sprint("d", n%7), fmt.Sprint("p", n%3)))
		},
		func(n int) {
			dead = append(dead, w.buried(fmt.Sprint("m", n), fmt.Sprint("d", n%7), fmt.Sprint("p", n%3)))
		},
		func(n int) {
			dead = append(dead, w.buried(fmt.Sprint("m", n), fmt.Sprint("d", n%7), fmt.Sprint("p", n%3)))
		},
		func(int) { callbacks = append(callbacks, w.quarantined("unreadable")) },
		func(n int) { advisory(10_000 + n) },        // only the server gave up
		func(int) { advisory(int(w.ahead.Load())) }, // once more about the last one
		func(int) { // an operator drops one
			if len(dead) > 0 {
				i := random.IntN(len(dead))
				w.do(operate.Drop, operate.Selection{Keys: []string{operate.Key(operate.Dead, dead[i])}})
				dead = append(dead[:i], dead[i+1:]...)
			}
		},
		func(int) { // an erasure removes the dead letter, and its advisory stays
			if len(dead) > 0 {
				i := random.IntN(len(dead))
				remove(flow.DLQ, dead[i])
				dead = append(dead[:i], dead[i+1:]...)
			}
		},
		func(int) {
			if len(callbacks) > 0 {
				remove(flow.Quarantine, callbacks[0])
				callbacks = callbacks[1:]
			}
		},
	}
	for n := range 80 {
		actions[random.IntN(len(actions))](n)
		if random.IntN(3) > 0 {
			continue // several changes between two looks
		}
		for _, f := range []operate.Filter{{}, {What: operate.Dead}, {Document: "d1"}, {Stage: flow.EmailSender, Reason: "permanent"}, {What: operate.Quarantined, Source: "acme"}} {
			if got, want := w.listed(keeps, f), w.listed(plain, f); got != want {
				t.Fatalf("after %d changes, %+v: it keeps\n%s\nreally\n%s", n, f, got, want)
			}
		}
	}
	if len(dead) < 3 {
		t.Fatal("the test needs more dead letters")
	}
	// A plan of a few reads only these. It is the same plan.
	for _, s := range []operate.Selection{{Filter: operate.Filter{What: operate.Dead}}, {Keys: []string{operate.Key(operate.Dead, dead[0]), operate.Key(operate.Dead, 1<<40)}}, {Filter: operate.Filter{Document: "d1"}}} {
		of := func(o *operate.Operator) string {
			p, err := o.Preview(t.Context(), operate.Replay, s)
			w.must(err)
			effect, err := p.Effect()
			w.must(err)
			return fmt.Sprint(effect, p.Missing, p.Lost)
		}
		if got, want := of(keeps), of(plain); got != want {
			t.Errorf("%+v: the plan is %s, want %s", s, got, want)
		}
	}
	// Its drop removes the advisories too.
	w.operator.Remember = true
	w.do(operate.Drop, operate.Selection{Filter: operate.Filter{What: operate.Dead}, All: false})
	if left := w.Count(flow.DLQ, ">"); left != 0 {
		t.Errorf("%d messages are left in the DLQ", left)
	}
	// The stream is made again.
	info, err := w.Env.JS.Stream(t.Context(), flow.DLQ)
	w.must(err)
	settings := info.CachedInfo().Config
	w.must(w.Env.JS.DeleteStream(t.Context(), flow.DLQ))
	_, err = w.Env.JS.CreateStream(t.Context(), settings)
	w.must(err)
	w.buried("again", "d1", "p1")
	if got, want := w.listed(keeps, operate.Filter{}), w.listed(plain, operate.Filter{}); got != want {
		t.Errorf("after the stream was made again: it keeps\n%s\nreally\n%s", got, want)
	}
}

// A message that is held appears and goes.
func TestWhatIsKeptOfHeldMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.operator.Remember = true
	w.refuse = heldByTheAccount
	w.send()
	for i := range 3 {
		w.order(invitation(fmt.Sprint("held", i), fmt.Sprint("d", i), "p1"))
	}
	held := operate.Filter{What: operate.Held}
	count := func(o *operate.Operator) int {
		g, err := o.Stuck(t.Context(), held)
		w.must(err)
		return g.Held
	}
	w.until("they are held", func() bool { return count(w.operator) == 3 })
	if got, want := w.listed(w.operator, held), w.listed(w.another(w.Env.JS), held); got != want {
		t.Errorf("it keeps\n%s\nreally\n%s", got, want)
	}
	// A plan reads what it selects, and says the same as one that reads everything.
	asked, err := w.Env.NATS.SubscribeSync("$JS.API.DIRECT.GET.KV_" + flow.Attempts)
	w.must(err)
	everything := func() (is bool) {
		w.must(w.Env.NATS.Flush())
		for m, err := asked.NextMsg(0); err == nil; m, err = asked.NextMsg(0) {
			is = is || strings.Contains(string(m.Data), `.message.\u003e"`) // the sender reads those of its channel
		}
		return is
	}
	listed, err := w.operator.Items(t.Context(), held, "", operate.MostOnPage)
	w.must(err)
	one := listed.Items[1].Key
	everything()
	for _, s := range []operate.Selection{{Filter: operate.Filter{What: operate.Held, Document: "d1"}}, {Keys: []string{one}}} {
		of := func(o *operate.Operator) string {
			p, err := o.Preview(t.Context(), operate.ReleaseChannels, s)
			w.must(err)
			if p.Messages() != 1 {
				t.Errorf("%+v: %d messages leave", s, p.Messages())
			}
			effect, err := p.Effect()
			w.must(err)
			return effect
		}
		got := of(w.operator)
		if everything() {
			t.Errorf("%+v: the plan read all records", s)
		}
		if want := of(w.another(w.Env.JS)); got != want {
			t.Errorf("%+v: the plan is %s, want %s", s, got, want)
		}
		everything()
	}
	bucket, err := w.Env.JS.KeyValue(t.Context(), flow.Attempts)
	w.must(err)
	lister, err := bucket.ListKeysFiltered(t.Context(), "message.>")
	w.must(err)
	for key := range lister.Keys() {
		w.must(bucket.Delete(t.Context(), key))
	}
	if n := count(w.operator); n != 0 {
		t.Errorf("%d are held after they left", n)
	}
}
