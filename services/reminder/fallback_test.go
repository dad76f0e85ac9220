package reminder

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/fallback"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// within returns the settings of a source whose messages must have a receipt after that time.
func within(after time.Duration) func(*config.Source) {
	return func(s *config.Source) { s.Fallback.After = after }
}

// message returns Eric's message of an occasion on a channel.
func message(occasion string, kind notifyv1.Kind, channel notifyv1.Channel) *notifyv1.Notification {
	return &notifyv1.Notification{
		Id: notification.ID(occasion, kind, eric, channel), EventId: occasion, Source: "acme", Provider: "clickwrap", DocumentId: document,
		Kind: kind, Channel: channel, To: &notifyv1.Person{RecipientId: eric},
	}
}

// store stores events of a message.
func (h *harness) store(all ...*signingv1.SigningEvent) {
	h.t.Helper()
	for _, e := range all {
		m, err := event.Message(h.t.Context(), e)
		h.Publish(m, err)
	}
}

func (h *harness) made(n *notifyv1.Notification) *signingv1.SigningEvent {
	return notification.Requested(n, "enricher", h.now())
}

func (h *harness) sent(n *notifyv1.Notification, expected bool) *signingv1.SigningEvent {
	return notification.Sent(n, "sender", h.now(), notification.Receipt{Reference: "r", Expected: expected})
}

func (h *harness) delivered(n *notifyv1.Notification) *signingv1.SigningEvent {
	return notification.Delivered(n, "sender", h.now(), notification.Receipt{Reference: "r"})
}

func (h *harness) lost(n *notifyv1.Notification) *signingv1.SigningEvent {
	return notification.Undelivered(n, "sender", h.now(), notification.Receipt{Reference: "r", Reason: "absent", Fault: outcome.Recipient})
}

// waits returns the number of scheduled fallbacks.
func (h *harness) waits() int {
	h.t.Helper()
	n := 0
	for m, err := range (event.Log{JS: h.Env.JS, Stream: flow.Remind}).Messages(h.t.Context(), flow.Fallbacks, time.Time{}) {
		if err != nil {
			h.t.Fatal(err)
		}
		if m.Header.Get(jetstream.ScheduleHeader) != "" {
			n++
		}
	}
	return n
}

// fellBack waits for count fallbacks and returns their reasons and channels.
func (h *harness) fellBack(count int) []string {
	h.t.Helper()
	var all []string
	for _, e := range h.events(event.NotificationFallback, count) {
		a := e.GetAttributes()
		all = append(all, a[fallback.AttributeReason]+" "+a[fallback.AttributeFrom]+" > "+a[fallback.AttributeTo])
	}
	return all
}

// settledWith waits until both stages have nothing to do, and fails unless the log has that number of fallbacks.
func (h *harness) settledWith(count int) {
	h.t.Helper()
	h.Settled(flow.Reminder)
	h.Settled(flow.FallbackDue)
	if n := h.Count(flow.Signing, event.TypeFilter(event.NotificationFallback)); n != count {
		h.t.Errorf("the log has %d fallbacks, want %d", n, count)
	}
}

// The server itself publishes a text without a receipt when its time is over.
func TestATextWithoutAReceiptGoesToTheOtherChannel(t *testing.T) {
	t.Parallel()
	h := start(t, within(time.Second))
	sending := h.publish(event.DocumentSent, "", h.now())
	text := message(sending.GetId(), notifyv1.Kind_KIND_INVITATION, event.SMS)
	h.store(h.made(text), h.sent(text, true))
	if got := h.fellBack(1)[0]; got != "no-receipt sms > email" {
		t.Errorf("%s", got)
	}
	e := h.events(event.NotificationFallback, 1)[0]
	if want := event.DerivedID(sending.GetId(), fallback.IDs, "invitation/"+eric); e.GetId() != want || e.GetNotice().GetNotificationId() != text.GetId() {
		t.Errorf("%v, want the id %s", e, want)
	}
	h.store(h.delivered(text)) // a late receipt
	h.settledWith(1)
	h.store(h.lost(text))
	h.settledWith(1)
	if n := h.waits(); n != 0 {
		t.Errorf("%d fallbacks are scheduled", n)
	}
}

