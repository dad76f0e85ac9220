package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// result is one row of the table.
type result struct {
	Fault    string `json:"fault"`
	Accepted int    `json:"accepted"`    // callbacks with status 2xx
	Stored   int    `json:"stored"`      // their events in the log
	Sent     int    `json:"handed_over"` // messages that the outside parties accepted, each counted once
	Lost     int    `json:"lost"`        // callbacks accepted and not stored, or messages due and not sent
	Doubled  int    `json:"doubled"`     // stored twice, or sent twice without the mark
	Unknown  int    `json:"unknown"`     // sent again after an attempt with an unknown outcome, and marked
	Given    int    `json:"given_up"`    // dead letters
	Again    int    `json:"again"`       // deliveries to a stage beyond the first
	// Late is the 95th percentile of the messages' delay in seconds, from the acceptance of the callback or, if that was before, from the
	// end of the outage.
	Late    float64 `json:"late_p95_seconds"`
	Seconds int     `json:"seconds"`
}

// audit compares the accepted callbacks with the log and the outside parties.
func audit(t testing.TB, h *testenv.Env, d *driver, w *world, fault string, began time.Time) result {
	t.Helper()
	documents := d.all()
	r := result{Fault: fault, Accepted: len(documents), Seconds: int(time.Since(began).Seconds())}
	stored, marked, twice := readLog(t, h)
	if w.forgets {
		// Two reports of one invitation are handled at once, and both schedule it under one id. The log drops the second one in its window.
		delete(twice, event.ReminderScheduled)
	}
	for _, n := range twice {
		r.Doubled += n
	}
	channels := []string{"sms", "email"}
	if w.behaves.remindAfter > 0 {
		channels = append(channels, "sms"+reminder, "email"+reminder)
	} else {
		missing, extra := schedules(t, h, documents, w.forgets)
		r.Lost, r.Doubled = r.Lost+missing, r.Doubled+extra
	}
	r.Late = late(d, w)
	sent := w.sent()
	for _, document := range documents {
		switch n := stored[document]; {
		case n == 0:
			r.Lost++
		case n > 1:
			r.Stored, r.Doubled = r.Stored+1, r.Doubled+1
			t.Logf("stored more than once: the event of %s", document)
		default:
			r.Stored++
		}
		for _, channel := range channels {
			key := message{document, channel}
			n := sent[key]
			delete(sent, key)
			switch {
			case n == 0:
				r.Lost++
				continue
			case n > 1 && marked[key]:
				r.Unknown++
			case n > 1:
				r.Doubled++
				t.Logf("%d times: %+v", n, key)
			}
			r.Sent++
		}
	}
	for message, n := range sent {
		t.Logf("%d messages that no callback of the row causes: %+v", n, message)
	}
	r.Doubled += len(sent)
	dlq, err := h.JetStream(t).Stream(t.Context(), flow.DLQ)
	if err != nil {
		t.Fatalf("read %s: %v", flow.DLQ, err)
	}
	r.Given = int(dlq.CachedInfo().State.Msgs)
	r.Again = deliveredAgain(t, h)
	return r
}

// schedules counts the documents whose person has no scheduled reminder, and those with more than one, or with one that is reported twice.
func schedules(t testing.TB, h *testenv.Env, documents []string, forgets bool) (missing, extra int) {
	t.Helper()
	scheduled, reported := map[string]int{}, map[string]int{}
	for _, row := range []struct {
		stream, filter string
		count          map[string]int
	}{
		{flow.Remind, flow.RemindersOf("*", "*", ""), scheduled},
		{flow.Signing, event.TypeFilter(event.ReminderScheduled), reported},
	} {
		for m, err := range (event.Log{JS: h.JetStream(t), Stream: row.stream}).Messages(t.Context(), row.filter, time.Time{}) {
			if err != nil {
				t.Fatalf("read %s: %v", row.stream, err)
			}
			e, err := event.Decode(m.Data)
			if err != nil {
				t.Fatalf("read %s: %v", row.stream, err)
			}
			row.count[e.GetDocument().GetId()]++
		}
	}
	for _, document := range documents {
		switch {
		case scheduled[document] == 0 || reported[document] == 0:
			missing++
		case scheduled[document] > 1 || reported[document] > 1 && !forgets:
			extra++
			t.Logf("%s has %d scheduled reminders, and %d are reported", document, scheduled[document], reported[document])
		}
	}
	return missing, extra
}

