package smssender

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signrelay/signrelay/libs/config"
	"github.com/signrelay/signrelay/libs/gsm7"
	"github.com/signrelay/signrelay/libs/limit"
	"github.com/signrelay/signrelay/libs/notification"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/templates"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	"github.com/signrelay/signrelay/services/sms-sender/gateway"
	smssettings "github.com/signrelay/signrelay/services/sms-sender/settings"
)

type sender struct {
	texts   *templates.Set
	vendor  gateway.Gateway
	optOut  *config.Current[smssettings.OptOut]
	last    lastTexts
	limits  limit.Limiter
	pending *pendingReceipts // nil if no receipts are accepted
	log     *slog.Logger
	metrics metrics
}

// mostParts limits the cost of one message. The built-in texts have four parts at most. A longer text is a mistake in an operator's template,
// and a correction is cheaper than the text.
const mostParts = 10

// send sends one notification as one SMS.
func (s sender) send(ctx context.Context, n *notifyv1.Notification) (notification.Receipt, error) {
	m, parts, err := s.compose(n)
	if err != nil {
		return notification.Receipt{}, err
	}
	account, err := s.vendor.Account()
	if err != nil {
		return notification.Receipt{}, err
	}
	if err := s.takeSlot(ctx, account); err != nil {
		return notification.Receipt{}, err
	}
	if err := s.expectReceipts(ctx, n, parts); err != nil {
		return notification.Receipt{}, err
	}
	response, err := s.vendor.Send(ctx, m)
	if response.Pause > 0 {
		// If the limiter fails, the vendor may refuse one more call.
		_ = s.limits.Pause(context.WithoutCancel(ctx), account.Key, response.Pause)
	}
	if err != nil {
		return notification.Receipt{}, err
	}
	receipt := response.Receipt
	receipt.Composed = s.composed(n, m.Text)
	s.metrics.parts.WithLabelValues(n.GetSource(), n.GetProvider()).Add(float64(receipt.Parts))
	if s.pending != nil {
		s.metrics.awaited.Add(float64(receipt.Parts))
	}
	receipt.LinkRefused = linkRefused(m.Text, n.GetLink().GetShort(), receipt.PartsRefused)
	if int(receipt.Parts) != parts || receipt.PartsRefused != "" {
		s.correctParts(ctx, n, receipt)
	}
	return receipt, nil
}

// composed describes the message for the log.
func (s sender) composed(n *notifyv1.Notification, text string) notification.Composed {
	return notification.Composed{Text: text, Template: s.texts.Version(n)}
}

// again composes the message for the log once more.
func (s sender) again(n *notifyv1.Notification) (notification.Composed, error) {
	m, _, err := s.compose(n)
	return s.composed(n, m.Text), err
}

// compose writes the message, and counts its parts.
func (s sender) compose(n *notifyv1.Notification) (gateway.Message, int, error) {
	text, err := s.texts.SMSFrom(n, templates.TextSender{NoReplies: !s.vendor.Replies(), Contact: s.optOut.Now().Contact})
	if err != nil {
		return gateway.Message{}, 0, outcome.Refused(outcome.Operator, "not-renderable", err)
	}
	parts, unicode := gsm7.Parts(text)
	if parts > mostParts {
		return gateway.Message{}, 0, outcome.Refused(outcome.Operator, "message-too-long", fmt.Errorf("%d parts, but the maximum is %d", parts, mostParts))
	}
	number := strings.TrimPrefix(n.GetTo().GetMobile(), "+")
	if len(number) < 7 || len(number) > 15 || strings.Trim(number, "0123456789") != "" {
		return gateway.Message{}, 0, outcome.Refused(outcome.Recipient, "number-malformed", nil)
	}
	return gateway.Message{To: "+" + number, Text: text, Unicode: unicode, Reference: n.GetId(), Source: n.GetSource()}, parts, nil
}

// slotTimeout is the time for which a message waits for a rate-limit slot and occupies a worker. A message that would wait longer is returned
// to the stream.
const slotTimeout = 2 * time.Second

// takeSlot waits for a slot of the account's rate limit, which all replicas share.
func (s sender) takeSlot(ctx context.Context, account gateway.Account) error {
	err := limit.Wait(ctx, s.limits, account.Key, account.Rate, slotTimeout)
	if later := new(limit.LaterError); errors.As(err, &later) {
		return outcome.Later(later.After, "rate-limit")
	}
	return err
}

// bucketRetry is the delay of a message while the bucket is unavailable.
const bucketRetry = 5 * time.Second

// expectReceipts stores the data that the message's receipts will need. If this fails, the message is not sent.
func (s sender) expectReceipts(ctx context.Context, n *notifyv1.Notification, parts int) error {
	if s.pending == nil {
		return nil
	}
	if err := s.pending.expect(ctx, n, parts); err != nil {
		return errors.Join(outcome.Later(bucketRetry, "texts-away"), err)
	}
	if err := s.last.put(ctx, n); err != nil { // a reply is then attributed to an earlier text, or to the source in its path
		s.log.WarnContext(ctx, "the last text to a number was not recorded", "id", n.GetId(), "error", err)
	}
	return nil
}

// linkRefused reports whether one of the refused parts, which are numbers from 1, contains a part of the link.
func linkRefused(text, link, refused string) bool {
	at := strings.Index(text, link)
	if refused == "" || link == "" || at < 0 {
		return false
	}
	first, last := gsm7.PartAt(text, at), gsm7.PartAt(text, at+len(link)-1)
	return slices.ContainsFunc(strings.Split(refused, ","), func(number string) bool {
		n, err := strconv.Atoi(number)
		return err == nil && first <= n && n <= last
	})
}

// correctParts stores the vendor's number of parts, which takes precedence over our own. The message was already sent. If this fails,
// notification.delivered may be missing, or a second notification.failed may be published.
func (s sender) correctParts(ctx context.Context, n *notifyv1.Notification, r notification.Receipt) {
	if s.pending == nil {
		return
	}
	if err := s.pending.setParts(ctx, n, r.Parts, r.PartsRefused != ""); err != nil {
		s.log.WarnContext(ctx, "the stored number of a text's parts was not corrected", "id", n.GetId(), "error", err)
	}
}
