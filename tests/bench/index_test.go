package bench

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/index"
	"github.com/signrelay/signrelay/libs/realtest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// story is a document that is on its way: its next event, and those that follow.
type story struct {
	events []*signingv1.SigningEvent // by time
}

func (s *story) at() time.Time { return s.events[0].GetOccurredAt().AsTime() }

// stories is a heap, the earliest next event first.
type stories []*story

func (s stories) Len() int           { return len(s) }
func (s stories) Less(i, j int) bool { return s[i].at().Before(s[j].at()) }
func (s stories) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *stories) Push(x any)        { *s = append(*s, x.(*story)) }
func (s *stories) Pop() any {
	old := *s
	last := old[len(old)-1]
	*s = old[:len(old)-1]
	return last
}

// days is the time over which the documents are spread: that of the log.
const days = 89

// generator makes the events of documents in the order of their times. A document has 2.3 people and ten events.
type generator struct {
	*rand.Rand
	from      time.Time // of the first event
	documents int
	made      int
	open      stories
}

var syllables = strings.Fields("an be chi da el fo gra ha is jo ka li mar na or pe qui ro sa ti ul vi wa xe yo za ber son ton ley man dell wick")

func (g *generator) name(parts int) string {
	var b strings.Builder
	for range parts {
		b.WriteString(syllables[g.IntN(len(syllables))])
	}
	return strings.ToUpper(b.String()[:1]) + b.String()[1:]
}

var titles = strings.Fields("Lease Contract Agreement Offer Statement Renewal House Unit Purchase Employment Service Annual")

func (g *generator) begin(n int) *story {
	at := g.from.Add(time.Duration(float64(n) / float64(g.documents) * days * float64(24*time.Hour)))
	source := []string{"onboarding", "legal", "rent", "hr"}[g.IntN(4)]
	id := fmt.Sprintf("%08x-%04x-%012x", g.Uint32(), g.Uint32N(1<<16), g.Uint64N(1<<48))
	s := &story{}
	add := func(typ string, after time.Duration, verification signingv1.Verification, change func(*signingv1.SigningEvent)) {
		when := timestamppb.New(at.Add(after))
		e := &signingv1.SigningEvent{
			Source: source, Provider: "clickwrap", Type: typ, OccurredAt: when, ReceivedAt: when, Verification: verification, Document: &signingv1.Document{Id: id},
		}
		change(e)
		e.Id = event.OccurrenceID(e, id, strconv.Itoa(len(s.events)))
		s.events = append(s.events, e)
	}
	title := fmt.Sprintf("%s %s %d", titles[g.IntN(len(titles))], g.name(2), g.IntN(5000))
	hmac, own := signingv1.Verification_VERIFICATION_HMAC, signingv1.Verification_VERIFICATION_INTERNAL
	add(event.DocumentSent, 0, hmac, func(e *signingv1.SigningEvent) { e.Document.Title = title })
	last := time.Duration(0)
	signs := g.IntN(10) < 7
	people := []int{1, 2, 2, 2, 2, 2, 3, 3, 3, 3}[g.IntN(10)]
	for p := range people {
		who := &signingv1.Recipient{Id: fmt.Sprintf("p%d", p), FirstName: g.name(2), LastName: g.name(3), Mobile: fmt.Sprintf("+614%08d", g.IntN(1e8))}
		who.Email = strings.ToLower(who.FirstName + "." + who.LastName + "@" + g.name(2) + ".example")
		named := func(e *signingv1.SigningEvent) { e.Recipient = who }
		noticed := func(e *signingv1.SigningEvent) {
			e.Recipient = &signingv1.Recipient{Id: who.GetId()}
			e.Notice = &signingv1.Notice{NotificationId: id + who.GetId(), Kind: "invitation", Channel: "sms", Parts: 2, Reference: "r"}
			if g.IntN(100) == 0 {
				e.Notice.Reason = "x"
			}
		}
		add(event.RecipientSent, time.Second, hmac, named)
		add(event.NotificationSent, 3*time.Second, own, noticed)
		if g.IntN(30) == 0 {
			add(event.NotificationFailed, 10*time.Second, own, noticed)
		} else {
			add(event.NotificationDelivered, 10*time.Second, own, noticed)
		}
		if signs {
			took := time.Duration(math.Min(g.ExpFloat64()*20, 24*20) * float64(time.Hour))
			last = max(last, took)
			add(event.RecipientSigned, took+time.Minute, hmac, named)
		}
	}
	if signs {
		add(event.DocumentCompleted, last+2*time.Minute, hmac, func(*signingv1.SigningEvent) {})
	}
	slices.SortStableFunc(s.events, func(a, b *signingv1.SigningEvent) int {
		return a.GetOccurredAt().AsTime().Compare(b.GetOccurredAt().AsTime())
	})
	return s
}

