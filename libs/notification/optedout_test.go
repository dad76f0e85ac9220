package notification_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/servicetest"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

const reader = "+13175551234"

// toReader returns a message to a person who has a number and an address.
func toReader(kind notifyv1.Kind, channel notifyv1.Channel) *notifyv1.Notification {
	n := example()
	n.Kind, n.Channel, n.DocumentId = kind, channel, "doc"
	n.To.Mobile = reader
	return n
}

// sends starts a sender of a channel. Its vendor refuses each message with the error that refuse returns.
func sends(t *testing.T, channel notifyv1.Channel, refuse func() error) (*servicetest.Bench, optout.Store, *atomic.Int64) {
	t.Helper()
	b, calls := servicetest.New(t, defaults()), new(atomic.Int64)
	store, err := optout.Open(t.Context(), b.Env.JS, keyring.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	b.Start(func(ctx context.Context, env service.Env) error {
		return notification.Sender{Links: links(), Vendor: "vendor", Send: func(context.Context, *notifyv1.Notification) (notification.Receipt, error) {
			calls.Add(1)
			return notification.Receipt{Reference: "ref"}, refuse()
		}}.Deliver(ctx, env, soon(event.ChannelOf(channel).Stage))
	})
	return b, store, calls
}

func optOut(t *testing.T, s optout.Store, out bool, at int64, who optout.Who) {
	t.Helper()
	if _, err := s.Change(t.Context(), optout.State{Out: out, At: time.Unix(at, 0), Message: "m" + time.Unix(at, 0).String()}, who); err != nil {
		t.Fatal(err)
	}
}

func TestAPersonWhoOptedOutGetsNoMessage(t *testing.T) {
	t.Parallel()
	const progress, completed, stopped = notifyv1.Kind_KIND_PROGRESS, notifyv1.Kind_KIND_COMPLETED, notifyv1.Kind_KIND_STOPPED
	here, elsewhere, everywhere := optout.Number(reader, "acme"), optout.Number(reader, "bolt"), optout.Number(reader, "")
	person := optout.Person(event.Signer{Source: "acme", Provider: "esign-v1", Document: "doc", Recipient: "s1"})
	another := optout.Person(event.Signer{Source: "acme", Provider: "esign-v1", Document: "doc", Recipient: "s2"})
	for name, row := range map[string]struct {
		kind       notifyv1.Kind
		channel    notifyv1.Channel
		out, in    []optout.Who // in is later
		suppressed bool
	}{
		"a text, nothing stored":                      {progress, event.SMS, nil, nil, false},
		"a text after STOP":                           {progress, event.SMS, []optout.Who{here}, nil, true},
		"the completed document by text after STOP":   {completed, event.SMS, []optout.Who{here}, nil, true},
		"a text after STOP to another source":         {progress, event.SMS, []optout.Who{elsewhere}, nil, false},
		"a text after STOP to all":                    {progress, event.SMS, []optout.Who{everywhere}, nil, true},
		"a text after START":                          {progress, event.SMS, []optout.Who{here}, []optout.Who{here}, false},
		"a text after STOP to all, and START here":    {progress, event.SMS, []optout.Who{everywhere}, []optout.Who{here}, false},
		"the confirmation of STOP":                    {stopped, event.SMS, []optout.Who{here, everywhere}, nil, false},
		"an e-mail after STOP":                        {progress, event.Email, []optout.Who{here, everywhere}, nil, false},
		"an e-mail about an unwanted document":        {progress, event.Email, []optout.Who{person}, nil, true},
		"a text about an unwanted document":           {progress, event.SMS, []optout.Who{person}, nil, true},
		"another signer's opt-out":                    {progress, event.Email, []optout.Who{another}, nil, false},
		"the completed document, although unwanted":   {completed, event.Email, []optout.Who{person}, nil, false},
		"a document that is wanted again":             {progress, event.Email, []optout.Who{person}, []optout.Who{person}, false},
		"START does not revoke the click on the page": {progress, event.SMS, []optout.Who{person}, []optout.Who{here}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, store, calls := sends(t, row.channel, func() error { return nil })
			for _, who := range row.out {
				optOut(t, store, true, 1, who)
			}
			for _, who := range row.in {
				optOut(t, store, false, 2, who)
			}
			n := toReader(row.kind, row.channel)
			if row.kind == completed {
				n.Link = &notifyv1.Link{Short: "https://sign.acme.example/l/aaaaaaaaaaaaaas"}
			}
			b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
			want, reason := event.NotificationSent, ""
			if row.suppressed {
				want, reason = event.NotificationSuppressed, "opted-out"
			}
			e, err := event.Decode(b.Await(flow.Signing, event.TypeFilter(want), 1)[0].Data())
			if err != nil || e.GetNotice().GetReason() != reason || (calls.Load() > 0) == row.suppressed {
				t.Errorf("%v: %v after %d calls", err, e, calls.Load())
			}
		})
	}
}

// An opt-out counts for a message that waits for its next attempt.
func TestAnOptOutStopsAMessageThatWaits(t *testing.T) {
	t.Parallel()
	var b *servicetest.Bench
	var store optout.Store
	var calls *atomic.Int64
	failed := make(chan struct{}, 1)
	b, store, calls = sends(t, event.SMS, func() error {
		optOut(t, store, true, 1, optout.Number(reader, "acme"))
		failed <- struct{}{}
		return outcome.Failure(outcome.Provider, "busy", errors.New("busy"))
	})
	n := toReader(notifyv1.Kind_KIND_PROGRESS, event.SMS)
	b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
	<-failed
	e, err := event.Decode(b.Await(flow.Signing, event.TypeFilter(event.NotificationSuppressed), 1)[0].Data())
	if err != nil || e.GetNotice().GetReason() != "opted-out" || calls.Load() != 1 {
		t.Errorf("%v: %v after %d calls", err, e, calls.Load())
	}
}

// The SMS sender may publish replies to itself. With its user, no other message can be sent.
func TestTheSubjectOfRepliesAcceptsOnlyReplies(t *testing.T) {
	t.Parallel()
	b, _, calls := sends(t, event.SMS, func() error { return nil })
	n := toReader(notifyv1.Kind_KIND_PROGRESS, event.SMS)
	b.Publish(notification.Message(t.Context(), flow.ReplySubject("sms", n.GetSource(), n.GetProvider(), n.GetDocumentId()), n.GetId(), n))
	b.Await(flow.DLQ, "dlq.v1.sms-sender", 1)
	if calls.Load() != 0 {
		t.Error("it was sent")
	}
}
