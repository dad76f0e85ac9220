package notification_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// broken is a vendor that refuses messages because of the operator's account or settings, until the operator fixes them.
type broken struct {
	*servicetest.Bench
	mu     sync.Mutex
	calls  map[string]int
	refuse func(id string) error // nil accepts it
}

func newBroken(t *testing.T, refuse func(id string) error, settings func() any) *broken {
	t.Helper()
	s := &broken{Bench: servicetest.New(t, defaults()), calls: map[string]int{}, refuse: refuse}
	place := soon(flow.EmailSender)
	place.Policy.FirstDelay, place.Policy.MaxDelay, place.Policy.MaxAttempts = time.Millisecond, time.Millisecond, 3
	s.Start(func(ctx context.Context, env service.Env) error {
		return notification.Sender{Links: links(), Vendor: "vendor", Settings: settings, Send: func(_ context.Context, n *notifyv1.Notification) (notification.Receipt, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.calls[n.GetId()]++
			if err := s.refuse(n.GetId()); err != nil {
				return notification.Receipt{}, err
			}
			return notification.Receipt{Reference: "ref"}, nil
		}}.Deliver(ctx, env, place)
	})
	return s
}

func (s *broken) publish(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		n := example()
		n.Id = id
		s.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
	}
}

func (s *broken) repair() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = func(string) error { return nil }
}

func (s *broken) called(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[id]
}

const deferredSubject = "signing.v1.acme.esign-v1.notification.deferred.>"

