package bench

import (
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	"github.com/signrelay/signrelay/tests/testenv"
)

const (
	heard    = 100_000 // callbacks that cause no message
	notified = 20_000  // callbacks that cause a text and an e-mail to one person
)

// BenchmarkSize measures the cost of a million callbacks, of two kinds: those that are only stored, and those that also cause messages.
// It sends fewer callbacks and extrapolates. docs/operate.md has the table.
func BenchmarkSize(b *testing.B) {
	for b.Loop() {
		upstream := testenv.NewSlowUpstream(b, 0)
		upstream.Mail = true
		post := newMailbox(b)
		h := testenv.LazySync(b, func(h *testenv.Env) string { return settings(h, upstream, post.address) })
		h.Timeout = 15 * time.Minute
		h.StartService(b, "ingest", "ingest")

		before := take(b, h)
		load(b, h.IngestURL+"/webhooks/clickwrap/demo", clickwrap(heard, "activity_visited"), connections)
		stored := take(b, h)
		for _, stage := range notifying {
			h.StartService(b, stage, stage)
		}
		begun, began := take(b, h), time.Now()
		load(b, h.IngestURL+"/webhooks/clickwrap/demo", clickwrap(notified, "request_sent"), connections)
		h.Until(b, "each message was sent", func() bool { return len(upstream.Sent.Times()) >= notified && post.emails.Load() >= notified })
		figure(b, "notifications", notified/time.Since(began).Seconds())
		h.WaitIdle(b)
		done := take(b, h)
		callback, notification := stored.since(before, heard), done.since(begun, notified)
		measured.callback, measured.notification = callback, notification
		figure(b, "notification-cpu", notification.processors())
		figure(b, "notification-of-callback", notification.processors()/callback[ingestCPU])
		figure(b, "redis-callback", callback[redisMemory])
		figure(b, "redis-message", (notification[redisMemory]-callback[redisMemory])/2)
		// The output of a benchmark is cut after ten lines.
		_, _ = os.Stdout.WriteString(costs(callback, notification) + memories(b, h) + redisKeys(b, h))
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkNotificationFloor measures the least that a notification costs: reference programs in place of the stages make the same exchanges with NATS,
// Redis, the provider, Vonage and the mail server, with the same clients, and nothing else.
func BenchmarkNotificationFloor(b *testing.B) {
	for b.Loop() {
		upstream := testenv.NewSlowUpstream(b, 0)
		post := newMailbox(b)
		h := testenv.LazySync(b, func(h *testenv.Env) string { return settings(h, upstream, post.address) })
		h.Timeout = 15 * time.Minute
		h.StartService(b, "ingest", "ingest")
		for _, stage := range notifying {
			h.BareStage(b, stage, upstream.URL, post.address)
		}
		begun, began := take(b, h), time.Now()
		load(b, h.IngestURL+"/webhooks/clickwrap/demo", clickwrap(notified/2, "request_sent"), connections)
		h.Until(b, "each message was sent", func() bool { return len(upstream.Sent.Times()) >= notified/2 && post.emails.Load() >= notified/2 })
		figure(b, "notifications-floor", notified/2/time.Since(began).Seconds())
		h.WaitIdle(b)
		cost := take(b, h).since(begun, notified/2)
		figure(b, "notification-cpu-floor", cost.processors())
		for _, what := range slices.Sorted(maps.Keys(cost)) {
			if strings.HasSuffix(what, cpuSuffix) {
				b.Logf("%s %.0f µs", strings.TrimSuffix(what, cpuSuffix), cost[what])
			}
		}
	}
	b.ReportMetric(0, "ns/op")
}

// notifying are the services that take part in a notification, after ingest.
var notifying = []string{"enricher", "shortener", "sms-sender", "email-sender", "reminder"}

// clickwrap makes n callbacks about n documents, as large as the provider's own examples.
func clickwrap(n int, kind string) []callback { return clickwrapFrom(0, n, kind) }

// clickwrapFrom is clickwrap with documents from this number on.
func clickwrapFrom(first, n int, kind string) []callback {
	all := make([]callback, n)
	for at := range all {
		i := first + at
		all[at] = callback{header: "Pactsafe-Webhook-Token", value: "12345", body: fmt.Sprintf(
			`{"type":"webhook","event_type":%[1]q,"description":"PactSafe sent \"Example Contract\"","site":2,"request":"d-%06[2]d",`+
				`"activity":"5a26bbf9e623117c%08[2]d","user":45,"created_time":%[3]q,"deliverable":true,"id":"596f85a084281715%08[2]d"}`,
			kind, i, time.Now().UTC().Format(time.RFC3339))}
	}
	return all
}

// spent is the use of resources so far.
type spent struct {
	cpu   map[string]time.Duration
	disk  map[string]uint64
	redis int64
}

func take(b *testing.B, h *testenv.Env) spent {
	b.Helper()
	s := spent{cpu: map[string]time.Duration{}, disk: map[string]uint64{}}
	for name, p := range h.Processes {
		s.cpu[name] = testenv.CPU(b, p.PID())
	}
	for _, name := range []string{flow.Signing, flow.Notify, "KV_" + flow.Links, "KV_" + flow.Texts} {
		stream, err := h.JetStream(b).Stream(b.Context(), name)
		if err != nil {
			b.Fatal(err)
		}
		s.disk[name] = stream.CachedInfo().State.Bytes
	}
	client := realtest.RedisClient(b, h.Redis.URL)
	info, err := client.InfoMap(b.Context(), "memory", "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Sscan(info["Memory"]["used_memory"], &s.redis); err != nil {
		b.Fatal(err)
	}
	var user, system float64
	if _, err := fmt.Sscan(info["CPU"]["used_cpu_user"]+" "+info["CPU"]["used_cpu_sys"], &user, &system); err != nil {
		b.Fatal(err)
	}
	s.cpu["redis"] = time.Duration((user + system) * float64(time.Second))
	return s
}

// since is the cost of a million callbacks, extrapolated from n.
func (s spent) since(before spent, n int) cost {
	million, cost := 1e6/float64(n), cost{}
	for name, used := range s.cpu {
		cost[name+cpuSuffix] = (used - before.cpu[name]).Seconds() * million
	}
	for name, bytes := range s.disk {
		cost[name+diskSuffix] = float64(bytes-before.disk[name]) * million / 1e6
	}
	cost[redisMemory] = float64(s.redis-before.redis) * million / 1e6
	return cost
}

func costs(stored, all cost) string {
	var t strings.Builder
	fmt.Fprintf(&t, "\na million callbacks (measured: %d, %d)  only stored  with a text and an e-mail\n", heard, notified)
	for _, what := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&t, "%-38s %12.0f %12.0f\n", what, stored[what], all[what])
	}
	return t.String()
}

