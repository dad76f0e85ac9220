package bench

import (
	"container/heap"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/index"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/services/indexer"
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

// generator makes the events of documents in the order of their times. They are spread over 89 days; a document has 2.3 people and ten events.
type generator struct {
	*rand.Rand
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
	at := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(float64(n) / float64(g.documents) * 89 * float64(24*time.Hour)))
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

// cpu returns the CPU time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// heapPeak samples the memory of the Go heap and stacks.
func heapPeak(ctx context.Context) func() uint64 {
	peak := make(chan uint64)
	go func() {
		var most uint64
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.Sys-m.HeapReleased)
			case peak <- most:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() uint64 { return <-peak }
}

// BenchmarkIndex measures a rebuild from the log, and searches. SIGNRELAY_BENCH_DOCUMENTS is the number of documents, 100,000 by default;
// SIGNRELAY_BENCH_INDEX=postgres uses PostgreSQL. The NATS server runs in this process, so the memory and the CPU contain its part.
func BenchmarkIndex(b *testing.B) {
	documents := 100_000
	if n, err := strconv.Atoi(os.Getenv("SIGNRELAY_BENCH_DOCUMENTS")); err == nil {
		documents = n
	}
	bench := servicetest.New(b, config.Default())
	g := &generator{Rand: rand.New(rand.NewPCG(1, 44)), documents: documents} // the same documents in each run
	events := fillLog(b, bench, g)
	url := "sqlite://" + b.TempDir() + "/index.db"
	if os.Getenv("SIGNRELAY_BENCH_INDEX") == "postgres" {
		url = realtest.Postgres(b)
	}
	i, err := index.Open(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = i.Close() }()
	debug.SetGCPercent(100)
	began, used := time.Now(), cpu()
	peak := heapPeak(b.Context())
	step, stepAt, stepCPU := "", began, used
	err = indexer.Rebuild(b.Context(), bench.Env.JS, i, func(p indexer.Progress) {
		if p.Step != step {
			if step != "" {
				b.Logf("%s: %v wall, %v CPU", step, time.Since(stepAt).Round(time.Millisecond), (cpu() - stepCPU).Round(time.Millisecond))
			}
			step, stepAt, stepCPU = p.Step, time.Now(), cpu()
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	wall := time.Since(began)
	b.ReportMetric(wall.Seconds(), "rebuild-s")
	b.ReportMetric((cpu() - used).Seconds(), "rebuild-cpu-s")
	b.ReportMetric(float64(events)/wall.Seconds(), "events/s")
	b.ReportMetric(float64(peak())/1e6, "peak-MB")
	at, err := i.Status(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d events, %d documents, %d people, %.0f MB", events, at.Documents, at.People, float64(at.Bytes)/1e6)
	searches(b, i)
}

// fillLog stores the events of all documents in the log.
func fillLog(b *testing.B, bench *servicetest.Bench, g *generator) (events int) {
	b.Helper()
	began := time.Now()
	for e := g.next(); e != nil; e = g.next() {
		m, err := event.Message(b.Context(), e)
		if err != nil {
			b.Fatal(err)
		}
		m.Header.Del("Nats-Msg-Id") // the server's memory of ids is not measured here
		if _, err := bench.Env.JS.PublishMsgAsync(m); err != nil {
			b.Fatal(err)
		}
		if events++; events%2000 == 0 {
			<-bench.Env.JS.PublishAsyncComplete() // the client accepts 4,000 without an ack
		}
	}
	<-bench.Env.JS.PublishAsyncComplete()
	b.Logf("filled the log with %d events in %v", events, time.Since(began).Round(time.Second))
	return events
}

// searches measures the table of searches that docs/performance.md has.
func searches(b *testing.B, i *index.Index) {
	b.Helper()
	page, err := i.Search(b.Context(), index.Query{})
	if err != nil || len(page.Rows) == 0 {
		b.Fatalf("%d rows, %v", len(page.Rows), err)
	}
	some, err := index.DocumentOf(page.Rows[7])
	if err != nil {
		b.Fatal(err)
	}
	p := some.People[0]
	middle := page.Rows[0].Number / 2
	since := page.Rows[0].SentAt
	for _, c := range []struct {
		name string
		q    index.Query
	}{
		{"the newest page", index.Query{}},
		{"a deep page", index.Query{After: middle}},
		{"the page before a deep one", index.Query{Before: middle}},
		{"a whole name", index.Query{Text: p.FirstName + " " + p.LastName}},
		{"a piece of a name", index.Query{Text: p.LastName[1:5]}},
		{"a common piece of 3 letters", index.Query{Text: "son"}},
		{"a common piece of 7 letters", index.Query{Text: "example"}},
		{"a common piece, deep page", index.Query{Text: "example", After: middle}},
		{"2 letters", index.Query{Text: "an"}},
		{"1 letter", index.Query{Text: "b"}},
		{"an address", index.Query{Text: p.Email}},
		{"a number", index.Query{Text: "0" + p.Mobile[3:]}},
		{"a piece of a number", index.Query{Text: p.Mobile[5:10]}},
		{"an id", index.Query{Text: some.ID}},
		{"the beginning of an id", index.Query{Text: some.ID[:6]}},
		{"a whole address, exact", index.Query{Text: p.Email, Exact: true}},
		{"nothing", index.Query{Text: "zzzqqq"}},
		{"source", index.Query{Source: "legal"}},
		{"state", index.Query{State: "waiting"}},
		{"untold", index.Query{Untold: true}},
		{"stuck", index.Query{Stuck: true}},
		{"since a week", index.Query{Since: since.Add(-7 * 24 * time.Hour)}},
		{"all filters", index.Query{Source: "legal", State: "waiting", Untold: true, Stuck: true, Since: since.Add(-60 * 24 * time.Hour), Until: since.Add(-24 * time.Hour)}},
		{"3 letters and filters", index.Query{Text: "ber", Source: "rent", State: "completed", Since: since.Add(-30 * 24 * time.Hour)}},
		{"2 words and a filter", index.Query{Text: "lease son", State: "waiting"}},
	} {
		const rounds = 20
		var took []time.Duration
		var total int
		var about bool
		used := cpu()
		for range rounds {
			began := time.Now()
			found, err := i.Search(b.Context(), c.q)
			if err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(began))
			total, about = found.Total, found.About
		}
		slices.Sort(took)
		b.Logf("%-30s p50 %8v  p95 %8v  CPU %8v  %d documents (about: %v)", c.name, took[rounds/2].Round(10*time.Microsecond),
			took[rounds*95/100].Round(10*time.Microsecond), ((cpu() - used) / rounds).Round(10*time.Microsecond), total, about)
	}
}
