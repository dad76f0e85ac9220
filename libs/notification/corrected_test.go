package notification_test

import (
	"testing"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/optout"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// A message that was made before the latest correction of its person does not leave, whatever its kind: its address may be another person's.
func TestNoMessageLeavesToAnOldAddress(t *testing.T) {
	t.Parallel()
	const progress, completed, stopped = notifyv1.Kind_KIND_PROGRESS, notifyv1.Kind_KIND_COMPLETED, notifyv1.Kind_KIND_STOPPED
	person := event.Signer{Source: "acme", Provider: "esign-v1", Document: "doc", Recipient: "s1"}
	other := person
	other.Recipient = "s2"
	for name, row := range map[string]struct {
		kind      notifyv1.Kind
		channel   notifyv1.Channel
		corrected []event.Signer // one after the other: c1, c2
		made      string         // the correction with which the message was made
		outAt     int64          // when the person opted out of the document; 0 for never
		reason    string         // why it does not leave
	}{
		"no correction":                     {kind: progress, channel: event.SMS},
		"a text":                            {kind: progress, channel: event.SMS, corrected: []event.Signer{person}, reason: "corrected"},
		"an e-mail":                         {kind: progress, channel: event.Email, corrected: []event.Signer{person}, reason: "corrected"},
		"the completed document":            {kind: completed, channel: event.Email, corrected: []event.Signer{person}, reason: "corrected"},
		"made with the correction":          {kind: progress, channel: event.SMS, corrected: []event.Signer{person}, made: "c1"},
		"made with the first of two":        {kind: progress, channel: event.SMS, corrected: []event.Signer{person, person}, made: "c1", reason: "corrected"},
		"made with the second":              {kind: progress, channel: event.SMS, corrected: []event.Signer{person, person}, made: "c2"},
		"a reply to a text of that number":  {kind: stopped, channel: event.SMS, corrected: []event.Signer{person}},
		"another person was corrected":      {kind: progress, channel: event.SMS, corrected: []event.Signer{other}},
		"the wrong person had opted out":    {kind: progress, channel: event.SMS, corrected: []event.Signer{person}, made: "c1", outAt: 50},
		"the corrected person opted out":    {kind: progress, channel: event.SMS, corrected: []event.Signer{person}, made: "c1", outAt: 150, reason: "opted-out"},
		"corrected after the person's wish": {kind: progress, channel: event.Email, corrected: []event.Signer{person}, outAt: 150, reason: "corrected"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, store, calls := sends(t, row.channel, func() error { return nil })
			for i, who := range row.corrected {
				c := optout.Correction{ID: []string{"c1", "c2"}[i], At: time.Unix(100+int64(i), 0)}
				if err := store.Correct(t.Context(), who, c); err != nil {
					t.Fatal(err)
				}
			}
			if row.outAt != 0 {
				optOut(t, store, true, row.outAt, optout.Person(person))
			}
			n := toReader(row.kind, row.channel)
			n.To.Correction = row.made
			if row.kind == completed {
				n.Link = &notifyv1.Link{Short: "https://sign.acme.example/l/aaaaaaaaaaaaaas"}
			}
			b.Publish(notification.Message(t.Context(), notification.SendSubject(n), n.GetId(), n))
			want := event.NotificationSent
			if row.reason != "" {
				want = event.NotificationSuppressed
			}
			e, err := event.Decode(b.Await(flow.Signing, event.TypeFilter(want), 1)[0].Data())
			if err != nil || e.GetNotice().GetReason() != row.reason || (calls.Load() > 0) != (row.reason == "") {
				t.Errorf("%v: %v after %d calls", err, e, calls.Load())
			}
		})
	}
}
