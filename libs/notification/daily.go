package notification

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/outcome"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
)

// overDaily returns the outputs for a text beyond its person's daily limit: the message on the person's other channel, or a schedule for the time at
// which there is room, outside the quiet hours. Several texts that wait for one place are each deferred again until there is room.
func (d delivery) overDaily(
	ctx context.Context, in stage.Event[*notifyv1.Notification], times int, r *record, room time.Duration,
) ([]stage.Out, error) {
	n, now := in.Data, d.Now()
	if n.GetAlternative() == nil || in.Unknown { // an earlier attempt may have sent the text
		until, _ := quietUntil(n, now.Add(room))
		return d.deferred(ctx, in, times, r, d.until(overDailyTexts, until))
	}
	made, err := d.onOtherChannel(ctx, n, now)
	if err == nil {
		d.endHold(ctx, in, r)
	}
	return made, err
}

// onOtherChannel returns the outputs that send a message on the person's other channel instead of this one. It has the id that the message there
// has if the person gets it anyway, so the person gets it once.
func (d delivery) onOtherChannel(ctx context.Context, n *notifyv1.Notification, at time.Time) ([]stage.Out, error) {
	other := proto.CloneOf(n)
	other.Id, other.Channel, other.To, other.Alternative = n.GetAlternative().GetId(), n.GetAlternative().GetChannel(), n.GetAlternative().GetTo(), nil
	other.RecordedAt = nil // its sender looks for an earlier one in the log
	id := other.GetId()
	if other.GetLink() != nil {
		other.Link.Short = d.Links.on(n.GetLink().GetShort(), event.ChannelOf(n.GetChannel()), event.ChannelOf(other.GetChannel()))
		id = event.DerivedID(id, flow.Shortener, "send") // the shortener's id of the message
	}
	m, err := Message(ctx, SendSubject(other), id, other)
	if err != nil {
		return nil, outcome.Permanent(err)
	}
	suppressed, err := outs(ctx, Suppressed(n, d.stage, at, overDailyTexts))
	if err != nil {
		return nil, err
	}
	requested, err := outs(ctx, Requested(other, d.stage, at))
	return append(suppressed, append(requested, m)...), err
}