// next returns the next event of all documents; nil at the end.
func (g *generator) next() *signingv1.SigningEvent {
	for g.made < g.documents { // the next document begins after the events of the earlier ones
		s := g.begin(g.made)
		g.made++
		heap.Push(&g.open, s)
		if g.open[0] != s {
			break
		}
	}
	if len(g.open) == 0 {
		return nil
	}
	s := g.open[0]
	e := s.events[0]
	if s.events = s.events[1:]; len(s.events) == 0 {
		heap.Pop(&g.open)
	} else {
		heap.Fix(&g.open, 0)
	}
	return e
}

// BenchmarkIndex fills a log with the events of documents, and measures with the real programs: a rebuild of the index, searches and pages of documents
// through the console's JSON API, and the lag of the indexer. SIGNRELAY_BENCH_DOCUMENTS is the number of documents, 10,000 by default; 10^6 need 30
// minutes and 15 GB of disk. SIGNRELAY_BENCH_INDEX=postgres uses PostgreSQL.
func BenchmarkIndex(b *testing.B) {
	documents := 10_000
	if n, err := strconv.Atoi(os.Getenv("SIGNRELAY_BENCH_DOCUMENTS")); err == nil {
		documents = n
	}
	h := testenv.LazySync(b, testenv.SandboxSettings)
	h.Timeout = 15 * time.Minute
	shelf := &shelf{b: b, Env: h, url: "sqlite://" + filepath.ToSlash(filepath.Join(h.DataDir, "index", "index.db"))}
	if os.Getenv("SIGNRELAY_BENCH_INDEX") == "postgres" {
		shelf.url = realtest.Postgres(b)
	}
	h.Vars = append(h.Vars, "SIGNRELAY_INDEX_URL="+shelf.url)
	g := &generator{Rand: rand.New(rand.NewPCG(1, 44)), documents: documents, from: time.Now().Add(-days * 24 * time.Hour)} // the same documents in each run
	events := shelf.fill(g)
	shelf.rebuild(events)
	shelf.follow()
	shelf.search()
	b.ReportMetric(0, "ns/op")
}

// shelf is an installation with a log and an index.
type shelf struct {
	*testenv.Env
	b   *testing.B
	url string
}

func (s *shelf) must(err error) {
	s.b.Helper()
	if err != nil {
		s.b.Fatal(err)
	}
}

// say prints a line. The log of a benchmark is cut after ten lines.
func (s *shelf) say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...)
}

// fill stores the events of all documents in the log.
func (s *shelf) fill(g *generator) (events int) {
	s.b.Helper()
	began := time.Now()
	js := s.JetStream(s.b)
	for e := g.next(); e != nil; e = g.next() {
		m, err := event.Message(s.b.Context(), e)
		s.must(err)
		m.Header.Del("Nats-Msg-Id") // the server's memory of ids is not measured here
		// An ack costs as much as a message. So only one in 2,000 has one: the server accepts 10,000 that it has not stored yet.
		if events++; events%2000 != 0 {
			err = js.Conn().PublishMsg(m)
		} else {
			_, err = js.PublishMsg(s.b.Context(), m)
		}
		s.must(err)
	}
	s.must(js.Conn().Flush())
	var last uint64
	s.Until(s.b, "the log has all events", func() bool {
		_, n, err := event.Log{JS: js, Stream: flow.Signing}.Bounds(s.b.Context())
		s.must(err)
		last = n
		return last >= uint64(events)
	})
	s.say("filled the log with %d events of %d documents in %v", events, g.documents, time.Since(began).Round(time.Second))
	// The indexer begins behind these events, as one does that has read them: the rebuild is measured.
	s.must(js.DeleteConsumer(s.b.Context(), flow.Signing, flow.Indexer))
	if out, err := s.Command(s.b, "provision", "--start", flow.Indexer+"=new"); err != nil {
		s.b.Fatalf("%v\n%s", err, out)
	}
	return events
}

