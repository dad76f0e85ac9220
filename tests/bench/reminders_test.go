package bench

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	"github.com/signrelay/signrelay/tests/testenv"
)

// reminded is the number of people whose reminders are scheduled.
const reminded = 1_000_000

// BenchmarkReminders schedules a reminder for each of a million people, as after their invitations, and measures what that costs: CPU of the
// reminder and of NATS, and the memory and the disk space of NATS.
func BenchmarkReminders(b *testing.B) {
	for b.Loop() {
		h := testenv.LazySync(b, func(*testenv.Env) string {
			return "sources:\n  - {name: demo, provider: clickwrap, webhook: {secrets: [\"12345\"]}}\n"
		})
		h.Timeout = 30 * time.Minute
		js := h.JetStream(b)
		for i := range reminded {
			e := &signingv1.SigningEvent{
				Id: event.DerivedID("invitation", "bench", strconv.Itoa(i)), Source: "demo", Provider: "clickwrap", Type: event.NotificationSent,
				OccurredAt: timestamppb.Now(), Verification: signingv1.Verification_VERIFICATION_INTERNAL,
				Document: &signingv1.Document{Id: fmt.Sprintf("d-%07d", i)}, Recipient: &signingv1.Recipient{Id: fmt.Sprintf("s-%07d", i)},
				Notice: &signingv1.Notice{Kind: "invitation", Channel: "sms"},
			}
			m, err := event.Message(b.Context(), e)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
				b.Fatal(err)
			}
		}
		<-js.PublishAsyncComplete()

		server := h.Processes["nats"].PID()
		memory, cpu := testenv.Memory(b, server), testenv.CPU(b, server)
		p := h.StartService(b, "reminder", "reminder")
		h.Until(b, "all reminders are scheduled", func() bool {
			stream, err := js.Stream(b.Context(), flow.Remind)
			return err == nil && stream.CachedInfo().State.Msgs == reminded
		})
		h.WaitIdle(b)
		micros := func(d time.Duration) float64 { return float64(d.Microseconds()) / reminded }
		own, natsOwn := testenv.CPU(b, p.PID()), testenv.CPU(b, server)-cpu
		figure(b, "schedule-cpu", micros(own+natsOwn))
		figure(b, "schedule-memory", float64(testenv.Memory(b, server)-memory)/reminded)
		stream, err := js.Stream(b.Context(), flow.Remind)
		if err != nil {
			b.Fatal(err)
		}
		figure(b, "schedule-disk", float64(stream.CachedInfo().State.Bytes)/reminded)
		b.Log(strings.TrimSpace(fmt.Sprintf("a schedule: %.0f µs of the reminder, %.0f µs of NATS", micros(own), micros(natsOwn))))
	}
	b.ReportMetric(0, "ns/op")
}
