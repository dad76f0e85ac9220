package enricher

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/providers/pack"
	"github.com/signrelay/signrelay/libs/stage"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

func TestConfirm(t *testing.T) {
	t.Parallel()
	const (
		none     = signingv1.Verification_VERIFICATION_NONE
		token    = signingv1.Verification_VERIFICATION_TOKEN
		believed = stage.Kind("done")
		retried  = stage.Kind("retry")
		dropped  = stage.Kind("skip")
		buried   = stage.Kind("give-up")
	)
	received := time.Unix(1_500_000_000, 0)
	for _, test := range []struct {
		name         string
		eventType    string
		verification signingv1.Verification
		status       pack.Status
		bob          pack.Recipient
		attempt      int
		age          time.Duration
		want         stage.Kind
	}{
		{"hmac", event.DocumentCompleted, signingv1.Verification_VERIFICATION_HMAC, pack.StatusOpen, bob, 1, 0, believed},
		{"rsa", event.DocumentCompleted, signingv1.Verification_VERIFICATION_RSA, pack.StatusOpen, bob, 1, 0, believed},
		{"from the API itself", event.DocumentCompleted, signingv1.Verification_VERIFICATION_CONFIRMED, pack.StatusOpen, bob, 1, 0, believed},

		{"completed", event.DocumentCompleted, none, pack.StatusCompleted, bob, 1, 0, believed},
		{"completed, with a token", event.DocumentCompleted, token, pack.StatusCompleted, bob, 1, 0, believed},
		{"not completed", event.DocumentCompleted, none, pack.StatusOpen, bob, 1, 0, retried},
		{"not completed, with a token", event.DocumentCompleted, token, pack.StatusVoided, bob, 1, 0, retried},
		{"still not completed", event.DocumentCompleted, token, pack.StatusOpen, bob, 9, 4 * time.Minute, retried},
		{"never completed", event.DocumentCompleted, token, pack.StatusOpen, bob, 10, 5 * time.Minute, buried},
		{"an old one is requested again", event.DocumentCompleted, token, pack.StatusOpen, bob, 1, time.Hour, retried},
		{"the API has no data, with a token", event.DocumentCompleted, token, pack.StatusUnknown, bob, 1, 0, believed},
		{"the API has no data", event.DocumentCompleted, none, pack.StatusUnknown, bob, 1, 0, dropped},

		{"declined", event.DocumentDeclined, none, pack.StatusDeclined, bob, 1, 0, believed},
		{"declined, as voided", event.DocumentDeclined, none, pack.StatusVoided, bob, 1, 0, believed},
		{"not declined", event.DocumentDeclined, none, pack.StatusCompleted, bob, 1, 0, retried},
		{"voided", event.DocumentVoided, none, pack.StatusVoided, bob, 1, 0, believed},
		{"not voided", event.DocumentVoided, none, pack.StatusDeclined, bob, 1, 0, retried},
		{"expired", event.DocumentExpired, none, pack.StatusExpired, bob, 1, 0, believed},
		{"not expired", event.DocumentExpired, none, pack.StatusOpen, bob, 1, 0, retried},
		{"signed", event.RecipientSigned, none, pack.StatusOpen, with(bob, signed), 1, 0, believed},
		{"signed, and the API has all signatures", event.RecipientSigned, none, pack.StatusCompleted, bob, 1, 0, believed},
		{"not signed", event.RecipientSigned, none, pack.StatusOpen, bob, 1, 0, retried},
		{"refused", event.RecipientDeclined, none, pack.StatusOpen, with(bob, declined), 1, 0, believed},
		{"declined, and the document is declined", event.RecipientDeclined, none, pack.StatusDeclined, bob, 1, 0, believed},
		{"not refused", event.RecipientDeclined, none, pack.StatusOpen, bob, 1, 0, retried},

		{"sent", event.DocumentSent, none, pack.StatusOpen, bob, 1, 0, believed},
		{"sent, and the API has no data", event.DocumentSent, none, pack.StatusUnknown, bob, 1, 0, dropped},
		{"undeliverable, with a token", event.RecipientUndeliverable, token, pack.StatusOpen, bob, 1, 0, believed},
		{"undeliverable", event.RecipientUndeliverable, none, pack.StatusOpen, bob, 1, 0, dropped},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := happened(test.eventType, by("bob"))
			e.Verification, e.ReceivedAt = test.verification, timestamppb.New(received)
			err := confirm(e, &pack.Document{Status: test.status, Recipients: []pack.Recipient{with(ann, signed, declined), test.bob}}, test.attempt, received.Add(test.age))
			got := stage.Decide(err, test.attempt, flow.StageNamed(flow.Enricher).Policy)
			if got.Kind != test.want {
				t.Errorf("%s (%v), want %s", got.Kind, err, test.want)
			}
			if got.Kind == retried && got.Delay != 30*time.Second {
				t.Errorf("requested again in %v", got.Delay)
			}
		})
	}
}