// rebuild runs `signrelay index rebuild`.
func (s *shelf) rebuild(events int) {
	s.b.Helper()
	nats := s.Processes["nats"]
	began, natsCPU := time.Now(), testenv.CPU(s.b, nats.PID())
	p := s.LaunchCommand(s.b, []string{"SIGNRELAY_INDEX_URL=" + s.url}, "index", "rebuild")
	var used time.Duration
	peak := 0
	for tick, ended := time.NewTicker(50*time.Millisecond), false; !ended; {
		select {
		case <-p.Ended():
			ended = true
		case <-tick.C:
			if n := testenv.PeakMemory(p.PID()); n > 0 {
				peak, used = n, testenv.CPU(s.b, p.PID())
			}
		}
	}
	took := time.Since(began)
	if p.ExitCode() != 0 {
		s.b.Fatalf("the rebuild failed:\n%s", p.Output())
	}
	x := s.open()
	defer func() { _ = x.Close() }()
	is, err := x.Status(s.b.Context())
	s.must(err)
	s.say("rebuild: %v wall, %v CPU and %v of NATS, peak %d MB; %d documents, %d people, %.0f MB: %d bytes a document", took.Round(time.Second), used.Round(time.Second),
		(testenv.CPU(s.b, nats.PID()) - natsCPU).Round(time.Second), peak/1e6, is.Documents, is.People, float64(is.Bytes)/1e6, is.Bytes/max(is.Documents, 1))
	figure(s.b, "index-rebuild", float64(events)/took.Seconds())
	figure(s.b, "index-rebuild-memory", float64(peak)/1e6)
	s.b.ReportMetric(took.Seconds(), "rebuild-s")
}

func (s *shelf) open() *index.Index {
	s.b.Helper()
	x, err := index.Open(s.b.Context(), s.url)
	s.must(err)
	return x
}

// follow measures the lag of the indexer at a steady rate: from the time at which an event is stored to that at which the index has it.
func (s *shelf) follow() {
	s.b.Helper()
	const perSecond, seconds = 200, 20
	p := s.StartService(s.b, flow.Indexer, flow.Indexer)
	x := s.open()
	defer func() { _ = x.Close() }()
	type stored struct {
		sequence uint64
		at       time.Time
	}
	all := make(chan stored, perSecond*seconds)
	js := s.JetStream(s.b)
	used := testenv.CPU(s.b, p.PID())
	go func() {
		defer close(all)
		g := &generator{Rand: rand.New(rand.NewPCG(2, 44)), documents: perSecond * seconds / 5, from: time.Now().Add(-days * 24 * time.Hour)}
		tick := time.NewTicker(time.Second / perSecond)
		defer tick.Stop()
		for range perSecond * seconds {
			<-tick.C
			m, err := event.Message(s.b.Context(), g.next())
			if err != nil {
				return
			}
			ack, err := js.PublishMsg(s.b.Context(), m)
			if err != nil {
				return
			}
			all <- stored{ack.Sequence, time.Now()}
		}
	}()
	var lags []time.Duration
	at := index.Position{}
	for one := range all {
		for at.Sequence < one.sequence {
			time.Sleep(2 * time.Millisecond)
			var err error
			at, err = x.Position(s.b.Context())
			s.must(err)
		}
		lags = append(lags, time.Since(one.at))
	}
	if len(lags) != perSecond*seconds {
		s.b.Fatalf("%d events were stored", len(lags))
	}
	slices.Sort(lags)
	used = testenv.CPU(s.b, p.PID()) - used
	s.say("%d events/s for %d s: lag p50 %v, p95 %v, max %v; CPU of the indexer %v an event, peak %d MB", perSecond, seconds, lags[len(lags)/2].Round(time.Millisecond),
		lags[len(lags)*95/100].Round(time.Millisecond), lags[len(lags)-1].Round(time.Millisecond), used/perSecond/seconds, testenv.PeakMemory(p.PID())/1e6)
	figure(s.b, "index-lag", milliseconds(lags[len(lags)*95/100]))
}

// reader is a reader of a console.
type reader struct {
	*testing.B
	home, token string
	next        time.Time // the console accepts 20 searches a second
}