// The vendor refuses every message. Then one message is tried, and the others wait. All are listed, counted and published once. No message is
// given up, regardless of the number of deliveries, and the operator's release sends all of them.
func TestMessagesAreHeldUntilTheOperatorReleasesThem(t *testing.T) {
	t.Parallel()
	s := newBroken(t, func(string) error { return outcome.NeedsOperator(outcome.Account, "smtp-535", errors.New("code 535")) }, nil)
	s.publish(t, "n1")
	s.Await(flow.Signing, deferredSubject, 1)
	s.publish(t, "n2", "n3")
	for _, m := range s.Await(flow.Signing, deferredSubject, 3) {
		if e, err := event.Decode(m.Data()); err != nil || e.GetNotice().GetReason() != "smtp-535" || e.GetNotice().GetFault() != "operator" {
			t.Errorf("event %v, %v", e, err)
		}
	}
	var held []notification.Held
	var err error
	for deliveries := uint64(2); len(held) < 3; deliveries++ { // each hold is first published, then recorded
		s.delivered(t, deliveries)
		if held, err = notification.HeldMessages(t.Context(), s.Env.JS); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(held, func(a, b notification.Held) int { return strings.Compare(a.ID, b.ID) })
	for i, h := range held {
		if h.ID != fmt.Sprintf("n%d", i+1) || h.Reason != "smtp-535" || h.Fault != "operator" || h.Channel != "email" || h.Source != "acme" ||
			h.Provider != "esign-v1" || h.Document != "doc 1.>" || h.Kind != "undeliverable" || time.Since(h.Since) > time.Minute {
			t.Errorf("held %+v", h)
		}
	}
	if len(held) != 3 {
		t.Errorf("%d are listed", len(held))
	}
	// One was tried. It and those that wait behind it are tried again in a minute.
	asked, err := notification.HeldOf(t.Context(), s.Env.JS, map[string][]string{"email": {"n1", "n2", "n3", "other"}})
	if err != nil || len(asked) != 3 {
		t.Fatalf("asked for: %v, %v", asked, err)
	}
	for _, h := range asked {
		if wait := time.Until(h.Next); h.Tries != map[string]int{"n1": 1}[h.ID] || wait <= 0 || wait > time.Hour { // an hour in tests
			t.Errorf("%s was tried %d times, and one is tried again in %v", h.ID, h.Tries, wait)
		}
	}
	err = testutil.GatherAndCompare(s.Env.Metrics.(*prometheus.Registry), strings.NewReader(`
		# HELP signrelay_held_messages Messages that wait for the operator, as far as this replica has seen them in the last three minutes.
		# TYPE signrelay_held_messages gauge
		signrelay_held_messages{channel="email",reason="smtp-535"} 3
	`), "signrelay_held_messages")
	if err != nil {
		t.Error(err)
	}
	if s.called("n1") != 1 || s.called("n2")+s.called("n3") != 0 {
		t.Errorf("n1 was tried %d times, the others %d times", s.called("n1"), s.called("n2")+s.called("n3"))
	}
	s.delivered(t, 5) // more often than MaxAttempts

	s.repair()
	if err := notification.Release(t.Context(), s.Env.JS, "email"); err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Await(flow.Signing, sentSubject, 3) {
		if e, err := event.Decode(m.Data()); err != nil || e.GetNotice().GetPossibleDuplicate() {
			t.Errorf("event %v, %v", e, err)
		}
	}
	s.Settled(flow.EmailSender)
	if held, err := notification.HeldMessages(t.Context(), s.Env.JS); err != nil || len(held) != 0 {
		t.Errorf("still held: %v, %v", held, err)
	}
	if n := s.Count(flow.DLQ, "dlq.v1.>") + s.Count(flow.Signing, failedSubject); n != 0 {
		t.Errorf("%d were given up", n)
	}
	if n := s.Count(flow.Signing, deferredSubject); n != 3 {
		t.Errorf("%d were published as deferred, want each once", n)
	}
}

// delivered waits until the broker has delivered that many messages to the sender.
func (s *broken) delivered(t *testing.T, times uint64) {
	t.Helper()
	for {
		consumer, err := s.Env.JS.Consumer(t.Context(), flow.Notify, flow.EmailSender)
		if err != nil {
			t.Fatal(err)
		}
		info := consumer.CachedInfo()
		if info.Delivered.Consumer >= times*info.Delivered.Stream {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("the messages are not redelivered")
		}
	}
}

// A refusal that depends on the message holds messages with the same reason. Other messages are sent, and the fault is not the recipient's.
func TestARefusalOfOneMessageHoldsNoOther(t *testing.T) {
	t.Parallel()
	s := newBroken(t, func(id string) error {
		if strings.HasPrefix(id, "relay") {
			return outcome.NeedsOperator(outcome.Reason, "smtp-554", errors.New("code 554 5.7.1"))
		}
		return nil
	}, nil)
	s.publish(t, "relay1")
	s.Await(flow.Signing, deferredSubject, 1)
	s.publish(t, "n1", "n2")
	s.Await(flow.Signing, sentSubject, 2)
	s.delivered(t, 3)
	if s.called("relay1") != 1 {
		t.Errorf("tried %d times", s.called("relay1"))
	}
	s.repair()
	if err := notification.Release(t.Context(), s.Env.JS, "email"); err != nil {
		t.Fatal(err)
	}
	s.Await(flow.Signing, sentSubject, 3)
}

// New settings are tried at once.
func TestHeldMessagesAreSentWhenTheSettingsChange(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	password := "wrong"
	s := newBroken(t, func(string) error { return outcome.NeedsOperator(outcome.Account, "smtp-535", nil) }, func() any {
		mu.Lock()
		defer mu.Unlock()
		return password
	})
	s.publish(t, "n1")
	s.Await(flow.Signing, deferredSubject, 1)
	s.repair()
	mu.Lock()
	password = "right"
	mu.Unlock()
	s.Await(flow.Signing, sentSubject, 1)
}

// A message that is released and then fails in another way has its full retry budget: the time and the attempts of the hold do
// not count.
func TestAHeldMessageKeepsItsAttempts(t *testing.T) {
	t.Parallel()
	s := newBroken(t, func(string) error { return outcome.NeedsOperator(outcome.Account, "smtp-535", nil) }, nil)
	s.publish(t, "n1")
	s.Await(flow.Signing, deferredSubject, 1)
	s.delivered(t, 10)
	s.mu.Lock()
	tries := 0
	s.refuse = func(string) error {
		if tries++; tries == 1 {
			return outcome.Failure(outcome.Provider, "smtp-451", nil)
		}
		return nil
	}
	s.mu.Unlock()
	if err := notification.Release(t.Context(), s.Env.JS, "email"); err != nil {
		t.Fatal(err)
	}
	s.Await(flow.Signing, sentSubject, 1)
}

// The log cannot be read while a message is held. The message still waits, so it stays listed as held, whichever step reads the log.
func TestAHeldMessageStaysListedWhileTheLogIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*notifyv1.Notification){
		"to find whether the document has ended": func(n *notifyv1.Notification) { n.EventStoredAt = timestamppb.New(time.Now().Add(-time.Hour)) },
		"to find whether it was sent before":     func(n *notifyv1.Notification) { n.RecordedAt = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newBroken(t, func(string) error { return outcome.NeedsOperator(outcome.Account, "smtp-535", nil) }, nil)
			n := example()
			n.Kind, n.DocumentId = notifyv1.Kind_KIND_INVITATION, "doc"
			n.EventSubject = event.SubjectOf(n.GetSource(), n.GetProvider(), event.KindOf(n.GetKind()).After[0], n.GetDocumentId())
			n.EventStoredAt = timestamppb.Now()
			n.RecordedAt = n.GetEventStoredAt()
			change(n)
			s.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
			s.Await(flow.Signing, deferredSubject, 1)
			s.delivered(t, 2) // the record of the hold is written
			if err := s.Env.JS.DeleteStream(t.Context(), flow.Signing); err != nil {
				t.Fatal(err)
			}
			consumer, err := s.Env.JS.Consumer(t.Context(), flow.Notify, flow.EmailSender)
			if err != nil {
				t.Fatal(err)
			}
			s.delivered(t, consumer.CachedInfo().Delivered.Consumer+2) // one attempt without the log has ended
			held, err := notification.HeldMessages(t.Context(), s.Env.JS)
			if err != nil || len(held) != 1 {
				t.Errorf("held: %v, %v", held, err)
			}
		})
	}
}
