package notification

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// The dedupe store keeps a sent message for 15 days, so that its event can be published again. Almost all of the event is in the
// notification. These functions store the rest: the time, the number of parts and the vendor's id, about 40 bytes instead of 800.

const (
	keptDuplicate = 1 << iota // the message may have been sent twice
	keptUUID                  // the vendor's id is a UUID, stored as 16 bytes
	keptWait                  // the message was scheduled for later
	keptOther                 // the message went to the person's other channel
	keptSent                  // the message was sent, with the data of keepSent
	keptReceipt               // a delivery receipt should follow
)

// keptNewer replaces the number of parts if there are other outputs than notification.sent. An earlier version treats it as damage, and
// leaves the input to a newer replica.
const keptNewer = 1 << 20

// keep returns what rebuild needs to make the event again, or nil if there is more than a simple notification.sent.
func (d delivery) keep(outs []stage.Out) []byte {
	if len(outs) > 1 {
		return keepNewer(outs)
	}
	if len(outs) != 1 {
		return nil
	}
	e, err := event.Decode(outs[0].Data)
	others := len(e.GetAttributes())
	if err == nil && ExpectsReceipt(e) {
		others--
	}
	if err != nil || e.GetType() != event.NotificationSent || e.GetNotice().GetReason() != "" || others > 0 {
		return nil
	}
	flags, reference := byte(0), []byte(e.GetNotice().GetReference())
	if e.GetNotice().GetPossibleDuplicate() {
		flags |= keptDuplicate
	}
	if id, ok := uuidBytes(string(reference)); ok {
		flags, reference = flags|keptUUID, id
	}
	if notice := e.GetNotice(); len(e.GetAttributes()) > 0 || notice.GetTemplate() != "" || notice.GetPrice() != "" {
		return keepSent(e, flags, reference)
	}
	kept := binary.BigEndian.AppendUint64([]byte{flags}, uint64(event.Time(e).UnixNano()))
	return append(binary.AppendUvarint(kept, uint64(e.GetNotice().GetParts())), reference...)
}

// keepSent returns what rebuildSent needs. The text is personal, so the store has only a hash of it: the sender composes the message again.
func keepSent(e *signingv1.SigningEvent, flags byte, reference []byte) []byte {
	notice := e.GetNotice()
	if flags |= keptSent; ExpectsReceipt(e) {
		flags |= keptReceipt
	}
	if len(notice.GetPrice()) > longestPrice {
		return nil
	}
	kept := binary.BigEndian.AppendUint64([]byte{flags}, uint64(event.Time(e).UnixNano()))
	kept = binary.AppendUvarint(binary.AppendUvarint(kept, keptNewer), uint64(notice.GetParts()))
	sum := Composed{notice.GetText(), notice.GetSubject(), notice.GetTemplate()}.sum()
	kept = append(append(kept, sum[:]...), byte(len(notice.GetPrice())))
	return append(append(kept, notice.GetPrice()...), reference...)
}

// longestPrice is larger than any price that a vendor tells, in bytes.
const longestPrice = 32

// sum returns 64 bits of a hash.
func (c Composed) sum() (sum [8]byte) {
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s%d:%s%s", len(c.Text), c.Text, len(c.Subject), c.Subject, c.Template)
	copy(sum[:], h.Sum(nil))
	return sum
}

// rebuildSent makes the event of keepSent. If the message would have another text now, for example with a newer template, the event has no text.
func (d delivery) rebuildSent(ctx context.Context, in stage.Event[*notifyv1.Notification], flags byte, at time.Time, kept []byte) ([]stage.Out, error) {
	parts, n := binary.Uvarint(kept)
	const sum = 8 // bytes
	if n <= 0 || parts > 1<<16 || len(kept) < n+sum+1 {
		return nil, errKept
	}
	price := kept[n+sum+1:]
	size := int(kept[n+sum])
	if size > len(price) {
		return nil, errKept
	}
	r := Receipt{
		Reference: string(price[size:]), Parts: uint32(parts), PossibleDuplicate: flags&keptDuplicate != 0, Expected: flags&keptReceipt != 0, Price: string(price[:size]),
	}
	if flags&keptUUID != 0 {
		if len(r.Reference) != 16 {
			return nil, errKept
		}
		r.Reference = uuidText([]byte(r.Reference))
	}
	if composed, err := d.composedBefore(in); err == nil {
		if now := composed.kept(in.Data).sum(); bytes.Equal(now[:], kept[n:n+sum]) {
			r.Composed = composed
		}
	}
	return outs(ctx, Sent(in.Data, d.stage, at, r))
}

