package reconciler_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/erase"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/reconciler"
)

var key = providers.SourceKey{Name: "acme", Provider: "pleasesign"}

// provider is a PleaseSign account whose documents the test sets.
type provider struct {
	mutex     sync.Mutex
	status    int // of all responses; 0 for 200
	documents []string
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.status != 0 {
		w.WriteHeader(p.status)
		return
	}
	var found []string
	for _, d := range p.documents {
		if want := r.URL.Query().Get("status"); want == "" || strings.Contains(d, `"status":"`+want+`","sent_date"`) {
			found = append(found, d)
		}
	}
	text := "[" + strings.Join(found, ",") + "]"
	if r.URL.Query().Get("ids") == "" {
		text = `{"data":` + text + `,"next":null}`
	}
	_, _ = fmt.Fprint(w, text)
}

func (p *provider) set(status int, documents ...string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.status, p.documents = status, documents
}

// harness is the service with a real server, a provider, and a clock that the test moves.
type harness struct {
	*servicetest.Bench
	*provider
	t       *testing.T
	clock   atomic.Pointer[time.Time]
	metrics *prometheus.Registry
	without atomic.Bool // the dedupe store is unavailable
}

// noon is the time at which the tests begin, and sent the time of their documents.
var (
	noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	sent = noon.Add(-3 * time.Hour)
)

// waits is a dedupe store that can be unavailable.
type waits struct {
	dedupe.Store
	h *harness
}

func (s waits) Claim(ctx context.Context, owner string, ids ...string) ([]dedupe.Claim, error) {
	if s.h.without.Load() {
		return nil, dedupe.ErrUnavailable
	}
	return s.Store.Claim(ctx, owner, ids...)
}

func start(t *testing.T) *harness {
	t.Helper()
	h := &harness{provider: new(provider), t: t, metrics: prometheus.NewRegistry()}
	h.at(noon)
	server := httptest.NewServer(h.provider)
	t.Cleanup(server.Close)
	src := providers.NewSource(key.Provider, key.Name, "webhook.secrets=test", "api.base_url="+server.URL, "api.key=k", "api.secret=s", "api.per_minute=1000000")
	src.Reconcile = config.Reconcile{At: "02:00", Spread: time.Nanosecond}
	h.Bench = servicetest.New(t, config.Config{Sources: []config.Source{src}})
	h.Env.Now = func() time.Time { return *h.clock.Load() }
	h.Env.Metrics = h.metrics
	open := h.Env.Claims
	h.Env.Claims = func(o dedupe.Options) dedupe.Store { return waits{open(o), h} }
	return h
}

func (h *harness) run() {
	h.Start(func(ctx context.Context, env service.Env) error {
		return reconciler.At(reconciler.Pace{
			Poll: 5 * time.Millisecond, Lease: time.Second, Claim: time.Second, Pause: 5 * time.Millisecond, Patience: time.Minute, Settle: 15 * time.Minute,
		})(ctx, env)
	})
}

func (h *harness) at(t time.Time) { h.clock.Store(&t) }

// reconcile asks for a reconciliation and returns its result.
func (h *harness) reconcile() reconciler.Result {
	h.t.Helper()
	asked, err := ask(h.t, h.Env.JS, noon.AddDate(0, 0, -30))
	if err != nil {
		h.t.Fatal(err)
	}
	var result reconciler.Result
	h.until("the reconciliation is done", func() bool {
		is, err := reconciler.StatusOf(h.t.Context(), h.Env.JS, key, asked)
		if err != nil {
			h.t.Fatal(err)
		}
		result = is.Result
		return is.Done
	})
	return result
}

func (h *harness) until(what string, done func() bool) {
	h.t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for late := time.After(20 * time.Second); !done(); {
		select {
		case <-look.C:
		case <-late:
			h.t.Fatalf("not in time: %s\n%s", what, h.Logged)
		}
	}
}

// stored returns the types of the document's events that a reconciliation stored, in their order.
func (h *harness) stored() (types []string) {
	h.t.Helper()
	for m, err := range (event.Log{JS: h.Env.JS, Stream: flow.Signing}).Messages(h.t.Context(), event.Everything, time.Time{}) {
		if err != nil {
			h.t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			h.t.Fatal(err)
		}
		if e.GetAttributes()["signrelay.reconciled"] != "" {
			types = append(types, e.GetType())
		}
	}
	return types
}

// series returns the value of a series of the source.
func (h *harness) series(name string) float64 {
	h.t.Helper()
	families, err := h.metrics.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}

