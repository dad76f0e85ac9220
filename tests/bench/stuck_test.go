package bench

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/operate"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// BenchmarkStuck measures a view of what is stuck with many dead letters, each with the server's advisory: for an operator that reads the streams at
// each view, and for one that keeps what it has read. A view of the console takes at most 300 ms.
func BenchmarkStuck(b *testing.B) {
	for _, letters := range []int{10_000, 100_000} {
		b.Run(strconv.Itoa(letters), func(b *testing.B) { stuckOf(b, letters) })
	}
}

func stuckOf(b *testing.B, letters int) {
	bench := servicetest.New(b, config.Default())
	js := bench.Env.JS
	give := func(from, to int) {
		for n := from; n < to; n++ {
			message := &notifyv1.Notification{
				Id: fmt.Sprint("message-", n), Source: "onboarding", Provider: "pleasesign", DocumentId: fmt.Sprintf("596f858584281715b%07d", n/2), DocumentTitle: "Lease",
				Kind: notifyv1.Kind_KIND_INVITATION, Channel: notifyv1.Channel_CHANNEL_EMAIL, RecordedAt: timestamppb.Now(),
				To: &notifyv1.Person{RecipientId: fmt.Sprint("p", n), FirstName: "Eric", Email: fmt.Sprintf("eric.%d@example.com", n)},
			}
			data, err := proto.Marshal(message)
			if err != nil {
				b.Fatal(err)
			}
			for _, m := range []*nats.Msg{{Subject: "dlq.v1." + flow.EmailSender, Data: data, Header: nats.Header{
				"Signrelay-Dlq-Stage": {flow.EmailSender}, "Signrelay-Dlq-Reason": {[]string{"permanent", "attempts-exhausted", "smtp-550"}[n%3]}, "Signrelay-Dlq-Fault": {"provider"},
				"Signrelay-Dlq-Attempts": {strconv.Itoa(1 + n%151)}, "Signrelay-Dlq-Id": {message.GetId()}, "Signrelay-Dlq-Stream": {flow.Notify},
				"Signrelay-Dlq-Sequence": {strconv.Itoa(1 + n)}, "Signrelay-Dlq-Subject": {notification.SendSubject(message)}, "Signrelay-Dlq-Error": {"550 5.1.1 no such mailbox"},
			}}, {
				Subject: "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.NOTIFY." + flow.EmailSender,
				Data:    fmt.Appendf(nil, `{"consumer":%q,"stream":"NOTIFY","stream_seq":%d}`, flow.EmailSender, 1+n),
			}} {
				if _, err := js.PublishMsgAsync(m); err != nil {
					b.Fatal(err)
				}
			}
			if n%1000 == 999 {
				<-js.PublishAsyncComplete()
			}
		}
		<-js.PublishAsyncComplete()
	}
	give(0, letters)
	page := func(o *operate.Operator, f operate.Filter) time.Duration {
		began := time.Now()
		groups, listed, err := o.List(b.Context(), f, "", 50)
		if err != nil || len(listed.Items) == 0 || groups.Dead == 0 {
			b.Fatalf("%d items, %v", len(listed.Items), err)
		}
		return time.Since(began)
	}
	plan := func(o *operate.Operator) time.Duration {
		listed, err := o.Items(b.Context(), operate.Filter{What: operate.Dead}, "", 50)
		if err != nil {
			b.Fatal(err)
		}
		s := operate.Selection{}
		for _, i := range listed.Items {
			s.Keys = append(s.Keys, i.Key)
		}
		began := time.Now()
		if _, err := o.Preview(b.Context(), operate.Replay, s); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	median := func(do func() time.Duration) time.Duration {
		took := make([]time.Duration, 5)
		for i := range took {
			took[i] = do()
		}
		slices.Sort(took)
		return took[len(took)/2].Round(100 * time.Microsecond)
	}
	plain := &operate.Operator{JS: js, Ring: keyring.New(nil)}
	keeps := &operate.Operator{JS: js, Ring: keyring.New(nil), Remember: true}
	all, group := operate.Filter{}, operate.Filter{What: operate.Dead, Stage: flow.EmailSender, Reason: "smtp-550"}
	b.Logf("%d dead letters; without memory: the page %v, one group %v, the plan of a page %v", letters,
		median(func() time.Duration { return page(plain, all) }), median(func() time.Duration { return page(plain, group) }), median(func() time.Duration { return plan(plain) }))
	before := liveBytes()
	first := page(keeps, all).Round(time.Millisecond)
	kept := liveBytes() - before
	b.Logf("with memory: the first view %v, then the page %v, one group %v, the plan of a page %v; %d MB, %d bytes for each", first,
		median(func() time.Duration { return page(keeps, all) }), median(func() time.Duration { return page(keeps, group) }), median(func() time.Duration { return plan(keeps) }),
		kept>>20, kept/letters)
	next := letters
	b.Logf("after 100 more came in: the page %v", median(func() time.Duration { give(next, next+100); next += 100; return page(keeps, all) }))
	stream, err := js.Stream(b.Context(), flow.DLQ)
	if err != nil {
		b.Fatal(err)
	}
	number := uint64(11)
	b.Logf("after 100 left: the page %v", median(func() time.Duration {
		for range 100 {
			if err := stream.DeleteMsg(b.Context(), number); err != nil {
				b.Fatal(err)
			}
			number += 20
		}
		return page(keeps, all)
	}))
}

// liveBytes returns the bytes of live objects.
func liveBytes() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