func (s *shelf) reader(name, roles string) (*testenv.Process, *reader) {
	s.b.Helper()
	address := testenv.FreeAddress(s.b)
	p := s.StartService(s.b, flow.Console, name, "SIGNRELAY_CONSOLE_ADDR="+address, "SIGNRELAY_CONSOLE_LOCAL_ROLES="+roles)
	r := &reader{B: s.b, home: "http://" + address}
	_, page := r.do(http.MethodGet, "/documents", nil, "text/html")
	_, token, _ := strings.Cut(string(page), `name="token" value="`)
	r.token, _, _ = strings.Cut(token, `"`)
	return p, r
}

func (r *reader) do(method, path string, form url.Values, accept string) (time.Duration, []byte) {
	r.Helper()
	time.Sleep(time.Until(r.next))
	r.next = time.Now().Add(60 * time.Millisecond)
	q, err := http.NewRequestWithContext(r.Context(), method, r.home+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.Fatal(err)
	}
	q.Header.Set("Accept", accept)
	q.Header.Set("Signrelay-Token", r.token)
	if form != nil {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	began := time.Now()
	response, err := http.DefaultClient.Do(q)
	if err != nil {
		r.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		r.Fatalf("%s %s: status %d, %v: %.300s", method, path, response.StatusCode, err, body)
	}
	return time.Since(began), body
}

// results is a page of documents.
type results struct {
	Total     int
	About     bool
	Documents []struct {
		ID, Path string
		People   []struct{ Name, Email, Mobile string }
	}
}

func (r *reader) results(body []byte) (page results) {
	r.Helper()
	if err := json.Unmarshal(body, &page); err != nil {
		r.Fatal(err)
	}
	return page
}

const asked = 20 // times, each search

// search measures the table of searches of docs/performance.md, and the pages of documents.
func (s *shelf) search() {
	s.b.Helper()
	p, r := s.reader("console", "private,operate")
	masked, m := s.reader("console-2", "look")
	_, body := r.do(http.MethodGet, "/documents", nil, "application/json")
	newest := r.results(body)
	some := newest.Documents[7]
	who := some.People[0]
	first, last, _ := strings.Cut(who.Name, " ")
	_, end, err := event.Log{JS: s.JetStream(s.b), Stream: flow.Signing}.Bounds(s.b.Context())
	s.must(err)
	deep := strconv.FormatUint(end/2, 36)
	slowest := time.Duration(0)
	for _, c := range []struct {
		name, path, text string
		by               *reader
	}{
		{"the newest page", "?", "", r},
		{"a deep page", "?after=" + deep, "", r},
		{"the page before a deep one", "?before=" + deep, "", r},
		{"a word of a title", "?q=lease", "", r},
		{"a whole name", "?q=" + url.QueryEscape(first+" "+last), "", r},
		{"a piece of a name", "?q=" + last[1:5], "", r},
		{"a common piece of 3 letters", "?q=son", "", r},
		{"a common piece of 7 letters", "?q=example", "", r},
		{"the same, a deep page", "?q=example&after=" + deep, "", r},
		{"the same, the page before it", "?q=example&before=" + deep, "", r},
		{"2 letters", "?q=an", "", r},
		{"1 letter", "?q=b", "", r},
		{"an address", "", who.Email, r},
		{"a number", "", "0" + who.Mobile[3:], r},
		{"a piece of a number", "", who.Mobile[5:10], r},
		{"an id", "", some.ID, r},
		{"the beginning of an id", "", some.ID[:6], r},
		{"a whole address, masked reader", "", who.Email, m},
		{"a whole number, masked reader", "", who.Mobile, m},
		{"nothing", "?q=zzzqqq", "", r},
		{"source and state", "?source=legal&state=waiting", "", r},
		{"people who were not notified", "?untold=1", "", r},
		{"since a week", "?since=7d", "", r},
		{"all filters", "?source=legal&state=waiting&untold=1&stuck=1&since=60d&until=24h", "", r},
		{"3 letters and filters", "?q=ber&source=rent&state=completed&since=30d", "", r},
		{"2 words and a filter", "?q=lease+son&state=waiting", "", r},
	} {
		process := map[bool]*testenv.Process{true: p, false: masked}[c.by == r]
		used := testenv.CPU(s.b, process.PID())
		var took []time.Duration
		var page results
		for range asked {
			method, form := http.MethodGet, url.Values(nil)
			if c.text != "" {
				method, form = http.MethodPost, url.Values{"q": {c.text}}
			}
			d, body := c.by.do(method, "/documents"+c.path, form, "application/json")
			took, page = append(took, d), c.by.results(body)
		}
		slices.Sort(took)
		s.say("%-32s p50 %4d ms  p95 %4d ms  CPU %4d ms  %d documents (about: %v)", c.name, took[asked/2].Milliseconds(), took[asked*95/100].Milliseconds(),
			((testenv.CPU(s.b, process.PID()) - used) / asked).Milliseconds(), page.Total, page.About)
		slowest = max(slowest, took[asked*95/100])
	}
	figure(s.b, "index-search", milliseconds(slowest))
	var took []time.Duration
	for _, path := range []string{"?", "?after=" + deep, "?q=lease&after=" + deep, "?state=completed&after=" + strconv.FormatUint(end/10, 36)} {
		_, body := r.do(http.MethodGet, "/documents"+path, nil, "application/json")
		for _, d := range r.results(body).Documents {
			one, _ := r.do(http.MethodGet, d.Path, nil, "application/json")
			took = append(took, one)
		}
	}
	slices.Sort(took)
	s.say("%d documents: p50 %v, p95 %v", len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)*95/100].Round(time.Millisecond))
	figure(s.b, "index-document", milliseconds(took[len(took)*95/100]))
	s.say("peak of the console: %d MB; of the one for the masked reader: %d MB; of the indexer: %d MB", testenv.PeakMemory(p.PID())/1e6, testenv.PeakMemory(masked.PID())/1e6,
		testenv.PeakMemory(s.Processes[flow.Indexer].PID())/1e6)
	figure(s.b, "index-console-memory", float64(testenv.PeakMemory(p.PID()))/1e6)
}

