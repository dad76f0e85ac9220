package faults

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/tests/testenv"
)

// receiptOf returns the status in the receipts of a document's text: delivered, or, in the rows of fallbacks, failed for a third of the documents, and
// none for another third.
func (w *world) receiptOf(document string) string {
	if w.behaves.fallbackAfter == 0 {
		return "delivered"
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(document))
	return []string{"delivered", "failed", ""}[sum.Sum32()%3]
}

// Vonage reports a failure, or reports nothing. Each person whose text is lost gets one e-mail, and no person gets two. A person whose receipt came too
// late, because the services were down, may get one, too.
func TestEachPersonGetsOneFallback(t *testing.T) {
	t.Parallel()
	s := newStand(t, "fallback", behaviour{receipts: true, fallbackAfter: 2 * time.Second}, 2, nil, testenv.Variant{})
	dice := rand.New(rand.NewPCG(seed(), 3))
	restart := func(name string) {
		s.Processes[name].Kill()
		s.Processes[name].Start()
	}
	began := time.Now()
	over, called := make(chan struct{}), make(chan int64)
	go func() { called <- s.driver.load(t.Context(), over) }()
	for round := range 8 {
		time.Sleep(time.Duration(300+dice.IntN(300)) * time.Millisecond)
		restart([]string{"reminder", "reminder-2", "enricher", "sms-sender", "email-sender"}[dice.IntN(5)])
		if round == 3 || round == 6 {
			restart("nats")
		}
	}
	close(over)
	if refused := <-called; refused > 0 {
		t.Errorf("%d callbacks were not accepted within %v", refused, callsFor)
	}
	s.waitForFallbacks(t)
	s.driver.again(t)
	s.waitForFallbacks(t)
	r := s.auditFallbacks(t, began)
	results.add(r)
	if r.Lost != 0 || r.Doubled != 0 || r.Given != 0 || r.Stored != r.Accepted {
		t.Errorf("%+v", r)
	}
}

// waitForFallbacks waits until all work is done, including fallbacks that are due within seconds.
func (s *stand) waitForFallbacks(t *testing.T) {
	t.Helper()
	s.WaitIdle(t)
	s.Until(t, "no fallback is scheduled", func() bool {
		for m, err := range (event.Log{JS: s.JetStream(t), Stream: flow.Remind}).Messages(t.Context(), flow.Fallbacks, time.Time{}) {
			if err != nil || m.Header.Get("Nats-Schedule") != "" {
				return false
			}
		}
		return true
	})
	s.WaitIdle(t)
}

// auditFallbacks compares the accepted callbacks with the log and the outside parties.
func (s *stand) auditFallbacks(t *testing.T, began time.Time) result {
	t.Helper()
	documents := s.driver.all()
	r := result{
		Fault:    fmt.Sprintf("kill -9 of the reminder, the enricher, the senders and NATS while texts have failed or no receipts (seed %d)", seed()),
		Accepted: len(documents), Seconds: int(time.Since(began).Seconds()),
	}
	stored, marked, twice := readLog(t, s.Env)
	for _, n := range twice {
		r.Doubled += n
	}
	sent, reported := s.world.sent(), s.reportedFallbacks(t)
	count := func(key message) {
		switch n := sent[key]; {
		case n == 0:
			r.Lost++
			return
		case n > 1 && marked[key]:
			r.Unknown++
		case n > 1:
			r.Doubled++
		}
		r.Sent++
	}
	for _, document := range documents {
		if r.Stored += min(stored[document], 1); stored[document] == 0 {
			r.Lost++
		} else if stored[document] > 1 {
			r.Doubled++
		}
		text, mail := message{document, "sms"}, message{document, "email"}
		count(text)
		if s.world.receiptOf(document) != "delivered" || sent[mail] > 0 {
			count(mail)
		}
		if reported[document] != min(sent[mail], 1) {
			t.Errorf("%s: %d fallbacks are in the log, and %d e-mails were sent; the receipt is %q", document, reported[document], sent[mail], s.world.receiptOf(document))
		}
		delete(sent, text)
		delete(sent, mail)
	}
	r.Doubled += len(sent)
	dlq, err := s.JetStream(t).Stream(t.Context(), flow.DLQ)
	if err != nil {
		t.Fatalf("read %s: %v", flow.DLQ, err)
	}
	r.Given, r.Again, r.Late = int(dlq.CachedInfo().State.Msgs), deliveredAgain(t, s.Env), late(s.driver, s.world)
	return r
}

// reportedFallbacks counts the fallbacks in the log, by document.
func (s *stand) reportedFallbacks(t *testing.T) map[string]int {
	t.Helper()
	count := map[string]int{}
	for m, err := range (event.Log{JS: s.JetStream(t), Stream: flow.Signing}).Messages(t.Context(), event.TypeFilter(event.NotificationFallback), time.Time{}) {
		if err != nil {
			t.Fatalf("read %s: %v", flow.Signing, err)
		}
		e, err := event.Decode(m.Data)
		if err != nil {
			t.Fatalf("read %s: %v", flow.Signing, err)
		}
		count[e.GetDocument().GetId()]++
	}
	return count
}