// document is a document with one person.
func document(status string, ended time.Time, person string) string {
	return fmt.Sprintf(`{"id":"d","title":"Deed","status":%q,"sent_date":%d,"complete_date":%d,"void_date":%[3]d,"recipients":[{"id":"p","status":%q,"complete_date":%[3]d}]}`,
		status, sent.Unix(), ended.Unix(), person)
}

func TestEachNight(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.set(0, document("sent", time.Time{}, "sent"))
	h.run()
	state, err := h.Env.JS.KeyValue(t.Context(), flow.State)
	if err != nil {
		t.Fatal(err)
	}
	h.until("the source is noticed", func() bool {
		_, err := state.Get(t.Context(), "reconcile.run.pleasesign.acme")
		return err == nil
	})
	if n := h.series("signrelay_facts_found_late_total"); n != 0 {
		t.Errorf("%v facts found before the first night", n)
	}
	night := time.Date(2026, 3, 11, 2, 0, 1, 0, time.UTC)
	h.at(night.Add(-time.Minute))
	if types := h.stored(); len(types) != 0 {
		t.Errorf("before the first night: %q", types)
	}
	h.at(night)
	h.until("the first night stores the fact", func() bool { return h.series("signrelay_facts_found_late_total") == 1 })

	h.set(http.StatusUnauthorized)
	h.at(night.AddDate(0, 0, 1))
	h.until("the second night fails", func() bool { return h.series("signrelay_reconciler_failed_nights") == 1 })
	h.at(night.AddDate(0, 0, 2))
	h.until("the third night fails", func() bool { return h.series("signrelay_reconciler_failed_nights") == 2 })
	h.set(0, document("complete", night.AddDate(0, 0, 1), "complete"))
	h.at(night.AddDate(0, 0, 3))
	h.until("the fourth night succeeds", func() bool { return h.series("signrelay_reconciler_failed_nights") == 0 })
	if want := []string{event.DocumentSent, event.RecipientSigned, event.DocumentCompleted}; !slices.Equal(h.stored(), want) {
		t.Errorf("stored %q, want %q", h.stored(), want)
	}
	h.NeverLogged("Deed")
}

func TestARequestThatFailsHasItsReason(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.set(http.StatusForbidden)
	h.run()
	if r := h.reconcile(); !strings.Contains(r.Error, "GET documents: Forbidden") || r.Ended.IsZero() {
		t.Errorf("%+v", r)
	}
	if n := h.series("signrelay_reconciler_failed_nights"); n != 0 {
		t.Errorf("%v failed nights after a failed request", n)
	}
}

func TestYoungFactsAreLeftToTheirCallbacks(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.set(0, document("complete", noon.Add(-14*time.Minute), "complete"))
	h.run()
	if r := h.reconcile(); r.Published != 1 || r.Found != 1 {
		t.Errorf("%+v", r)
	}
	h.at(noon.Add(2 * time.Minute))
	if r := h.reconcile(); r.Published != 2 || r.AlreadyKnown != 1 || r.LookedAt != 1 {
		t.Errorf("%+v", r)
	}
}

