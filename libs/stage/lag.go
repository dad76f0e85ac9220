package stage

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signrelay/signrelay/libs/telemetry"
)

// lagEvery is the interval at which the lag of a stage is measured: the usual scrape interval of Prometheus.
const lagEvery = 15 * time.Second

// lag is the lag of a stage. All its replicas report the same, so use the maximum and never the sum.
type lag struct {
	waiting  *prometheus.GaugeVec // stage, stream
	inFlight *prometheus.GaugeVec // stage, stream
}

func newLag(r prometheus.Registerer) (l lag, err error) {
	err = errors.Join(
		telemetry.Register(r, &l.waiting, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "signrelay_stage_waiting_messages", Help: "Inputs that are not done: not delivered to a replica yet, in progress, or waiting for another attempt.",
		}, []string{"stage", "stream"})),
		telemetry.Register(r, &l.inFlight, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "signrelay_stage_unanswered_messages", Help: "Waiting inputs that were delivered to a replica: in progress, or waiting for another attempt.",
		}, []string{"stage", "stream"})),
	)
	return l, err
}

// reportLag reports a stage's lag on each of its sources, and stores its floors, until ctx ends. It asks the server at the
// given interval, and passes each response to seen.
func reportLag(ctx context.Context, sources []source, floors []*Floors, r prometheus.Registerer, every time.Duration, seen func(*jetstream.ConsumerInfo)) error {
	l, err := newLag(r)
	if err != nil {
		return err
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var kept time.Time
	for {
		due := time.Since(kept) >= lagEvery
		if due {
			kept = time.Now()
		}
		for i, s := range sources {
			is := l.ask(ctx, s)
			if is == nil {
				continue
			}
			seen(is)
			if !due {
				continue
			}
			if err := floors[i].Keep(ctx, is); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "the floor is not kept", "stage", s.stage.Name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// ask asks the server about one consumer. Without a response the gauges are removed: an old number would look current.
func (l lag) ask(ctx context.Context, s source) *jetstream.ConsumerInfo {
	c, err := s.lookUp(ctx)
	if err != nil {
		l.waiting.DeleteLabelValues(s.stage.Name, s.stream)
		l.inFlight.DeleteLabelValues(s.stage.Name, s.stream)
		return nil
	}
	is := c.CachedInfo()
	l.waiting.WithLabelValues(s.stage.Name, s.stream).Set(float64(is.NumPending) + float64(is.NumAckPending))
	l.inFlight.WithLabelValues(s.stage.Name, s.stream).Set(float64(is.NumAckPending))
	return is
}
