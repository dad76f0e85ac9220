package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

const (
	short, long = 10_000, 1_000_000 // events in the log
	perDocument = 10                // events
)

// BenchmarkStandalone measures the start and the idle memory of `signrelay run`, with an empty log and with a long one.
func BenchmarkStandalone(b *testing.B) {
	for b.Loop() {
		testenv.Program(b, "signrelay")
		h := testenv.Standalone(b)
		p := h.Processes["signrelay"]
		restart := func(suffix string) {
			began := time.Now()
			p.Start()
			took := float64(time.Since(began).Milliseconds())
			time.Sleep(5 * time.Second) // the memory that only the start needs has been released by then
			memory := float64(testenv.Memory(b, p.PID())) / 1e6
			figure(b, "start"+suffix, took)
			figure(b, "memory"+suffix, memory)
			figure(b, "memory-own"+suffix, float64(testenv.OwnMemory(b, p.PID()))/1e6)
			b.ReportMetric(took, "ms-until-ready"+suffix)
			b.ReportMetric(memory, "MB-idle"+suffix)
		}
		p.Stop()
		restart("")
		p.Stop()
		h.WithStore(b, func(js jetstream.JetStream) { fill(b, js, 0, long) })
		// A server reads the ids of its duplicate window again when it starts. In an installation these are the events of two minutes, not all:
		// without this pause they were 87% of the start and 150 MB.
		time.Sleep(flow.DuplicateWindow)
		restart("-long-log")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLongLog measures the CPU of all processes for a callback and for a notification, with a short and with a long log. The machine may be slower
// in the minutes of one of them, so each is compared with the CPU of a bare handler in the same minutes.
func BenchmarkLongLog(b *testing.B) {
	const stored, invited, turns = 20_000, 2_000, 3
	for b.Loop() {
		upstream := testenv.NewSlowUpstream(b, 0)
		upstream.Mail = true
		post := newMailbox(b)
		h := testenv.LazySync(b, func(h *testenv.Env) string { return settings(h, upstream, post.address) })
		h.Timeout = 15 * time.Minute
		for _, service := range testenv.Services[1:] {
			h.StartService(b, service, service)
		}
		url, next := h.IngestURL+"/webhooks/clickwrap/demo", 0
		measure := func(n int, kind string) cost {
			before, messages := take(b, h), post.emails.Load()
			load(b, url, clickwrapFrom(next, n, kind), connections)
			if kind == "request_sent" {
				h.Until(b, "each e-mail was sent", func() bool { return post.emails.Load()-messages >= int64(n) })
			}
			idle(b, h)
			next += n
			return take(b, h).since(before, n)
		}
		bare, reference := testenv.BareServer(b)
		bareCPU := func() float64 {
			before := testenv.CPU(b, reference.PID())
			load(b, bare, clickwrap(stored, "activity_visited"), connections)
			return (testenv.CPU(b, reference.PID()) - before).Seconds()
		}
		bareCPU()
		measure(stored/10, "request_sent") // all programs are warm
		var callback, notification [2]cost
		var machine [2]float64
		filled := 0
		for i, length := range []int{short, long} {
			fill(b, h.JetStream(b), filled, length)
			filled = length
			idle(b, h)
			if length == long {
				time.Sleep(flow.DuplicateWindow) // until then the server has the ids of all these events in memory
			}
			measure(stored/10, "activity_visited") // the programs rested meanwhile
			callback[i], notification[i] = cost{}, cost{}
			for range turns {
				machine[i] += bareCPU() / turns
				callback[i].add(measure(stored, "activity_visited"), 1./turns)
				notification[i].add(measure(invited, "request_sent"), 1./turns)
			}
			b.Logf("%d events in the log: µs of CPU a callback and a notification; a bare handler %.1f:\n%s",
				length, machine[i]/stored*1e6, costs(callback[i], notification[i]))
		}
		for name, ratio := range map[string]float64{
			"callback": callback[1].processors() / callback[0].processors(), "notification": notification[1].processors() / notification[0].processors(),
		} {
			ratio /= machine[1] / machine[0]
			figure(b, "long-log-"+name, ratio)
			b.ReportMetric(ratio, name+"-of-short-log")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// idle waits until all stages have done their work, the indexer too. The indexer needs longer for a filled log than the filling takes.
func idle(b *testing.B, h *testenv.Env) {
	b.Helper()
	h.WaitIdle(b)
	h.Until(b, "each event is in the index", func() bool {
		consumer, err := h.JetStream(b).Consumer(b.Context(), flow.Signing, flow.Indexer)
		return err == nil && consumer.CachedInfo().NumPending == 0 && consumer.CachedInfo().NumAckPending == 0
	})
}

// fill stores events that cause no message, from the first number up to another, each with a kilobyte of attributes.
func fill(b *testing.B, js jetstream.JetStream, from, to int) {
	b.Helper()
	store(b, js, from, to, func(i int) *signingv1.SigningEvent {
		return &signingv1.SigningEvent{
			Id: fmt.Sprintf("%032x", i), Type: event.RecipientOpened, Document: &signingv1.Document{Id: fmt.Sprintf("old-%07d", i/perDocument)},
		}
	})
}

// store stores an event for each number, which newEvent returns without its source, times and title. Each has a kilobyte of attributes.
func store(b *testing.B, js jetstream.JetStream, from, to int, newEvent func(i int) *signingv1.SigningEvent) {
	b.Helper()
	began := time.Now()
	for i := from; i < to; i++ {
		e := newEvent(i)
		e.Source, e.Provider, e.OccurredAt, e.ReceivedAt = "demo", "clickwrap", timestamppb.New(began), timestamppb.New(began)
		e.Document.Title, e.Attributes = "Example Contract", map[string]string{"description": fmt.Sprintf("%0900d", i)}
		m, err := event.Message(b.Context(), e)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(10 * time.Minute):
		b.Fatal("the log was not filled within 10 minutes")
	}
	b.Logf("%d events stored in %v", to-from, time.Since(began).Round(time.Second))
}
