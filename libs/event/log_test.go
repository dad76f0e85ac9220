package event_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func TestLogFindsStoredEventsOnly(t *testing.T) {
	t.Parallel()
	js := connected(t)
	log := event.Log{JS: js, Stream: flow.Signing}

	if has, err := has(t, log, "signing.v1.a.b.c.d._", "id-0", event.Span{}); err != nil || has {
		t.Fatalf("an empty log: %v, %v", has, err)
	}
	const many = 600 // more than two batches
	for i := range many {
		msg := &nats.Msg{Subject: "signing.v1.a.b.c.d._", Header: nats.Header{"Nats-Msg-Id": {fmt.Sprintf("id-%d", i)}}}
		if _, err := js.PublishMsgAsync(msg); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	for id, want := range map[string]bool{"id-0": true, "id-300": true, "id-599": true, "id-600": false} {
		if has, err := has(t, log, "signing.v1.a.b.c.d._", id, event.Span{}); err != nil || has != want {
			t.Errorf("%s: %v, %v; want %v", id, has, err, want)
		}
		if has, err := has(t, log, "signing.v1.a.b.c.d.other", id, event.Span{}); err != nil || has {
			t.Errorf("%s on another subject: %v, %v", id, has, err)
		}
		if has, err := has(t, log, "signing.v1.a.b.c.d._", id, event.Span{Since: time.Now().Add(time.Hour)}); err != nil || has {
			t.Errorf("%s since later: %v, %v", id, has, err)
		}
		if has, err := has(t, log, "signing.v1.a.b.c.d._", id, event.Span{Until: time.Now().Add(-time.Hour)}); err != nil || has {
			t.Errorf("%s until before: %v, %v", id, has, err)
		}
		if has, err := has(t, log, "signing.v1.a.b.c.d._", id, event.Span{Since: time.Now().Add(-time.Hour)}); err != nil || has != want {
			t.Errorf("%s since before: %v, %v; want %v", id, has, err, want)
		}
	}
	n := 0
	for m, err := range log.Messages(t.Context(), "signing.v1.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("id-%d", n); m.Header.Get("Nats-Msg-Id") != want {
			t.Fatalf("message %d is %s", n, m.Header.Get("Nats-Msg-Id"))
		}
		n++
	}
	if n != many {
		t.Errorf("%d messages, want %d", n, many)
	}
	if first, last, err := log.Bounds(t.Context()); err != nil || first != 1 || last != many {
		t.Errorf("bounds %d to %d, %v; want 1 to %d", first, last, err, many)
	}
}

func TestLogKnowsWhichSubjectsArePresent(t *testing.T) {
	t.Parallel()
	js := connected(t)
	log := event.Log{JS: js, Stream: flow.Signing}
	subject := func(n int) string { return fmt.Sprintf("signing.v1.a.b.c.d.%d", n) }
	var all []string
	for n := range 8 {
		all = append(all, subject(n))
	}
	if present, err := log.Present(t.Context(), all...); err != nil || len(present) != 0 {
		t.Fatalf("an empty log: %v, %v", present, err)
	}
	for _, n := range []int{1, 5, 1, 9, 7} {
		if _, err := js.Publish(t.Context(), subject(n), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		subjects []string
		want     []string
	}{
		{all, []string{subject(1), subject(5), subject(7)}},
		{all[:5], []string{subject(1)}},
		{all[2:5], nil},
	} {
		present, err := log.Present(t.Context(), test.subjects...)
		if got := slices.Sorted(maps.Keys(present)); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("of %v: %v, %v; want %v", test.subjects, got, err, test.want)
		}
	}
	if _, err := (event.Log{JS: js, Stream: "NOWHERE"}).Present(t.Context(), all...); err == nil {
		t.Error("a missing log has no error")
	}
}

// All requests of a connection share one subscription: one for each request costs two more commands at the server.
func TestRequestsShareASubscription(t *testing.T) {
	t.Parallel()
	js := connected(t)
	log := event.Log{JS: js, Stream: flow.Signing}
	const subject = "signing.v1.a.b.c.d.1"
	for range 3 {
		if _, err := js.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range log.Messages(t.Context(), subject, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		break // the responses that follow are dropped
	}
	with := js.Conn().NumSubscriptions()
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			n := 0
			for _, err := range log.Messages(t.Context(), subject, time.Time{}) {
				if now := js.Conn().NumSubscriptions(); err != nil || now != with {
					t.Errorf("%d subscriptions, want %d; %v", now, with, err)
				}
				n++
			}
			present, err := log.Present(t.Context(), subject, subject+"2")
			if n != 3 || err != nil || len(present) != 1 {
				t.Errorf("%d messages, %v, %v", n, present, err)
			}
		})
	}
	readers.Wait()
}