// A text that failed does not wait for its time.
func TestALostTextGoesToTheOtherChannelAtOnce(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]func(*harness, *notifyv1.Notification) *signingv1.SigningEvent{
		"a receipt says so": (*harness).lost,
		"given up": func(h *harness, n *notifyv1.Notification) *signingv1.SigningEvent {
			return notification.Failed(n, "sender", h.now(), "illegal-number", outcome.Recipient)
		},
		"opted out": func(h *harness, n *notifyv1.Notification) *signingv1.SigningEvent {
			return notification.Suppressed(n, "sender", h.now(), event.OptedOut)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, within(time.Hour))
			due := h.publish(event.ReminderDue, eric, h.now())
			text := message(due.GetId(), notifyv1.Kind_KIND_REMINDER, event.SMS)
			h.store(h.made(text))
			h.ahead.Store(int64(time.Minute)) // the other channel would be in the log
			h.store(lost(h, text))
			if got := h.fellBack(1)[0]; got != "failed sms > email" {
				t.Errorf("%s", got)
			}
			h.settledWith(1)
		})
	}
}

// What cancels the schedule of a text: its receipt, the person's signature, the end of the document.
func TestAReceiptOrTheEndCancelsTheFallback(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		end  func(h *harness, n *notifyv1.Notification)
		left int
	}{
		"delivered": {func(h *harness, n *notifyv1.Notification) { h.store(h.delivered(n)) }, 0},
		"signed":    {func(h *harness, _ *notifyv1.Notification) { h.publish(event.RecipientSigned, eric, h.now()) }, 0},
		"declined":  {func(h *harness, _ *notifyv1.Notification) { h.publish(event.RecipientDeclined, eric, h.now()) }, 0},
		"voided":    {func(h *harness, _ *notifyv1.Notification) { h.publish(event.DocumentVoided, "", h.now()) }, 0},

		"another person signed": {func(h *harness, _ *notifyv1.Notification) { h.publish(event.RecipientSigned, anna, h.now()) }, 1},
		"a forged end": {func(h *harness, _ *notifyv1.Notification) {
			h.publish(event.DocumentVoided, "", h.now(), func(e *signingv1.SigningEvent) { e.Verification = signingv1.Verification_VERIFICATION_NONE })
		}, 1},
		"an expiry before the sending": {func(h *harness, _ *notifyv1.Notification) {
			h.publish(event.DocumentExpired, "", h.now().Add(-time.Hour))
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, within(time.Hour))
			sending := h.publish(event.DocumentSent, "", h.now())
			text := message(sending.GetId(), notifyv1.Kind_KIND_INVITATION, event.SMS)
			h.store(h.made(text), h.sent(text, true))
			h.Settled(flow.Reminder)
			if n := h.waits(); n != 1 {
				t.Fatalf("%d fallbacks are scheduled, want 1", n)
			}
			row.end(h, text)
			h.Settled(flow.Reminder)
			if n := h.waits(); n != row.left {
				t.Errorf("%d fallbacks are scheduled, want %d\n%s", n, row.left, h.Logged)
			}
			h.settledWith(0)
		})
	}
}

func TestNothingFallsBackWithoutNeed(t *testing.T) {
	t.Parallel()
	const invitation = notifyv1.Kind_KIND_INVITATION
	for name, row := range map[string]struct {
		change func(*config.Source)
		do     func(h *harness, sending string)
	}{
		"switched off": {func(s *config.Source) { s.Fallback.Disabled = true }, func(h *harness, sending string) {
			n := message(sending, invitation, event.SMS)
			h.store(h.made(n), h.lost(n))
		}},
		"no receipts": {nil, func(h *harness, sending string) {
			n := message(sending, invitation, event.SMS)
			h.store(h.made(n), h.sent(n, false))
		}},
		"the e-mail was sent": {nil, func(h *harness, sending string) {
			text, mail := message(sending, invitation, event.SMS), message(sending, invitation, event.Email)
			h.store(h.made(text), h.made(mail), h.sent(mail, false), h.lost(text))
		}},
		"the e-mail is on its way": {nil, func(h *harness, sending string) {
			text, mail := message(sending, invitation, event.SMS), message(sending, invitation, event.Email)
			h.store(h.made(text), h.made(mail), h.lost(text))
		}},
		"another kind": {nil, func(h *harness, sending string) {
			n := message(sending, notifyv1.Kind_KIND_PROGRESS, event.SMS)
			h.store(h.made(n), h.lost(n))
		}},
		"no person's id": {nil, func(h *harness, sending string) {
			n := message(sending, invitation, event.SMS)
			n.To = nil
			h.store(h.made(n), h.lost(n))
		}},
		"signed": {nil, func(h *harness, sending string) {
			h.publish(event.RecipientSigned, eric, h.now())
			n := message(sending, invitation, event.SMS)
			h.store(h.made(n), h.lost(n))
		}},
		"sent again": {nil, func(h *harness, sending string) {
			n := message(sending, invitation, event.SMS)
			h.store(h.made(n))
			h.publish(event.DocumentSent, "", h.now().Add(time.Second))
			h.store(h.lost(n))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, func(s *config.Source) {
				s.Fallback.After = time.Second
				if row.change != nil {
					row.change(s)
				}
			})
			sending := h.publish(event.DocumentSent, "", h.now())
			h.ahead.Store(int64(time.Minute))
			row.do(h, sending.GetId())
			h.settledWith(0)
			if n := h.waits(); n != 0 {
				t.Errorf("%d fallbacks are scheduled", n)
			}
		})
	}
}

