package notification

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/optout"
	"github.com/signrelay/signrelay/libs/outcome"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// Foresight says what a sender would do now with a message that an operator replays. It applies the rules of the senders in their order and
// changes nothing. It does not know the counters of the limits, because a look at them would count.
type Foresight struct {
	d    delivery
	held map[string]string // the reason for which all messages of a channel are held, by channel
}

// Fate is what would happen with a message.
type Fate struct {
	Stays string    // the reason why it does not leave; empty if it leaves
	Held  string    // the reason why it would be held at once; empty if it would not
	Until time.Time // the end of the quiet hours for which it waits; zero if it does not wait
}

// AlreadySent is the reason of a message that does not leave because the log shows that it was sent.
const AlreadySent = "already-sent"

// Foresee reads which channels are held now. destination is Sender.Destination, and may be nil; now may be nil for the machine's clock.
func Foresee(
	ctx context.Context, js jetstream.JetStream, ring keyring.Ring, destination func(*notifyv1.Notification) error, now func() time.Time,
) (Foresight, error) {
	optOuts, err := optout.Open(ctx, js, ring)
	if err != nil {
		return Foresight{}, err
	}
	if now == nil {
		now = time.Now
	}
	f := Foresight{d: delivery{log: event.Log{JS: js, Stream: flow.Signing}, optOuts: optOuts, limits: limits{destination: destination}}, held: map[string]string{}}
	f.d.Now = now
	for _, channel := range event.ChannelNames() {
		if f.held[channel], err = barred(ctx, js, channel); err != nil {
			return Foresight{}, err
		}
	}
	return f, nil
}

// barred returns why a channel's messages are held, empty if they are not. One message tells it, so it reads the others only if they wait for another
// reason, such as a limit.
func barred(ctx context.Context, js jetstream.JetStream, channel string) (string, error) {
	for m, err := range (event.Log{JS: js, Stream: "KV_" + flow.Attempts}).Few(ctx, "$KV."+flow.Attempts+".message."+channel+".>", time.Time{}) {
		if err != nil {
			return "", fmt.Errorf("list held messages: %w", err)
		}
		h, held, err := HeldOfRecord(m)
		if err != nil {
			return "", err
		}
		if held && !h.Limit && !h.single {
			return h.Reason, nil
		}
	}
	return "", nil
}

// Of returns what would happen with a message.
func (f Foresight) Of(ctx context.Context, n *notifyv1.Notification) (Fate, error) {
	now := f.d.Now()
	sent, err := Earlier(ctx, f.d.log, n)
	switch {
	case err != nil:
		return Fate{}, err
	case sent != nil:
		return Fate{Stays: AlreadySent}, nil
	case n.GetRecordedAt() != nil && now.Sub(n.GetRecordedAt().AsTime()) >= flow.LogReaches:
		return Fate{Stays: OlderThanLog}, nil
	}
	kind := event.KindOf(n.GetKind())
	if kind.Asks || kind.Open {
		who := event.Signer{Source: n.GetSource(), Provider: n.GetProvider(), Document: n.GetDocumentId()}
		if kind.Asks {
			who.Recipient = n.GetTo().GetRecipientId()
		}
		is, err := f.d.log.Standing(ctx, who)
		if err != nil || is.Over != "" {
			return Fate{Stays: is.Over}, err
		}
	}
	if reason, err := f.d.optOuts.Stops(ctx, f.d.wishes(n)); err != nil || reason != "" {
		return Fate{Stays: reason}, err
	}
	fate := Fate{Held: f.held[event.ChannelName(n.GetChannel())]}
	if f.d.limits.destination != nil {
		if err := f.d.limits.destination(n); errors.As(err, new(*notAllowedError)) {
			fate.Held = outcome.Of(err).Cause()
		} else if err != nil {
			return Fate{Stays: outcome.Of(err).Cause()}, nil
		}
	}
	if until, waits := quietUntil(n, now); waits {
		fate.Until = until
	}
	return fate, nil
}

// HeldOn returns the reason for which all messages of a channel are held now; empty if they are not.
func (f Foresight) HeldOn(channel string) string { return f.held[channel] }