func TestLogIsReadAfterAReconnect(t *testing.T) {
	t.Parallel()
	broker := realtest.NATS(t)
	nc, js := broker.Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "signing.v1.a.b.c.d.1", nil); err != nil {
		t.Fatal(err)
	}
	log := event.Log{JS: js, Stream: flow.Signing}
	back := nc.StatusChanged(nats.CONNECTED)
	for _, when := range []string{"before", "after"} {
		if present, err := log.Present(t.Context(), "signing.v1.a.b.c.d.1"); err != nil || len(present) != 1 {
			t.Errorf("%s: %v, %v", when, present, err)
		}
		if when == "before" {
			broker.Stop()
			broker.Start()
			<-back
		}
	}
}

// A response that lacks its last messages must not read as a log without them.
func TestAPartOfAResponseIsAnError(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect(realtest.NATS(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	message := func(status string, left int) *nats.Msg {
		return &nats.Msg{Header: nats.Header{
			"Status": {status}, "Description": {map[string]string{"204": "EOB"}[status]}, "Nats-Num-Pending": {strconv.Itoa(left)},
			"Nats-Stream": {flow.Signing}, "Nats-Subject": {"signing.v1.a.b.c.d.1"}, "Nats-Sequence": {"1"}, "Nats-Time-Stamp": {time.Now().Format(time.RFC3339Nano)},
		}}
	}
	for name, response := range map[string][]*nats.Msg{
		"cut":               {message("", 2), message("204", 1)},
		"a message is lost": {message("", 2), message("404", 1)},
		"nothing":           {message("204", 0)},
	} {
		prefix := "part-" + strings.ReplaceAll(name, " ", "-")
		if _, err := nc.Subscribe(prefix+".DIRECT.GET.>", func(m *nats.Msg) {
			for _, part := range response {
				_ = m.RespondMsg(part)
			}
		}); err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.NewWithAPIPrefix(nc, prefix, jetstream.WithDefaultTimeout(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if present, err := (event.Log{JS: js, Stream: flow.Signing}).Present(t.Context(), "signing.v1.a.b.c.d.1", "signing.v1.a.b.c.d.2"); err == nil {
			t.Errorf("%s: %v without an error", name, present)
		}
	}
}

func TestLogOfAMissingStreamIsAnErrorAndNotEmpty(t *testing.T) {
	t.Parallel()
	log := event.Log{JS: connected(t), Stream: "NOWHERE"}
	if _, err := has(t, log, "signing.v1.>", "x", event.Span{}); err == nil {
		t.Error("a missing log returns \"not stored\"")
	}
}

// A broker that is killed after it got the request never responds. The query fails long before the caller's own timeout, which is hours.
func TestALogThatDoesNotRespondIsAnError(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect(realtest.NATS(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Subscribe("silent.DIRECT.GET.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, "silent", jetstream.WithDefaultTimeout(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	log := event.Log{JS: js, Stream: flow.Signing}
	for _, err := range log.Messages(ctx, "signing.v1.>", time.Time{}) {
		if err == nil || ctx.Err() != nil {
			t.Errorf("%v, and the caller's time: %v", err, ctx.Err())
		}
	}
	if _, err := log.Present(ctx, "signing.v1.a.b.c.d._"); err == nil || ctx.Err() != nil {
		t.Errorf("%v, and the caller's time: %v", err, ctx.Err())
	}
}

// A reader may need more time for a message than the broker may take to respond. It still gets each message once.
func TestASlowReaderGetsEachMessage(t *testing.T) {
	t.Parallel()
	broker := realtest.NATS(t)
	nc, js := broker.Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if _, err := js.Publish(t.Context(), "signing.v1.a.b.c.d._", []byte{byte(n)}); err != nil {
			t.Fatal(err)
		}
	}
	slow, err := jetstream.New(nc, jetstream.WithDefaultTimeout(200*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for m, err := range (event.Log{JS: slow, Stream: flow.Signing}).Messages(t.Context(), "signing.v1.>", time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, m.Data...); len(got) == 1 {
			<-time.After(300 * time.Millisecond)
		}
	}
	if !slices.Equal(got, []byte{0, 1, 2}) {
		t.Errorf("read %v", got)
	}
}

func has(t *testing.T, log event.Log, subject, id string, in event.Span) (bool, error) {
	t.Helper()
	found, err := log.Which(t.Context(), subject, in, id, "never")
	return found[id], err
}

func TestNarrowReadsSubjectsInTheOrderOfTheLog(t *testing.T) {
	t.Parallel()
	js := connected(t)
	log := event.Log{JS: js, Stream: flow.Signing}
	const many = 700 // more than two batches of a subject
	for i := range many {
		for _, subject := range []string{"signing.v1.a.b.c.d.one", "signing.v1.a.b.c.e.one", "signing.v1.a.b.c.d.two"}[:1+i%3] {
			if _, err := js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: []byte(strconv.Itoa(i))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-js.PublishAsyncComplete()
	subjects, err := log.Subjects(t.Context(), event.DocumentFilter("one"))
	if want := map[string]uint64{"signing.v1.a.b.c.d.one": many, "signing.v1.a.b.c.e.one": 466}; err != nil || !maps.Equal(subjects, want) {
		t.Fatalf("the subjects are %v, %v; want %v", subjects, err, want)
	}
	read, before := map[string]uint64{}, uint64(0)
	for m, err := range log.Narrow(t.Context(), event.DocumentFilter("one")) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Sequence <= before {
			t.Fatalf("%d came after %d", m.Sequence, before)
		}
		read[m.Subject]++
		before = m.Sequence
	}
	if !maps.Equal(read, subjects) {
		t.Errorf("read %v; want %v", read, subjects)
	}
	for m, err := range log.Narrow(t.Context(), event.DocumentFilter("none")) {
		t.Errorf("a document without events has %v, %v", m, err)
	}
}

func TestLifeHasEventsThatNameOnlyThePerson(t *testing.T) {
	t.Parallel()
	js := connected(t)
	log := event.Log{JS: js, Stream: flow.Signing}
	for i, one := range []struct{ document, person, typ string }{
		{"", "p1", event.RecipientQueued}, // before the first event that names both
		{"d1", "p1", event.RecipientSent},
		{"d2", "p2", event.RecipientSent},
		{"", "p2", event.RecipientOpened},
		{"", "p1", event.RecipientOpened},
		{"d1", "", event.DocumentCompleted},
		{"", "", event.EndpointTested},
	} {
		m, err := event.Message(t.Context(), &signingv1.SigningEvent{
			Id: strconv.Itoa(i), Type: one.typ, Source: "v1", Provider: "esign-v1", Document: &signingv1.Document{Id: one.document}, Recipient: &signingv1.Recipient{Id: one.person},
		})
		if err == nil {
			_, err = js.PublishMsg(t.Context(), m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for s, err := range log.Life(t.Context(), event.Signer{Source: "v1", Provider: "esign-v1", Document: "d1"}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.Event.GetId())
	}
	if want := []string{"0", "1", "4", "5"}; !slices.Equal(ids, want) {
		t.Errorf("the life is %v, want %v", ids, want)
	}
}

func connected(t *testing.T) jetstream.JetStream {
	t.Helper()
	_, js := realtest.NATS(t).Connect()
	if err := flow.Provision(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	return js
}

// A reader of a whole stream gets each message once and in order, also where a response ends early because of its bytes, and after a place. Removed
// messages change nothing.
func TestWholeReadsAStreamToItsEnd(t *testing.T) {
	t.Parallel()
	js := connected(t)
	log := event.Log{JS: js, Stream: flow.Signing}
	const small, large = 4200, 6 // more than one response by number, and more than one by bytes
	want := make([]uint64, 0, small+large)
	for i := range small + large {
		data := []byte("x")
		if i >= small {
			data = make([]byte, 900_000)
		}
		if _, err := js.PublishMsgAsync(&nats.Msg{Subject: "signing.v1.a.b.c.d." + strconv.Itoa(i%50), Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	stream, err := js.Stream(t.Context(), flow.Signing)
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n <= small+large; n++ {
		if n%1000 == 7 {
			if err := stream.DeleteMsg(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want = append(want, n)
	}
	for _, after := range []uint64{0, 7, 4100, small + large} {
		var got []uint64
		for m, err := range log.Whole(t.Context(), ">", after) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Sequence)
		}
		i, _ := slices.BinarySearch(want, after+1)
		if !slices.Equal(got, want[i:]) {
			t.Errorf("after %d: %d messages, want %d", after, len(got), len(want[i:]))
		}
	}
}
