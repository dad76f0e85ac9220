package event_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/realtest"
)

// lasts responds to requests for last messages in the place of a server: each subject has a message, except "none". A response with more than this
// number of messages is cut, as a server does with one that is too large. The first request waits until release is closed.
func lasts(t *testing.T, most int, release <-chan struct{}) (log event.Log, requests *atomic.Int32, first <-chan struct{}) {
	t.Helper()
	nc, err := nats.Connect(realtest.NATS(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	requests = new(atomic.Int32)
	arrived := make(chan struct{})
	if _, err := nc.Subscribe("last.DIRECT.GET.>", func(m *nats.Msg) {
		if requests.Add(1) == 1 {
			close(arrived)
			<-release
		}
		var wanted struct {
			Subjects []string `json:"multi_last"`
		}
		if err := json.Unmarshal(m.Data, &wanted); err != nil {
			t.Error(err)
		}
		slices.Sort(wanted.Subjects)
		found := slices.DeleteFunc(slices.Compact(wanted.Subjects), func(s string) bool { return s == "none" })
		for i, subject := range found[:min(len(found), most)] {
			_ = m.RespondMsg(&nats.Msg{Data: []byte(subject), Header: nats.Header{
				"Nats-Num-Pending": {strconv.Itoa(len(found) - i - 1)}, "Nats-Subject": {subject}, "Nats-Sequence": {"1"},
				"Nats-Time-Stamp": {time.Now().Format(time.RFC3339Nano)},
			}})
		}
		status := "204"
		if len(found) == 0 {
			status = "404"
		}
		_ = m.RespondMsg(&nats.Msg{Header: nats.Header{"Status": {status}, "Nats-Num-Pending": {strconv.Itoa(max(len(found)-most, 0))}}})
	}); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, "last", jetstream.WithDefaultTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return event.Log{JS: js, Stream: flow.Signing}, requests, arrived
}

// Concurrent calls share a request, and each of them gets the messages of its own subjects.
func TestConcurrentReadersShareARequest(t *testing.T) {
	t.Parallel()
	const readers = 50
	for name, c := range map[string]struct {
		most     int // messages in a response
		requests int // at most
		complete bool
	}{
		"one response":                      {1000, readers / 2, true},
		"a shared response is too large":    {2, 2 * readers, true}, // then each call has a request of its own
		"the response of each is too large": {1, 2 * readers, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			log, requests, first := lasts(t, c.most, release)
			var all, begun sync.WaitGroup
			all.Go(func() { _, _ = log.Present(t.Context(), "first") })
			<-first
			begun.Add(readers)
			for n := range readers {
				all.Go(func() {
					own := []string{fmt.Sprintf("a.%d", n), "none", fmt.Sprintf("b.%d", n), fmt.Sprintf("a.%d", n), "shared"}[:4-n%2]
					begun.Done()
					present, err := log.Present(t.Context(), own...)
					if complete := err == nil; complete != c.complete || complete && (len(present) != 2 || !present[own[0]] || !present[own[2]]) {
						t.Errorf("%v: %v, %v", own, present, err)
					}
				})
			}
			begun.Wait()
			close(release)
			all.Wait()
			if n := int(requests.Load()); n > c.requests {
				t.Errorf("%d requests of %d readers, want at most %d", n, readers, c.requests)
			}
		})
	}
}

// Few yields what Messages yields. It requests the first message alone, because the server counts the messages that follow if it is asked for several.
func TestFewMessages(t *testing.T) {
	t.Parallel()
	js := connected(t)
	log := event.Log{JS: js, Stream: flow.Signing}
	const subject = "signing.v1.a.b.c.d.1"
	var since []time.Time
	for i := range 5 {
		if _, err := js.Publish(t.Context(), []string{subject, "signing.v1.a.b.c.d.2"}[i/3], []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		for m, err := range log.Last(t.Context(), subject) {
			if err != nil {
				t.Fatal(err)
			}
			since = append(since, m.Time)
		}
	}
	requests := make(chan []byte, 10)
	spy, err := js.Conn().Subscribe("$JS.API.DIRECT.GET.>", func(m *nats.Msg) { requests <- m.Data })
	if err != nil {
		t.Fatal(err)
	}
	next, stop := iter.Pull2(log.Few(t.Context(), subject, since[1]))
	if _, err, _ := next(); err != nil {
		t.Fatal(err)
	}
	stop()
	if request := string(<-requests); strings.Contains(request, "batch") {
		t.Errorf("a request for several messages: %s", request)
	}
	if err := spy.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	for _, from := range append(since, time.Time{}, time.Now().Add(time.Hour)) {
		read := func(messages iter.Seq2[*jetstream.RawStreamMsg, error]) (all []string) {
			for m, err := range messages {
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, fmt.Sprint(m.Sequence, m.Subject, string(m.Data)))
			}
			return all
		}
		for _, filter := range []string{subject, "signing.v1.*.*.*.*.2", "signing.v1.a.b.c.d.3"} {
			if diff := cmp.Diff(read(log.Messages(t.Context(), filter, from)), read(log.Few(t.Context(), filter, from))); diff != "" {
				t.Errorf("%s since %v: %s", filter, from, diff)
			}
		}
	}
}
