package notification

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/outcome"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// Requested returns the event that the stage created n.
func Requested(n *notifyv1.Notification, stage string, at time.Time) *signingv1.SigningEvent {
	return whom(n, progress(n, event.NotificationRequested, event.DerivedID(n.GetId(), stage, "requested"), at))
}

// whom adds to an event whom the message is for: the name, and the address or the number to which it goes. A provider's callback names only who acted, so
// without it no search finds a signer before the signature. A source that keeps no texts keeps no names either. The message's other events name the
// person by the id.
func whom(n *notifyv1.Notification, e *signingv1.SigningEvent) *signingv1.SigningEvent {
	if who, to := e.GetRecipient(), n.GetTo(); who != nil && n.GetKeepText() {
		who.FirstName, who.LastName = to.GetFirstName(), to.GetLastName()
		switch n.GetChannel() {
		case event.SMS:
			who.Mobile = to.GetMobile()
		case event.Email:
			who.Email = to.GetEmail()
		case notifyv1.Channel_CHANNEL_UNSPECIFIED:
		}
	}
	return e
}

// Suppressed returns the event that the stage could not create n. The reason is bounded and never personal. Each reason has its own event. If
// n has no channel, because no address is known, the event has none.
func Suppressed(n *notifyv1.Notification, stage string, at time.Time, reason string) *signingv1.SigningEvent {
	e := whom(n, progress(n, event.NotificationSuppressed, event.DerivedID(n.GetId(), stage, "suppressed/"+reason), at))
	e.Notice.Reason = reason
	if n.GetChannel() == notifyv1.Channel_CHANNEL_UNSPECIFIED {
		e.Notice.Channel = ""
	}
	return e
}

// Receipt is the vendor's report when it accepted a message.
type Receipt struct {
	Reference         string        // the vendor's id of the message
	Parts             uint32        // the number of parts in which it was sent
	PossibleDuplicate bool          // true if an earlier attempt may have been delivered too
	Reason            string        // the reason why some parts were not sent; usually empty, never personal
	Fault             outcome.Fault // the party at fault for that
	PartsRefused      string        // the numbers of the refused parts, from 1, with commas; usually empty
	LinkRefused       bool          // one of them contains a part of the link
	Expected          bool          // a delivery receipt should follow
	Price             string        // as the vendor told it; usually empty
	Composed          Composed      // what was sent; empty if it is not known
}

// Composed is a message as it is sent.
type Composed struct {
	Text     string
	Subject  string // of an e-mail
	Template string // the template and its version
}

// kept returns what the log keeps of it. The code of a short link is as secret as the document behind it, so the log never has it (docs/adr/0020).
func (c Composed) kept(n *notifyv1.Notification) Composed {
	if !n.GetKeepText() {
		return Composed{Template: c.Template}
	}
	link := n.GetLink().GetShort()
	c.Text, c.Subject = withoutCode(c.Text, link), withoutCode(c.Subject, link)
	return c
}

// shortestCode is the length from which a link's code is also replaced outside the link. Our own codes have 14 letters or more.
const shortestCode = 6

func withoutCode(text, link string) string {
	at := strings.LastIndexByte(link, '/') + 1
	base, code := link[:at], link[at:]
	if code == "" {
		return text
	}
	text = strings.ReplaceAll(text, link, base+"…")
	if len(code) >= shortestCode {
		text = strings.ReplaceAll(text, code, "…")
	}
	return text
}

// attributes returns an event's attributes about refused parts.
func (r Receipt) attributes() map[string]string {
	if r.PartsRefused == "" {
		return nil
	}
	return map[string]string{"parts_refused": r.PartsRefused, "link_refused": strconv.FormatBool(r.LinkRefused)}
}

// Sent returns the event that the stage sent n. A possible duplicate is a separate event with its own id, because a slow sender may still
// publish the first one too.
func Sent(n *notifyv1.Notification, stage string, at time.Time, r Receipt) *signingv1.SigningEvent {
	what := "sent"
	if r.PossibleDuplicate {
		what = "sent again"
	}
	e := progress(n, event.NotificationSent, event.DerivedID(n.GetId(), stage, what), at)
	e.Notice.Reference = r.Reference
	e.Notice.Parts = r.Parts
	e.Notice.PossibleDuplicate = r.PossibleDuplicate
	e.Notice.Reason = r.Reason
	composed := r.Composed.kept(n)
	e.Notice.Text, e.Notice.Subject, e.Notice.Template, e.Notice.Price = composed.Text, composed.Subject, composed.Template, r.Price
	e.Attributes = r.attributes()
	if r.Expected {
		if e.Attributes == nil {
			e.Attributes = map[string]string{}
		}
		e.Attributes[attributeReceipt] = receiptExpected
	}
	return e
}