// composedBefore returns the message of an input: the one that was sent just now, or a message that is composed again.
func (d delivery) composedBefore(in stage.Event[*notifyv1.Notification]) (Composed, error) {
	if sent, ok := d.sent.take(in.ID); ok {
		return sent, nil
	}
	if d.Compose == nil {
		return Composed{}, nil
	}
	return d.Compose(in.Data)
}

// sentMessages has the messages that were just sent, by the ids of their inputs. The stage checks at once that the event can be made again from
// what the store keeps. To compose the message once more for that check was a tenth of a sender's CPU. The zero value of the pointer has none.
type sentMessages struct {
	mu sync.Mutex
	of map[string]Composed
}

// mostSent is the number of messages that are remembered: more than the workers of a sender have in flight. A message that is not remembered is
// composed again.
const mostSent = 256

func (s *sentMessages) put(input string, m Composed) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil || len(s.of) >= mostSent {
		s.of = map[string]Composed{}
	}
	s.of[input] = m
}

func (s *sentMessages) take(input string) (m Composed, ok bool) {
	if s == nil {
		return Composed{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok = s.of[input]
	delete(s.of, input)
	return m, ok
}

// rebuild makes the event of keep.
func (d delivery) rebuild(ctx context.Context, in stage.Event[*notifyv1.Notification], kept []byte) ([]stage.Out, error) {
	const head = 1 + 8
	if len(kept) <= head {
		return nil, errKept
	}
	parts, n := binary.Uvarint(kept[head:])
	at := time.Unix(0, int64(binary.BigEndian.Uint64(kept[1:head])))
	if n > 0 && parts == keptNewer {
		return d.rebuildNewer(ctx, in, kept[0], at, kept[head+n:])
	}
	if n <= 0 || parts > 1<<16 {
		return nil, errKept
	}
	r := Receipt{Reference: string(kept[head+n:]), Parts: uint32(parts), PossibleDuplicate: kept[0]&keptDuplicate != 0}
	if kept[0]&keptUUID != 0 {
		if len(r.Reference) != 16 {
			return nil, errKept
		}
		r.Reference = uuidText([]byte(r.Reference))
	}
	return outs(ctx, Sent(in.Data, d.stage, at, r))
}

// keepNewer returns what rebuildNewer needs: the message in the outputs has personal data, which must not be in the store.
func keepNewer(outs []stage.Out) []byte {
	first, err := event.Decode(outs[0].Data)
	if err != nil || first.GetType() != event.NotificationDeferred && first.GetType() != event.NotificationSuppressed {
		return nil
	}
	kept := binary.BigEndian.AppendUint64([]byte{keptOther}, uint64(event.Time(first).UnixNano()))
	kept = binary.AppendUvarint(kept, keptNewer)
	if first.GetType() == event.NotificationSuppressed {
		return append(kept, first.GetNotice().GetReason()...)
	}
	fires, scheduled := flow.ScheduledAt(outs[1].Header)
	if !scheduled {
		return nil
	}
	until, err := time.Parse(time.RFC3339, first.GetAttributes()[AttributeUntil])
	if err != nil {
		return nil
	}
	kept[0] = keptWait
	kept = binary.BigEndian.AppendUint64(kept, uint64(until.Unix()))
	kept = binary.BigEndian.AppendUint64(kept, uint64(fires.UnixNano()))
	return append(kept, first.GetNotice().GetReason()...)
}

// rebuildNewer makes the outputs of keepNewer.
func (d delivery) rebuildNewer(ctx context.Context, in stage.Event[*notifyv1.Notification], flags byte, at time.Time, kept []byte) ([]stage.Out, error) {
	in, times := resumed(in)
	const waits = 16 // bytes
	switch {
	case flags&keptSent != 0:
		return d.rebuildSent(ctx, in, flags, at, kept)
	case flags == keptOther:
		return d.onOtherChannel(ctx, in.Data, at)
	case flags == keptWait && len(kept) > waits:
		until, fires := int64(binary.BigEndian.Uint64(kept)), int64(binary.BigEndian.Uint64(kept[waits/2:]))
		return d.later(ctx, in, times, wait{string(kept[waits:]), at, time.Unix(until, 0), time.Unix(0, fires)})
	default:
		return nil, errKept
	}
}

var errKept = errors.New("the stored data of a sent message is damaged")

// uuidBytes returns the 16 bytes of a UUID in its usual form, in lower case.
func uuidBytes(text string) (id []byte, ok bool) {
	id, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	return id, err == nil && len(id) == 16 && uuidText(id) == text
}

func uuidText(id []byte) string {
	h := hex.EncodeToString(id)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