// If both channels lose the message, in any order, or the message of the fallback is lost, the sender is notified, and nothing follows that.
func TestTheSenderIsNotifiedIfNoChannelIsLeft(t *testing.T) {
	t.Parallel()
	const invitation = notifyv1.Kind_KIND_INVITATION
	h := start(t, within(time.Second))
	sending := h.publish(event.DocumentSent, "", h.now())
	text, mail := message(sending.GetId(), invitation, event.SMS), message(sending.GetId(), invitation, event.Email)
	h.store(h.made(text), h.made(mail), notification.Failed(mail, "sender", h.now(), "smtp-550", outcome.Recipient))
	h.settledWith(0)
	h.store(h.sent(text, true))
	if got := h.fellBack(1)[0]; got != "no-receipt sms > sender" {
		t.Errorf("%s", got)
	}
	h.settledWith(1)

	h = start(t, within(time.Second))
	sending = h.publish(event.DocumentSent, "", h.now())
	mail = message(sending.GetId(), invitation, event.Email)
	h.store(h.made(mail))
	h.ahead.Store(int64(time.Minute))
	h.store(notification.Failed(mail, "sender", h.now(), "smtp-550", outcome.Recipient))
	first := h.events(event.NotificationFallback, 1)[0]
	h.ahead.Store(0)
	text = message(first.GetId(), invitation, event.SMS)
	h.store(h.made(text), h.sent(text, true))
	if got := h.fellBack(2); got[0] != "failed email > sms" || got[1] != "no-receipt sms > sender" {
		t.Errorf("%v", got)
	}
	h.store(h.lost(text))
	h.settledWith(2)
}

// The invitation after a correction is a message of its own: what happens to the one before it does not count, and if it is lost, too, the person's
// other channel and then the sender follow once more.
func TestTheFallbackOfACorrectedPerson(t *testing.T) {
	t.Parallel()
	h := start(t, within(time.Hour))
	sending := h.publish(event.DocumentSent, "", h.now())
	before := message(sending.GetId(), notifyv1.Kind_KIND_INVITATION, event.SMS)
	h.store(h.made(before), h.sent(before, true))
	h.Settled(flow.Reminder)
	correction := h.publish(event.RecipientCorrected, eric, time.Now(), func(e *signingv1.SigningEvent) {
		e.Verification = signingv1.Verification_VERIFICATION_INTERNAL
	})
	h.ahead.Store(int64(time.Minute)) // the other channel would be in the log
	after := message(correction.GetId(), notifyv1.Kind_KIND_INVITATION, event.SMS)
	h.store(h.made(after), h.sent(after, true), h.lost(before))
	h.settledWith(0)
	h.ahead.Store(int64(2 * time.Minute))
	h.store(h.lost(after))
	if got := h.fellBack(1)[0]; got != "failed sms > email" {
		t.Errorf("%s", got)
	}
	e := h.events(event.NotificationFallback, 1)[0]
	if want := event.DerivedID(correction.GetId(), fallback.IDs, "invitation/"+eric); e.GetId() != want {
		t.Errorf("%v, want the id %s", e, want)
	}
	mail := message(e.GetId(), notifyv1.Kind_KIND_INVITATION, event.Email)
	h.store(h.made(mail), notification.Failed(mail, "sender", h.now(), "smtp-550", outcome.Recipient))
	if got := h.fellBack(2)[1]; got != "failed email > sender" {
		t.Errorf("%s", got)
	}
	h.settledWith(2)
}
