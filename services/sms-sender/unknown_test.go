package smssender_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/dedupe"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/servicetest"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
	smssender "github.com/signrelay/signrelay/services/sms-sender"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

func TestAMessageOfUnknownOutcomeIsSentAgainMarked(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	v.responses["n1"] = []http.HandlerFunc{drops, statuses("1"), statuses("0")} // a clear refusal later does not make the first outcome known
	v.responses["n2"] = []http.HandlerFunc{statuses("0")}                       // the control
	b.Start(smssender.RunSoon)
	publish(t, b, invitation("n1"))
	publish(t, b, invitation("n2"))
	sent := sentNotices(t, b, 2)
	if len(v.calls("n1")) != 3 || !sent["n1"].GetPossibleDuplicate() {
		t.Errorf("%d calls, notice %v", len(v.calls("n1")), sent["n1"])
	}
	if len(v.calls("n2")) != 1 || sent["n2"].GetPossibleDuplicate() {
		t.Errorf("%d calls, notice %v", len(v.calls("n2")), sent["n2"])
	}
	if got := counted(t, b, "signrelay_notifications_unknown_total", "sms"); got != 1 {
		t.Errorf("%v messages counted as unknown, want 1", got)
	}
}

// If every response is unreadable, the message is given up after three attempts, so that a person does not get a text at each of a day's
// attempts.
func TestAMessageOfUnknownOutcomeIsGivenUp(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, settings(v.URL))
	garbage := responds(`<html>`)
	v.responses["n1"] = []http.HandlerFunc{garbage, statuses("1"), garbage, garbage, statuses("0")} // the refusal in between has a known outcome
	v.responses["n2"] = []http.HandlerFunc{garbage, garbage, statuses("0")}                         // the control
	b.Start(smssender.RunSoon)
	publish(t, b, invitation("n1"))
	publish(t, b, invitation("n2"))
	failed := decode(t, b.Await(flow.Signing, "signing.v1.*.*.notification.failed.>", 1)[0]).GetNotice()
	if failed.GetNotificationId() != "n1" || failed.GetReason() != "outcome-unknown" || failed.GetFault() != "provider" ||
		!failed.GetPossibleDuplicate() || len(v.calls("n1")) != 4 {
		t.Errorf("%d calls, notice %v", len(v.calls("n1")), failed)
	}
	if sent := sentNotices(t, b, 1); len(v.calls("n2")) != 3 || !sent["n2"].GetPossibleDuplicate() {
		t.Errorf("the control: %d calls, notice %v", len(v.calls("n2")), sent["n2"])
	}
	b.Settled(flow.SMSSender)
	if b.Count(flow.DLQ, "dlq.v1.>") != 1 {
		t.Error("the given-up message is not in the DLQ")
	}
}

// The connection drops after Vonage accepted the message, and a receipt arrives. The message was sent, for every status of the receipt.
func TestAMessageWithAReceiptIsNotSentAgain(t *testing.T) {
	t.Parallel()
	v := newVonage(t)
	b := servicetest.New(t, awaiting(v.URL))
	base := b.Listen()
	for id, status := range map[string]string{"n1": "delivered", "n2": "failed", "n3": "accepted"} {
		v.responses[id] = []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			wantReceipt(t, 200, postForm(t, base, dlr(id, "0A00000"+id, status, "err-code", "3")))
			drops(w, r)
		}}
	}
	v.responses["n4"] = []http.HandlerFunc{drops, statuses("0")} // the control: no receipt arrives
	b.Start(smssender.RunSoon)
	for _, id := range []string{"n1", "n2", "n3", "n4"} {
		publish(t, b, invitation(id))
	}

	sent := sentNotices(t, b, 4)
	for _, id := range []string{"n1", "n2", "n3"} {
		if n := sent[id]; len(v.calls(id)) != 1 || n.GetReference() != "0A00000"+id || n.GetParts() != 1 || n.GetPossibleDuplicate() {
			t.Errorf("%d calls for %s, notice %v", len(v.calls(id)), id, n)
		}
	}
	if n := sent["n4"]; len(v.calls("n4")) != 2 || !n.GetPossibleDuplicate() {
		t.Errorf("%d calls for n4, notice %v", len(v.calls("n4")), n)
	}
	// All four first calls were made before the second call of the control.
	if first, last := v.times()[0], v.times()[4]; last.Sub(first) < receiptWithin {
		t.Errorf("sent again %v after an unknown outcome, but a receipt may take %v", last.Sub(first), receiptWithin)
	}
	b.Settled(flow.SMSSender)
	if delivered, failed := b.Count(flow.Signing, "signing.v1.*.*.notification.delivered.>"), b.Count(flow.Signing, "signing.v1.*.*.notification.failed.>"); delivered != 1 || failed != 1 {
		t.Errorf("%d delivered and %d failed, want one of each", delivered, failed)
	}
}

// The claim of a dead sender is kept until a receipt of its message would have arrived, so that no other worker sends the message before.
// Without receipts, no message waits.
func TestAClaimIsKeptUntilAReceiptWouldHaveCome(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		secret string
		want   time.Duration
	}{
		"with receipts":    {signing, 10*time.Second + time.Hour},
		"without receipts": {"", flow.AckWait - time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := awaiting("http://127.0.0.1:1")
			account := smssettings.VonageSection.In(&c)
			account.ReceiptWithin, account.SignatureSecret = time.Hour, test.secret
			b := servicetest.New(t, c)
			var lease time.Duration
			open := b.Env.Claims
			b.Env.Claims = func(o dedupe.Options) dedupe.Store {
				lease = o.Lease
				return open(o)
			}
			b.Start(smssender.RunSoon)
			if lease != test.want {
				t.Errorf("a lease of %v, want %v", lease, test.want)
			}
		})
	}
}

// sentNotices returns the notices of the messages that the log has as sent, by the notification's id.
func sentNotices(t *testing.T, b *servicetest.Bench, count int) map[string]*signingv1.Notice {
	t.Helper()
	notices := map[string]*signingv1.Notice{}
	for _, m := range b.Await(flow.Signing, "signing.v1.*.*.notification.sent.>", count) {
		e := decode(t, m)
		notices[e.GetNotice().GetNotificationId()] = e.GetNotice()
	}
	return notices
}