// The provider still has a document that was erased here. A reconciliation does not bring it back, and brings another one.
func TestAnErasedDocumentStaysErased(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.set(0, document("sent", time.Time{}, "sent"))
	h.run()
	if h.reconcile(); len(h.stored()) != 1 {
		t.Fatalf("stored %q", h.stored())
	}
	e, target := &erase.Eraser{JS: h.Env.JS}, erase.Target{IDs: []string{"d"}}
	found, err := e.Find(t.Context(), target)
	if err == nil {
		_, err = e.Run(t.Context(), target, found, erase.Order{By: "ops", Reason: "request 12"}, noon)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.set(0, document("complete", noon.AddDate(0, 0, -1), "complete"), strings.Replace(document("sent", time.Time{}, "sent"), `"id":"d"`, `"id":"other"`, 1))
	h.reconcile()
	if want := []string{event.DocumentSent}; !slices.Equal(h.stored(), want) {
		t.Errorf("stored %q, want only the other document's %q", h.stored(), want)
	}
}

func TestContradictionsAreListed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		logged   []string // types of events, those of people about p
		provider string
		want     reconciler.Contradiction // none if it has no document
	}{
		"completed in the log, and open": {[]string{event.DocumentSent, event.DocumentCompleted}, document("sent", noon, "sent"), reconciler.Contradiction{Document: "d", Log: "completed", Provider: "open"}},
		"declined in the log, and completed": {
			[]string{event.DocumentSent, event.DocumentDeclined}, document("complete", noon.Add(-time.Hour), "complete"),
			reconciler.Contradiction{Document: "d", Log: "declined", Provider: "completed"},
		},
		"voided in the log, and open": {[]string{event.DocumentVoided}, document("sent", noon, "sent"), reconciler.Contradiction{Document: "d", Log: "voided", Provider: "open"}},
		"signed in the log, and not signed": {
			[]string{event.DocumentSent, event.RecipientSigned}, document("sent", noon, "sent"), reconciler.Contradiction{Document: "d", Log: "signed", Provider: "not signed"},
		},
		"signed in both":                      {[]string{event.DocumentSent, event.RecipientSigned}, document("complete", noon.Add(-time.Hour), "complete"), reconciler.Contradiction{}},
		"declined in the log, and void":       {[]string{event.DocumentSent, event.DocumentDeclined}, document("void", noon.Add(-time.Hour), "sent"), reconciler.Contradiction{}},
		"a person declined, and then signed":  {[]string{event.DocumentSent, event.RecipientDeclined}, document("complete", noon.Add(-time.Hour), "complete"), reconciler.Contradiction{}},
		"nothing in the log, and it is void":  {nil, document("void", noon.Add(-time.Hour), "void"), reconciler.Contradiction{}},
		"an end without authentication, open": {[]string{event.DocumentSent, "none " + event.DocumentCompleted}, document("sent", noon, "sent"), reconciler.Contradiction{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			h.set(0, tt.provider)
			for i, typ := range tt.logged {
				typ, forged := strings.CutPrefix(typ, "none ")
				e := &signingv1.SigningEvent{
					Source: key.Name, Provider: key.Provider, Type: typ, Document: &signingv1.Document{Id: "d"}, Verification: signingv1.Verification_VERIFICATION_HMAC,
					OccurredAt: timestamppb.New(sent.Add(time.Duration(i) * time.Minute)),
				}
				if event.Entity(typ) == event.EntityRecipient || typ == event.DocumentDeclined {
					e.Recipient = &signingv1.Recipient{Id: "p"}
				}
				if forged {
					e.Verification = signingv1.Verification_VERIFICATION_NONE
				}
				e.Id = event.TransitionID(e)
				h.Publish(event.Message(t.Context(), e))
			}
			h.run()
			r := h.reconcile()
			if tt.want.Document == "" {
				if r.Contradicting != 0 {
					t.Errorf("%+v", r)
				}
				return
			}
			if r.Contradicting != 1 || !slices.Equal(r.Contradictions, []reconciler.Contradiction{tt.want}) || r.Published != 0 || len(h.stored()) != 0 {
				t.Errorf("%+v, and stored %q", r, h.stored())
			}
		})
	}
}

func TestItWaitsForTheDedupeStore(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.without.Store(true)
	h.set(0, document("sent", time.Time{}, "sent"))
	h.run()
	asked, err := ask(t, h.Env.JS, sent)
	if err != nil {
		t.Fatal(err)
	}
	h.until("an attempt fails", func() bool { return strings.Contains(h.Logged.String(), "an attempt failed") })
	if types := h.stored(); len(types) != 0 {
		t.Errorf("stored %q without the dedupe store", types)
	}
	h.without.Store(false)
	h.until("the reconciliation is done", func() bool {
		is, err := reconciler.StatusOf(t.Context(), h.Env.JS, key, asked)
		return err == nil && is.Done && is.Published == 1
	})
}

// A replica that stops returns its lease, and the next one continues its run.
func TestTheNextReplicaContinues(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.set(http.StatusInternalServerError)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	env := h.Env
	env.Metrics, env.Live, env.Up = prometheus.NewRegistry(), config.NewLive(env.Config), func() {}
	go func() {
		ended <- reconciler.At(reconciler.Pace{Poll: time.Millisecond, Lease: time.Hour, Claim: time.Second, Pause: time.Millisecond, Patience: time.Hour})(ctx, env)
	}()
	asked, err := ask(t, h.Env.JS, sent)
	if err != nil {
		t.Fatal(err)
	}
	var first reconciler.Status
	h.until("the run has begun", func() bool {
		first, err = reconciler.StatusOf(t.Context(), h.Env.JS, key, asked)
		return err == nil && first.Begun
	})
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	h.set(0, document("sent", time.Time{}, "sent"))
	h.run()
	h.until("the run is done", func() bool {
		is, err := reconciler.StatusOf(t.Context(), h.Env.JS, key, asked)
		return err == nil && is.Done && is.ID == first.ID && is.Published == 1
	})
}

// ask asks for a reconciliation, as a user does.
func ask(t *testing.T, js jetstream.JetStream, since time.Time) (reconciler.Request, error) {
	t.Helper()
	return (&operate.Operator{JS: js}).AskReconciliation(t.Context(), key.Provider, key.Name, since, operate.Order{By: "ops", Reason: "ticket 17"})
}