// redisKeys is the keys in Redis by their first words: how many, the mean of their bytes, and the mean of their remaining time.
func redisKeys(b *testing.B, h *testenv.Env) string {
	b.Helper()
	type group struct {
		n, bytes int64
		hours    float64 // the sum of durations of 20,000 keys does not fit into one
	}
	groups := map[string]group{}
	client := realtest.RedisClient(b, h.Redis.URL)
	for keys := client.Scan(b.Context(), 0, "*", 1000).Iterator(); keys.Next(b.Context()); {
		key := keys.Val()
		name, _, _ := strings.Cut(key, ":")
		if at := strings.LastIndexByte(key, '}'); at > 0 { // the middle of a limit's name is a hash
			name = key[:strings.IndexByte(key, '{')] + "…" + key[at+1:]
		}
		bytes, err := client.MemoryUsage(b.Context(), key).Result()
		if err != nil {
			b.Fatal(err)
		}
		left, err := client.PTTL(b.Context(), key).Result()
		if err != nil {
			b.Fatal(err)
		}
		g := groups[name]
		groups[name] = group{g.n + 1, g.bytes + bytes, g.hours + left.Hours()}
	}
	var t strings.Builder
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		g := groups[name]
		fmt.Fprintf(&t, "redis: %-31s %12d keys %6d bytes %8.0f h\n", name, g.n, g.bytes/g.n, g.hours/float64(g.n))
	}
	return t.String()
}

// memories is the memory of each process.
func memories(b *testing.B, h *testenv.Env) string {
	b.Helper()
	var t strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h.Processes)) {
		fmt.Fprintf(&t, "%-38s %12d MB\n", name+" resident memory", testenv.Memory(b, h.Processes[name].PID())/1e6)
	}
	return t.String()
}

// mailbox is a mail server that only counts.
type mailbox struct {
	address string
	emails  atomic.Int64
}

func newMailbox(b *testing.B) *mailbox {
	b.Helper()
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	m := &mailbox{address: listener.Addr().String()}
	server := smtp.NewServer(m)
	server.ErrorLog = log.New(io.Discard, "", 0)
	go func() { _ = server.Serve(listener) }()
	b.Cleanup(func() { _ = server.Close() })
	return m
}

// NewSession implements smtp.Backend.
func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }

// Mail implements smtp.Session.
func (m *mailbox) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt implements smtp.Session.
func (m *mailbox) Rcpt(string, *smtp.RcptOptions) error { return nil }

// Data implements smtp.Session.
func (m *mailbox) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	m.emails.Add(1)
	return err
}

// Reset implements smtp.Session.
func (m *mailbox) Reset() {}

// Logout implements smtp.Session.
func (m *mailbox) Logout() error { return nil }
