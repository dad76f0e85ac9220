package notification

import (
	"context"
	"fmt"
	"time"

	"github.com/signrelay/signrelay/libs/event"
	"github.com/signrelay/signrelay/libs/flow"
	"github.com/signrelay/signrelay/libs/stage"
	notifyv1 "github.com/signrelay/signrelay/proto/signrelay/notify/v1"
	signingv1 "github.com/signrelay/signrelay/proto/signrelay/signing/v1"
)

// skew is the largest expected difference between the clocks of a sender and of the broker.
const skew = time.Hour

// forgotten reports whether n may have been sent so long ago that the dedupe store's claim has expired. A recreated consumer
// reads old events again, and the enricher then makes the same notifications again.
func forgotten(n *notifyv1.Notification, now time.Time) bool {
	return n.GetRecordedAt() == nil || now.Sub(n.GetRecordedAt().AsTime()) > flow.RememberSent-skew
}

// settled reports whether a forgotten notification, for which the log holds no record of a send, must not be sent now. missing is the output
// for the log. Either an earlier attempt gave the notification up and no operator has replayed it. Or its event is older than the log, so
// that the log may have deleted the record of the send as well.
func (d delivery) settled(ctx context.Context, in stage.Event[*notifyv1.Notification], now time.Time) (missing []stage.Out, settled bool, err error) {
	n := in.Data
	if in.Replays == 0 {
		e, err := find(ctx, d.log, n, event.NotificationFailed, func(*signingv1.SigningEvent) bool { return true })
		if err != nil || e != nil {
			return nil, e != nil, err
		}
	}
	if n.GetRecordedAt() == nil || now.Sub(n.GetRecordedAt().AsTime()) < flow.LogReaches {
		return nil, false, nil
	}
	missing, err = outs(ctx, Suppressed(n, d.stage, now, OlderThanLog))
	if err != nil {
		return nil, false, fmt.Errorf("suppress a notification: %w", err)
	}
	return missing, true, nil
}

// OlderThanLog is the reason of a notification that is not sent because it is unknown whether it was sent before.
const OlderThanLog = "older-than-the-log"