// late is the 95th percentile of the messages' delay, in seconds.
func late(d *driver, w *world) float64 {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	d.mutex.Lock()
	defer d.mutex.Unlock()
	var all []float64
	for key, at := range w.first {
		if strings.HasSuffix(key.channel, reminder) {
			continue // it is late on purpose
		}
		from := d.accepted[key.document]
		if from.Before(d.back) {
			from = d.back
		}
		all = append(all, max(at.Sub(from).Seconds(), 0))
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)*95/100]
}

// deliveredAgain counts the deliveries to all stages beyond the first of each message.
func deliveredAgain(t testing.TB, h *testenv.Env) int {
	t.Helper()
	again := 0
	for _, s := range flow.Stages {
		if s.Optional {
			continue
		}
		consumer, err := h.JetStream(t).Consumer(t.Context(), s.Stream, s.Name)
		if err != nil {
			t.Fatalf("request the state of the consumer %s: %v", s.Name, err)
		}
		again += int(consumer.CachedInfo().Delivered.Consumer) - messagesFor(t, h, s)
	}
	return again
}

func messagesFor(t testing.TB, h *testenv.Env, s flow.Stage) int {
	t.Helper()
	stream, err := h.JetStream(t).Stream(t.Context(), s.Stream)
	if err != nil {
		t.Fatalf("read %s: %v", s.Stream, err)
	}
	count := 0
	for _, subject := range s.Consumes {
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(subject))
		if err != nil {
			t.Fatalf("read %s: %v", s.Stream, err)
		}
		for _, n := range info.State.Subjects {
			count += int(n)
		}
	}
	return count
}

// readLog counts each document's document.sent, finds the messages marked as possible duplicates, and counts other events whose id the log
// holds twice.
func readLog(t testing.TB, h *testenv.Env) (stored map[string]int, marked map[message]bool, twice map[string]int) {
	t.Helper()
	ids := map[string]bool{}
	stored, marked, twice = map[string]int{}, map[message]bool{}, map[string]int{}
	log := event.Log{JS: h.JetStream(t), Stream: flow.Signing}
	for m, err := range log.Messages(t.Context(), "signing.v1.>", time.Time{}) {
		if err != nil {
			t.Fatalf("read the log: %v", err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			t.Fatalf("read the log: %v", err)
		}
		if ids[e.GetId()] && e.GetType() != "document.sent" {
			twice[e.GetType()]++
			t.Logf("stored twice: %s of %s", e.GetType(), e.GetDocument().GetId())
		}
		ids[e.GetId()] = true
		switch {
		case e.GetType() == "document.sent":
			stored[e.GetDocument().GetId()]++
		case (e.GetType() == event.NotificationSent || e.GetType() == event.NotificationFailed) && e.GetNotice().GetPossibleDuplicate():
			key := message{e.GetDocument().GetId(), e.GetNotice().GetChannel()}
			if e.GetNotice().GetKind() == "reminder" {
				key.channel += reminder
			}
			marked[key] = true
		}
	}
	return stored, marked, twice
}

// table collects the rows of all faults and prints them after the last one.
type table struct {
	mutex sync.Mutex
	rows  []result
}

func (tb *table) add(r result) {
	tb.mutex.Lock()
	defer tb.mutex.Unlock()
	tb.rows = append(tb.rows, r)
}

// print prints the table, and writes it as JSON to the file named in SIGNRELAY_TEST_FAULTS_JSON.
func (tb *table) print(w io.Writer) error {
	tb.mutex.Lock()
	defer tb.mutex.Unlock()
	if len(tb.rows) == 0 {
		return nil
	}
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(columns, "accepted\tstored\thanded over\tlost\tdoubled\tunknown\tgiven up\tagain\tlate p95\tseconds\t  fault")
	for _, r := range tb.rows {
		fmt.Fprintf(columns, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\t%d\t  %s\n",
			r.Accepted, r.Stored, r.Sent, r.Lost, r.Doubled, r.Unknown, r.Given, r.Again, r.Late, r.Seconds, strings.TrimSpace(r.Fault))
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	path := os.Getenv("SIGNRELAY_TEST_FAULTS_JSON")
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(tb.rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}
