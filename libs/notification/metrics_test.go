package notification_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

func TestResultsAreCounted(t *testing.T) {
	t.Parallel()
	b := servicetest.New(t, defaults())
	var sends atomic.Int32
	b.Start(func(ctx context.Context, env service.Env) error {
		return notification.Deliver(ctx, env, soon(flow.EmailSender), links(), func(_ context.Context, n *notifyv1.Notification) (notification.Receipt, error) {
			switch {
			case sends.Add(1) == 1:
				return notification.Receipt{}, outcome.Failure(outcome.Provider, "smtp-451", errors.New("later"))
			case n.GetId() == "refused":
				return notification.Receipt{}, outcome.Refused(outcome.Recipient, "smtp-550", errors.New("no such reader"))
			}
			return notification.Receipt{Reference: "queued"}, nil
		})
	})
	n := example()
	b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
	b.Await(flow.Signing, sentSubject, 1)
	n.Id = "refused"
	b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
	b.Await(flow.Signing, failedSubject, 1)

	registry, ok := b.Env.Metrics.(*prometheus.Registry)
	if !ok {
		t.Fatalf("%T", b.Env.Metrics)
	}
	err := testutil.GatherAndCompare(registry, strings.NewReader(`
		# HELP signrelay_handover_failures_total Failed attempts to send a message, by reason.
		# TYPE signrelay_handover_failures_total counter
		signrelay_handover_failures_total{channel="email",fault="provider",reason="smtp-451"} 1
		signrelay_handover_failures_total{channel="email",fault="recipient",reason="smtp-550"} 1
		# HELP signrelay_notifications_failed_total Messages that were given up, by reason; each is in the DLQ.
		# TYPE signrelay_notifications_failed_total counter
		signrelay_notifications_failed_total{channel="email",fault="ours",provider="",reason="cause-not-in-log",source=""} 0
		signrelay_notifications_failed_total{channel="email",fault="ours",provider="",reason="link-not-ours",source=""} 0
		signrelay_notifications_failed_total{channel="email",fault="recipient",provider="esign-v1",reason="smtp-550",source="acme"} 1
		# HELP signrelay_notifications_sent_total Messages that the vendor accepted.
		# TYPE signrelay_notifications_sent_total counter
		signrelay_notifications_sent_total{channel="email",kind="undeliverable",provider="esign-v1",source="acme"} 1
		# HELP signrelay_notifications_unknown_total Messages that were sent after an attempt of unknown outcome; the person may have got them twice.
		# TYPE signrelay_notifications_unknown_total counter
		signrelay_notifications_unknown_total{channel="email"} 0
	`), "signrelay_handover_failures_total", "signrelay_notifications_failed_total", "signrelay_notifications_sent_total", "signrelay_notifications_unknown_total")
	if err != nil {
		t.Error(err)
	}
}