// A message on a channel with delivery receipts has arrived only when its receipt says so. This attribute of notification.sent says that a
// receipt should follow.
const (
	attributeReceipt = "receipt"
	receiptExpected  = "expected"
)

// ExpectsReceipt reports whether a delivery receipt should follow the message of a notification.sent.
func ExpectsReceipt(sent *signingv1.SigningEvent) bool {
	return sent.GetAttributes()[attributeReceipt] == receiptExpected
}

// Deferred returns the event that n waits until the party at fault has fixed the problem. It is published once per notification. The country
// is that of a number that the settings do not allow texts to; otherwise it is empty.
func Deferred(n *notifyv1.Notification, stage string, at time.Time, reason string, whose outcome.Fault, country string) *signingv1.SigningEvent {
	e := progress(n, event.NotificationDeferred, event.DerivedID(n.GetId(), stage, "deferred"), at)
	e.Notice.Reason, e.Notice.Fault = reason, string(whose)
	if country != "" {
		e.Attributes = map[string]string{"country": country}
	}
	return e
}

// DeferredUntil returns the event that n waits until a time, as a scheduled message with that id. No party is at fault.
func DeferredUntil(n *notifyv1.Notification, stage string, at time.Time, reason string, until time.Time, id string) *signingv1.SigningEvent {
	e := progress(n, event.NotificationDeferred, event.DerivedID(id, stage, "deferred"), at)
	e.Notice.Reason = reason
	e.Attributes = map[string]string{AttributeUntil: until.UTC().Format(time.RFC3339)}
	return e
}

// AttributeUntil is the attribute of notification.deferred with the time until which a message waits, RFC 3339; only if it waits for a time.
const AttributeUntil = "until"

// Failed returns the event that the stage gave up n, with the party at fault. The reason is bounded and never personal.
func Failed(n *notifyv1.Notification, stage string, at time.Time, reason string, whose outcome.Fault) *signingv1.SigningEvent {
	e := progress(n, event.NotificationFailed, event.DerivedID(n.GetId(), stage, "failed"), at)
	e.Notice.Reason, e.Notice.Fault = reason, string(whose)
	return e
}

func progress(n *notifyv1.Notification, eventType, id string, at time.Time) *signingv1.SigningEvent {
	e := &signingv1.SigningEvent{
		Id: id, Source: n.GetSource(), Provider: n.GetProvider(), Type: eventType,
		OccurredAt:   timestamppb.New(at),
		Verification: signingv1.Verification_VERIFICATION_INTERNAL,
		Notice: &signingv1.Notice{
			NotificationId: n.GetId(), Kind: event.KindName(n.GetKind()), Channel: event.ChannelName(n.GetChannel()), EventId: n.GetEventId(),
		},
	}
	if n.GetDocumentId() != "" {
		e.Document = &signingv1.Document{Id: n.GetDocumentId()}
	}
	if n.GetTo().GetRecipientId() != "" {
		e.Recipient = &signingv1.Recipient{Id: n.GetTo().GetRecipientId()}
	}
	return e
}

// Earlier returns the event in the log which shows that n was sent before: notification.sent, otherwise the event of a delivery receipt,
// otherwise nil. It reads only the events of n's document, and each type by its whole subject: for a filter with "*" the server searches up
// to 8 MB of the log, which takes 20 ms of CPU time.
func Earlier(ctx context.Context, log event.Log, n *notifyv1.Notification) (*signingv1.SigningEvent, error) {
	for _, eventType := range []string{event.NotificationSent, event.NotificationDelivered, event.NotificationFailed} {
		if e, err := find(ctx, log, n, eventType, wasSent); err != nil || e != nil {
			return e, err
		}
	}
	return nil, nil
}

// find returns the first event of the type that the log has about n and that wanted accepts, or nil.
func find(
	ctx context.Context, log event.Log, n *notifyv1.Notification, eventType string, wanted func(*signingv1.SigningEvent) bool,
) (*signingv1.SigningEvent, error) {
	subject := event.SubjectOf(n.GetSource(), n.GetProvider(), eventType, n.GetDocumentId())
	for m, err := range log.Messages(ctx, subject, time.Time{}) {
		if err != nil {
			return nil, fmt.Errorf("look for an earlier attempt: %w", err)
		}
		// An event of another notification, or one that cannot be read, is not about n.
		e, err := event.Decode(m.Data)
		if err == nil && e.GetNotice().GetNotificationId() == n.GetId() && wanted(e) {
			return e, nil
		}
	}
	return nil, nil
}
