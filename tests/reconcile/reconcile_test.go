// Package reconcile cuts ingest off for eight simulated days while documents of all providers live on in the sandbox. After one reconciliation
// the log must have every fact once, and exactly the messages that are still true must have been made.
package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/providers"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/enricher"
	"github.com/signrelay/signrelay/services/ingest"
	"github.com/signrelay/signrelay/services/reconciler"
	"github.com/signrelay/signrelay/services/sandbox/clickwrap"
	esignv1 "github.com/signrelay/signrelay/services/sandbox/esign-v1"
	"github.com/signrelay/signrelay/services/sandbox/party"
	"github.com/signrelay/signrelay/services/sandbox/pleasesign"
	sandboxsettings "github.com/signrelay/signrelay/services/sandbox/settings"
)

const settings = `
sources:
  - {name: demo, provider: clickwrap, webhook: {secrets: ["12345"]}, api: {base_url: %[1]q, token: t, per_minute: 6000000}, reconcile: {disabled: true}}
  - {name: demo, provider: pleasesign, webhook: {secrets: [test]}, api: {base_url: %[1]q, key: k, secret: s, per_minute: 6000000}, reconcile: {disabled: true}}
  - {name: demo, provider: esign-v1, webhook: {token: demo}, api: {base_url: %[1]q, user: u, secret: s, per_minute: 6000000}, reconcile: {disabled: true}}
master_key: the-master-key-of-at-least-32-characters
shortener: {public_url: "https://links.example"}
sandbox: {ingest_url: %[2]q}
nats: {url: %[3]q}
`

var pace = reconciler.Pace{
	Poll: 10 * time.Millisecond, Lease: 300 * time.Millisecond, Claim: time.Second, Pause: 10 * time.Millisecond, Patience: time.Minute, Settle: 15 * time.Minute, Lag: time.Minute,
}

// stand is the services and the providers.
type stand struct {
	*servicetest.Bench
	t         *testing.T
	clock     atomic.Pointer[time.Time]
	parties   map[string]*party.Provider
	callbacks *party.Callbacks
	file      string                 // the settings
	page      atomic.Pointer[func()] // called before each request for a list
	all       []*life
	late      []func() // send the callbacks of the days without ingest
	metrics   prometheus.Registerer
}

