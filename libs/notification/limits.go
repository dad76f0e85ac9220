package notification

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/keyring"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/service"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// The reasons of a message that is beyond a limit in the settings, in the order of a tally's quotas and totals. With the first one, it goes to the
// person's other channel or waits until there is room; with the others, it is held.
var overLimits = []string{overDailyTexts, overNumberPerHour, "limit-person-per-day", "limit-document", "limit-source-per-day"}

const (
	overDailyTexts    = "limit-texts-per-day"
	overNumberPerHour = "limit-number-per-hour"
)

// NotAllowed returns the outcome of a message to a number that the settings do not allow. It is held until the settings allow the number, or
// until the message is released. The reason is bounded. The country is the number's (ISO 3166), or "001" if it belongs to none.
func NotAllowed(reason, country string) error {
	return &notAllowedError{country, outcome.NeedsOperator(outcome.Input, reason, nil)}
}

// notAllowedError is NotAllowed's outcome with the number's country.
type notAllowedError struct {
	country string
	error
}

func (e *notAllowedError) Unwrap() error { return e.error }

// limits checks messages against the settings' limits.
type limits struct {
	channel     event.Channel
	most        config.Limits
	senders     map[[2]string]config.Sender // the sender's addresses in the settings, by source and provider
	fingerprint string                      // of these settings
	counts      limit.Limiter
	keys        keyring.Keys                       // for the keys of the counters
	destination func(*notifyv1.Notification) error // nil allows every address
}

func newLimits(env service.Env, channel event.Channel, destination func(*notifyv1.Notification) error) limits {
	c := env.Config
	l := limits{
		channel: channel, most: c.Limits, senders: map[[2]string]config.Sender{}, counts: env.Limits,
		keys: keyring.New(c.MasterKeys()).For("redis"), destination: destination,
	}
	if channel.Address != event.MobileNumber {
		l.most.NumberPerHour, l.most.TextsPerDay = 0, 0
	}
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%+v", c.Limits)
	for _, s := range c.Sources {
		l.senders[[2]string{s.Name, s.Provider}] = s.Notify.Sender
		fmt.Fprintf(sum, "%q%q", s.Region, s.Notify.Sender.Mobile)
	}
	l.fingerprint = strconv.FormatUint(sum.Sum64(), 36)
	return l
}

// check fails if a message is beyond the limits. If it is a text beyond the person's daily limit, check returns the time after which there is room.
// A message is counted once, by its id.
func (l limits) check(ctx context.Context, id string, n *notifyv1.Notification) (room time.Duration, err error) {
	if l.destination != nil {
		if err := l.destination(n); err != nil {
			return 0, err
		}
	}
	full, room, err := l.counts.Count(ctx, id, l.tally(n))
	switch {
	case err != nil:
		return 0, fmt.Errorf("count a message: %w", err)
	case full == limit.Counted:
		return 0, nil
	case overLimits[full] == overDailyTexts:
		return max(room, time.Second), l.waiting(ctx, id, n)
	default:
		return 0, outcome.NeedsOperator(outcome.Input, overLimits[full], nil)
	}
}

// waiting fails if too many texts to one number wait for room within an hour: a person does not get so many, but a document with one number for
// all its signers does.
func (l limits) waiting(ctx context.Context, id string, n *notifyv1.Notification) error {
	full, _, err := l.counts.Count(ctx, id, limit.Tally{
		Key:    l.key("waiting", l.person(n)),
		Quotas: []limit.Quota{{Most: l.most.NumberPerHour, Per: time.Hour}},
	})
	switch {
	case err != nil:
		return fmt.Errorf("count a message that waits: %w", err)
	case full == limit.Counted:
		return nil
	default:
		return outcome.NeedsOperator(outcome.Input, overNumberPerHour, nil)
	}
}

// tally returns the counters of a message. Their keys are keyed hashes, so they reveal no number and no address.
func (l limits) tally(n *notifyv1.Notification) limit.Tally {
	const day = 24 * time.Hour
	hour, person, texts := l.most.NumberPerHour, l.most.PersonPerDay, l.most.TextsPerDay
	if l.operators(n) {
		hour, person, texts = 0, 0, 0
	}
	if event.KindOf(n.GetKind()).Replies { // a person who writes gets a response
		texts = 0
	}
	source := []string{n.GetSource(), n.GetProvider()}
	document := l.most.Document
	if n.GetDocumentId() == "" { // replies to texts share no document
		document = 0
	}
	return limit.Tally{
		Key:    l.key("person", l.person(n)),
		Quotas: []limit.Quota{{Most: texts, Per: day}, {Most: hour, Per: time.Hour}, {Most: person, Per: day}},
		Totals: []limit.Total{
			{Key: l.key("document", append(source, event.DocumentToken(n.GetDocumentId()))...), Quota: limit.Quota{Most: document, Per: 30 * day}},
			{Key: l.key("source", source...), Quota: limit.Quota{Most: l.most.SourcePerDay, Per: day}},
		},
	}
}

func (l limits) key(what string, parts ...string) string {
	sum := l.keys.MAC("limits/" + l.channel.Name + "/" + what + "/" + strings.Join(parts, "/"))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// operators reports whether n goes to the sender's address in the source's settings. Messages about the source's failed documents go there. A
// program whose settings have no sources uses the field of the message.
func (l limits) operators(n *notifyv1.Notification) bool {
	if len(l.senders) == 0 {
		return n.GetTo().GetSender()
	}
	sender := l.senders[[2]string{n.GetSource(), n.GetProvider()}]
	if l.channel.Address == event.MobileNumber {
		return sender.Mobile != "" && Digits(n.GetTo().GetMobile()) == Digits(sender.Mobile)
	}
	return sender.Email != "" && n.GetTo().GetEmail() == sender.Email
}

// person identifies a person for the counters: by the number's digits, or by the address in lower case and without its tag ("+x").
func (l limits) person(n *notifyv1.Notification) string {
	if l.channel.Address == event.MobileNumber {
		return Digits(n.GetTo().GetMobile())
	}
	local, domain, _ := strings.Cut(strings.ToLower(n.GetTo().GetEmail()), "@")
	if name, _, tagged := strings.Cut(local, "+"); tagged && name != "" {
		local = name
	}
	return local + "@" + domain
}

// limited returns the hold of a message beyond the limits. For a text beyond the person's daily limit, it returns the time after which there is
// room. It returns neither for a message that may be sent, because it is within the limits, was counted before, or was released by an operator.
func (d delivery) limited(ctx context.Context, in stage.Event[*notifyv1.Notification], r *record) (room time.Duration, err error) {
	if r.Released == in.ID {
		return 0, nil
	}
	if held := r.Held; held != nil && held.Limits == d.limits.fingerprint {
		return 0, d.hold(ctx, in, r, *r, 0, errors.Join(outcome.Later(recheckAfter, "operator"), NotAllowed(held.Reason, held.Country)))
	}
	room, err = d.limits.check(ctx, in.ID, in.Data)
	if !operatorMustAct(err) {
		return room, err
	}
	return 0, d.hold(ctx, in, r, *r, 0, outcome.PutOff(recheckAfter, "operator", err))
}