// BenchmarkWithIndexer compares the throughput of the whole pipeline with an indexer and without one, in alternating rounds of one run.
func BenchmarkWithIndexer(b *testing.B) {
	const rounds, each = 4, 2500
	for b.Loop() {
		upstream := testenv.NewSlowUpstream(b, 0)
		upstream.Mail = true
		post := newMailbox(b)
		h := testenv.LazySync(b, func(h *testenv.Env) string { return settings(h, upstream, post.address) })
		h.Timeout = 15 * time.Minute
		for _, service := range testenv.Services[1:] {
			if service != flow.Console && service != flow.Archiver {
				h.StartService(b, service, service)
			}
		}
		indexer := h.Processes[flow.Indexer]
		sent := 0
		round := func() time.Duration {
			began, emails := time.Now(), post.emails.Load()
			load(b, h.IngestURL+"/webhooks/clickwrap/demo", clickwrapFrom(sent, each, "request_sent"), connections)
			sent += each
			h.Until(b, "each message was sent", func() bool { return len(upstream.Sent.Times()) >= sent && post.emails.Load()-emails >= each })
			return time.Since(began)
		}
		idle := func() {
			h.WaitIdle(b)
			h.Until(b, "the index has all events", func() bool {
				c, err := h.JetStream(b).Consumer(b.Context(), flow.Signing, flow.Indexer)
				return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
			})
		}
		round() // all programs are warm
		idle()
		var with, without, caught, used time.Duration
		stored := func() uint64 {
			_, last, err := event.Log{JS: h.JetStream(b), Stream: flow.Signing}.Bounds(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			return last
		}
		before := stored()
		for n := range 2 * rounds {
			if (n+1)/2%2 == 0 { // with, without, without, with: a change of the machine's load affects both
				begun := testenv.CPU(b, indexer.PID())
				took := round()
				used += testenv.CPU(b, indexer.PID()) - begun
				with += took
				b.Logf("with the indexer: %.0f notifications/s", each/took.Seconds())
				idle()
				continue
			}
			indexer.Stop()
			took := round()
			without += took
			b.Logf("without: %.0f notifications/s", each/took.Seconds())
			h.WaitIdle(b)
			began := time.Now()
			indexer.Start()
			idle()
			caught += time.Since(began)
		}
		b.Logf("CPU of the indexer: %v a notification; it reads %.0f events/s when it is behind, with its start", used/rounds/each, float64(stored()-before)/2/caught.Seconds())
		figure(b, "with-indexer", without.Seconds()/with.Seconds())
		b.ReportMetric(without.Seconds()/with.Seconds(), "of-without")
	}
	b.ReportMetric(0, "ns/op")
}