func start(t *testing.T, count int) *stand {
	t.Helper()
	s := &stand{t: t, parties: map[string]*party.Provider{}}
	s.setHour(0)
	mux := service.NewRoutes()
	rest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if do := s.page.Load(); do != nil && (r.URL.Path == "/documents" || r.URL.Path == "/api/v1/document/") {
			(*do)()
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(rest.Close)
	front := httptest.NewUnstartedServer(nil)
	address := "http://" + front.Listener.Addr().String()
	bench := servicetest.New(t, mustLoad(t, fmt.Sprintf(settings, rest.URL, address, "nats://127.0.0.1:1")))
	text := fmt.Sprintf(settings, rest.URL, address, bench.Broker.URL)
	s.file = filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bench.Env.Config = mustLoad(t, text)
	s.Bench, s.metrics = bench, bench.Env.Metrics
	s.Env.Now = s.now
	cfg := s.Env.Config
	odd := party.NewOdd(sandboxsettings.Section.Of(cfg), s.Env.Log)
	var err error
	if s.callbacks, err = party.NewCallbacks(sandboxsettings.Section.Of(cfg), odd); err != nil {
		t.Fatal(err)
	}
	targets := slices.Concat(clickwrap.Party.Targets, pleasesign.Party.Targets, esignv1.Party.Targets)
	env := party.Env{
		Config: cfg, Log: s.Env.Log, Inbox: party.NewInbox(), Faults: party.NewFaults(targets), Tickets: party.NewTickets(s.now), Callbacks: s.callbacks, Odd: odd,
		Now: s.now, BaseURL: func() string { return rest.URL }, Linger: time.Sleep,
	}
	for _, p := range []party.Party{clickwrap.Party, pleasesign.Party, esignv1.Party} {
		is, err := p.New(env)
		if err != nil {
			t.Fatal(err)
		}
		is.Routes(mux)
		s.parties[p.Name] = is.Provider
	}
	s.run("ingest", ingest.Run)
	s.run("enricher", enricher.Run)
	front.Config.Handler = s.Env.Public
	front.Start()
	t.Cleanup(front.Close)

	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SIGNRELAY_TEST_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SIGNRELAY_TEST_SEED=%d", seed)
	s.all = lives(count, rand.New(rand.NewPCG(seed, 0)))
	return s
}

// run starts a service with series of its own.
func (s *stand) run(name string, run func(context.Context, service.Env) error) {
	s.t.Helper()
	s.Env.Metrics = prometheus.WrapRegistererWith(prometheus.Labels{"component": name}, s.metrics)
	s.Start(run)
}

func mustLoad(t *testing.T, text string) config.Config {
	t.Helper()
	cfg, _ := servicetest.Load(t, text, nil)
	return cfg
}

func (s *stand) now() time.Time { return *s.clock.Load() }

func (s *stand) setHour(hour int) {
	at := begin.Add(time.Duration(hour) * time.Hour)
	s.clock.Store(&at)
}

// live plays the documents' lives until the reconciliation begins. Nothing reaches ingest while it is cut off.
func (s *stand) live() {
	s.t.Helper()
	for hour := range reconcile {
		s.setHour(hour)
		told := false
		for i, l := range s.all {
			told = s.happen(i, l, hour) || told
		}
		if told {
			s.Settled(flow.Enricher)
		}
	}
	s.setHour(reconcile)
}

// happen plays what happens to a document in an hour, and reports whether ingest was told.
func (s *stand) happen(number int, l *life, hour int) bool {
	s.t.Helper()
	p := s.parties[l.provider]
	if hour == l.sent {
		i := slices.IndexFunc(s.Env.Config.Sources, func(src config.Source) bool { return src.Provider == l.provider })
		l.id = p.Add(s.Env.Config.Sources[i], l.draft(number))
		d, _ := p.Find(l.id)
		for _, who := range d.Recipients {
			l.people = append(l.people, who.ID)
		}
	}
	told := false
	for _, e := range l.at(hour) {
		calls, err := p.Apply([]string{l.id}, party.Together(e), "")
		if err != nil {
			s.t.Fatal(err)
		}
		d, _ := p.Find(l.id)
		for _, c := range calls {
			send := func() {
				if _, err := s.callbacks.Send(s.t.Context(), d.Source, c); err != nil {
					s.t.Error(err)
				}
			}
			if hour < cut {
				send()
				told = true
			} else {
				s.late = append(s.late, send)
			}
		}
	}
	return told
}

func (s *stand) sources() (keys []providers.SourceKey) {
	for _, src := range s.Env.Config.Sources {
		keys = append(keys, providers.SourceKey{Name: src.Name, Provider: src.Provider})
	}
	return keys
}

// ask requests the reconciliation of every source, and wait waits for the results.
func (s *stand) ask() map[providers.SourceKey]reconciler.Request {
	s.t.Helper()
	asked := map[providers.SourceKey]reconciler.Request{}
	for _, key := range s.sources() {
		var err error
		asked[key], err = (&operate.Operator{JS: s.Env.JS}).AskReconciliation(s.t.Context(), key.Provider, key.Name, begin, operate.Order{By: "ops", Reason: "ticket 17"})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return asked
}

func (s *stand) wait(asked map[providers.SourceKey]reconciler.Request) (total reconciler.Result) {
	s.t.Helper()
	for key, request := range asked {
		for deadline := time.Now().Add(2 * time.Minute); ; {
			is, err := reconciler.StatusOf(s.t.Context(), s.Env.JS, key, request)
			if err != nil {
				s.t.Fatal(err)
			}
			if is.Done {
				if is.Error != "" {
					s.t.Fatalf("%v: %s", key, is.Error)
				}
				s.t.Logf("%v: %+v", key, is.Result)
				total.LookedAt += is.LookedAt
				total.AlreadyKnown += is.AlreadyKnown
				total.Found += is.Found
				total.Published += is.Published
				total.Contradicting += is.Contradicting
				break
			}
			if time.Now().After(deadline) {
				s.t.Fatalf("the reconciliation of %v does not end: %+v\n%s", key, is, tail(s.Logged.String()))
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	s.Settled(flow.Enricher)
	return total
}

// events returns the events of the log, of some entities.
func (s *stand) events(entities ...string) (all []*signingv1.SigningEvent) {
	s.t.Helper()
	for m, err := range (event.Log{JS: s.Env.JS, Stream: flow.Signing}).Messages(s.t.Context(), event.Everything, time.Time{}) {
		if err != nil {
			s.t.Fatal(err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			s.t.Fatal(err)
		}
		if slices.Contains(entities, event.Entity(e.GetType())) {
			all = append(all, e)
		}
	}
	return all
}

// reconciled reports whether an event was found by a reconciliation.
func reconciled(e *signingv1.SigningEvent) bool {
	return e.GetAttributes()["signrelay.reconciled"] != ""
}

// check compares the log with the model.
func (s *stand) check() {
	s.t.Helper()
	facts, missed := map[fact]int{}, 0
	for _, l := range s.all {
		for _, f := range l.facts() {
			facts[f]++
		}
	}
	last := map[string]time.Time{} // the time of the last reconciled event of each document
	for _, e := range s.events("document", "recipient") {
		f := fact{kind: e.GetType(), document: e.GetDocument().GetId(), person: e.GetRecipient().GetId()}
		if e.GetOccurredAt() != nil {
			f.hour = hourOf(e.GetOccurredAt().AsTime())
			if at := e.GetOccurredAt().AsTime(); !at.Equal(begin.Add(time.Duration(f.hour) * time.Hour)) {
				s.t.Errorf("%v happened at %v", f, at)
			}
		}
		if reconciled(e) {
			missed++
			if e.GetVerification() != signingv1.Verification_VERIFICATION_CONFIRMED {
				s.t.Errorf("%v has the verification %v", f, e.GetVerification())
			}
			if at := e.GetOccurredAt(); at != nil && f.document != "" {
				if at.AsTime().Before(last[f.document]) {
					s.t.Errorf("%v was published after a later fact", f)
				}
				last[f.document] = at.AsTime()
			}
		}
		if f.kind == "recipient.queued" || f.kind == "document.updated" { // only a callback reports them
			continue
		}
		facts[f]--
	}
	report(s.t, "fact", facts)

	messages := map[message]int{}
	for _, l := range s.all {
		for _, m := range l.messages() {
			messages[m]++
		}
	}
	causes := map[string]bool{}
	for _, e := range s.events("document", "recipient") {
		if reconciled(e) {
			causes[e.GetId()] = true
		}
	}
	for _, e := range s.events("notification") {
		if e.GetType() == event.NotificationRequested && causes[e.GetNotice().GetEventId()] && e.GetRecipient().GetId() != "" {
			messages[message{e.GetNotice().GetKind(), e.GetDocument().GetId(), e.GetRecipient().GetId()}]--
		}
	}
	report(s.t, "message", messages)
	if missed == 0 {
		s.t.Error("the reconciliation found nothing")
	}
	s.t.Logf("%d documents, %d facts found late", len(s.all), missed)
}

// report names the entries whose count is not 0.
func report[K comparable](t *testing.T, what string, left map[K]int) {
	t.Helper()
	wrong := 0
	for k, n := range left {
		if n == 0 {
			continue
		}
		if wrong++; wrong <= 10 {
			t.Errorf("%d times too few (-: too often): %s %v", n, what, k)
		}
	}
	if wrong > 10 {
		t.Errorf("and %d more of kind %s", wrong-10, what)
	}
}

func tail(text string) string { return text[max(0, len(text)-4000):] }

// documents returns the number of documents: few in each run of the tests, and a thousand in `make faults-all`.
func documents(few int) int {
	if os.Getenv("SIGNRELAY_TEST_FAULTS") == "all" {
		return 1000
	}
	return few
}

func TestEightDaysWithoutIngest(t *testing.T) {
	t.Parallel()
	s := start(t, documents(90))
	s.live()
	s.run("reconciler", reconciler.At(pace))
	first := s.wait(s.ask())
	s.check()
	if first.Contradicting > 0 || first.Found != first.Published {
		t.Errorf("%+v", first)
	}
	second := s.wait(s.ask())
	if second.Found != 0 || second.AlreadyKnown != first.AlreadyKnown+first.Published || second.LookedAt != first.LookedAt {
		t.Errorf("the second reconciliation: %+v after %+v", second, first)
	}

	// A callback that comes after all is one fact with the reconciled one, where the provider's API tells its id.
	before := len(s.events("document", "recipient"))
	for _, send := range s.late {
		send()
	}
	twice := map[fact]int{}
	for _, e := range s.events("document", "recipient") {
		if e.GetProvider() == "pleasesign" && e.GetType() != event.DocumentUpdated {
			twice[fact{e.GetType(), e.GetDocument().GetId(), e.GetRecipient().GetId(), 0}]++
		}
	}
	for f, n := range twice {
		if n != 1 {
			t.Errorf("%v is %d times in the log", f, n)
		}
	}
	if len(s.late) > 0 && len(s.events("document", "recipient")) == before {
		t.Error("no late callback was stored: the control fails")
	}
}

// Documents end while the lists are read, so that the documents after them move to other pages.
func TestPagesThatChangeWhileTheyAreRead(t *testing.T) {
	t.Parallel()
	s := start(t, documents(600)) // PleaseSign has about fifty open ones, on pages of 25
	s.live()
	var mutex sync.Mutex
	moved, left := map[string]bool{}, slices.Clone(s.all)
	change := func() {
		mutex.Lock()
		defer mutex.Unlock()
		for n := 0; n < 5 && len(left) > 0; left = left[1:] {
			l := left[0]
			if l.provider == "clickwrap" || l.seals != never || l.declines != never {
				continue
			}
			n++
			if _, err := s.parties[l.provider].Apply([]string{l.id}, party.Together(party.First.Completed()), ""); err != nil {
				t.Error(err)
			}
			for _, id := range append(l.people, l.id) {
				moved[id] = true
			}
		}
	}
	s.page.Store(&change)
	s.run("reconciler", reconciler.At(pace))
	s.wait(s.ask())
	s.page.Store(nil)
	facts := map[fact]int{}
	for _, l := range s.all {
		for _, f := range l.facts() {
			// Without times of signatures, those of a document that has just changed may be young.
			if l.provider != "esign-v1" || !moved[f.person] {
				facts[f]++
			}
		}
	}
	for _, e := range s.events("document", "recipient") {
		f := fact{kind: e.GetType(), document: e.GetDocument().GetId(), person: e.GetRecipient().GetId()}
		if e.GetOccurredAt() != nil {
			f.hour = hourOf(e.GetOccurredAt().AsTime())
		}
		if f.kind != "recipient.queued" && f.hour != reconcile && (e.GetProvider() != "esign-v1" || !moved[f.person]) {
			facts[f]--
		}
	}
	report(t, "fact", facts)
	if len(moved) < 20 {
		t.Errorf("only %d documents and people moved", len(moved))
	}

	// A later reconciliation finds what happened meanwhile.
	s.setHour(reconcile + 48)
	s.wait(s.ask())
	completed := map[string]int{}
	for _, e := range s.events("document") {
		if e.GetType() == event.DocumentCompleted {
			completed[e.GetDocument().GetId()]++
		}
	}
	for _, l := range s.all {
		if want := l.seals != never || moved[l.id]; want != (completed[l.id] == 1) {
			t.Errorf("document %s of %s: %d times completed", l.id, l.provider, completed[l.id])
		}
	}
}

func TestTwoReconcilersAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, documents(60))
	s.live()
	for i := range 3 {
		// A lease of no time: all of them work on the same run, and only the claims and the log keep them apart.
		greedy := pace
		greedy.Lease = time.Nanosecond
		s.run("reconciler-"+strconv.Itoa(i), reconciler.At(greedy))
	}
	s.wait(s.ask())
	s.check()
}

// The reconciler is killed at each of its steps, again and again.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	s := start(t, documents(60))
	s.live()
	program := filepath.Join(t.TempDir(), "victim")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "faults", "-o", program, "./victim")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	asked := s.ask()
	kills := map[string]int{}
	for _, times := range []string{"1", "3", "2"} {
		for _, point := range []string{"claimed", "published", "confirmed", "compared", "saved"} {
			if s.kill(program, point+"@"+times, asked) {
				kills[point]++
			}
		}
	}
	for _, point := range []string{"claimed", "published", "confirmed", "compared", "saved"} {
		if kills[point] == 0 {
			t.Errorf("it was never killed when it had %s", point)
		}
	}
	s.run("reconciler", reconciler.At(pace))
	s.wait(asked)
	s.check()
}

// kill runs the reconciler until it dies at a point, and reports that; or until everything is done.
func (s *stand) kill(program, point string, asked map[providers.SourceKey]reconciler.Request) bool {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	victim := exec.CommandContext(ctx, program, s.file, s.now().Format(time.RFC3339))
	victim.Env = append(os.Environ(), "SIGNRELAY_TEST_CRASH="+point)
	var output bytes.Buffer
	victim.Stderr = &output
	if err := victim.Start(); err != nil {
		s.t.Fatal(err)
	}
	died := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		died <- victim.Wait()
		close(ended)
	}()
	for {
		select {
		case err := <-died:
			if err == nil || !strings.Contains(err.Error(), "killed") || ctx.Err() != nil {
				s.t.Fatalf("%s: %v\n%s", point, err, &output)
			}
			return true
		case <-time.After(20 * time.Millisecond):
		}
		if s.done(asked) {
			cancel()
			<-ended
			return false
		}
	}
}

// done reports whether all requests have results.
func (s *stand) done(asked map[providers.SourceKey]reconciler.Request) bool {
	s.t.Helper()
	for key, request := range asked {
		is, err := reconciler.StatusOf(s.t.Context(), s.Env.JS, key, request)
		if err != nil {
			s.t.Fatal(err)
		}
		if !is.Done {
			return false
		}
	}
	return true
}
