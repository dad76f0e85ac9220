package notification_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// vendor responds to each message's attempts by a script, and counts the times that it may have accepted the message.
type vendor struct {
	mu       sync.Mutex
	scripts  map[string][]string // by the notification's id: the results of its attempts, then always the last
	calls    map[string]int
	accepted map[string]int // times that it may have accepted it
}

func newVendor() *vendor {
	return &vendor{scripts: map[string][]string{}, calls: map[string]int{}, accepted: map[string]int{}}
}

func (v *vendor) send(ctx context.Context, n *notifyv1.Notification) (notification.Receipt, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	script := v.scripts[n.GetId()]
	what := script[min(v.calls[n.GetId()], len(script)-1)]
	v.calls[n.GetId()]++
	switch what {
	case "takes":
		v.accepted[n.GetId()]++
		return notification.Receipt{Reference: "ref"}, nil
	case "no-response", "receipt": // accepted, and the response is lost
		v.accepted[n.GetId()]++
		return notification.Receipt{}, outcome.Unknown(outcome.Failure(outcome.Provider, "no-answer", nil))
	case "dies":
		v.accepted[n.GetId()]++
		notification.Left(ctx)
		panic("after it was sent")
	case "later":
		return notification.Receipt{}, outcome.Failure(outcome.Provider, "busy", errors.New("451"))
	default:
		return notification.Receipt{}, outcome.Refused(outcome.Recipient, "refused", errors.New("550"))
	}
}

// receipt returns a receipt once the script's attempt "receipt" was made.
func (v *vendor) receipt(_ context.Context, n *notifyv1.Notification) (*notification.Receipt, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, what := range v.scripts[n.GetId()] {
		if what == "receipt" && v.calls[n.GetId()] > i {
			return &notification.Receipt{Reference: "ref"}, nil
		}
	}
	return nil, nil
}

// A message that the vendor may have accepted twice is marked in its events, for any result. No other message is marked.
func TestAMessageThatMayHaveBeenSentTwiceIsMarked(t *testing.T) {
	t.Parallel()
	v := newVendor()
	b := servicetest.New(t, defaults())
	place := soon(flow.EmailSender)
	place.Policy.FirstDelay = 10 * time.Millisecond
	for name, script := range map[string]string{
		"taken":                                      "takes",
		"put off":                                    "later later takes",
		"refused":                                    "refuses",
		"taken, at the second attempt":               "no-response takes",
		"taken, at the third":                        "no-response no-response takes",
		"taken, and put off in between":              "no-response later takes",
		"refused after one that may be taken":        "no-response refuses",
		"refused after two that may be taken":        "no-response no-response refuses",
		"refused after one and a delay":              "no-response later refuses",
		"given up after three":                       "no-response no-response no-response takes",
		"a receipt of the first":                     "receipt refuses",
		"a receipt after a second":                   "no-response receipt refuses",
		"a receipt after a second that was put off":  "receipt later refuses",
		"a receipt of the first, after a third":      "no-response later receipt refuses",
		"died, then taken":                           "dies takes",
		"died, then refused":                         "dies refuses",
		"died twice, then refused":                   "dies dies refuses",
		"died after a lost response, then a receipt": "no-response dies receipt",
	} {
		v.scripts[strings.NewReplacer(" ", "-", ",", "").Replace(name)] = strings.Fields(script)
	}
	b.Start(func(ctx context.Context, env service.Env) error {
		return notification.Sender{Links: links(), Send: v.send, FindReceipt: v.receipt, Vendor: "vendor"}.Deliver(ctx, env, place)
	})
	for id := range v.scripts {
		n := example()
		n.Id = id
		b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
	}
	for _, m := range b.Await(flow.Signing, "signing.v1.*.*.notification.>", len(v.scripts)) {
		e, err := event.Decode(m.Data())
		if err != nil {
			t.Fatal(err)
		}
		id := e.GetNotice().GetNotificationId()
		v.mu.Lock()
		if got, want := e.GetNotice().GetPossibleDuplicate(), v.accepted[id] > 1; got != want {
			t.Errorf("%s: %s, marked %v, but it may have been accepted %d times", id, e.GetType(), got, v.accepted[id])
		}
		if v.accepted[id] > 3 {
			t.Errorf("%s: accepted %d times", id, v.accepted[id])
		}
		v.mu.Unlock()
	}
}

// While the vendor returns only errors, no message is given up and no attempt counts, for any number of attempts. When the vendor works
// again, all messages are sent.
func TestAnOutageCausesNoDeadLetters(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]func() error{
		"errors that may have been taken": func() error { return outcome.Down(outcome.Unknown(outcome.Failure(outcome.Provider, "http-500", nil))) },
		"no connection":                   func() error { return outcome.Down(outcome.Failure(outcome.Provider, "unreachable", nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := servicetest.New(t, defaults())
			place := soon(flow.EmailSender)
			place.Policy.FirstDelay, place.Policy.MaxDelay, place.Policy.MaxAttempts = time.Millisecond, 10*time.Millisecond, 4
			var mu sync.Mutex
			calls, over := 0, false
			b.Start(func(ctx context.Context, env service.Env) error {
				return notification.Deliver(ctx, env, place, links(), func(context.Context, *notifyv1.Notification) (notification.Receipt, error) {
					mu.Lock()
					defer mu.Unlock()
					if calls++; calls > 25 {
						over = true
					}
					if over {
						return notification.Receipt{Reference: "ref"}, nil
					}
					return notification.Receipt{}, failure()
				})
			})
			const messages = 12
			for i := range messages {
				n := example()
				n.Id = "n" + strings.Repeat("i", i+1)
				b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
			}
			b.Await(flow.Signing, sentSubject, messages)
			b.Settled(flow.EmailSender)
			if dead := b.Count(flow.DLQ, "dlq.v1.>"); dead != 0 {
				t.Errorf("%d messages were given up", dead)
			}
			if logged := b.Logged.String(); !strings.Contains(logged, "circuit open") || !strings.Contains(logged, "circuit closed") {
				t.Error("the log does not report that the circuit opened and closed")
			}
		})
	}
}
